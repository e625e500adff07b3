// One instance of a service that speaks gRPC: it answers every method with an empty message, and says its name in `x-instance`.
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";

/** No compression, no bytes: a message whose fields all have their defaults. */
const EMPTY_MESSAGE = Buffer.alloc(5);
const CONTENT = "application/grpc";

/** Starts it, in plaintext (h2c). */
export async function startGrpcInstance(name: string, port: number): Promise<Http2Server> {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream) => {
    // A caller that gives up is nothing to tell of.
    stream.on("error", () => stream.close());
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.resume();
    stream.once("end", () => {
      stream.respond({ ":status": 200, "content-type": CONTENT, "x-instance": name }, { waitForTrailers: true });
      stream.end(EMPTY_MESSAGE);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}
