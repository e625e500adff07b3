// The CNI plugin and its installer: started as container runtimes do, with a real API server to ask and real network namespaces.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { getIptables } from "../wire/captured/iptables.ts";
import { until } from "../wire/until.ts";
import { ApiServer } from "./cluster/api-server.ts";
import { RESULT, TestNode } from "./cni/node.ts";

const BRIDGE = {
  cniVersion: "1.0.0",
  name: "bridge",
  plugins: [
    { type: "bridge", bridge: "cni0", ipam: { type: "host-local" } },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
};

const sidecar = (interception: string): string =>
  JSON.stringify({ version: "0.1.0", interception, inboundPort: 15_006, outboundPort: 15_001 });

const PODS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  injected: { "heddle.dev/sidecar": sidecar("cni"), "heddle.dev/exclude-outbound-ports": "5432,8000-8100" },
  "with-init-container": { "heddle.dev/sidecar": sidecar("iptables") },
  plain: {},
  "not-ours": { "heddle.dev/sidecar": "no JSON" },
  wrong: { "heddle.dev/sidecar": sidecar("cni"), "heddle.dev/exclude-uids": "root" },
};

let api: ApiServer;
let node: TestNode;

before(async () => {
  getIptables();
  api = await ApiServer.start();
  await api.kubectl(["create", "namespace", "shop"]);
  await api.kubectl(["create", "serviceaccount", "heddle-cni"]);
  await api.kubectl(["create", "clusterrole", "heddle-cni", "--verb=get", "--resource=pods,daemonsets.apps"]);
  const binding = ["--clusterrole=heddle-cni", "--serviceaccount=default:heddle-cni"];
  await api.kubectl(["create", "clusterrolebinding", "heddle-cni", ...binding]);
  const pods = Object.entries(PODS).map(([name, annotations]) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", annotations },
    spec: { containers: [{ name: "app", image: "none" }], automountServiceAccountToken: false },
  }));
  const daemonSet = {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "heddle-cni", namespace: "default" },
    spec: {
      selector: { matchLabels: { app: "cni" } },
      template: { metadata: { labels: { app: "cni" } }, spec: { containers: [{ name: "app", image: "none" }] } },
    },
  };
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "shop" } };
  const list = { apiVersion: "v1", kind: "List", items: [account, ...pods, daemonSet] };
  await api.kubectl(["apply", "-f", "-"], JSON.stringify(list));
  const view = JSON.parse(await api.kubectl(["config", "view", "--raw", "--flatten", "-o", "json"])) as {
    clusters: [{ cluster: { server: string; "certificate-authority-data": string } }];
  }; // as: a kubeconfig
  const { cluster } = view.clusters[0];
  node = new TestNode({
    server: new URL(cluster.server),
    ca: Buffer.from(cluster["certificate-authority-data"], "base64").toString(),
    token: (await api.kubectl(["create", "token", "heddle-cni"])).trim(),
  });
  await node.bundle();
});

after(async () => {
  await node?.close();
  await api?.stop();
});

const ours = (name: string): readonly unknown[] => node.readConf(name).plugins.map(({ type }) => type);
const untilInForce = (name: string): Promise<void> =>
  until(
    `heddle-cni is in ${name}`,
    () => fs.existsSync(path.join(node.conf, name)) && ours(name).at(-1) === "heddle-cni",
    30_000,
  );

describe("the installer", () => {
  it("waits for a configuration, and adds the plugin behind all others", async () => {
    node.install();
    await until(
      "it says what it waits for",
      () => /not in force: There is no CNI configuration/.test(node.said),
      30_000,
    );
    node.writeConf("10-bridge.conflist", BRIDGE);
    await untilInForce("10-bridge.conflist");
    const { plugins } = node.readConf("10-bridge.conflist");
    assert.deepEqual(plugins.slice(0, 2), BRIDGE.plugins);
    assert.equal(plugins.length, 3);
    assert.equal(fs.statSync(path.join(node.conf, "heddle-cni-kubeconfig")).mode & 0o777, 0o600);
  });

  it("adds it again when another agent has rewritten the configuration", async () => {
    node.writeConf("10-bridge.conflist", { ...BRIDGE, disableCheck: true });
    await untilInForce("10-bridge.conflist");
    assert.equal(node.readConf("10-bridge.conflist").plugins.length, 3);
  });
});

