// Free ports on loopback for programs that cannot choose one themselves.
import { once } from "node:events";
import net from "node:net";

/** Open ports are held together until all are known, so that they differ. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => net.createServer());
  try {
    for (const server of servers) server.listen(0, "127.0.0.1");
    await Promise.all(servers.map((server) => once(server, "listening")));
    return servers.map((server) => (server.address() as net.AddressInfo).port); // as: a TCP server that listens
  } finally {
    for (const server of servers) server.close();
  }
}

/** Resolves when something accepts connections there; throws after `limitMs`. */
export async function waitForPort(port: number, limitMs: number, what: string): Promise<void> {
  const until = performance.now() + limitMs;
  while (!(await accepts(port))) {
    if (performance.now() > until) throw new Error(`${what} does not listen on port ${port} after ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
