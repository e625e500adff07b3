// Session tickets among workers: each has contexts of its own, made from one secret.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { writeBytes } from "#lib/http/outbox.ts";

import type { DownstreamTls } from "#config/model/tls.ts";
import { systemClock } from "#lib/clock.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";
import { WireLoop } from "#proxy/wire/wire-loop.ts";

import { ListenerTls, makeTicketKeys } from "./server-tls.ts";

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

describe("session tickets", () => {
  const secrets = new MemorySecretStore();
  const closers: (() => void)[] = [];

  before(async () => {
    const authority = await makeAuthority();
    secrets.set({ kind: "certificate", name: "own", certificate: await authority.issue({ dns: ["shop"] }) });
  });
  after(() => {
    for (const close of closers) close();
  });

  /** One worker's port. */
  async function startWorker(ticketSecret: Uint8Array | undefined): Promise<number> {
    const loop = new WireLoop({ clock: systemClock, acceptMode: "handle", lingerMs: 20 });
    const tls = new ListenerTls(loop, secrets, ticketSecret);
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket: Socket) => {
      tls.secure(
        socket,
        undefined,
        Buffer.alloc(0),
        TLS,
        2000,
        (wire) => {
          writeBytes(wire.out, Buffer.from("hello"), 0, 5);
          wire.close();
        },
        (reason) => assert.fail(reason),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    return (server.address() as AddressInfo).port;
  }

  /** Connects, and gives the ticket and whether an older one was accepted. */
  async function visit(port: number, session?: Buffer): Promise<{ isReused: boolean; ticket: Buffer | undefined }> {
    const socket: TLSSocket = connectTls({
      socket: connectTcp(port, "127.0.0.1"),
      servername: "shop",
      rejectUnauthorized: false,
      ...(session === undefined ? {} : { session }),
    });
    let ticket: Buffer | undefined;
    socket.on("session", (bytes: Buffer) => (ticket = bytes));
    socket.resume();
    await once(socket, "end");
    const isReused = socket.isSessionReused();
    socket.destroy();
    return { isReused, ticket };
  }

  it("of one worker are good at another", async () => {
    const secret = Buffer.alloc(32, 7);
    const [one, two] = [await startWorker(secret), await startWorker(secret)];
    const { ticket } = await visit(one);
    assert.equal((await visit(two, ticket)).isReused, true);
  });

  it("of another process are not", async () => {
    const [one, two] = [await startWorker(Buffer.alloc(32, 7)), await startWorker(Buffer.alloc(32, 8))];
    const { ticket } = await visit(one);
    assert.equal((await visit(two, ticket)).isReused, false);
  });

  it("have other keys when the bundle changes, and for other TLS settings", () => {
    const store = new MemorySecretStore();
    const roots = { kind: "sds", name: "roots" } as const;
    const mutual = { ...TLS, validation: { roots, subjectAltNames: [], acceptUntrusted: false } };
    const secret = Buffer.alloc(32);
    const keys = (): string => makeTicketKeys(secret, mutual, store).toString("hex");
    store.set({ kind: "validation", name: "roots", bundlePem: "one" });
    const first = keys();
    assert.equal(first.length, 96);
    assert.equal(keys(), first);
    store.set({ kind: "validation", name: "roots", bundlePem: "two" });
    assert.notEqual(keys(), first);
    assert.notEqual(makeTicketKeys(secret, TLS, store).toString("hex"), first);
  });
});
