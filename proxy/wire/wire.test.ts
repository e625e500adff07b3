// Wires over real sockets on loopback: one suite for both ways of reading accepted sockets.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { after, describe, it } from "node:test";
import { writeBytes } from "#lib/http/outbox.ts";
import { systemClock } from "#lib/clock.ts";
import { chooseAcceptMode } from "./accept.ts";
import { connectWire } from "./connect.ts";
import { Loopback } from "./testing/loopback.ts";
import { RecordingHandler } from "./testing/recording-handler.ts";
import type { Wire, WireError } from "./wire.ts";
import { TURN_BYTES, WireLoop, type AcceptMode } from "./wire-loop.ts";

it("the self-test finds that accepted handles can be wrapped on the pinned Node", async () => {
  assert.equal(await chooseAcceptMode(), "handle");
});

for (const acceptMode of ["handle", "data"] as const satisfies readonly AcceptMode[]) {
  describe(`a wire in accept mode ${acceptMode}`, () => {
    const loopback = new Loopback();
    after(() => loopback.close());

    const makeLoop = (): WireLoop => new WireLoop({ clock: systemClock, acceptMode, lingerMs: 40 });

    it("knows both addresses", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      assert.equal(wire.info.remoteAddress, "127.0.0.1");
      assert.equal(wire.info.remotePort, client.localPort);
      assert.equal(wire.info.localPort, client.remotePort);
      wire.attach(new RecordingHandler());
      wire.destroy();
    });

    it("reads at most its share in one turn, and the rest in the next ones", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      const total = 4 * 1024 * 1024;
      client.write(Buffer.alloc(total));
      // So that the kernel holds more than one share before the first read.
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
      const turns: number[] = [];
      let isOther = true;
      let length = 0;
      await new Promise<void>((resolve) => {
        wire.attach({
          onBytes: (_bytes, start, end) => {
            if (isOther) {
              turns.push(0);
              isOther = false;
              setImmediate(() => (isOther = true));
            }
            turns[turns.length - 1] = (turns.at(-1) ?? 0) + end - start;
            length += end - start;
            if (length === total) resolve();
          },
          onEnd: () => undefined,
          onDrain: () => undefined,
          onClose: () => undefined,
        });
      });
      // The reads that cross the line may be whole buffers.
      assert.ok(Math.max(...turns) <= TURN_BYTES + 2 * 65_536, `${Math.max(...turns)} bytes in one turn`);
      wire.destroy();
    });

    it("does not read on in the next turn where its reader said stop meanwhile", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      client.write(Buffer.alloc(4 * 1024 * 1024));
      let length = 0;
      await new Promise<void>((resolve) => {
        wire.attach({
          onBytes: (_bytes, start, end) => {
            length += end - start;
            if (length < TURN_BYTES) return;
            wire.setReading(false);
            resolve();
          },
          onEnd: () => undefined,
          onDrain: () => undefined,
          onClose: () => undefined,
        });
      });
      const before = length;
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(length, before);
      client.on("error", () => undefined);
      wire.destroy();
    });

    it("closes without waiting for the peer where the linger time is 0, everything written first", async () => {
      const loop = new WireLoop({ clock: systemClock, acceptMode, lingerMs: 3_600_000 });
      const { wire, client } = await loopback.accept(loop);
      const handler = new RecordingHandler();
      wire.attach(handler);
      const chunks: Buffer[] = [];
      client.on("data", (bytes: Buffer) => chunks.push(bytes));
      writeBytes(wire.out, Buffer.from("bye"), 0, 3);
      wire.close(0);
      await Promise.all([handler.closed, once(client, "end")]);
      assert.equal(Buffer.concat(chunks).toString(), "bye");
    });

    it("writes what several calls wrote in one turn with one socket write", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      wire.attach(new RecordingHandler());
      const chunks: Buffer[] = [];
      client.on("data", (bytes: Buffer) => chunks.push(bytes));
      for (const text of ["a", "b", "c"]) writeBytes(wire.out, Buffer.from(text), 0, 1);
      assert.equal(wire.bytesWritten, 0);
      assert.equal(wire.out.pendingBytes, 3);
      await once(client, "data");
      assert.deepEqual(chunks.map(String), ["abc"]);
      wire.destroy();
    });

    it("hands over bytes and the peer's FIN, and still writes after it", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      const handler = new RecordingHandler();
      wire.attach(handler);
      client.end("last words");
      await handler.ended;
      assert.equal(handler.text(), "last words");
      writeBytes(wire.out, Buffer.from("answer"), 0, 6);
      wire.end();
      const [bytes] = (await once(client, "data")) as [Buffer];
      assert.equal(bytes.toString(), "answer");
      assert.equal(await handler.closed, undefined);
    });

    it("reads on for the next handler after the first one had stopped reading", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      const first = new RecordingHandler();
      wire.attach(first);
      client.write("one");
      await first.received(3);
      wire.setReading(false);
      const second = new RecordingHandler();
      wire.attach(second);
      client.write("two");
      await second.received(3);
      assert.equal(first.text() + second.text(), "onetwo");
      wire.destroy();
    });

    it("reads nothing while reading is off, and all of it later", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      const handler = new RecordingHandler();
      wire.attach(handler);
      wire.setReading(false);
      const big = Buffer.alloc(4 * 1024 * 1024, "x");
      assert.equal(client.write(big), false);
      await new Promise((resolve) => setImmediate(resolve));
      const before = handler.length;
      assert.ok(before <= 256 * 1024, `${before} bytes were read`);
      wire.setReading(true);
      client.end();
      await handler.ended;
      assert.equal(handler.length, big.length);
      wire.destroy();
    });

    it("reports what the kernel has not taken, and drains when the peer reads", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      const handler = new RecordingHandler();
      wire.attach(handler);
      client.pause();
      const block = Buffer.alloc(1024 * 1024, "y");
      let written = 0;
      while (wire.out.pendingBytes < block.length && written < 64) {
        writeBytes(wire.out, block, 0, block.length);
        written++;
      }
      assert.ok(wire.out.pendingBytes >= block.length);
      const drained = handler.nextDrain();
      let received = 0;
      client.on("data", (bytes: Buffer) => {
        received += bytes.length;
        assert.equal(bytes[0], 121);
      });
      client.resume();
      await drained;
      assert.equal(wire.out.pendingBytes, 0);
      wire.close();
      await once(client, "end");
      assert.equal(received, written * block.length);
      client.end();
      assert.equal(await handler.closed, undefined);
    });

    it("keeps the order of small and large writes", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      wire.attach(new RecordingHandler());
      const parts = [10, 70_000, 3, 8192, 8193, 200_000, 1].map((length, i) => Buffer.alloc(length, 65 + i));
      for (const part of parts) writeBytes(wire.out, part, 0, part.length);
      wire.close();
      const chunks: Buffer[] = [];
      client.on("data", (bytes: Buffer) => chunks.push(bytes));
      await once(client, "end");
      assert.ok(Buffer.concat(chunks).equals(Buffer.concat(parts)));
      client.end();
    });

    it("close lets a peer that never closes go after the linger time", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      const handler = new RecordingHandler();
      wire.attach(handler);
      wire.close();
      client.resume();
      assert.equal(await handler.closed, undefined);
      client.destroy();
    });

    it("tells a reset by the peer", async () => {
      const { wire, client } = await loopback.accept(makeLoop());
      const handler = new RecordingHandler();
      wire.attach(handler);
      await new Promise((resolve) => setImmediate(resolve));
      client.resetAndDestroy();
      assert.equal((await handler.closed)?.kind, "reset");
      assert.equal(wire.isClosed, true);
    });

    it("the server forgets a connection that was closed", async () => {
      const { wire, client, server } = await loopback.accept(makeLoop());
      const handler = new RecordingHandler();
      wire.attach(handler);
      client.on("error", () => undefined);
      wire.destroy();
      await handler.closed;
      await new Promise((resolve) => server.close(resolve));
    });
  });
}

