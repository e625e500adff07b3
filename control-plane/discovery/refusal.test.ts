import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import { grpcMethod } from "#config/rpc/grpc-methods.ts";
import { AggregatedDiscoveryService } from "#config/xds/gen/envoy/service/discovery/v3/ads_pb.ts";
import { DeltaDiscoveryRequestSchema } from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { CLUSTER_TYPE_URL } from "#config/xds/type-urls.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog, type Log } from "#lib/log.ts";
import { startPlainServer } from "../identity/secure-server.ts";
import { admitAnybody, DiscoveryServer } from "./discovery-server.ts";
import { TestSource } from "./testing/resources.ts";

class RefusingSource extends TestSource {
  refusalOf(): string {
    return "its service account is another's";
  }
}

test("a node that is not what its workload is, is refused with the reason: in the stream, once in the log, in the status", async (context) => {
  const said: unknown[] = [];
  const log: Log = { ...silentLog, error: (message, fields) => void said.push([message, fields?.["reason"]]) };
  const server = new DiscoveryServer({ source: new RefusingSource(undefined), clock: systemClock, log });
  const running = await startPlainServer({ address: "127.0.0.1", port: 0 }, (grpc) =>
    server.register(grpc, admitAnybody),
  );
  context.after(async () => {
    server.close();
    await running.close(0);
  });
  const method = grpcMethod(AggregatedDiscoveryService, "deltaAggregatedResources");
  const connect = async (): Promise<ServiceError> => {
    const client = new Client(`127.0.0.1:${running.port}`, credentials.createInsecure());
    const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
    call.on("data", () => assert.fail("it was given something"));
    const refused = new Promise<ServiceError>((resolve) => void call.on("error", resolve));
    call.write(create(DeltaDiscoveryRequestSchema, { typeUrl: CLUSTER_TYPE_URL, node: { id: "shop/a" } }));
    const error = await refused;
    client.close();
    return error;
  };
  const error = await connect();
  await connect();
  assert.equal(error.code, status.PERMISSION_DENIED);
  assert.match(error.details, /"shop\/a" is refused: its service account/);
  assert.deepEqual(said, [["proxy refused", "its service account is another's"]]);
  const [shown] = server.proxies();
  assert.deepEqual(
    [shown?.id, shown?.connected, shown?.refusal],
    ["shop/a", false, "its service account is another's"],
  );
});
