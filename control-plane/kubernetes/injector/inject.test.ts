import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseApplicationMetrics, parseApplicationProbes } from "#config/kubernetes/application.ts";
import { SIDECAR_ANNOTATION } from "#config/kubernetes/names.ts";
import { tryParseSidecarAnnotation } from "#config/kubernetes/sidecar-annotation.ts";
import { parseYaml, toYaml } from "#config/load/yaml-documents.ts";
import type { NamespaceChoice } from "./choice.ts";
import { injectionOf, injectPod, type Injection } from "./inject.ts";
import { InjectionError } from "./injection-error.ts";
import { parsePod, type Container, type Pod } from "./pod.ts";
import { defaultInjectionSettings, type InjectionSettings } from "./settings.ts";
import { arbitraryPod } from "./testing/arbitrary-pod.ts";
import { removeInjection } from "./undo.ts";

const version = "1.2.3";
const settings = defaultInjectionSettings(version);

interface Around {
  readonly namespace?: string;
  readonly asked?: NamespaceChoice;
  readonly settings?: InjectionSettings;
  readonly hookKey?: string;
}

function inject(pod: unknown, around: Around = {}): Injection {
  return injectPod(parsePod(pod), { namespace: "shop", asked: "enabled", settings, version, ...around });
}

function injected(pod: unknown, around?: Around): Pod {
  const result = inject(pod, around);
  assert.equal(result.kind, "injected");
  return result.kind === "injected" ? result.pod : parsePod(pod);
}

function undo(pod: Pod): Pod {
  const done = injectionOf(pod);
  assert.ok(done);
  return removeInjection(pod, done);
}

function podOf(parts: { annotations?: object; labels?: object; spec?: object; container?: object }): object {
  const { annotations = {}, labels = {}, spec = {}, container = {} } = parts;
  return {
    metadata: { name: "p", annotations, labels },
    spec: { containers: [{ name: "app", ...container }], ...spec },
  };
}

function containerOf(pod: Pod, name: string): Container {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const found = all.find((container) => container.name === name);
  assert.ok(found, `there is no container ${name}`);
  return found;
}

const input = new URL("testdata/pods.in.yaml", import.meta.url);
const output = new URL("testdata/pods.out.yaml", import.meta.url);

