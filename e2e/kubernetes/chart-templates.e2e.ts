// What the chart makes of its values: lint, a real API server's opinion of every object, and what each choice changes.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { isObject } from "#config/load/values.ts";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { Cluster } from "./cluster/cluster.ts";
import { deleteNamespace, makeNamespace } from "./pods.ts";

const chart = path.join(import.meta.dirname, "../../charts/heddle");
const files = readdirSync(path.join(chart, "ci")).map((file) => path.join(chart, "ci", file));
const namespace = "heddle-templates";
const cluster = Cluster.join();

type Manifest = Readonly<Record<string, unknown>>;

async function template(...args: readonly string[]): Promise<string> {
  const options = ["--namespace", namespace, "--kube-version", "1.36.0", ...args];
  return cluster.helm("template", "heddle", chart, ...options);
}

async function manifests(...args: readonly string[]): Promise<readonly Manifest[]> {
  const { documents, errors } = parseYaml(await template(...args), "helm template");
  assert.deepEqual(errors, []);
  return documents.map(({ value }) => value).filter(isObject);
}

/** The one of a kind and name, its values reached by `spec.replicas`. */
function the(all: readonly Manifest[], kind: string, name = "heddle-control-plane"): (where: string) => unknown {
  const found = all.filter(
    (one) => one["kind"] === kind && isObject(one["metadata"]) && one["metadata"]["name"] === name,
  );
  assert.equal(found.length, 1, `${found.length} of ${kind} ${name}`);
  return (where) =>
    where.split(".").reduce<unknown>((value, key) => {
      if (Array.isArray(value)) return value[Number(key)] as unknown;
      return isObject(value) ? value[key] : undefined;
    }, found[0]);
}

function kindsOf(all: readonly Manifest[]): ReadonlySet<unknown> {
  return new Set(all.map(({ kind }) => kind));
}

describe("helm lint --strict", () => {
  for (const file of [undefined, ...files]) {
    it(`has nothing to say with ${file === undefined ? "the defaults" : path.basename(file)}`, async () => {
      await cluster.helm("lint", "--strict", chart, ...(file === undefined ? [] : ["--values", file]));
    });
  }
});

describe("the API server", () => {
  before(async () => {
    await makeNamespace(cluster, namespace);
    // The pod of helm test wants its account, which a dry run does not make.
    await cluster.kubectl("create", "serviceaccount", "heddle-control-plane", "-n", namespace);
  });
  after(async () => deleteNamespace(cluster, namespace));

  for (const file of [undefined, ...files]) {
    it(`takes every object with ${file === undefined ? "the defaults" : path.basename(file)}, and knows every field`, async () => {
      const text = await template(...(file === undefined ? [] : ["--values", file]));
      const options = [
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "--field-manager=test",
      ];
      await cluster.exec(["kubectl", "apply", ...options, "--namespace", namespace, "-f", "-"], { input: text });
    });
  }
});

describe("the templates", () => {
  it("give the control plane's pods what Pod Security restricted asks", async () => {
    const deployment = the(await manifests(), "Deployment");
    const pod = (where: string): unknown => deployment(`spec.template.spec.${where}`);
    assert.deepEqual(pod("securityContext"), {
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      fsGroup: 65532,
      seccompProfile: { type: "RuntimeDefault" },
    });
    assert.deepEqual(pod("containers.0.securityContext"), {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    assert.equal(deployment("spec.replicas"), 2);
    assert.ok(pod("affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution") !== undefined);
    assert.ok(kindsOf(await manifests()).has("PodDisruptionBudget"));
  });

  it("make no budget for a single replica, which would keep its node from being drained", async () => {
    const kinds = kindsOf(await manifests("--set", "controlPlane.replicas=1"));
    assert.ok(!kinds.has("PodDisruptionBudget"));
  });

  it("put registry and tag before every image", async () => {
    const text = await template("--values", path.join(chart, "ci/everything.yaml"));
    const images = [...text.matchAll(/^ *(?:image|proxyImage|initImage): "?([^"\n]+)"?$/gm)].map(([, image]) => image);
    assert.ok(images.length >= 5);
    for (const image of images) assert.match(image ?? "", /^registry\.example\.com:5000\/mirror\/.*:1\.2\.3$/);
  });

  it("only read a Secret that others keep", async () => {
    const rules = JSON.stringify(the(await manifests("--set", "ca.existingSecret=theirs"), "Role")("rules"));
    assert.ok(
      rules.includes(
        '{"apiGroups":[""],"resources":["secrets"],"resourceNames":["theirs"],"verbs":["get","list","watch"]}',
      ),
    );
    assert.ok(!rules.includes("heddle-ca"));
  });

  it("never give a right by asterisk, nor one to write what others own", async () => {
    const all = await manifests("--set", "cni.enabled=true");
    for (const role of all.filter(({ kind }) => kind === "ClusterRole" || kind === "Role")) {
      const text = JSON.stringify(role["rules"]);
      assert.doesNotMatch(text, /"\*"|"escalate"|"bind"|"impersonate"|deletecollection/);
    }
    const own = JSON.stringify(the(all, "ClusterRole")("rules"));
    assert.doesNotMatch(own, /"delete"|"secrets"|"pods\/exec"/);
  });

  it("take a pod to the webhook only where it asked, or its namespace", async () => {
    const webhooks = the(await manifests(), "MutatingWebhookConfiguration", "heddle-injector");
    const names = ["namespace.injector.heddle.dev", "pod.injector.heddle.dev"];
    assert.deepEqual([webhooks("webhooks.0.name"), webhooks("webhooks.1.name")], names);
    for (const index of [0, 1]) {
      const selector = JSON.stringify(webhooks(`webhooks.${index}.namespaceSelector`));
      assert.ok(selector.includes(`"values":["${namespace}","kube-node-lease","kube-public","kube-system"]`), selector);
      assert.equal(webhooks(`webhooks.${index}.failurePolicy`), "Fail");
    }
  });

  it("lead pods to the CNI plugin where there is one", async () => {
    const text = await template("--set", "cni.enabled=true");
    assert.match(text, /^ {4}interception: cni$/m);
    assert.match(await template(), /^ {4}interception: iptables$/m);
    assert.match(
      await template("--set", "cni.enabled=true,injection.interception=iptables"),
      /^ {4}interception: iptables$/m,
    );
  });

  it("write sidecars as plain containers for a cluster that knows no others", async () => {
    const version = ["--kube-version", "1.28.0"];
    assert.match(await template(...version), /^ {4}nativeSidecar: false$/m);
    assert.match(await template(...version), /exec: \{command: \[\/nodejs\/bin\/node/);
    assert.match(await template(), /^ {4}nativeSidecar: true$/m);
  });

  it("refuse a key that nobody knows, and say which", async () => {
    await assert.rejects(template("--set", "controlPlane.replica=2"), /additional properties 'replica' not allowed/);
    await assert.rejects(template("--set", "controlPlane.replicas=0"), /controlPlane\/replicas/);
  });
});
