// Injection as a real API server sees it: whom the chart's webhook is asked about, what it does to pods, and what happens without it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { makeRoot, makeServerLeaf } from "#control-plane/identity/certificates.ts";
import { defaultInjectionSettings } from "#control-plane/kubernetes/injector/settings.ts";
import { startWebhookServer, type WebhookServer } from "#control-plane/kubernetes/webhook/webhook-server.ts";
import { runCommandLine } from "#cli/main.ts";
import { RecordingContext } from "#cli/testing/context.ts";
import { VERSION } from "#cli/version.ts";
import { isObject } from "#config/load/values.ts";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { silentLog } from "#lib/log.ts";
import { WatchedValue } from "#lib/watched.ts";

import { ApiServer } from "./cluster/api-server.ts";
import { getPart } from "./cluster/parts.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const RESTRICTED = { "pod-security.kubernetes.io/enforce": "restricted" };
/** Namespace and its labels. */
const NAMESPACES = {
  shop: { "heddle.dev/inject": "enabled" },
  quiet: {},
  off: { "heddle.dev/inject": "disabled" },
  locked: { "heddle.dev/inject": "enabled", ...RESTRICTED },
  files: {},
  "heddle-system": { "heddle.dev/inject": "enabled" },
};

interface CreatedPod {
  readonly metadata: { readonly labels?: Record<string, string>; readonly annotations?: Record<string, string> };
  readonly spec: { readonly containers: readonly Created[]; readonly initContainers?: readonly Created[] };
}

interface Created {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly readinessProbe?: { readonly httpGet?: { readonly path?: string } };
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}

interface PodWish {
  readonly name: string;
  readonly labels?: object;
  readonly annotations?: object;
  readonly spec?: object;
  readonly container?: object;
}

let api: ApiServer;
let webhook: WebhookServer;
let later: https.Server;
let tls: { cert: string; key: string };
const prepared: string[] = [];

before(async () => {
  api = await ApiServer.start();
  for (const [name, labels] of Object.entries(NAMESPACES)) {
    await api.kubectl(
      ["create", "-f", "-"],
      JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }),
    );
    await api.kubectl(["-n", name, "create", "serviceaccount", "default"]);
  }
  const validity = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
  const root = await makeRoot("webhook", validity);
  const leaf = await makeServerLeaf(root, ["localhost"], ["127.0.0.1"], validity);
  tls = { cert: leaf.certificatePem, key: leaf.keyPem };
  await startWebhook(0);
  later = https.createServer(tls, (request, response) => {
    request.setEncoding("utf8");
    void request.toArray().then((parts) => response.end(JSON.stringify(addContainer(parts.join("")))));
  });
  await new Promise<void>((resolve) => later.listen(0, "127.0.0.1", resolve));
  const caBundle = Buffer.from(root.certificatePem).toString("base64");
  const configurations = [
    await chartConfiguration({ url: `https://127.0.0.1:${webhook.port}/inject`, caBundle }),
    laterConfiguration({ url: `https://127.0.0.1:${(later.address() as AddressInfo).port}/`, caBundle }), // a TCP server's
  ];
  for (const one of configurations) await api.kubectl(["create", "-f", "-"], JSON.stringify(one));
  // The API server takes a moment to hear of its own webhooks.
  for (let i = 0; i < 200 && (await create("shop", { name: `first-${i}` })).spec.initContainers === undefined; i++);
});

after(async () => {
  await webhook?.close();
  later?.close();
  await api?.stop();
});

async function startWebhook(port: number): Promise<void> {
  webhook = await startWebhookServer({
    address: { address: "127.0.0.1", port },
    certificate: new WatchedValue(tls),
    settings: defaultInjectionSettings(VERSION),
    version: VERSION,
    log: silentLog,
    prepareNamespace: async (namespace) => void prepared.push(namespace),
  });
}

/** The chart's own selectors and conditions, led to the server of this test. */
async function chartConfiguration(clientConfig: object): Promise<object> {
  const helm = await getPart("helm");
  const chart = path.join(ROOT, "charts/heddle");
  const only = ["--kube-version", "1.36.0", "--show-only", "templates/webhook.yaml"];
  const args = ["template", "heddle", chart, "--namespace", "heddle-system", ...only];
  const { stdout } = await promisify(execFile)(helm, args);
  const found = parseYaml(stdout, "webhook.yaml").documents[0]?.value;
  assert.ok(isObject(found) && Array.isArray(found["webhooks"]));
  const webhooks = found["webhooks"].map((one: object) => ({ ...one, clientConfig }));
  return { ...found, webhooks };
}

