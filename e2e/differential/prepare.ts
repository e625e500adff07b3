// A case made ready: its applications run, and its resources have the names under which they live beside other cases'.
import type { Case } from "./case-files.ts";
import { crdParts } from "./crds-input.ts";
import { SIDES, type Side } from "./pair.ts";
import { substitute } from "./tokens.ts";
import { Upstream, type Sighting } from "./upstream.ts";
import { prefixClusters, xdsParts, type Json, type Parts } from "./xds-input.ts";

export interface Prepared {
  /** Its texts are final, but for `${i}` and `${saved.*}`. */
  readonly body: Case;
  /** `k3`: the name of its listener; `k3_` is before the names of its clusters. */
  readonly prefix: string;
  readonly resources: Readonly<Record<Side, Parts>>;
  readonly sightings: Map<string, Sighting[]>;
  stop(): Promise<void>;
}

export async function prepare(given: Case, index: number): Promise<Prepared> {
  const prefix = `k${index}`;
  const sightings = new Map<string, Sighting[]>();
  const upstreams = await Promise.all(
    Object.entries(given.upstreams ?? {}).map(async ([name, spec]) => ({
      name,
      upstream: await Upstream.start(name, spec, sightings),
    })),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(upstreams.map(({ upstream }) => upstream.stop()));
  };
  try {
    const ports = new Map(upstreams.map(({ name, upstream }) => [name, upstream.port]));
    const names = new Map<string, string | number>([["case", prefix]]);
    for (const [name, port] of ports) names.set(`port.${name}`, port);
    const clusterNames = Object.keys(given.input.xds?.clusters ?? {});
    for (const name of clusterNames.length > 0 ? clusterNames : ports.keys())
      names.set(`cluster.${name}`, `${prefix}_${name}`);
    const body = substitute(given, names);
    const { xds, crds, proxy } = body.input;
    const partsOf = (side: Side): Parts =>
      named(xds === undefined ? crdParts(crds ?? [], proxy, side) : substitute(xdsParts(xds, ports), names), prefix);
    const [envoy, heddle] = SIDES.map(partsOf);
    if (envoy === undefined || heddle === undefined) throw new Error("there are two sides");
    return { body, prefix, resources: { envoy, heddle }, sightings, stop };
  } catch (error) {
    await stop();
    throw new Error(`${given.place}: ${String(error)}`, { cause: error });
  }
}

function named({ listener, clusters }: Parts, prefix: string): Parts {
  const names = new Set(clusters.map(({ name }) => String(name)));
  const own = `${prefix}_`;
  return {
    listener: { ...prefixClusters(listener, own, names), name: prefix },
    clusters: clusters.map((cluster): Json => ({
      ...prefixClusters(cluster, own, names),
      name: `${own}${String(cluster["name"])}`,
    })),
  };
}
