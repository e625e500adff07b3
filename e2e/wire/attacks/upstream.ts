// The application behind the sidecar, as a process of its own: answers at once, slowly, largely or never, as the path says.
import http from "node:http";
import type { AddressInfo } from "node:net";

const PIECE = Buffer.alloc(16_384, "u");

const server = http.createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  const url = new URL(request.url ?? "/", "http://app");
  // A client that an attack cut off is no failure here.
  response.on("error", () => undefined);
  request.on("error", () => undefined);
  if (url.pathname === "/never") {
    request.resume();
    return;
  }
  if (url.pathname === "/large") {
    sendLarge(response, Number(url.searchParams.get("mib") ?? "64") * 2 ** 20);
    request.resume();
    return;
  }
  if (url.pathname === "/head") {
    // An answer that has begun and does not end.
    response.writeHead(200, { "content-type": "text/plain" });
    response.write("begun\n");
    request.resume();
    return;
  }
  const pieces: Buffer[] = [];
  request.on("data", (bytes: Buffer) => pieces.push(bytes));
  request.on("end", () => response.end(request.method === "POST" ? Buffer.concat(pieces) : `hello ${url.pathname}\n`));
});

function sendLarge(response: http.ServerResponse, bytes: number): void {
  response.writeHead(200, { "content-length": String(bytes) });
  let left = bytes;
  const more = (): void => {
    while (left > 0 && !response.destroyed) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
      left -= piece.length;
      if (!response.write(piece)) {
        response.once("drain", more);
        return;
      }
    }
    response.end();
  };
  more();
}

server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port })); // as: TCP
process.on("disconnect", () => process.exit());