/** Another mesh of the world: a webhook behind ours that adds a container. */
function laterConfiguration(clientConfig: object): object {
  const rules = [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] }];
  const common = { admissionReviewVersions: ["v1"], sideEffects: "None", clientConfig, rules };
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name: "z-later" },
    webhooks: [{ name: "later.example.com", ...common, objectSelector: { matchLabels: { later: "true" } } }],
  };
}

function addContainer(body: string): object {
  const { request } = JSON.parse(body) as { request: { uid: string } }; // an API server's
  const value = { name: "late", image: "late", readinessProbe: { tcpSocket: { port: 91 } } };
  const patch = Buffer.from(JSON.stringify([{ op: "add", path: "/spec/containers/-", value }])).toString("base64");
  const response = { uid: request.uid, allowed: true, patchType: "JSONPatch", patch };
  return { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response };
}

function podOf({ name, labels, annotations, spec, container }: PodWish): object {
  const containers = [{ name: "app", image: "app", readinessProbe: { tcpSocket: { port: 80 } }, ...container }];
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels, annotations }, spec: { containers, ...spec } };
}

async function create(namespace: string, wish: PodWish, ...options: readonly string[]): Promise<CreatedPod> {
  const text = await api.kubectl(
    ["-n", namespace, "create", "-o", "json", ...options, "-f", "-"],
    JSON.stringify(podOf(wish)),
  );
  return JSON.parse(text) as CreatedPod; // what kubectl prints
}

const namesOf = (list: readonly Created[] | undefined): readonly string[] => (list ?? []).map(({ name }) => name);
const isInjected = ({ spec }: CreatedPod): boolean => namesOf(spec.initContainers).includes("heddle-proxy");

describe("a pod", () => {
  it("gets a native sidecar in a namespace that asked, and its probes led to it", async () => {
    prepared.length = 0;
    const { metadata, spec } = await create("shop", {
      name: "asked",
      spec: { initContainers: [{ name: "own", image: "own" }] },
    });
    assert.deepEqual(namesOf(spec.initContainers), ["heddle-init", "heddle-proxy", "own"]);
    assert.equal(spec.initContainers?.[1]?.restartPolicy, "Always");
    assert.equal(spec.containers[0]?.readinessProbe?.httpGet?.path, "/probes/app/readiness");
    assert.equal(metadata.labels?.["heddle.dev/mesh"], "enabled");
    // The API server asks again: its own plugins mount their token into our containers.
    assert.deepEqual(new Set(prepared), new Set(["shop"]));
  });

  for (const [title, namespace, wish, wanted] of [
    ["without a word in a namespace that did not ask", "quiet", {}, false],
    ["whose label says no", "shop", { labels: { "heddle.dev/inject": "disabled" } }, false],
    ["whose annotation says no", "shop", { annotations: { "heddle.dev/inject": "false" } }, false],
    ["whose label asks in a namespace that did not", "quiet", { labels: { "heddle.dev/inject": "true" } }, true],
    [
      "whose annotation asks in a namespace that did not",
      "quiet",
      { annotations: { "heddle.dev/inject": "enabled" } },
      true,
    ],
    ["whose label asks in a namespace that says no", "off", { labels: { "heddle.dev/inject": "enabled" } }, true],
    ["in the control plane's own namespace", "heddle-system", {}, false],
    ["of the node's network", "shop", { spec: { hostNetwork: true } }, false],
    ["for Windows", "shop", { spec: { nodeSelector: { "kubernetes.io/os": "windows" } } }, false],
    ["of a random user", "shop", { container: { securityContext: { runAsUser: 1_000_680_000 } } }, true],
  ] as const)
    it(`${title} is ${wanted ? "" : "not "}injected`, async () => {
      const name = title.toLowerCase().replaceAll(/[^a-z]+/g, "-");
      assert.equal(isInjected(await create(namespace, { name, ...wish })), wanted);
    });

  for (const [title, wish, message] of [
    [
      "of the proxy's user",
      { container: { securityContext: { runAsUser: 1337 } } },
      /spec\.containers\[0\]\.securityContext\.runAsUser must not be 1337/,
    ],
    [
      "with a wrong annotation",
      { annotations: { "heddle.dev/proxy-memory-limit": "1GB" } },
      /metadata\.annotations\["heddle\.dev\/proxy-memory-limit"\] must be a quantity: got "1GB" \(did you mean "1G"\?\)/,
    ],
  ] as const)
    it(`${title} is refused, and its maker reads why`, async () => {
      await assert.rejects(create("shop", { name: "refused", ...wish }), message);
    });

  it("keeps everything when a later webhook adds a container, whose probe is led to the proxy too", async () => {
    const { spec } = await create("shop", { name: "twice", labels: { later: "true" } });
    assert.deepEqual(namesOf(spec.initContainers), ["heddle-init", "heddle-proxy"]);
    assert.equal(spec.containers[1]?.readinessProbe?.httpGet?.path, "/probes/late/readiness");
    const probes = spec.initContainers?.[1]?.env?.find(({ name }) => name === "HEDDLE_PROBES")?.value ?? "{}";
    assert.deepEqual(Object.keys(JSON.parse(probes) as object), ["app/readiness", "late/readiness"]);
  });

  it("of a dry run is injected without side effects", async () => {
    prepared.length = 0;
    assert.ok(isInjected(await create("shop", { name: "dry" }, "--dry-run=server")));
    assert.deepEqual(prepared, []);
  });
});

