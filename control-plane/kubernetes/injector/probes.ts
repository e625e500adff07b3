// Leads the kubelet's probes of application containers to the proxy's metrics port, which asks the application past the mesh.
import { podPorts } from "#config/kubernetes/names.ts";
import type { ApplicationProbe } from "#config/kubernetes/application.ts";
import { isObject } from "#config/load/values.ts";
import { isHookKey } from "./hook-key.ts";
import type { Container, Handler } from "./pod.ts";

const PROBES = { startup: "startupProbe", readiness: "readinessProbe", liveness: "livenessProbe" } as const;
const HOOKS = ["postStart", "preStop"] as const;
const HANDLERS = ["httpGet", "tcpSocket", "grpc"] as const;

export interface RewrittenContainer {
  readonly container: Container;
  /** What the proxy is told, by `<container>/<kind>`. */
  readonly probes: Readonly<Record<string, ApplicationProbe>>;
  /** What stood there, to be put back, by the same. */
  readonly originals: Readonly<Record<string, Handler>>;
}

/** What a native sidecar of the application must pass before the next container starts: a plain proxy among them. */
const BEFORE_OTHERS: readonly string[] = ["startup", "postStart"];

/**
 * Exec probes, probes of other hosts and of ports that the container does not have stay as they are; so does what must succeed
 * before the proxy runs (`isBeforeProxy`), while there are no rules of the packet filter either.
 */
export function rewriteProbes(container: Container, hookKey: string, isBeforeProxy = false): RewrittenContainer {
  const probes: Record<string, ApplicationProbe> = {};
  const originals: Record<string, Handler> = {};
  let result = container;
  const rewrite = (kind: string, handler: Handler | undefined, key?: string): Handler | undefined => {
    const probe = handler === undefined ? undefined : tryApplicationProbe(handler, container, key);
    if (handler === undefined || probe === undefined) return undefined;
    if (isBeforeProxy && BEFORE_OTHERS.includes(kind)) return undefined;
    const id = `${container.name}/${kind}`;
    probes[id] = probe;
    originals[id] = pick(handler);
    return { ...without(handler), httpGet: rewrittenGet(id, key) };
  };
  for (const [kind, field] of Object.entries(PROBES)) {
    const found = rewrite(kind, container[field]);
    if (found !== undefined) result = { ...result, [field]: found };
  }
  for (const kind of HOOKS) {
    const found = rewrite(kind, container.lifecycle?.[kind], hookKey);
    if (found !== undefined) result = { ...result, lifecycle: { ...result.lifecycle, [kind]: found } };
  }
  return { container: result, probes, originals };
}

/** Puts the originals back where our own handler still stands. */
export function restoreProbes(container: Container, originals: Readonly<Record<string, unknown>>): Container {
  let result = container;
  const restore = (kind: string, handler: Handler | undefined): Handler | undefined => {
    const id = `${container.name}/${kind}`;
    const original = Object.hasOwn(originals, id) ? originals[id] : undefined;
    if (handler === undefined || !isObject(original) || !isRewritten(handler["httpGet"], id)) return undefined;
    return { ...without(handler), ...original };
  };
  for (const [kind, field] of Object.entries(PROBES)) {
    const found = restore(kind, container[field]);
    if (found !== undefined) result = { ...result, [field]: found };
  }
  for (const kind of HOOKS) {
    const found = restore(kind, container.lifecycle?.[kind]);
    if (found !== undefined) result = { ...result, lifecycle: { ...result.lifecycle, [kind]: found } };
  }
  return result;
}

function rewrittenGet(id: string, key: string | undefined): object {
  return { path: key === undefined ? `/probes/${id}` : `/probes/${key}/${id}`, port: podPorts.metrics };
}

/** The API server adds defaults (`scheme: HTTP`). */
function isRewritten(get: unknown, id: string): boolean {
  if (!isObject(get) || get["port"] !== podPorts.metrics || typeof get["path"] !== "string") return false;
  const [, prefix, key, ...rest] = get["path"].split("/");
  return get["path"] === `/probes/${id}` || (prefix === "probes" && isHookKey(key) && rest.join("/") === id);
}

function pick(handler: Handler): Handler {
  return Object.fromEntries(Object.entries(handler).filter(([key]) => isHandlerKey(key)));
}

function without(handler: Handler): Handler {
  return Object.fromEntries(Object.entries(handler).filter(([key]) => !isHandlerKey(key)));
}

function isHandlerKey(key: string): boolean {
  return HANDLERS.some((handler) => handler === key);
}

/** With `hookKey` the handler is a hook. */
function tryApplicationProbe(handler: Handler, container: Container, hookKey?: string): ApplicationProbe | undefined {
  const isHook = hookKey !== undefined;
  const { httpGet, tcpSocket, grpc, timeoutSeconds } = handler;
  const found = [httpGet, tcpSocket, grpc].filter((one) => one !== undefined && one !== null);
  const [action] = found;
  // A hook of tcpSocket does nothing in Kubernetes; two handlers the API server refuses.
  if (found.length !== 1 || !isObject(action) || (isHook && httpGet === undefined)) return undefined;
  const port = portOf(action["port"], container);
  const isElsewhere = typeof action["host"] === "string" && action["host"] !== "";
  if (port === undefined || isElsewhere) return undefined;
  const seconds = typeof timeoutSeconds === "number" && timeoutSeconds >= 1 ? Math.floor(timeoutSeconds) : 1;
  const timeoutMs = isHook ? 0 : seconds * 1000;
  if (tcpSocket !== undefined) return { kind: "tcpSocket", port, timeoutMs };
  if (grpc !== undefined)
    return { kind: "grpc", port, timeoutMs, service: typeof action["service"] === "string" ? action["service"] : "" };
  const path = typeof action["path"] === "string" ? action["path"] : "";
  return {
    kind: "httpGet",
    port,
    timeoutMs,
    scheme: action["scheme"] === "HTTPS" ? "https" : "http",
    path: path.startsWith("/") ? path : `/${path}`,
    headers: headersOf(action["httpHeaders"]),
    hookKey,
  };
}

/** A number, the name of one of the container's ports, or a number as text: as the kubelet resolves it. */
function portOf(value: unknown, container: Container): number | undefined {
  const named = container.ports?.find(({ name }) => name !== undefined && name === value)?.containerPort;
  const port = named ?? (typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value);
  return typeof port === "number" && Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : undefined;
}

function headersOf(value: unknown): readonly (readonly [string, string])[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((header: unknown) =>
    isObject(header) && typeof header["name"] === "string" && typeof header["value"] === "string"
      ? [[header["name"], header["value"]] as const]
      : [],
  );
}
