// Finds a block of free loopback ports and keeps others from taking it.
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/** The ports that the shop's YAML writes: 18000 to 18999. */
const FIRST_PORT = 18_000;
const BLOCK = 1_000;
/** The block's last port is held open as its lock; the YAML uses none above 18990. */
const LOCK_OFFSET = BLOCK - 1;
/** Below the ephemeral ports of Linux (32768): an outgoing connection of somebody else cannot take one of ours. */
const LOWEST_BLOCK = 10_000;
const HIGHEST_BLOCK = 31_000;

/** A thousand ports of our own. */
export interface PortBlock {
  /** The port that stands for `port` of the YAML. */
  move(port: number): number;
  /** Gives the block back. */
  release(): Promise<void>;
}

/** Takes the first block, from a random one on, whose lock and `needed` ports are free. Throws when all are taken. */
export async function takePortBlock(needed: readonly number[], random: () => number = Math.random): Promise<PortBlock> {
  const blocks = (HIGHEST_BLOCK - LOWEST_BLOCK) / BLOCK + 1;
  const begin = Math.floor(random() * blocks);
  for (let turn = 0; turn < blocks; turn += 1) {
    const base = LOWEST_BLOCK + ((begin + turn) % blocks) * BLOCK;
    const lock = await tryListen(base + LOCK_OFFSET);
    if (lock === undefined) continue;
    if (await areFree(needed.map((port) => base + port - FIRST_PORT))) {
      return { move: (port) => base + port - FIRST_PORT, release: () => close(lock) };
    }
    await close(lock);
  }
  throw new Error(`no free block of ${BLOCK} ports between ${LOWEST_BLOCK} and ${HIGHEST_BLOCK + BLOCK}`);
}

async function areFree(ports: readonly number[]): Promise<boolean> {
  for (const port of ports) {
    const server = await tryListen(port);
    if (server === undefined) return false;
    await close(server);
  }
  return true;
}

async function tryListen(port: number): Promise<Server | undefined> {
  const server = createServer();
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
    return server;
  } catch {
    return undefined;
  }
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  await closed;
}