describe("Pod Security restricted", () => {
  const securityContext = {
    runAsNonRoot: true,
    runAsUser: 1000,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  };

  for (const interception of ["cni", "none"])
    it(`admits a pod with interception ${interception}, native or plain`, async () => {
      for (const native of ["true", "false"]) {
        const annotations = { "heddle.dev/interception": interception, "heddle.dev/native-sidecar": native };
        const pod = await create("locked", {
          name: `${interception}-${native}`,
          annotations,
          container: { securityContext },
        });
        assert.equal(pod.metadata.labels?.["heddle.dev/mesh"], "enabled");
      }
    });

  it("refuses the init container that writes rules, and nothing else of ours", async () => {
    await assert.rejects(create("locked", { name: "iptables", container: { securityContext } }), (error: Error) => {
      assert.match(error.message, /violates PodSecurity "restricted/);
      assert.match(error.message, /container "heddle-init"/);
      assert.doesNotMatch(error.message, /heddle-proxy/);
      return true;
    });
  });
});

describe("heddle inject", () => {
  const injectFile = async (file: string): Promise<string> => {
    const context = new RecordingContext(ROOT);
    assert.equal(await runCommandLine(["inject", "-f", file], context), 0, context.errors);
    return context.output;
  };

  it("gives the API server the same pod as the webhook", async () => {
    const file = path.join(api.folder, "pod.json");
    const wish = { name: "same", spec: { volumes: [{ name: "data", emptyDir: {} }] } };
    fs.writeFileSync(file, JSON.stringify(podOf(wish)));
    const text = await api.kubectl(["-n", "files", "create", "-o", "json", "-f", "-"], await injectFile(file));
    const fromFile = JSON.parse(text) as CreatedPod; // what kubectl prints
    const fromWebhook = await create("shop", wish);
    assert.deepEqual(comparable(fromFile), comparable(fromWebhook));
  });

  it("makes of every kind of workload what the API server knows every field of", async () => {
    const text = await injectFile("cli/inject/testing/workloads.yaml.in");
    const known = text
      .slice(0, text.indexOf("---\napiVersion: batch.example/v1"))
      .replace("namespace: shop", "namespace: files");
    await api.kubectl(
      ["-n", "files", "apply", "--dry-run=server", "--validate=strict", "-f", "-"],
      known.replace("name: shop", "name: files"),
    );
  });
});

/** Without what is each pod's own, and what the API server's plugins put in front of or behind webhooks. */
function comparable({ spec }: CreatedPod): object {
  const text = JSON.stringify(spec, (key, value: unknown) =>
    key === "volumeMounts" || key === "volumes" ? ownNames(value) : value,
  );
  return JSON.parse(text) as object; // it was one
}

function ownNames(list: unknown): unknown {
  if (!Array.isArray(list)) return list;
  const names = list.map((one: { name: string }) => one.name);
  return names.filter((name) => !name.startsWith("kube-api-access-")).toSorted();
}

describe("without an answer from the webhook", () => {
  before(async () => {
    await webhook.close();
  });

  it("pods of namespaces that did not ask, and pods that said no, are made as ever", async () => {
    for (const [namespace, wish] of [
      ["quiet", {}],
      ["off", {}],
      ["heddle-system", {}],
      ["shop", { labels: { "heddle.dev/inject": "disabled" } }],
    ] as const)
      assert.equal(isInjected(await create(namespace, { name: "down", ...wish })), false, namespace);
  });

  it("pods that want a proxy are not made without one", async () => {
    for (const [namespace, labels] of [
      ["shop", {}],
      ["quiet", { "heddle.dev/inject": "enabled" }],
    ] as const)
      await assert.rejects(
        create(namespace, { name: "blocked", labels }),
        /failed calling webhook ".*\.injector\.heddle\.dev"/,
      );
  });
});
