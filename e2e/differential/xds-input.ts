// Makes the listener and the clusters of a case from the parts of xDS that it names.
import type { XdsInput } from "./case-schema.ts";

const EXTENSIONS = "type.googleapis.com/envoy.extensions.";
const HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

export type Json = Readonly<Record<string, unknown>>;

export interface Parts {
  readonly listener: Json;
  readonly clusters: readonly Json[];
}

/** `ports`: of the applications by name. Without `clusters` each application has one of its name. */
export function xdsParts(input: XdsInput, ports: ReadonlyMap<string, number>): Parts {
  const clusters = input.clusters ?? Object.fromEntries([...ports.keys()].map((name) => [name, {}]));
  return {
    listener: {
      name: "main",
      address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
      filter_chains: [{ filters: [managerOf(input)] }],
    },
    clusters: Object.entries(clusters).map(([name, given]) => clusterOf(name, given as Json, ports)), // as: the schema says so
  };
}

function managerOf({ routes, virtual_hosts, route_config, manager, http_filters = [], router }: XdsInput): Json {
  const hosts = virtual_hosts ?? [{ name: "all", domains: ["*"], routes: routes ?? [] }];
  const router_config = { "@type": `${EXTENSIONS}filters.http.router.v3.Router`, ...router };
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: "${case}",
      codec_type: "AUTO",
      http_protocol_options: { enable_trailers: true },
      route_config: { name: "routes", virtual_hosts: hosts, ...route_config },
      http_filters: [...http_filters, { name: "envoy.filters.http.router", typed_config: router_config }],
      ...manager,
    },
  };
}

function clusterOf(name: string, given: Json, ports: ReadonlyMap<string, number>): Json {
  const { endpoints = ports.has(name) ? [name] : [], http2, ...fields } = given;
  const protocol =
    http2 === true ? { http2_protocol_options: {} } : { http_protocol_options: { enable_trailers: true } };
  return {
    name,
    type: "STATIC",
    connect_timeout: "2s",
    typed_extension_protocol_options: {
      [HTTP_OPTIONS]: { "@type": `type.googleapis.com/${HTTP_OPTIONS}`, explicit_http_config: protocol },
    },
    load_assignment: { cluster_name: name, endpoints: localitiesOf(endpoints as readonly (string | Json)[], ports) }, // as: README
    ...fields,
  };
}

/** Endpoints are grouped by their `priority` and `locality`, as EDS has them. */
function localitiesOf(endpoints: readonly (string | Json)[], ports: ReadonlyMap<string, number>): readonly Json[] {
  const groups = new Map<string, { readonly fields: Json; readonly members: Json[] }>();
  for (const item of endpoints) {
    const given: Json = typeof item === "string" ? { upstream: item } : item;
    const { upstream, priority, locality, locality_weight, ...fields } = given;
    const port = ports.get(String(upstream));
    if (port === undefined) throw new Error(`there is no application ${String(upstream)}: ${[...ports.keys()].join()}`);
    const locality_fields = {
      ...(priority === undefined ? {} : { priority }),
      ...(locality === undefined ? {} : { locality }),
      ...(locality_weight === undefined ? {} : { load_balancing_weight: locality_weight }),
    };
    const key = JSON.stringify(locality_fields);
    const group = groups.get(key) ?? { fields: locality_fields, members: [] as Json[] };
    groups.set(key, group);
    const address = { socket_address: { address: "127.0.0.1", port_value: port } };
    const { hostname, health_check_config, ...others } = fields;
    const endpoint = {
      address,
      ...(hostname === undefined ? {} : { hostname }),
      ...(health_check_config === undefined ? {} : { health_check_config }),
    };
    group.members.push({ endpoint, ...others });
  }
  return [...groups.values()].map(({ fields, members }) => ({ ...fields, lb_endpoints: members }));
}

/** Puts `prefix` before the names of clusters wherever they stand, so that many cases can live in one process. */
export function prefixClusters<T>(value: T, prefix: string, names: ReadonlySet<string>): T {
  const isName = (name: unknown): boolean => typeof name === "string" && names.has(name);
  const visit = (node: unknown, key: string): unknown => {
    if (Array.isArray(node)) {
      return node.map((item: unknown) => {
        const seen = visit(item, key);
        const isTarget = key === "clusters" && typeof seen === "object" && seen !== null;
        const name = isTarget ? (seen as Json)["name"] : undefined; // as: it is an object
        return isName(name) ? { ...(seen as Json), name: `${prefix}${String(name)}` } : seen;
      });
    }
    if (typeof node === "object" && node !== null)
      return Object.fromEntries(Object.entries(node).map(([field, item]) => [field, visit(item, field)]));
    return (key === "cluster" || key === "cluster_name") && isName(node) ? `${prefix}${String(node)}` : node;
  };
  return visit(value, "") as T; // as: the shape stays
}