describe("connectWire", () => {
  const loop = new WireLoop({ clock: systemClock, acceptMode: "handle" });

  it("connects and exchanges bytes", async () => {
    const server = createServer((socket) => socket.pipe(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = (server.address() as AddressInfo).port;
    const wire = await new Promise<Wire>((resolve, reject) => {
      connectWire(
        loop,
        { address: "127.0.0.1", port },
        { timeoutMs: 30_000 },
        { onConnected: resolve, onFailure: (error) => reject(new Error(error.message)) },
      );
    });
    const handler = new RecordingHandler();
    wire.attach(handler);
    writeBytes(wire.out, Buffer.from("echo"), 0, 4);
    wire.end();
    await handler.ended;
    assert.equal(handler.text(), "echo");
    await handler.closed;
    server.close();
  });

  it("says that nobody listens", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = (server.address() as AddressInfo).port;
    await new Promise((resolve) => server.close(resolve));
    const error = await new Promise<WireError>((resolve, reject) => {
      connectWire(
        loop,
        { address: "127.0.0.1", port },
        { timeoutMs: 30_000 },
        { onConnected: () => reject(new Error("connected")), onFailure: resolve },
      );
    });
    assert.equal(error.kind, "refused");
    assert.match(error.message, new RegExp(`^Cannot connect to 127\\.0\\.0\\.1:${port}: `));
  });

  it("names the peer that reset the connection, whom the socket has forgotten by then", async () => {
    const server = createServer((socket) => socket.on("data", () => socket.resetAndDestroy()));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = (server.address() as AddressInfo).port;
    const wire = await new Promise<Wire>((resolve, reject) => {
      connectWire(
        loop,
        { address: "127.0.0.1", port },
        { timeoutMs: 30_000 },
        { onConnected: resolve, onFailure: (error) => reject(new Error(error.message)) },
      );
    });
    const handler = new RecordingHandler();
    wire.attach(handler);
    writeBytes(wire.out, Buffer.from("echo"), 0, 4);
    assert.match(
      (await handler.closed)?.message ?? "",
      new RegExp(`^Connection with 127\\.0\\.0\\.1:${port} failed: `),
    );
    server.close();
  });

  it("calls nobody after cancel", async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = (server.address() as AddressInfo).port;
    let calls = 0;
    const count = (): void => void calls++;
    connectWire(
      loop,
      { address: "127.0.0.1", port },
      { timeoutMs: 30_000 },
      { onConnected: count, onFailure: count },
    ).cancel();
    await new Promise((resolve) => server.close(resolve));
    assert.equal(calls, 0);
  });
});
