// Small resources for tests of discovery, and a source of them that tests change.
import { create, toBinary, type DescMessage, type Message } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import type { NodeInfo } from "#config/model/bootstrap.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment } from "#config/model/endpoint.ts";
import type { Listener } from "#config/model/listener.ts";
import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import type { Secret } from "#config/model/tls.ts";
import { Cluster_DiscoveryType, ClusterSchema } from "#config/xds/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ApiVersion } from "#config/xds/gen/envoy/config/core/v3/config_source_pb.ts";
import { ClusterLoadAssignmentSchema } from "#config/xds/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#config/xds/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#config/xds/gen/envoy/config/route/v3/route_pb.ts";
import { RouterSchema } from "#config/xds/gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import { HttpConnectionManagerSchema } from "#config/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { decodeResource, type ResourceModel } from "#config/xds/resource.ts";
import { TYPE_URLS } from "#config/xds/type-urls.ts";
import type { ProxyResources, ResourceSource } from "../../mesh/resources.ts";

const ADS = {
  resourceApiVersion: ApiVersion.V3,
  configSourceSpecifier: { case: "ads", value: {} },
} as const;

/** Answers the model that `kind` stands for; callers say which. */
function make(kind: ResourceModel["kind"], schema: DescMessage, init: Message): ResourceModel["model"] {
  const bytes = toBinary(schema, init);
  return decodeResource(TYPE_URLS[kind], bytes, { knownFilters: new Set() }).model;
}

/** A cluster whose endpoints come by EDS. */
export function makeCluster(name: string, connectTimeoutSeconds = 1): Cluster {
  return make(
    "cluster",
    ClusterSchema,
    create(ClusterSchema, {
      name,
      connectTimeout: { seconds: BigInt(connectTimeoutSeconds) },
      clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
      edsClusterConfig: { edsConfig: ADS },
    }),
  ) as Cluster;
}

export function makeAssignment(clusterName: string, port: number): ClusterLoadAssignment {
  const address = {
    address: {
      case: "socketAddress",
      value: { address: "127.0.0.1", portSpecifier: { case: "portValue", value: port } },
    },
  } as const;
  return make(
    "endpoints",
    ClusterLoadAssignmentSchema,
    create(ClusterLoadAssignmentSchema, {
      clusterName,
      endpoints: [
        {
          locality: { region: "here" },
          loadBalancingWeight: 1,
          lbEndpoints: [{ hostIdentifier: { case: "endpoint", value: { address } }, loadBalancingWeight: 1 }],
        },
      ],
    }),
  ) as ClusterLoadAssignment;
}

export function makeListener(name: string, port: number, routeTable: string): Listener {
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: name,
    routeSpecifier: { case: "rds", value: { routeConfigName: routeTable, configSource: ADS } },
    httpFilters: [
      {
        name: "envoy.filters.http.router",
        configType: { case: "typedConfig", value: anyPack(RouterSchema, create(RouterSchema)) },
      },
    ],
  });
  const filter = {
    name: "envoy.filters.network.http_connection_manager",
    configType: { case: "typedConfig", value: anyPack(HttpConnectionManagerSchema, manager) },
  } as const;
  return make(
    "listener",
    ListenerSchema,
    create(ListenerSchema, {
      name,
      address: {
        address: {
          case: "socketAddress",
          value: { address: "127.0.0.1", portSpecifier: { case: "portValue", value: port } },
        },
      },
      filterChains: [{ filters: [filter] }],
    }),
  ) as Listener;
}

/** Sends everything to one cluster. */
export function makeRouteTable(name: string, cluster: string): RouteTable {
  return make(
    "route",
    RouteConfigurationSchema,
    create(RouteConfigurationSchema, {
      name,
      virtualHosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [
            {
              match: { pathSpecifier: { case: "prefix", value: "/" } },
              action: { case: "route", value: { clusterSpecifier: { case: "cluster", value: cluster } } },
            },
          ],
        },
      ],
    }),
  ) as RouteTable;
}

export interface ResourceLists {
  readonly listeners?: readonly Listener[];
  readonly routes?: readonly RouteTable[];
  /** By the name asked for: `<table>/<host>`. */
  readonly virtualHosts?: Readonly<Record<string, VirtualHost>>;
  readonly clusters?: readonly Cluster[];
  readonly endpoints?: readonly ClusterLoadAssignment[];
  readonly secrets?: readonly Secret[];
}

export function makeResources(version: string, lists: ResourceLists): ProxyResources {
  return {
    version,
    listeners: byName(lists.listeners ?? [], ({ name }) => name),
    routes: byName(lists.routes ?? [], ({ name }) => name),
    virtualHosts: new Map(Object.entries(lists.virtualHosts ?? {})),
    clusters: byName(lists.clusters ?? [], ({ name }) => name),
    endpoints: byName(lists.endpoints ?? [], ({ cluster }) => cluster),
    secrets: byName(lists.secrets ?? [], ({ name }) => name),
  };
}

/** One service: listener `l`, table `r`, cluster `c` and its endpoints, at a port that stands for the edition. */
export function makeService(version: string, port: number): ProxyResources {
  return makeResources(version, {
    listeners: [makeListener("l", 10_000, "r")],
    routes: [makeRouteTable("r", "c")],
    clusters: [makeCluster("c")],
    endpoints: [makeAssignment("c", port)],
  });
}

function byName<T>(items: readonly T[], nameOf: (item: T) => string): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [nameOf(item), item]));
}

/** Gives every node the same. */
export class TestSource implements ResourceSource {
  readonly #listeners = new Set<() => void>();
  #resources: ProxyResources | undefined;
  /** How often somebody asked. */
  asked = 0;

  constructor(resources: ProxyResources | undefined) {
    this.#resources = resources;
  }

  resourcesFor(_node: NodeInfo): ProxyResources | undefined {
    this.asked++;
    return this.#resources;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  set(resources: ProxyResources | undefined): void {
    this.#resources = resources;
    for (const listener of this.#listeners) listener();
  }
}
