// Large reads go from one wire to another without a copy: what arrives must be what was sent, whatever the pace of the receiver.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { writeBytes } from "#lib/http/outbox.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { Loopback } from "./testing/loopback.ts";
import type { Wire, WireHandler } from "./wire.ts";
import { WireLoop } from "./wire-loop.ts";

const MIB = 2 ** 20;
const FRAMING = Buffer.from("--framing--");

describe("bytes from one wire to another", () => {
  const loopback = new Loopback();
  after(() => loopback.close());

  /** Passes on what `from` reads, framed as chunks are, with back-pressure; counts what was passed on without a copy. */
  function pass(from: Wire, to: Wire, hash: (bytes: Buffer) => void): { borrowed: number } {
    const count = { borrowed: 0 };
    const { out } = to;
    const borrow = out.borrow?.bind(out);
    out.borrow = (bytes, start, end) => {
      const isBorrowed = borrow?.(bytes, start, end) === true;
      if (isBorrowed) count.borrowed++;
      return isBorrowed;
    };
    const reader: WireHandler = {
      onBytes(bytes, start, end) {
        hash(FRAMING);
        hash(bytes.subarray(start, end));
        writeBytes(out, FRAMING, 0, FRAMING.length);
        writeBytes(out, bytes, start, end);
        if (out.pendingBytes > 256 * 1024) from.setReading(false);
      },
      onEnd: () => to.end(),
      onDrain: () => undefined,
      onClose: () => undefined,
    };
    to.attach({ ...reader, onBytes: () => undefined, onEnd: () => undefined, onDrain: () => from.setReading(true) });
    from.attach(reader);
    return count;
  }

  for (const pace of ["reads at once", "stops again and again"] as const) {
    it(`arrive as they were sent where the receiver ${pace}`, async () => {
      const loop = new WireLoop({ clock: systemClock, acceptMode: "handle" });
      const random = makeSeededRandom(7);
      const [source, target] = [await loopback.accept(loop), await loopback.accept(loop)];
      const [expected, arrived] = [createHash("sha256"), createHash("sha256")];
      const count = pass(source.wire, target.wire, (bytes) => expected.update(bytes));
      target.client.on("data", (bytes: Buffer) => {
        arrived.update(bytes);
        if (pace === "reads at once" || random.next() < 0.7) return;
        target.client.pause();
        setImmediate(() => setImmediate(() => target.client.resume()));
      });
      const block = Buffer.alloc(MIB);
      for (let i = 0; i < 24; i++) {
        for (let at = 0; at < MIB; at += 4) block.writeUInt32LE((i * MIB + at) >>> 0, at);
        if (!source.client.write(Buffer.from(block))) await once(source.client, "drain");
      }
      source.client.end();
      await once(target.client, "end");
      assert.equal(arrived.digest("hex"), expected.digest("hex"));
      assert.ok(count.borrowed >= 10, `${count.borrowed} reads were passed on without a copy`);
      for (const { wire, client } of [source, target]) {
        wire.destroy();
        client.destroy();
      }
    });
  }

  it("of a wire that closes while its bytes are still being written arrive too", async () => {
    const loop = new WireLoop({ clock: systemClock, acceptMode: "handle" });
    const [source, target] = [await loopback.accept(loop), await loopback.accept(loop)];
    const [expected, arrived] = [createHash("sha256"), createHash("sha256")];
    target.client.pause();
    // Without back-pressure: the socket holds what the kernel does not take, in buffers that others must not get meanwhile.
    let read = 0;
    target.wire.attach({ onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} });
    const isRead = new Promise<void>((resolve) => {
      source.wire.attach({
        onBytes(bytes, start, end) {
          expected.update(bytes.subarray(start, end));
          writeBytes(target.wire.out, bytes, start, end);
          read += end - start;
          if (read < 16 * MIB) return;
          source.wire.destroy();
          resolve();
        },
        onEnd() {},
        onDrain() {},
        onClose() {},
      });
      source.client.on("error", () => undefined);
      source.client.write(Buffer.alloc(16 * MIB, "abcdefg"));
    });
    await isRead;
    assert.ok(target.wire.out.pendingBytes > 0);
    // Another connection with large reads takes the buffers that are free.
    const other = await loopback.accept(loop);
    let others = 0;
    const isOtherRead = new Promise<void>((resolve) => {
      other.wire.attach({
        onBytes(_bytes, start, end) {
          others += end - start;
          if (others === 8 * MIB) resolve();
        },
        onEnd() {},
        onDrain() {},
        onClose() {},
      });
    });
    other.client.write(Buffer.alloc(8 * MIB, "z"));
    await isOtherRead;
    target.client.on("data", (bytes: Buffer) => arrived.update(bytes));
    target.client.resume();
    target.wire.close();
    await once(target.client, "end");
    assert.equal(arrived.digest("hex"), expected.digest("hex"));
    target.client.end();
    other.wire.destroy();
    other.client.destroy();
  });
});
