// Pods of every shape that the injector has to leave as it found them, for property tests.
import fc from "fast-check";

const port = fc.oneof(fc.integer({ min: 1, max: 9999 }), fc.constantFrom("http", "8080", "nowhere"));
const httpGet = fc.record(
  { port, path: fc.constantFrom("", "/", "ready", "/ready?a=b"), scheme: fc.constantFrom("HTTP", "HTTPS") },
  { requiredKeys: ["port"] },
);
const action = fc.oneof(
  fc.record({ httpGet }),
  fc.record({ tcpSocket: fc.record({ port }) }),
  fc.record({ grpc: fc.record({ port: fc.integer({ min: 1, max: 9999 }), service: fc.constantFrom("", "shop") }) }),
  fc.record({ exec: fc.record({ command: fc.constant(["true"]) }) }),
);
const times = fc.record(
  { timeoutSeconds: fc.integer({ min: 1, max: 9 }), periodSeconds: fc.constant(3) },
  { requiredKeys: [] },
);
const probe = fc.tuple(action, times).map(([one, two]) => ({ ...one, ...two }));

const container = fc.record(
  {
    image: fc.constant("app"),
    ports: fc.constantFrom([], [{ name: "http", containerPort: 8080 }], [{ containerPort: 9090 }]),
    env: fc.constant([{ name: "A", value: "b" }]),
    securityContext: fc.constantFrom({}, { runAsUser: 1000 }),
    startupProbe: probe,
    readinessProbe: probe,
    livenessProbe: probe,
    lifecycle: fc.record({ postStart: action, preStop: action }, { requiredKeys: [] }),
  },
  { requiredKeys: ["image"] },
);

function named<T extends object>(list: readonly T[], prefix: string): readonly (T & { name: string })[] {
  return list.map((item, index) => ({ name: `${prefix}${index}`, ...item }));
}

const metadata = fc.record(
  {
    name: fc.constant("pod"),
    labels: fc.constantFrom({}, { app: "shop" }, { "heddle.dev/mesh": "their-own" }),
    annotations: fc.constantFrom<Record<string, string>>(
      {},
      { note: "x" },
      { "heddle.dev/native-sidecar": "false" },
      { "heddle.dev/interception": "none", "heddle.dev/upstreams": "a:1:15101" },
      { "heddle.dev/interception": "cni", "heddle.dev/image-pull-secrets": "ours" },
      { "prometheus.io/scrape": "true", "prometheus.io/path": "/own", "prometheus.io/scheme": "https" },
      { "prometheus.io/scrape": "false", "prometheus.io/port": "9090" },
    ),
  },
  { requiredKeys: [] },
);

const spec = fc.record(
  {
    containers: fc.array(container, { minLength: 1, maxLength: 3 }).map((list) => named(list, "app-")),
    initContainers: fc.array(container, { maxLength: 2 }).map((list) => named(list, "init-")),
    volumes: fc.constantFrom([], [{ name: "data", emptyDir: {} }]),
    imagePullSecrets: fc.constantFrom([], [{ name: "ours" }], [{ name: "theirs" }]),
    restartPolicy: fc.constantFrom("Always", "Never"),
    serviceAccountName: fc.constant("shop"),
  },
  { requiredKeys: ["containers"] },
);

/** Plain JSON, as it comes from an API server. */
export const arbitraryPod = fc
  .record({ metadata, spec }, { requiredKeys: ["spec"] })
  .map((pod) => JSON.parse(JSON.stringify(pod)) as object); // as: it was an object
