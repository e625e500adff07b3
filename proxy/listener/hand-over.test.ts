// Connections that go on with a listener that has no socket, because it is the one for where they were going.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, describe, it } from "node:test";
import type { SocketAddress } from "#config/model/address.ts";
import type { Direction, FilterChain, Listener } from "#config/model/listener.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { WireLoop } from "#proxy/wire/wire-loop.ts";
import { HandOver } from "./hand-over.ts";
import { ListenerSet } from "./listener-set.ts";
import { ListenerTls } from "./server-tls.ts";

const chain: FilterChain = {
  name: "all",
  match: {
    destinationPort: undefined,
    prefixRanges: [],
    serverNames: [],
    transportProtocol: undefined,
    applicationProtocols: [],
    sourcePrefixRanges: [],
    sourcePorts: [],
  },
  tls: undefined,
  handshakeTimeoutMs: 0,
  network: {
    kind: "tcp",
    tcp: { statPrefix: "", clusters: [], idleTimeoutMs: 0, maxConnectAttempts: 1, accessLogs: [] },
  },
};

function unbound(name: string, addresses: readonly SocketAddress[], direction: Direction = "outbound"): Listener {
  const [address = { address: "127.0.0.1", port: 0 }, ...additionalAddresses] = addresses;
  return {
    name,
    address,
    additionalAddresses,
    direction,
    bindToPort: false,
    useOriginalDst: false,
    inspectTls: false,
    inspectHttp: false,
    inspectTimeoutMs: 0,
    continueOnInspectTimeout: true,
    filterChains: [chain],
    defaultFilterChain: undefined,
    perConnectionBufferLimitBytes: 65_536,
  };
}

const http = { address: "10.96.0.1", port: 80 };

describe("a connection is handed over to the listener", () => {
  it("for its address and port, before the one for all ports of its address, before the one for its port anywhere", () => {
    const all = new HandOver();
    all.set(unbound("anywhere", [{ address: "0.0.0.0", port: 80 }]));
    all.set(
      unbound("pod", [
        { address: "10.96.0.1", port: 0 },
        { address: "fd96::1", port: 0 },
      ]),
    );
    assert.equal(all.find(http, "outbound")?.name, "pod");
    assert.equal(all.find({ address: "fd96::1", port: 9 }, "outbound")?.name, "pod");
    assert.equal(all.find({ address: "10.96.0.2", port: 80 }, "outbound")?.name, "anywhere");
    all.set(unbound("service", [http]));
    assert.equal(all.find(http, "outbound")?.name, "service");
    assert.equal(all.find({ ...http, port: 81 }, "outbound")?.name, "pod");
  });

  it("that has its destination among its addresses, in whatever way an IPv6 address is written", () => {
    const all = new HandOver();
    all.set(unbound("reviews", [http, { address: "FD00:0::01", port: 80 }]));
    assert.equal(all.find(http, "outbound")?.name, "reviews");
    assert.equal(all.find({ address: "fd00::1", port: 80 }, "outbound")?.name, "reviews");
    assert.equal(all.find({ address: "10.96.0.1", port: 81 }, "outbound"), undefined);
  });

  it("for that very address before the one for all addresses of the family", () => {
    const all = new HandOver();
    all.set(unbound("any", [{ address: "0.0.0.0", port: 80 }]));
    all.set(unbound("reviews", [http]));
    assert.equal(all.find(http, "outbound")?.name, "reviews");
    assert.equal(all.find({ address: "10.96.0.2", port: 80 }, "outbound")?.name, "any");
    assert.equal(all.find({ address: "fd00::1", port: 80 }, "outbound"), undefined);
  });

  it("of its own direction only: a pod that calls itself is not let in past its own sidecar", () => {
    const all = new HandOver();
    all.set(unbound("inbound", [http], "inbound"));
    assert.equal(all.find(http, "outbound"), undefined);
    assert.equal(all.find(http, "inbound")?.name, "inbound");
  });

  it("that comes first by name where two claim an address, and to the other when that one is gone", () => {
    const all = new HandOver();
    all.set(unbound("b", [http]));
    all.set(unbound("a", [http]));
    assert.equal(all.find(http, "outbound")?.name, "a");
    all.delete("a");
    assert.equal(all.find(http, "outbound")?.name, "b");
    all.set(unbound("b", [{ ...http, port: 81 }]));
    assert.equal(all.find(http, "outbound"), undefined);
  });
});

describe("a listener that takes redirected connections", () => {
  const sets: ListenerSet[] = [];
  after(() => {
    for (const set of sets) set.close();
  });

  /** What serves a connection that was going to `original`. */
  async function served(original: SocketAddress | undefined, listeners: readonly Listener[]): Promise<string> {
    let told = "";
    const set = new ListenerSet({
      loop: new WireLoop({ clock: systemClock, acceptMode: "handle", lingerMs: 20 }),
      tls: new ListenerTls(new WireLoop({ clock: systemClock, acceptMode: "handle" }), new MemorySecretStore()),
      handler: {
        onHttp: () => assert.fail("no HTTP here"),
        onTcp: (wire, _firstBytes, listener) => {
          told = `${listener.name} at ${wire.info.localAddress}:${wire.info.localPort}`;
          wire.destroy();
        },
        onSilent: () => undefined,
        onRefused: (listener, reason) => (told = `${listener.name} ${reason}`),
      },
      log: silentLog,
      originalDestination: () => () => original,
      cells: new SharedCells(SharedCells.makeBuffer(64)),
      reusePort: false,
    });
    sets.push(set);
    assert.deepEqual(await set.apply(listeners, []), []);
    const socket = connect({ port: set.ports().get("capture") ?? 0, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    await once(socket, "close");
    return told;
  }

  const capture: Listener = { ...unbound("capture", []), bindToPort: true, useOriginalDst: true };
  const reviews = unbound("reviews", [http]);

  it("hands over what was going to another listener's address, which is the local address then", async () => {
    assert.equal(await served(http, [capture, reviews]), "reviews at 10.96.0.1:80");
  });

  it("serves what nobody else has the address of, and says where it was going", async () => {
    assert.equal(await served({ ...http, port: 81 }, [capture, reviews]), "capture at 10.96.0.1:81");
  });

  it("hands nothing over when it does not look at original destinations", async () => {
    assert.match(await served(http, [{ ...capture, useOriginalDst: false }, reviews]), /^capture at 127\.0\.0\.1/);
  });
});
