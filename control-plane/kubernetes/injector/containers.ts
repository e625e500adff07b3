// The containers and volumes that a pod gets: the proxy, and what leads the application's connections to it.
import { INIT_CONTAINER, podPorts, PROXY_CONTAINER, PROXY_UID } from "#config/kubernetes/names.ts";
import type { ApplicationMetrics, ApplicationProbe } from "#config/kubernetes/application.ts";
import type { PodOptions } from "./options.ts";
import type { Container, EnvironmentVariable, Handler, Named } from "./pod.ts";
import type { InjectionSettings } from "./settings.ts";

const VERIFY_UID = 65_532;
const TOKEN_SECONDS = 43_200;
/** Its audience is the control plane alone: it opens nothing else. */
const TOKEN_AUDIENCE = "heddle-control-plane";

export interface ApplicationSide {
  readonly probes: Readonly<Record<string, ApplicationProbe>>;
  readonly metrics: ApplicationMetrics | undefined;
}

/** Environment that belongs to the pod as it is now, and goes when the pod has no such thing any more. */
export const PROBES_VARIABLE = "HEDDLE_PROBES";
export const METRICS_VARIABLE = "HEDDLE_APP_METRICS";

/** Passes Pod Security `restricted`. */
export function makeProxyContainer(
  options: PodOptions,
  settings: InjectionSettings,
  application: ApplicationSide,
): Container {
  const ready = { httpGet: { path: "/ready", port: podPorts.metrics } };
  const container = {
    name: PROXY_CONTAINER,
    image: options.proxyImage,
    imagePullPolicy: settings.imagePullPolicy,
    args: ["--kubernetes"],
    env: makeEnvironment(options, settings, application),
    ports: [{ name: "heddle-metrics", containerPort: podPorts.metrics, protocol: "TCP" }],
    // A start takes well under a second when the control plane answers, so it is looked at often and waited for long.
    startupProbe: { ...ready, periodSeconds: 1, failureThreshold: 600 },
    readinessProbe: { ...ready, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 4 },
    ...(options.isNative ? { restartPolicy: "Always" } : { lifecycle: { postStart: waitUntilReady() } }),
    resources: options.resources,
    securityContext: {
      runAsUser: PROXY_UID,
      runAsGroup: PROXY_UID,
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      privileged: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: [
      { name: "heddle-token", mountPath: "/var/run/secrets/heddle.dev/token", readOnly: true },
      { name: "heddle-roots", mountPath: "/var/run/secrets/heddle.dev/roots", readOnly: true },
      { name: "heddle-state", mountPath: "/var/lib/heddle" },
    ],
  };
  return container;
}

/** Writes the packet filter's rules (NET_ADMIN), or with CNI checks as anybody that they are there. */
export function makeInitContainer(options: PodOptions, settings: InjectionSettings): Container | undefined {
  const { interception, filterFlags } = options;
  if (interception === "none") return undefined;
  const isFilter = interception === "iptables";
  const uid = isFilter ? 0 : VERIFY_UID;
  const container = {
    name: INIT_CONTAINER,
    image: settings.initImage,
    imagePullPolicy: settings.imagePullPolicy,
    args: [isFilter ? "redirect" : "verify", ...filterFlags],
    resources: { requests: { cpu: "10m", memory: "40Mi" }, limits: { memory: "256Mi" } },
    securityContext: {
      runAsUser: uid,
      runAsGroup: uid,
      runAsNonRoot: !isFilter,
      allowPrivilegeEscalation: false,
      privileged: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], ...(isFilter ? { add: ["NET_ADMIN", "NET_RAW"] } : {}) },
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
  return container;
}

/**
 * The token's file is 0644 where the pod has no fsGroup and readable by that group where it has one, so that the pod's own
 * securityContext stays as it is.
 */
export function makeVolumes(): readonly Named[] {
  const token = { path: "token", audience: TOKEN_AUDIENCE, expirationSeconds: TOKEN_SECONDS };
  const volumes = [
    { name: "heddle-token", projected: { sources: [{ serviceAccountToken: token }] } },
    { name: "heddle-roots", configMap: { name: "heddle-roots" } },
    { name: "heddle-state", emptyDir: { medium: "Memory", sizeLimit: "64Mi" } },
  ];
  return volumes;
}

function makeEnvironment(
  { logLevel, concurrency, isNative }: PodOptions,
  { controlPlane, trustDomain, clusterDomain, proxy }: InjectionSettings,
  { probes, metrics }: ApplicationSide,
): readonly EnvironmentVariable[] {
  const fromPod = (name: string, fieldPath: string): EnvironmentVariable => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  return [
    fromPod("POD_NAME", "metadata.name"),
    fromPod("POD_NAMESPACE", "metadata.namespace"),
    fromPod("POD_IP", "status.podIP"),
    fromPod("POD_IPS", "status.podIPs"),
    fromPod("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    fromPod("NODE_NAME", "spec.nodeName"),
    { name: "HEDDLE_CONTROL_PLANE", value: controlPlane },
    { name: "HEDDLE_TRUST_DOMAIN", value: trustDomain },
    { name: "HEDDLE_CLUSTER_DOMAIN", value: clusterDomain },
    { name: "HEDDLE_CONCURRENCY", value: String(concurrency) },
    { name: "HEDDLE_LOG_LEVEL", value: logLevel },
    { name: "HEDDLE_DRAIN_TIME", value: proxy.drainTime },
    // A plain container is ended together with the application: callers have yet to learn that the pod is going.
    ...(isNative ? [] : [{ name: "HEDDLE_TERMINATION_DRAIN", value: "5s" }]),
    ...(Object.keys(probes).length === 0 ? [] : [{ name: PROBES_VARIABLE, value: toVariable(probes) }]),
    ...(metrics === undefined ? [] : [{ name: METRICS_VARIABLE, value: toVariable(metrics) }]),
  ];
}

/** JSON in which the kubelet finds no `$(VARIABLE)` or `$$` to replace, as it does in environments, but not in probes. */
function toVariable(value: object): string {
  return JSON.stringify(value).replaceAll("$", String.raw`\u0024`);
}

/** A plain container's hook keeps the kubelet from starting the next one; the image has no shell. */
function waitUntilReady(): Handler {
  const script =
    `const end = Date.now() + 300000; for (;;) { try { if ((await fetch("http://127.0.0.1:${podPorts.metrics}/ready")).ok) break } catch {} ` +
    `if (Date.now() > end) process.exit(1); await new Promise((next) => setTimeout(next, 100)) }`;
  return { exec: { command: ["/nodejs/bin/node", "--input-type=module", "--eval", script] } };
}
