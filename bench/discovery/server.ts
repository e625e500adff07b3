// A control plane as small as can be, for measuring proxies: delta ADS with fixed resources, and route tables that are pushed when told.
// node server.ts PORT CONTROL_PORT FILE; FILE is {listeners, clusters, routes}, each a list of Envoy's resources in JSON. On the
// control port `POST /prepare` takes a route table, and `POST /push` sends it and answers {pushedAt}, in ns of CLOCK_MONOTONIC.
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { fromJson, toBinary, create, type DescMessage, type JsonValue } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import fs from "node:fs";
import http from "node:http";
import { text } from "node:stream/consumers";

import { grpcMethod } from "#config/rpc/grpc-methods.ts";
import { registry } from "#config/xds/any.ts";
import { ClusterSchema } from "#config/xds/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ListenerSchema } from "#config/xds/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#config/xds/gen/envoy/config/route/v3/route_pb.ts";
import { AggregatedDiscoveryService } from "#config/xds/gen/envoy/service/discovery/v3/ads_pb.ts";
import {
  DeltaDiscoveryResponseSchema,
  type DeltaDiscoveryRequest,
} from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { CLUSTER_TYPE_URL, LISTENER_TYPE_URL, ROUTE_TYPE_URL } from "#config/xds/type-urls.ts";

type Stream = ServerDuplexStream<DeltaDiscoveryRequest, Buffer>;
type Resources = Readonly<Record<"listeners" | "clusters" | "routes", readonly { readonly name: string }[]>>;

const [port = "", control = "", file = ""] = process.argv.slice(2);
const resources = JSON.parse(fs.readFileSync(file, "utf8")) as Resources; // as: bench/contenders/discovered.ts writes it

let version = 0;

/** A whole response as bytes: what is timed is the proxy, not how fast this server encodes. */
function encode(typeUrl: string, schema: DescMessage, list: Resources["routes"]): Buffer {
  version++;
  const packed = list.map((json) => {
    // as: these files hold JSON alone.
    const message = fromJson(schema, json as unknown as JsonValue, { registry });
    return { name: json.name, version: String(version), resource: anyPack(schema, message) };
  });
  const response = create(DeltaDiscoveryResponseSchema, { typeUrl, nonce: String(version), resources: packed });
  return Buffer.from(toBinary(DeltaDiscoveryResponseSchema, response));
}

const answers = new Map([
  [LISTENER_TYPE_URL, encode(LISTENER_TYPE_URL, ListenerSchema, resources.listeners)],
  [CLUSTER_TYPE_URL, encode(CLUSTER_TYPE_URL, ClusterSchema, resources.clusters)],
  [ROUTE_TYPE_URL, encode(ROUTE_TYPE_URL, RouteConfigurationSchema, resources.routes)],
]);

/** Streams that have asked for route tables. */
const watchers = new Set<Stream>();

function serve(stream: Stream): void {
  const answered = new Set<string>();
  stream.on("data", (request: DeltaDiscoveryRequest) => {
    const { typeUrl } = request;
    const answer = answers.get(typeUrl);
    // What comes after the first of a type is an ACK, or the same name once more.
    if (answer === undefined || answered.has(typeUrl)) return;
    if (request.errorDetail !== undefined) console.error(`refused: ${request.errorDetail.message}`);
    answered.add(typeUrl);
    stream.write(answer);
    if (typeUrl === ROUTE_TYPE_URL) watchers.add(stream);
  });
  stream.on("error", () => watchers.delete(stream));
  stream.on("end", () => {
    watchers.delete(stream);
    stream.end();
  });
}

const method = {
  ...grpcMethod(AggregatedDiscoveryService, "deltaAggregatedResources"),
  responseSerialize: (bytes: Buffer) => bytes,
};
const server = new Server({ "grpc.max_send_message_length": -1 });
server.addService({ deltaAggregatedResources: method }, { deltaAggregatedResources: serve });
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});

http
  .createServer((request, response) => {
    if (request.url === "/prepare") {
      void text(request).then((json) => {
        const table = JSON.parse(json) as Resources["routes"][number]; // as: bench/rows/push.ts sends it
        answers.set(ROUTE_TYPE_URL, encode(ROUTE_TYPE_URL, RouteConfigurationSchema, [table]));
        response.end();
      });
      return;
    }
    const pushedAt = Number(process.hrtime.bigint());
    const answer = answers.get(ROUTE_TYPE_URL) ?? Buffer.alloc(0);
    for (const stream of watchers) stream.write(answer);
    response.end(JSON.stringify({ pushedAt, bytes: answer.length }));
  })
  .listen(Number(control), "127.0.0.1");
