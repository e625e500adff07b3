// What the control plane tells about a mesh, read from its /debug pages.
import { listOf, numberOf, textOf, fieldOf } from "../http-json.ts";

export interface MeshReport {
  readonly version: string;
  readonly proxies: readonly ProxyReport[];
  /** On how many of the connected proxies the version is in force. */
  readonly receipts: { readonly applied: number; readonly total: number };
  readonly errors: readonly ProblemReport[];
  readonly warnings: readonly ProblemReport[];
  /** Files whose newest text was refused; an older one is in force. */
  readonly refusedFiles: readonly string[];
  readonly objects: readonly ObjectReport[];
}

export interface ProxyReport {
  readonly id: string;
  readonly isConnected: boolean;
  /** Unix ms of the last connect or disconnect. */
  readonly sinceMs: number;
  readonly agent: string;
  /** undefined: on the plaintext port. */
  readonly identity: string | undefined;
  /** "" before anything was applied. */
  readonly appliedVersion: string;
  readonly rejections: readonly RejectionReport[];
}

interface RejectionReport {
  readonly kind: string;
  readonly name: string;
  readonly reason: string;
}

export interface ProblemReport {
  /** `file:line:column`. */
  readonly at: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export interface ObjectReport {
  /** `HTTPRoute shop/reviews`. */
  readonly name: string;
  readonly at: string;
  readonly conditions: readonly ConditionReport[];
}

interface ConditionReport {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** From `/debug/proxies`, `/debug/config` and `/debug/receipts`. */
export function parseReport(proxies: unknown, config: unknown, receipts: unknown): MeshReport {
  return {
    version: textOf(config, "version"),
    proxies: listOf(fieldOf(proxies, "proxies") ?? proxies)
      .map(parseProxy)
      .toSorted(byId),
    receipts: { applied: numberOf(receipts, "applied") || 0, total: numberOf(receipts, "total") || 0 },
    errors: listOf(config, "errors").map(parseProblem),
    warnings: listOf(config, "warnings").map(parseProblem),
    refusedFiles: listOf(config, "files")
      .filter((file) => fieldOf(file, "isRefused") === true)
      .map((file) => textOf(file, "file")),
    objects: listOf(config, "objects").map(parseObject),
  };
}

function byId(left: ProxyReport, right: ProxyReport): number {
  return left.id < right.id ? -1 : left.id > right.id ? 1 : 0;
}

function parseProxy(proxy: unknown): ProxyReport {
  const identity = textOf(proxy, "identity");
  return {
    id: textOf(proxy, "id"),
    isConnected: fieldOf(proxy, "connected") === true,
    sinceMs: numberOf(proxy, "sinceMs") || 0,
    agent: textOf(proxy, "agent"),
    identity: identity === "" ? undefined : identity,
    appliedVersion: textOf(fieldOf(proxy, "applied"), "version"),
    rejections: listOf(proxy, "rejections").map((rejection) => ({
      kind: textOf(rejection, "kind"),
      name: textOf(rejection, "name"),
      reason: textOf(rejection, "reason"),
    })),
  };
}

function parseProblem(problem: unknown): ProblemReport {
  return {
    at: textOf(problem, "at"),
    code: textOf(problem, "code"),
    message: textOf(problem, "message"),
    hint: textOf(problem, "hint"),
  };
}

function parseObject(object: unknown): ObjectReport {
  const namespace = textOf(object, "namespace");
  const name = textOf(object, "name");
  const parents = listOf(object, "parents").flatMap((parent) => listOf(parent, "conditions"));
  const conditions = [...listOf(object, "conditions"), ...parents].map((condition) => ({
    type: textOf(condition, "type"),
    status: textOf(condition, "status"),
    reason: textOf(condition, "reason"),
    message: textOf(condition, "message"),
  }));
  return {
    name: `${textOf(object, "kind")} ${namespace === "" ? name : `${namespace}/${name}`}`,
    at: textOf(object, "at"),
    conditions: conditions.filter(isFirst),
  };
}

/** A route says the worst of its parents' conditions itself. */
function isFirst(condition: ConditionReport, index: number, all: readonly ConditionReport[]): boolean {
  return all.findIndex(({ type, message }) => type === condition.type && message === condition.message) === index;
}

/** Nothing is refused anywhere, and every connected proxy has the version. */
export function isHealthy(report: MeshReport): boolean {
  return (
    report.errors.length === 0 &&
    report.receipts.applied === report.receipts.total &&
    report.proxies.every(({ isConnected, rejections }) => isConnected && rejections.length === 0) &&
    report.objects.every(({ conditions }) => conditions.every(({ status }) => status !== "False"))
  );
}
