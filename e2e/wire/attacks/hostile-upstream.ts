// Hostile HTTP/2 servers as a process of their own: a port for each way of being hostile, told in one message.
import net from "node:net";

import { GREETING, HOSTILITIES, type Hostility } from "./hostilities.ts";
import { PREFACE, TYPE } from "./raw-frames.ts";

function serve({ first, flood }: Hostility): (socket: net.Socket) => void {
  return (socket) => {
    let rest = Buffer.alloc(0);
    let isFlooding = false;
    socket.on("error", () => undefined);
    socket.write(GREETING);
    const run = (id: number): void => {
      if (flood === undefined || socket.destroyed) return;
      const bytes = Buffer.concat(Array.from({ length: 50 }, () => flood(id)));
      if (socket.write(bytes)) setImmediate(run, id);
      else socket.once("drain", () => run(id));
    };
    let left = PREFACE.length;
    socket.on("data", (bytes: Buffer) => {
      const from = Math.min(left, bytes.length);
      left -= from;
      rest = Buffer.concat([rest, bytes.subarray(from)]);
      while (rest.length >= 9) {
        const length = rest.readUIntBE(0, 3);
        if (rest.length < 9 + length) break;
        const id = rest.readUInt32BE(5);
        const type = rest[3];
        rest = rest.subarray(9 + length);
        if (type !== TYPE.HEADERS) continue;
        if (first !== undefined) socket.write(first(id));
        if (isFlooding) continue;
        isFlooding = true;
        run(id);
      }
    });
  };
}

const ports: Record<string, number> = {};
for (const [name, hostility] of Object.entries(HOSTILITIES)) {
  const server = net.createServer({ noDelay: true }, serve(hostility));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ports[name] = (server.address() as net.AddressInfo).port; // as: TCP
}
process.send?.({ port: 0, ports });
process.on("disconnect", () => process.exit());
