// Listens on loopback for h2spec: `node proxy/http2/testing/conformance-server.ts [PORT]` prints the port that it took.
import { createServer, type AddressInfo } from "node:net";
import { systemClock } from "#lib/clock.ts";
import { Http2Server } from "../server.ts";
import { DEFAULT_HTTP2_SETTINGS } from "../settings.ts";
import { echo } from "./echo.ts";
import { serveSocket } from "./net-host.ts";

const server = createServer({ allowHalfOpen: true }, (socket) => {
  serveSocket(socket, (host) => new Http2Server(host, echo, DEFAULT_HTTP2_SETTINGS, systemClock));
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
