// Listeners on real sockets: one port for TLS and plaintext, the bytes that were looked at given to TLS, swaps and closed ports.
import assert from "node:assert/strict";
import { createHook } from "node:async_hooks";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { writeBytes } from "#lib/http/outbox.ts";
import type { FilterChain, FilterChainMatch, Listener } from "#config/model/listener.ts";
import type { DownstreamTls } from "#config/model/tls.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";
import type { Wire } from "#proxy/wire/wire.ts";
import { WireLoop, type AcceptMode } from "#proxy/wire/wire-loop.ts";
import { ListenerSet } from "./listener-set.ts";
import { ListenerTls } from "./server-tls.ts";

const secrets = new MemorySecretStore();

before(async () => {
  const authority = await makeAuthority();
  secrets.set({ kind: "certificate", name: "own", certificate: await authority.issue({ dns: ["shop"] }) });
});

const TLS: DownstreamTls = {
  certificate: { kind: "sds", name: "own" },
  validation: undefined,
  alpn: [],
  minVersion: undefined,
  maxVersion: undefined,
  cipherSuites: [],
  curves: [],
  requireClientCertificate: false,
  sessionTickets: true,
};

const ANY_MATCH: FilterChainMatch = {
  destinationPort: undefined,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: undefined,
  applicationProtocols: [],
  sourcePrefixRanges: [],
  sourcePorts: [],
};

function chain(name: string, transportProtocol: "tls" | "raw_buffer" | undefined, tls?: DownstreamTls): FilterChain {
  return {
    name,
    match: { ...ANY_MATCH, transportProtocol },
    tls,
    handshakeTimeoutMs: 2000,
    network: {
      kind: "tcp",
      tcp: { statPrefix: name, clusters: [], idleTimeoutMs: 0, maxConnectAttempts: 1, accessLogs: [] },
    },
  };
}

function listener(port: number, filterChains: readonly FilterChain[]): Listener {
  return {
    name: "test",
    address: { address: "127.0.0.1", port },
    direction: "inbound",
    bindToPort: true,
    useOriginalDst: false,
    inspectTls: true,
    inspectHttp: false,
    inspectTimeoutMs: 2000,
    continueOnInspectTimeout: true,
    filterChains,
    defaultFilterChain: undefined,
    perConnectionBufferLimitBytes: 1_048_576,
  };
}