describe("the injector", () => {
  it("makes of every pod of pods.in.yaml what pods.out.yaml says (UPDATE_GOLDEN=1 writes it again)", () => {
    const { documents, errors } = parseYaml(readFileSync(input, "utf8"), "pods.in.yaml");
    assert.deepEqual(errors, []);
    const text = documents.map(({ value }) => toYaml(injected(value))).join("---\n");
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(output, text);
    assert.equal(text, readFileSync(output, "utf8"));
  });

  it("takes back everything it did, and does it once only", () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const once = injected(pod);
        assert.deepEqual(undo(once), pod);
        assert.deepEqual(injected(once), once);
      }),
      { numRuns: 300 },
    );
  });

  it("takes back what another version with other settings did, and injects anew", () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const old = injected(pod, {
          settings: { ...settings, proxyImage: "heddle/proxy:0.0.1", nativeSidecar: false },
        });
        assert.deepEqual(injected(old), injected(pod));
      }),
      { numRuns: 100 },
    );
  });

  it("writes an annotation and an environment that their readers take", () => {
    const { documents } = parseYaml(readFileSync(input, "utf8"), "pods.in.yaml");
    for (const { value } of documents) {
      const pod = injected(value);
      const annotation = tryParseSidecarAnnotation(pod.metadata?.annotations?.[SIDECAR_ANNOTATION] ?? "");
      assert.equal(annotation?.version, version);
      for (const { name, value: text = "" } of containerOf(pod, "heddle-proxy").env ?? []) {
        if (name === "HEDDLE_PROBES") assert.ok(parseApplicationProbes(text).size > 0);
        if (name === "HEDDLE_APP_METRICS") assert.equal(parseApplicationMetrics(text).path, "/own");
      }
    }
  });

  it("skips pods that nobody asked for, and says why", () => {
    for (const [pod, around, reason] of [
      [podOf({}), { asked: undefined }, /neither the pod nor its namespace/],
      [podOf({}), { asked: "disabled" }, /neither the pod nor its namespace/],
      [podOf({ annotations: { "heddle.dev/inject": "disabled" } }), {}, /the pod has heddle\.dev\/inject: disabled/],
      [podOf({ labels: { "heddle.dev/inject": "false" } }), {}, /the pod has heddle\.dev\/inject: disabled/],
      [podOf({}), { namespace: "kube-system" }, /namespace of the system/],
      [podOf({ spec: { hostNetwork: true } }), {}, /hostNetwork/],
      [podOf({ spec: { os: { name: "windows" } } }), {}, /Windows/],
      [podOf({ spec: { nodeSelector: { "kubernetes.io/os": "windows" } } }), {}, /Windows/],
    ] as const) {
      const result = inject(pod, around);
      assert.match(result.kind === "skipped" ? result.reason : "", reason);
    }
  });

  it("injects a pod that asks for itself, whatever its namespace says", () => {
    for (const value of ["enabled", "true"])
      for (const asked of [undefined, "disabled"] as const) {
        injected(podOf({ annotations: { "heddle.dev/inject": value } }), { asked });
        injected(podOf({ labels: { "heddle.dev/inject": value } }), { asked });
      }
  });

  const annotated = (name: string, value: string): object => podOf({ annotations: { [`heddle.dev/${name}`]: value } });
  for (const [pod, message] of [
    [
      annotated("inject", "enable"),
      'metadata.annotations["heddle.dev/inject"] must be "enabled" or "disabled" or "true" or "false": got "enable" (did you mean "enabled"?)',
    ],
    [
      annotated("interception", "tproxy"),
      'metadata.annotations["heddle.dev/interception"] must be "iptables" or "cni" or "none": got "tproxy"',
    ],
    [
      annotated("proxy-memory-limit", "1GB"),
      'metadata.annotations["heddle.dev/proxy-memory-limit"] must be a quantity: got "1GB" (did you mean "1G"?)',
    ],
    [
      annotated("proxy-cpu-request", "-1"),
      'metadata.annotations["heddle.dev/proxy-cpu-request"] must be a quantity: got "-1" (write it as 500m, 64Ki or 1Gi)',
    ],
    [
      annotated("proxy-memory-limit", "32Mi"),
      'metadata.annotations["heddle.dev/proxy-memory-limit"] leaves the request of memory (96Mi) above its limit (32Mi) (set heddle.dev/proxy-memory-request too)',
    ],
    [
      annotated("exclude-outbound-ports", "http"),
      'metadata.annotations["heddle.dev/exclude-outbound-ports"] must list ports or ranges of ports: got "http" (as "3306,8000-8100")',
    ],
    [
      annotated("exclude-inbound-ports", "90-80"),
      'metadata.annotations["heddle.dev/exclude-inbound-ports"] must list ports or ranges of ports: got "90-80" (as "3306,8000-8100")',
    ],
    [
      annotated("exclude-outbound-cidrs", "10.0.0.0/33"),
      'metadata.annotations["heddle.dev/exclude-outbound-cidrs"] must list networks: got "10.0.0.0/33" (as "10.0.0.0/8,fd00::/8")',
    ],
    [
      annotated("exclude-uids", "root"),
      'metadata.annotations["heddle.dev/exclude-uids"] must list numbers of users or groups: got "root" (as "1000,1001")',
    ],
    [
      annotated("proxy-concurrency", "0"),
      'metadata.annotations["heddle.dev/proxy-concurrency"] must be a whole number from 1 to 64: got "0"',
    ],
    [
      annotated("proxy-image", "a b"),
      'metadata.annotations["heddle.dev/proxy-image"] must be an image: got "a b" (as "registry.example/heddle/proxy:0.1.0")',
    ],
    [
      annotated("native-sidecar", "yes"),
      'metadata.annotations["heddle.dev/native-sidecar"] must be "true" or "false": got "yes"',
    ],
    [
      annotated("image-pull-secrets", "A"),
      'metadata.annotations["heddle.dev/image-pull-secrets"] must have names of lower-case letters, digits, "-" and ".": got "A"',
    ],
    [
      annotated("upstreams", "reviews:9080:15101"),
      'metadata.annotations["heddle.dev/upstreams"] needs heddle.dev/interception: none (with interception the application calls services by their own names)',
    ],
    [
      podOf({ annotations: { "prometheus.io/scrape": "true", "prometheus.io/port": "web" } }),
      'metadata.annotations["prometheus.io/port"] must be a port: got "web"',
    ],
    [
      podOf({ container: { securityContext: { runAsUser: 1337 } } }),
      "spec.containers[0].securityContext.runAsUser must not be 1337: connections of the proxy's user are not intercepted, so the application would pass the mesh by (choose another user)",
    ],
    [
      podOf({
        spec: { securityContext: { runAsUser: 5, runAsGroup: 1337 } },
        container: { securityContext: { runAsUser: 1 } },
      }),
      "spec.securityContext.runAsGroup must not be 1337: connections of the proxy's group are not intercepted, so the application would pass the mesh by (choose another group)",
    ],
    [
      podOf({ spec: { securityContext: { runAsUser: 1337 } } }),
      "spec.securityContext.runAsUser must not be 1337: connections of the proxy's user are not intercepted, so the application would pass the mesh by (choose another user)",
    ],
    [
      podOf({ container: { ports: [{ containerPort: 15020 }] } }),
      "spec.containers[0].ports[0].containerPort must not be 15020: the proxy listens there (the proxy takes 15000, 15001, 15006 and 15020)",
    ],
    [
      podOf({ container: { ports: [{ containerPort: 15000 }] } }),
      "spec.containers[0].ports[0].containerPort must not be 15000: the proxy listens there (the proxy takes 15000, 15001, 15006 and 15020)",
    ],
    [
      podOf({ container: { name: "heddle-proxy" } }),
      'spec.containers[0].name must not be "heddle-proxy", which the injector adds itself (rename it, or set heddle.dev/inject: disabled)',
    ],
    [
      podOf({ spec: { volumes: [{ name: "heddle-token" }] } }),
      'spec.volumes[0].name must not be "heddle-token", which the injector adds itself (rename it, or set heddle.dev/inject: disabled)',
    ],
    [podOf({ annotations: { a: true } }), 'metadata.annotations["a"] must be text: got true (put it into quotes)'],
    [{ spec: { containers: {} } }, "spec.containers must be a list: got a mapping"],
    [{}, "spec must be a mapping: got nothing"],
  ] as const)
    it(`refuses: ${message}`, () => {
      assert.throws(
        () => inject(pod),
        (error: unknown) => error instanceof InjectionError && error.message === message,
      );
    });

  it("refuses upstreams that are not SERVICE:PORT:LISTEN, or want one port twice", () => {
    for (const [text, message] of [
      ["reviews:9080", /got "reviews:9080" \(as "reviews:9080:15101/],
      ["a/b/c:1:2", /got "a\/b\/c:1:2"/],
      ["reviews:0:1", /got "reviews:0:1"/],
      ["a:1:15101,b:1:15101", /"a:1:15101" and "b:1:15101" have one/],
    ] as const) {
      const annotations = { "heddle.dev/interception": "none", "heddle.dev/upstreams": text };
      assert.throws(() => inject(podOf({ annotations })), message);
    }
  });

  it("takes the proxy's user for a container whose pod alone has it and which has another, and without interception", () => {
    injected(
      podOf({ spec: { securityContext: { runAsUser: 1337 } }, container: { securityContext: { runAsUser: 1 } } }),
    );
    const annotations = { "heddle.dev/interception": "none" };
    injected(podOf({ annotations, container: { securityContext: { runAsUser: 1337 } } }));
  });

  it("keeps what later webhooks did to our containers, and rewrites what they brought", () => {
    const first = injected(podOf({ container: { readinessProbe: { tcpSocket: { port: 80 } } } }));
    const changed: Pod = structuredClone(first) as Pod;
    const proxy = containerOf(changed, "heddle-proxy");
    Object.assign(proxy, {
      image: "mirror.example/heddle/proxy:1",
      env: [...(proxy.env ?? []), { name: "EXTRA", value: "1" }],
    });
    const late = { name: "late", livenessProbe: { httpGet: { port: 90, path: "/" } } };
    const second = injected({
      ...changed,
      spec: {
        ...changed.spec,
        initContainers: [{ name: "early" }, ...(changed.spec.initContainers ?? [])],
        containers: [...changed.spec.containers, late],
      },
    });
    assert.deepEqual(
      second.spec.initContainers?.map(({ name }) => name),
      ["heddle-init", "heddle-proxy", "early"],
    );
    const again = containerOf(second, "heddle-proxy");
    assert.ok("image" in again && again.image === "mirror.example/heddle/proxy:1");
    const env = new Map(again.env?.map(({ name, value }) => [name, value]));
    assert.equal(env.get("EXTRA"), "1");
    assert.deepEqual(
      [...parseApplicationProbes(env.get("HEDDLE_PROBES") ?? "").keys()],
      ["app/readiness", "late/liveness"],
    );
    assert.deepEqual(containerOf(undo(second), "late"), late);
  });

  it("has applications without a preStop hook wait until callers have heard that the pod is going", () => {
    const wait = { httpGet: { path: "/probes/wait-for-removal", port: 15020 } };
    const hookOf = (pod: Pod): unknown => containerOf(pod, "app").lifecycle?.preStop;
    assert.deepEqual(hookOf(injected(podOf({}))), wait);
    const own = { exec: { command: ["sleep", "5"] } };
    assert.deepEqual(hookOf(injected(podOf({ container: { lifecycle: { preStop: own } } }))), own);
    assert.equal(hookOf(injected(podOf({ spec: { terminationGracePeriodSeconds: 5 } }))), undefined);
    assert.equal(hookOf(injected(podOf({ spec: { restartPolicy: "Never" } }))), undefined);
    assert.equal(hookOf(injected(podOf({ annotations: { "heddle.dev/rewrite-probes": "false" } }))), undefined);
    const again = injected(injected(podOf({})));
    assert.deepEqual(hookOf(again), wait);
    assert.equal(containerOf(undo(again), "app").lifecycle, undefined);
  });

  it("takes a field that is null for one that is not there, as templates leave them behind", () => {
    const nulls = { ports: null, env: null, livenessProbe: null, lifecycle: { preStop: null }, securityContext: null };
    const spec = {
      containers: [{ name: "app", ...nulls }],
      initContainers: null,
      volumes: null,
      imagePullSecrets: null,
    };
    const pod = injected({ metadata: null, spec });
    assert.deepEqual(undo(pod).spec, { containers: [{ name: "app", lifecycle: {} }] });
    injected({ metadata: { creationTimestamp: null, labels: null, annotations: null }, spec });
  });

  it("gives the proxy probes in which the kubelet finds no variable to replace", () => {
    const path = "/$(POD_IP)/$$";
    const pod = injected(podOf({ container: { livenessProbe: { httpGet: { port: 80, path } } } }));
    const text = containerOf(pod, "heddle-proxy").env?.find(({ name }) => name === "HEDDLE_PROBES")?.value ?? "";
    assert.ok(!text.includes("$"));
    const probe = parseApplicationProbes(text).get("app/liveness");
    assert.ok(probe?.kind === "httpGet" && probe.path === path);
  });

  it("leaves what a native sidecar must pass before a plain proxy starts", () => {
    const probe = { tcpSocket: { port: 80 } };
    const lifecycle = { postStart: { httpGet: { port: 80 } } };
    const early = { name: "early", restartPolicy: "Always", startupProbe: probe, livenessProbe: probe, lifecycle };
    const probesOf = (isNative: string): readonly string[] => {
      const annotations = { "heddle.dev/native-sidecar": isNative };
      const pod = injected(podOf({ annotations, spec: { initContainers: [early] } }));
      const record = tryParseSidecarAnnotation(pod.metadata?.annotations?.[SIDECAR_ANNOTATION] ?? "");
      return Object.keys(record?.probes ?? {}).filter((id) => id.startsWith("early/"));
    };
    assert.deepEqual(probesOf("false"), ["early/liveness"]);
    assert.deepEqual(probesOf("true"), ["early/startup", "early/liveness", "early/postStart"]);
  });

  it("does not let the proxy scrape itself where annotations were copied off a pod that had one", () => {
    const annotations = { "prometheus.io/scrape": "true", "prometheus.io/port": "15020" };
    const env = containerOf(injected(podOf({ annotations })), "heddle-proxy").env ?? [];
    assert.ok(!env.some(({ name }) => name === "HEDDLE_APP_METRICS"));
  });

  it("takes no longer for what nobody writes: thousands of misspelt annotations, of Secrets that it added", () => {
    const many = <T>(make: (index: number) => T): T[] => Array.from({ length: 50_000 }, (_, index) => make(index));
    const annotations = Object.fromEntries(many((index) => [`heddle.dev/exclude-outb${index}`, ""]));
    const result = inject(podOf({ annotations }));
    assert.ok(result.kind === "injected" && result.warnings.length <= 20);
    const first = injected(podOf({}));
    const record: object = JSON.parse(first.metadata?.annotations?.[SIDECAR_ANNOTATION] ?? "");
    const text = JSON.stringify({ ...record, imagePullSecrets: many(() => "added") });
    const imagePullSecrets = many(() => ({ name: "other" }));
    const metadata = { ...first.metadata, annotations: { [SIDECAR_ANNOTATION]: text } };
    assert.equal(undo({ metadata, spec: { ...first.spec, imagePullSecrets } }).spec.imagePullSecrets?.length, 50_000);
  });

  it("leaves a probe alone that somebody set since, when it takes the proxy out", () => {
    const pod = injected(podOf({ container: { readinessProbe: { tcpSocket: { port: 80 } } } }));
    const [app] = pod.spec.containers;
    const own = { httpGet: { path: "/new", port: 81 } };
    const changed = { ...pod, spec: { ...pod.spec, containers: [{ ...app, readinessProbe: own }] } };
    assert.deepEqual(containerOf(undo(parsePod(changed)), "app").readinessProbe, own);
  });

  it("puts back rewritten probes of a pod that the API server has given its defaults", () => {
    const pod = injected(podOf({ container: { readinessProbe: { tcpSocket: { port: 80 } } } }));
    const [app] = pod.spec.containers;
    const probe = { ...app?.readinessProbe, httpGet: { path: "/probes/app/readiness", port: 15020, scheme: "HTTP" } };
    const changed = { ...pod, spec: { ...pod.spec, containers: [{ ...app, readinessProbe: probe }] } };
    assert.deepEqual(containerOf(undo(parsePod(changed)), "app").readinessProbe, { tcpSocket: { port: 80 } });
  });

  it("leads hooks to a path that only the pod says, which stays when it is injected again", () => {
    const hook = { httpGet: { path: "/bye", port: 80 } };
    const pod = podOf({ container: { lifecycle: { preStop: hook }, readinessProbe: hook } });
    const pathOf = (found: Pod): unknown => containerOf(found, "app").lifecycle?.preStop?.["httpGet"];
    const key = "0123456789abcdef0123456789abcdef";
    const once = injected(pod, { hookKey: key });
    assert.deepEqual(pathOf(once), { path: `/probes/${key}/app/preStop`, port: 15020 });
    assert.deepEqual(injected(once, { hookKey: "f".repeat(32) }), once);
    assert.deepEqual(undo(once), pod);
    // Of files the same each time, and another one for another template.
    assert.deepEqual(pathOf(injected(pod)), pathOf(injected(pod)));
    assert.notDeepEqual(pathOf(injected(pod)), pathOf(injected({ ...pod, metadata: { name: "q" } })));
    const { hookKey } = injectionOf(injected(podOf({ container: { readinessProbe: hook } }))) ?? {};
    assert.equal(hookKey, undefined);
  });

  it("does not take a pod for injected whose annotation is made up", () => {
    for (const text of ["", "{}", "[]", '{"version":"1","revision":"x","interception":"magic"}'])
      assert.equal(injectionOf(parsePod(podOf({ annotations: { [SIDECAR_ANNOTATION]: text } }))), undefined);
  });

  it("warns of annotations that are misspelt, and of Jobs that will not end", () => {
    const annotations = { "heddle.dev/exclude-outbond-ports": "1", "heddle.dev/native-sidecar": "false" };
    const result = inject(podOf({ annotations, spec: { restartPolicy: "Never" } }));
    assert.deepEqual(result.kind === "injected" && result.warnings, [
      'metadata.annotations["heddle.dev/exclude-outbond-ports"] has no effect: did you mean heddle.dev/exclude-outbound-ports?',
      "the proxy runs as a plain container, which does not end with the application: the Job will not complete",
    ]);
  });
});
