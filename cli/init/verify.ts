// Finds out without any capability whether this pod's connections are redirected: opens one that must come back to the pod.
import { once } from "node:events";
import net from "node:net";
import os from "node:os";
import { describeError, HeddleError } from "#lib/errors.ts";
import { isWithin, secondAddress, tryCidr, type Cidr, type Family } from "./cidr.ts";
import { ADMIN_PORT, HEALTH_PORT, type Interception } from "./interception.ts";

/** For documentation alone (RFC 5737, RFC 3849): nobody is there to answer. */
const NOBODY = { IPv4: "192.0.2.1", IPv6: "2001:db8::1" } as const;

/** A redirected connection is open at once; one that is not goes nowhere. */
const TIMEOUT_MS = 3000;

/** A line for each family. @throws {HeddleError} HDL_INTERCEPTION_MISSING. */
export async function verifyRedirection(wanted: Interception): Promise<readonly string[]> {
  const watch = await listen(wanted.outboundPort);
  try {
    const lines: string[] = [];
    for (const family of ["IPv4", "IPv6"] as const) {
      const own = ownNets(family);
      if (own.length > 0) lines.push(await verifyFamily(family, own, wanted, watch));
    }
    return lines.length === 0 ? ["nothing to verify: the pod has no address"] : lines;
  } finally {
    watch.close();
  }
}

/** The pod's addresses with their lengths, the loopback's and the link's left out. */
function ownNets(family: Family): readonly Cidr[] {
  return Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((one) => one.family === family && !one.internal && !/^fe[89ab]/i.test(one.address))
    .map((one) => tryCidr(one.cidr ?? one.address))
    .filter((cidr) => cidr !== undefined);
}

async function verifyFamily(family: Family, own: readonly Cidr[], wanted: Interception, watch: Watch): Promise<string> {
  const port = freePort(wanted);
  const hosts = targets(family, own, wanted);
  if (hosts.length === 0) return `${family}: nothing to verify: no address is redirected`;
  const problems: string[] = [];
  for (const host of hosts) {
    const problem = await tryConnect(host, port, watch);
    if (problem === undefined) return `${family}: redirected`;
    problems.push(`${host} port ${port}: ${problem}`);
  }
  throw new HeddleError(
    "HDL_INTERCEPTION_MISSING",
    `This pod's ${family} connections are not redirected to its proxy (${problems.join("; ")}). The CNI plugin was not on the ` +
      `node when the pod was made, or could not ask the API server: see the log of heddle-cni on this node, and delete the pod`,
  );
}

/** Addresses whose connections the rules redirect; a pod without a way out has a way to its own net. */
function targets(family: Family, own: readonly Cidr[], wanted: Interception): readonly string[] {
  const included = wanted.includeOutboundCidrs;
  const hosts =
    included === "all"
      ? [NOBODY[family], ...own.map(secondAddress)]
      : included.filter((cidr) => cidr.family === family).map(secondAddress);
  const excluded = wanted.excludeOutboundCidrs.filter((cidr) => cidr.family === family);
  const local = new Set(Object.values(os.networkInterfaces()).flatMap((some) => some?.map((one) => one.address) ?? []));
  return hosts.filter((host) => !local.has(host) && !excluded.some((cidr) => isWithin(host, cidr)));
}

/** 9 is "discard", on which hardly anybody listens. */
function freePort({ excludeOutboundPorts, outboundPort, inboundPort }: Interception): number {
  const taken = new Set([ADMIN_PORT, HEALTH_PORT, outboundPort, inboundPort]);
  for (let port = 9; port <= 65_535; port++)
    if (!taken.has(port) && !excludeOutboundPorts.some(({ first, last }) => first <= port && port <= last)) return port;
  return 9;
}

interface Watch {
  /** Ports of peers whose connections came here; undefined: another listens there already, the proxy. */
  readonly peers: Set<number> | undefined;
  close(): void;
}

async function listen(port: number): Promise<Watch> {
  const peers = new Set<number>();
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    if (socket.remotePort !== undefined) peers.add(socket.remotePort);
  });
  for (const host of ["::", "0.0.0.0"]) {
    server.listen(port, host);
    try {
      await once(server, "listening");
      return { peers, close: () => server.close() };
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "EADDRINUSE") return { peers: undefined, close: () => undefined };
      if (host === "0.0.0.0")
        throw new HeddleError("HDL_INTERCEPTION_MISSING", `Cannot listen on ${port}: ${describeError(error)}`);
    }
  }
  throw new Error("unreachable");
}

/** Undefined: it came to the outbound port; else what happened instead. */
async function tryConnect(host: string, port: number, watch: Watch): Promise<string | undefined> {
  const socket = net.connect({ host, port, signal: AbortSignal.timeout(TIMEOUT_MS) });
  socket.on("error", () => undefined);
  try {
    await once(socket, "connect");
    if (watch.peers === undefined) return undefined;
    const peer = socket.localPort ?? 0;
    // The listener's side of the same connection may be told of a little later.
    for (let turn = 0; turn < 100 && !watch.peers.has(peer); turn++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    return watch.peers.has(peer) ? undefined : "somebody else answered";
  } catch (error) {
    return error instanceof Error && error.name === "AbortError" ? "no answer" : describeError(error);
  } finally {
    socket.destroy();
  }
}