for (const acceptMode of ["handle", "data"] as const satisfies readonly AcceptMode[]) {
  describe(`a listener in accept mode ${acceptMode}`, () => {
    const sets: ListenerSet[] = [];
    after(() => {
      for (const set of sets) set.close();
    });

    function makeSet(): ListenerSet {
      const loop = new WireLoop({ clock: systemClock, acceptMode, lingerMs: 20 });
      /** Answers each first bytes with the chain's name and what came. */
      const answer = (wire: Wire, firstBytes: Buffer, chosen: FilterChain): void => {
        const reply = (bytes: Buffer): void => {
          const text = Buffer.from(`${chosen.name} ${wire.info.tls?.sni ?? "-"} ${bytes.toString("latin1")}`);
          writeBytes(wire.out, text, 0, text.length);
          wire.close();
        };
        wire.attach({
          onBytes: (bytes, start, end) => reply(Buffer.concat([firstBytes, bytes.subarray(start, end)])),
          onEnd: () => undefined,
          onDrain: () => undefined,
          onClose: () => undefined,
        });
        if (firstBytes.length > 0) reply(firstBytes);
      };
      const set = new ListenerSet({
        loop,
        tls: new ListenerTls(loop, secrets),
        handler: {
          onHttp: () => assert.fail("no HTTP here"),
          onTcp: (wire, firstBytes, _listener, chosen) => answer(wire, firstBytes, chosen),
          onSilent: () => undefined,
          onRefused: () => undefined,
        },
        log: silentLog,
        originalDestination: () => undefined,
        cells: new SharedCells(SharedCells.makeBuffer(64)),
        reusePort: false,
      });
      sets.push(set);
      return set;
    }

    async function open(filterChains: readonly FilterChain[]): Promise<{ set: ListenerSet; port: number }> {
      const set = makeSet();
      assert.deepEqual(await set.apply([listener(0, filterChains)], []), []);
      return { set, port: set.ports().get("test") ?? 0 };
    }

    async function readAll(socket: Socket): Promise<string> {
      let text = "";
      socket.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
      await once(socket, "end");
      socket.destroy();
      return text;
    }

    const permissive = [chain("tls", "tls", TLS), chain("plain", "raw_buffer")];

    it("serves TLS and plaintext on one port", async () => {
      const { port } = await open(permissive);
      const secure = connectTls({ port, host: "127.0.0.1", servername: "shop", rejectUnauthorized: false });
      secure.write("hello");
      assert.equal(await readAll(secure), "tls shop hello");
      const plain = connectTcp({ port, host: "127.0.0.1" });
      plain.write("hello");
      assert.equal(await readAll(plain), "plain - hello");
    });

    it("gives TLS a ClientHello that came in pieces", async () => {
      const { port } = await open(permissive);
      const outer = connectTcp({ port, host: "127.0.0.1", noDelay: true });
      await once(outer, "connect");
      let pieces = 0;
      // A plain socket would be written to by its handle; through this the hello's first 40 bytes go ahead of the rest.
      const cutting = new Duplex({
        read: () => undefined,
        write(bytes: Buffer, _encoding, done) {
          if (pieces++ > 0) {
            outer.write(bytes, done);
            return;
          }
          outer.write(bytes.subarray(0, 40), () => setTimeout(() => outer.write(bytes.subarray(40), done), 5));
        },
        final: (done) => void outer.end(done),
      });
      outer.on("data", (bytes: Buffer) => cutting.push(bytes));
      outer.on("end", () => cutting.push(null));
      const secure = connectTls({ socket: cutting, servername: "shop", rejectUnauthorized: false });
      secure.write("hello");
      assert.equal(await readAll(secure), "tls shop hello");
      assert.ok(pieces > 1);
      outer.destroy();
    });

    it("puts no JavaScript stream between the socket and TLS for the sake of the bytes that were looked at", async () => {
      const { port } = await open(permissive);
      let streams = 0;
      // What Node makes for TLS over anything but a socket.
      const hook = createHook({ init: (_id, type) => void (streams += type === "JSSTREAM" ? 1 : 0) }).enable();
      const secure = connectTls({ port, host: "127.0.0.1", servername: "shop", rejectUnauthorized: false });
      secure.write("hello");
      assert.equal(await readAll(secure), "tls shop hello");
      assert.equal(streams, 0);
      // And so would be one seen.
      const inert = new Duplex({ read: () => undefined, write: (_bytes, _encoding, done) => done() });
      connectTls({ socket: inert, rejectUnauthorized: false }).destroy();
      assert.equal(streams, 1);
      hook.disable();
    });

    it("tells HTTP from other protocols in words, where chains ask for it", async () => {
      const chains = [
        { ...chain("http", undefined), match: { ...ANY_MATCH, applicationProtocols: ["http/1.1", "h2c"] } },
        chain("tcp", undefined),
      ];
      const set = makeSet();
      assert.deepEqual(await set.apply([{ ...listener(0, chains), inspectHttp: true, inspectTimeoutMs: 60 }], []), []);
      const port = set.ports().get("test") ?? 0;
      const say = async (text: string): Promise<string> => {
        const client = connectTcp({ port, host: "127.0.0.1" });
        if (text !== "") client.write(text);
        return readAll(client);
      };
      assert.equal(await say("GET / HTTP/1.1\r\n\r\n"), "http - GET / HTTP/1.1\r\n\r\n");
      const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
      assert.equal(await say(preface), `http - ${preface}`);
      assert.equal(await say("EHLO x\r\n"), "tcp - EHLO x\r\n");
      assert.equal(await say("SET /a b\r\n"), "tcp - SET /a b\r\n");
      // Not enough to tell, and then nothing: the time for looking ends.
      assert.equal(await say("GET"), "tcp - GET");
    });

    it("after the time for looking goes on with what is known, or closes, as the listener says", async () => {
      const set = makeSet();
      const open = { ...listener(0, permissive), inspectTimeoutMs: 20 };
      const strict = { ...open, name: "strict", continueOnInspectTimeout: false };
      assert.deepEqual(await set.apply([open, strict], []), []);
      const plain = connectTcp({ port: set.ports().get("test") ?? 0, host: "127.0.0.1" });
      // The plain chain hears of the connection at once after the time; its first bytes come later.
      setTimeout(() => plain.write("late"), 60);
      assert.equal(await readAll(plain), "plain - late");
      const closed = connectTcp({ port: set.ports().get("strict") ?? 0, host: "127.0.0.1" });
      assert.equal(await readAll(closed), "");
    });

    it("changes the chains of new connections without closing the port", async () => {
      const { set, port } = await open([chain("before", undefined)]);
      assert.deepEqual(await set.apply([{ ...listener(0, [chain("after", undefined)]) }], []), []);
      assert.equal(set.ports().get("test"), port);
      const client = connectTcp({ port, host: "127.0.0.1" });
      client.write("x");
      assert.equal(await readAll(client), "after - x");
    });

    it("says which port is taken", async () => {
      const { port } = await open([chain("first", undefined)]);
      const [failure] = await makeSet().apply([listener(port, [chain("second", undefined)])], []);
      assert.match(
        failure?.message ?? "",
        new RegExp(`"test" on 127\\.0\\.0\\.1:${port}: another process listens there`),
      );
    });

    it("refuses connections after it was removed", async () => {
      const { set, port } = await open([chain("only", undefined)]);
      await set.apply([], ["test"]);
      const client = connectTcp({ port, host: "127.0.0.1" });
      const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
      assert.equal(error.code, "ECONNREFUSED");
    });
  });
}
