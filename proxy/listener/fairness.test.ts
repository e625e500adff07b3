// One fast opaque connection beside others on the same thread: nobody waits for more than its share of a turn.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, describe, it } from "node:test";

import { systemClock } from "#lib/clock.ts";
import type { HttpStream } from "#lib/http/stream.ts";
import type { PickedEndpoint } from "#proxy/upstream/contract.ts";
import { RawStream } from "#proxy/upstream/raw-stream.ts";
import { acceptWire } from "#proxy/wire/accept.ts";
import type { SocketWire } from "#proxy/wire/socket-wire.ts";
import { TURN_BYTES, WireLoop } from "#proxy/wire/wire-loop.ts";

import { TcpSession } from "./tcp-session.ts";

const MIB = 1024 * 1024;
const ROUNDS = 8;
/** Of the fast connection: what is left of the turn in which the slow one's byte comes, and the next; each may end with a whole buffer. */
const MOST_BETWEEN = 2 * (TURN_BYTES + 128 * 1024);

type OnPassed = (bytes: number) => void;

/** The upstream's end of a session: takes everything at once. */
class Sink implements HttpStream {
  readonly bufferedBytes = 0;
  readonly #onPassed: OnPassed;

  constructor(onPassed: OnPassed) {
    this.#onPassed = onPassed;
  }

  sendData(_bytes: Buffer, start: number, end: number): boolean {
    this.#onPassed(end - start);
    return true;
  }

  sendHead(): void {}
  sendInformational(): void {}
  sendTrailers(): void {}
  reset(): void {}
  consumed(): void {}
}

/** From the client on: a session with an upstream that keeps up. */
function passUp(wire: SocketWire, onPassed: OnPassed): void {
  const info = { protocol: "http1", isTls: false, peerIdentity: undefined, localAddress: "", localPort: 0 } as const;
  const picked: PickedEndpoint = {
    endpoint: {
      address: "127.0.0.1",
      port: 1,
      hostname: "",
      health: "unknown",
      weight: 1,
      labels: {},
      transportSocket: {},
      mesh: { kind: "none" },
    },
    open: () => ({ cancel: () => undefined }),
    openTunnel: (_authority, _handler, waiter) => {
      waiter.onReady(new Sink(onPassed), info, false);
      return { cancel: () => undefined };
    },
    report: () => undefined,
    done: () => undefined,
  };
  const session = new TcpSession(wire, {
    clock: systemClock,
    config: { statPrefix: "", clusters: [], idleTimeoutMs: 0, maxConnectAttempts: 1, accessLogs: [] },
    pick: () => picked,
    authority: "",
    onDone: () => undefined,
  });
  session.start(Buffer.alloc(0));
}

/** From the server on: its wire, read for a client that keeps up. */
function passDown(wire: SocketWire, onPassed: OnPassed): void {
  const handler = {
    onHead: () => undefined,
    onInformational: () => undefined,
    onTrailers: () => undefined,
    onReset: () => undefined,
    onDrain: () => undefined,
    onData: (_bytes: Buffer, start: number, end: number) => {
      onPassed(end - start);
      stream.consumed(end - start);
    },
  };
  const stream = new RawStream(wire, handler, MIB, () => undefined);
  stream.start();
}

const WAYS = [
  { what: "a client that floods its server", pass: passUp },
  { what: "a server that floods its client", pass: passDown },
];

for (const acceptMode of ["handle", "data"] as const) {
  describe(`beside opaque connections in accept mode ${acceptMode}`, () => {
    const closers: (() => void)[] = [];
    after(() => {
      for (const close of closers) close();
    });

    async function open(loop: WireLoop): Promise<{ readonly wire: SocketWire; readonly peer: net.Socket }> {
      const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as net.AddressInfo; // as: a TCP server that listens
      const peer = net.connect({ port, host: "127.0.0.1", noDelay: true });
      const [[accepted]] = (await Promise.all([once(server, "connection"), once(peer, "connect")])) as [
        [net.Socket],
        unknown,
      ];
      const wire = acceptWire(loop, accepted);
      closers.push(() => {
        peer.destroy();
        wire.destroy();
        server.close();
      });
      return { wire, peer };
    }

    for (const { what, pass } of WAYS) {
      it(`${what} holds up no other for more than its share of a turn`, async () => {
        const loop = new WireLoop({ clock: systemClock, acceptMode, lingerMs: 0 });
        // The fast one first: the kernel tells of it first.
        const [fast, slow] = [await open(loop), await open(loop)];
        let passed = 0;
        let askedAt = 0;
        let between: number[] = [];
        let onRound = (): void => undefined;
        pass(fast.wire, (bytes) => {
          passed += bytes;
          if (between.length > 0 && passed % (4 * MIB) === 0) onRound();
        });
        pass(slow.wire, () => {
          between.push(passed - askedAt);
          if (passed % (4 * MIB) === 0) onRound();
        });
        const all: number[] = [];
        for (let round = 1; round <= ROUNDS; round++) {
          between = [];
          const isOver = new Promise<void>((resolve) => (onRound = resolve));
          fast.peer.write(Buffer.alloc(4 * MIB));
          askedAt = passed;
          slow.peer.write("x");
          await isOver;
          all.push(...between);
        }
        assert.equal(passed, ROUNDS * 4 * MIB);
        assert.equal(all.length, ROUNDS);
        assert.ok(Math.max(...all) <= MOST_BETWEEN, `${all.join(", ")} bytes before the other's`);
      });
    }
  });
}
