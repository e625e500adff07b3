// Asks a gRPC server which services it has (grpc.reflection.v1), as grpcurl and postman do.
import { createRequire } from "node:module";
import { Client, credentials, type MethodDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

interface ReflectionRequest {
  readonly list_services: string;
}

interface ReflectionReply {
  readonly list_services_response?: { readonly service: readonly { readonly name: string }[] };
}

const PROTO = createRequire(import.meta.url).resolve(
  "@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto",
);
const METHOD = "ServerReflectionInfo";

/** The full names of the services at `host:port`. */
export async function listServices(address: string): Promise<readonly string[]> {
  const service = loadSync(PROTO, { keepCase: true })["grpc.reflection.v1.ServerReflection"];
  // The proto file of the reflection package says that the service has this method with these messages.
  const method = Reflect.get(service ?? {}, METHOD) as MethodDefinition<ReflectionRequest, ReflectionReply>;
  const client = new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, {
    deadline: Date.now() + 10_000,
  });
  call.on("data", (reply: ReflectionReply) => {
    resolve(reply.list_services_response?.service.map(({ name }) => name) ?? []);
    call.end();
  });
  call.on("error", reject);
  call.on("end", () => resolve([]));
  call.write({ list_services: "" });
  try {
    return await promise;
  } finally {
    client.close();
  }
}