describe("the plugin", () => {
  it("says which versions it speaks", () => {
    const { code, text } = node.ask({ command: "VERSION", input: "{}" });
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(text), {
      cniVersion: "1.1.0",
      supportedVersions: ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    });
  });

  it("redirects an injected pod's connections, and gives the result of the plugins before", async () => {
    const networkNamespace = await node.makeNamespace();
    const { code, text } = node.ask({ command: "ADD", pod: "injected", networkNamespace });
    assert.equal(code, 0, text);
    assert.deepEqual(JSON.parse(text), RESULT);
    const rules = node.rulesIn(networkNamespace);
    assert.equal([...rules.matchAll(/-A OUTPUT -p tcp -j HEDDLE_OUTPUT/g)].length, 2);
    assert.match(rules, /--dport 5432 -j RETURN/);
    assert.deepEqual(node.ask({ command: "CHECK", pod: "injected", networkNamespace }), { code: 0, text: "" });
    node.flush(networkNamespace);
    const check = node.ask({ command: "CHECK", pod: "injected", networkNamespace });
    assert.equal(check.code, 1);
    assert.match(check.text, /"code":100,"msg":"The connections of pod shop\/injected are not redirected: IPv4: /);
  });

  for (const pod of ["with-init-container", "plain", "not-ours", "unknown", undefined])
    it(`lets ${pod === undefined ? "what is no pod" : `the pod "${pod}"`} pass unchanged`, async () => {
      const networkNamespace = await node.makeNamespace();
      const { code, text } = node.ask({ command: "ADD", networkNamespace, ...(pod === undefined ? {} : { pod }) });
      assert.equal(code, 0, text);
      assert.deepEqual(JSON.parse(text), RESULT);
      assert.doesNotMatch(node.rulesIn(networkNamespace), /HEDDLE/);
    });

  it("refuses an injected pod whose settings cannot be, and names the annotation", async () => {
    const networkNamespace = await node.makeNamespace();
    const { code, text } = node.ask({ command: "ADD", pod: "wrong", networkNamespace });
    assert.equal(code, 1);
    const { msg, ...rest } = JSON.parse(text) as { msg: string };
    assert.deepEqual(rest, { cniVersion: "1.0.0", code: 100 });
    assert.match(msg, /^Pod shop\/wrong: heddle\.dev\/exclude-uids must be numbers .*: got "root"$/);
  });

  it("lets pods pass when the API server does not answer, and writes that down", async () => {
    const networkNamespace = await node.makeNamespace();
    const kubeconfig = path.join(node.folder, "nobody");
    const text = fs.readFileSync(path.join(node.conf, "heddle-cni-kubeconfig"), "utf8");
    fs.writeFileSync(kubeconfig, text.replace(/127\.0\.0\.1:\d+/, "127.0.0.1:1"));
    const answer = node.ask({ command: "ADD", pod: "injected", networkNamespace, input: node.input({ kubeconfig }) });
    assert.equal(answer.code, 0, answer.text);
    assert.doesNotMatch(node.rulesIn(networkNamespace), /HEDDLE/);
    assert.match(fs.readFileSync(node.log, "utf8"), /shop\/injected: not redirected, .*ECONNREFUSED/);
  });

  for (const [what, input, cniCode] of [
    ["a configuration that is no JSON", () => "{", 6],
    ["a version that it does not speak", () => node.input({ cniVersion: "0.2.0" }), 1],
    ["to be the first plugin", () => node.input({ prevResult: undefined }), 7],
  ] as const)
    it(`refuses ${what} with code ${cniCode}`, () => {
      const { code, text } = node.ask({
        command: "ADD",
        pod: "injected",
        networkNamespace: "/proc/self/ns/net",
        input: input(),
      });
      assert.equal(code, 1);
      assert.equal((JSON.parse(text) as { code: number }).code, cniCode);
    });

  it("lets every pod end, whatever it is asked", () => {
    for (const input of ["", "{", node.input()])
      assert.equal(node.ask({ command: "DEL", pod: "injected", input }).code, 0);
  });

  it("takes this long for an injected pod", async (test) => {
    const times: number[] = [];
    for (let i = 0; i < 9; i++) {
      const networkNamespace = await node.makeNamespace();
      const startMs = performance.now();
      assert.equal(node.ask({ command: "ADD", pod: "injected", networkNamespace }).code, 0);
      times.push(performance.now() - startMs);
    }
    test.diagnostic(`ADD: median ${times.toSorted((left, right) => left - right)[4]?.toFixed(0)} ms (aim: 300)`);
  });
});

describe("the installer's end", () => {
  it("leaves everything in place while its DaemonSet exists", async () => {
    assert.equal(await node.endInstaller(), 0);
    node.install("--daemonset", "default/heddle-cni");
    await untilInForce("10-bridge.conflist");
    await until("it is ready", () => /ready is told/.test(node.said.split("removed").at(-1) ?? ""), 30_000);
    assert.equal(await node.endInstaller(), 0);
    assert.match(node.said, /left in place for the next one/);
    assert.deepEqual(ours("10-bridge.conflist"), ["bridge", "portmap", "heddle-cni"]);
    assert.equal(node.ask({ command: "VERSION" }).code, 0);
  });

  it("removes all of it otherwise, and puts back what a list of ours stood for", async () => {
    const single = { cniVersion: "1.0.0", name: "first", type: "ptp" };
    node.writeConf("05-first.conf", single);
    node.install();
    await untilInForce("05-first.conflist");
    assert.deepEqual(ours("05-first.conflist"), ["ptp", "heddle-cni"]);
    assert.equal(await node.endInstaller(), 0);
    assert.deepEqual(node.readConf("05-first.conf"), single);
    assert.deepEqual(ours("10-bridge.conflist"), ["bridge", "portmap"]);
    assert.deepEqual(fs.readdirSync(node.conf).toSorted(), ["05-first.conf", "10-bridge.conflist"]);
    assert.deepEqual(fs.readdirSync(node.bin), ["heddle-cni"]);
  });

  it("leaves a plugin that lets pods end", () => {
    assert.equal(node.ask({ command: "DEL", pod: "injected" }).code, 0);
    const { code, text } = node.ask({ command: "ADD", pod: "injected" });
    assert.equal(code, 1);
    assert.match(text, /heddle-cni was removed from this node/);
  });
});
