// A scene of Node's servers behind one proxy, a listener and a cluster for each.
import { cluster, httpListener, Proxy } from "../proxy.ts";
import type { LaneOptions } from "./lanes.ts";
import type { Case, Scene } from "./unharmed.ts";
import { Upstreams, type UpstreamOptions } from "./upstream.ts";

export interface NodeCase extends UpstreamOptions, Omit<LaneOptions, "port" | "idleMs"> {
  /** After so long its clients send again, where that is not the upstream's time. */
  readonly waitMs?: number;
  readonly ownMarginMs?: number;
  /** Adds to the connection manager. */
  readonly manager?: object;
}

export const QUIET = { kind: "node", idleMs: 1000, jitterMs: 0, maxRequests: 0, maxStreams: 250 } as const;

/** Each upstream is met by one method alone. */
export function both(
  lanes: Omit<NodeCase, keyof UpstreamOptions | "method">,
  options: Partial<UpstreamOptions> = {},
): NodeCase[] {
  return (["GET", "POST"] as const).map((method) => ({ ...QUIET, ...options, ...lanes, method }));
}

export async function startNodeScene(all: readonly NodeCase[]): Promise<Scene> {
  const upstreams = await Upstreams.start(all);
  const proxy = await Proxy.start({
    listeners: all.map(({ manager }, i) => httpListener(`in${i}`, `app${i}`, "AUTO", undefined, manager)),
    clusters: upstreams.all.map(({ port }, i) => cluster(`app${i}`, port, isHttp2(all[i]) ? "http2" : "http1")),
  });
  return {
    cases: upstreams.all.flatMap((upstream, i) => toCase(all[i], upstream, proxy.port(`in${i}`))),
    stop: async () => {
      await proxy.stop();
      upstreams.stop();
    },
  };
}

/** `port`: where its clients call. */
export function toCase(one: NodeCase | undefined, upstream: Case["upstream"], port: number): Case[] {
  if (one === undefined) return [];
  const { kind, jitterMs, maxRequests } = one;
  const idleMs = maxRequests > 0 ? 0 : (one.waitMs ?? one.idleMs);
  const time = maxRequests > 0 ? `${maxRequests} requests` : `${one.idleMs}${jitterMs > 0 ? `±${jitterMs}` : ""} ms`;
  return [{ ...one, name: `${kind} ${time}`, upstream, port, idleMs, jitterMs }];
}

function isHttp2(one: NodeCase | undefined): boolean {
  return one?.kind === "goaway" || one?.kind === "fin";
}
