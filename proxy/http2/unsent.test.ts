// Requests that a closing server has not got yet, over real sockets: said to be nowhere, they must then reach nobody.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { it } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { CodecWire } from "#proxy/wire/codec-wire.ts";
import { connectWire } from "#proxy/wire/connect.ts";
import type { Wire } from "#proxy/wire/wire.ts";
import { WireLoop } from "#proxy/wire/wire-loop.ts";
import { Http2Client } from "./client.ts";
import { DEFAULT_HTTP2_SETTINGS, SETTING } from "./settings.ts";
import { describeFrames, PREFACE, settings, uint32 } from "./testing/frames.ts";
import { Recorder } from "./testing/recorder.ts";

const POST = [
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "shop"],
  [":path", "/"],
] as const;

it("sends nothing of requests that it calls unprocessed, however many slabs they fill", async () => {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const loop = new WireLoop({ clock: systemClock, acceptMode: "data", lingerMs: 20 });
  const wired = new Promise<Wire>((resolve, reject) => {
    connectWire(
      loop,
      { address: "127.0.0.1", port },
      { timeoutMs: 10_000 },
      { onConnected: resolve, onFailure: reject },
    );
  });
  const [wire, [peer]] = await Promise.all([wired, once(server, "connection") as Promise<[Socket]>]);
  const received: Buffer[] = [];
  peer.on("data", (bytes: Buffer) => received.push(bytes));
  const closed = once(peer, "end");
  const host = new CodecWire(wire, () => undefined);
  const ready = Promise.withResolvers<undefined>();
  const handler = { onAvailable: () => ready.resolve(undefined), onRetired: () => undefined };
  const codec = new Http2Client(host, handler, DEFAULT_HTTP2_SETTINGS, systemClock);
  host.bind(codec);
  peer.write(Buffer.concat([settings([SETTING.INITIAL_WINDOW_SIZE, 1 << 20]), uint32(8, 0, 1 << 20)]));
  await ready.promise;
  while (wire.out.pendingBytes > 0) await new Promise((resolve) => setImmediate(resolve));
  const small = new Recorder(undefined);
  const large = new Recorder(undefined);
  const one = codec.open(small);
  one.sendHead(HeaderBlock.of(...POST), false);
  one.sendData(Buffer.from("pay"), 0, 3, true);
  const other = codec.open(large);
  other.sendHead(HeaderBlock.of(...POST), false);
  other.sendData(Buffer.alloc(200_000), 0, 200_000, false);
  codec.receiveEnd();
  const errors = [small, large].map((recorder) => recorder.error?.isUnprocessed);
  assert.deepEqual(errors, [true, true]);
  await closed;
  peer.destroy();
  server.close();
  const sent = describeFrames(Buffer.concat(received).subarray(PREFACE.length));
  assert.deepEqual(
    sent.filter((line) => /HEADERS|DATA/.test(line)),
    [],
  );
});
