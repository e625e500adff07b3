// Make before break: what must be settled before a kind of resource may change or go.
//
//   added and changed:  cluster -> endpoints -> listener -> route -> virtualHost -> secret
//   removed:            listener -> route, virtualHost -> cluster, endpoints, secret
import type { ResourceKind } from "#config/xds/type-urls.ts";

/** The order in which kinds are sent. */
export const SEND_ORDER: readonly ResourceKind[] = [
  "cluster",
  "endpoints",
  "listener",
  "route",
  "virtualHost",
  "secret",
];

/** A changed listener or route may lead to clusters that must be there, warm, before. */
const CHANGES_AFTER: Readonly<Record<ResourceKind, readonly ResourceKind[]>> = {
  cluster: [],
  endpoints: [],
  listener: ["cluster", "endpoints"],
  route: ["cluster", "endpoints"],
  virtualHost: ["cluster", "endpoints"],
  secret: [],
};

/** What leads to a resource must have let it go before. */
const REMOVED_AFTER: Readonly<Record<ResourceKind, readonly ResourceKind[]>> = {
  listener: [],
  route: ["listener"],
  virtualHost: ["listener", "route"],
  cluster: ["listener", "route", "virtualHost"],
  endpoints: ["listener", "route", "virtualHost"],
  secret: ["listener", "cluster"],
};

/** A proxy that does not answer holds up what depends on it this long: Envoy's own limit of warming. */
const MAX_HOLD_MS = 15_000;

/** How far one kind has got with one proxy. */
export interface Progress {
  /** Something was sent and not answered: since when (monotonic ms). */
  readonly inFlightSinceMs: number | undefined;
  /** Additions or changes wait to be sent. */
  readonly hasChanges: boolean;
  /** The proxy refused what is offered, so it goes on with what it had. */
  readonly hasRejections: boolean;
}

export type ProgressOf = (kind: ResourceKind) => Progress | undefined;

/** May changed resources of this kind be sent now? */
export function mayChange(kind: ResourceKind, progressOf: ProgressOf, nowMs: number): boolean {
  return CHANGES_AFTER[kind].every((other) => {
    const progress = progressOf(other);
    return progress === undefined || !isInFlight(progress, nowMs);
  });
}

/** May resources of this kind be taken away now? */
export function mayRemove(kind: ResourceKind, progressOf: ProgressOf, nowMs: number): boolean {
  return REMOVED_AFTER[kind].every((other) => {
    const progress = progressOf(other);
    if (progress === undefined) return true;
    return !progress.hasChanges && !progress.hasRejections && !isInFlight(progress, nowMs);
  });
}

function isInFlight(progress: Progress, nowMs: number): boolean {
  return progress.inFlightSinceMs !== undefined && nowMs - progress.inFlightSinceMs < MAX_HOLD_MS;
}
