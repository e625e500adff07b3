// An Envoy and a Heddle proxy with the listeners of many cases.
import { Envoy } from "../wire/envoy.ts";
import { Proxy } from "../wire/proxy.ts";
import { parseEnvoyStats, parseHeddleStats, type EnvoyStats, type HeddleStats } from "./counters.ts";
import { ENVOY_SOURCE } from "./upstream.ts";
import type { Json } from "./xds-input.ts";

export const SIDES = ["envoy", "heddle"] as const;
export type Side = (typeof SIDES)[number];

export interface Resources {
  readonly listeners: readonly Json[];
  readonly clusters: readonly Json[];
}

export interface Pair {
  port(side: Side, listener: string): number;
  stats(side: Side): Promise<EnvoyStats | HeddleStats>;
  stop(): Promise<void>;
}

/** Throws with what the proxy said that refuses its configuration. */
export async function startPair(resources: Readonly<Record<Side, Resources>>): Promise<Pair> {
  const source = { address: ENVOY_SOURCE, port_value: 0 };
  const [envoy, heddle] = await Promise.allSettled([
    Envoy.start(resources.envoy, { cluster_manager: { upstream_bind_config: { source_address: source } } }),
    Proxy.start(resources.heddle),
  ]);
  if (envoy.status === "rejected" || heddle.status === "rejected") {
    await Promise.all([envoy, heddle].flatMap((one) => (one.status === "fulfilled" ? [one.value.stop()] : [])));
    const causes = [envoy, heddle].flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
    throw new Error(causes.join("\n"));
  }
  const sides = { envoy: envoy.value, heddle: heddle.value };
  return {
    port: (side, listener) => sides[side].port(listener),
    stats: async (side) => {
      const page = async (name: string): Promise<string> =>
        (await fetch(`http://127.0.0.1:${sides[side].adminPort}/${name}`)).text();
      if (side === "envoy") return parseEnvoyStats(await page("stats"));
      return parseHeddleStats(await page("stats"), await page("clusters"));
    },
    stop: async () => {
      await Promise.all(SIDES.map((side) => sides[side].stop()));
    },
  };
}
