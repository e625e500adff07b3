// A connection whose answer tells where it arrived.
import net from "node:net";

export interface Call {
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
}

export function callAll(calls: readonly Call[]): Promise<readonly string[]> {
  return Promise.all(calls.map(call));
}

/** Everything until the end, or the error's code. */
function call({ host, port, localAddress }: Call): Promise<string> {
  const socket = net.connect({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });
  let answer = "";
  socket.setTimeout(20_000, () => socket.destroy(new Error("no answer")));
  socket.on("data", (bytes: Buffer) => (answer += bytes.toString()));
  return new Promise((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => (answer += error.code ?? error.message));
    socket.on("close", () => resolve(answer));
  });
}

/** Greets each connection with a line about it. */
export async function greet(port: number, line: (socket: net.Socket) => string): Promise<void> {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(line(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen(port, "::", resolve);
  });
}

/** Without the prefix of IPv4 on a socket for both families. */
export function peerOf(socket: net.Socket): string {
  return (socket.remoteAddress ?? "").replace("::ffff:", "");
}
