// WebSockets over extended CONNECT (RFC 8441), tunnels, and what their ends see.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { ClientDialogue } from "./testing/dialogue.ts";
import { SETTING } from "./settings.ts";
import { settings } from "./testing/frames.ts";
import { fieldsOf, Pair, Recorder } from "./testing/recorder.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const UPGRADE = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/chat"],
  [":authority", "shop"],
  ["connection", "Upgrade"],
  ["upgrade", "websocket"],
  ["sec-websocket-key", KEY],
] as const;
const SWITCH = HeaderBlock.of([":status", "101"], ["connection", "upgrade"], ["upgrade", "websocket"]);
const PING = Buffer.from("ping");

describe("a WebSocket over HTTP/2", () => {
  it("is an upgrade at both ends and bytes both ways", () => {
    const pair = new Pair();
    const asker = pair.open(UPGRADE, false);
    asker.stream.sendData(PING, 0, 4, false);
    pair.run();
    const served = pair.handler.last;
    const head = served.head ?? new HeaderBlock();
    assert.equal(head.get(":method"), "GET");
    assert.equal(head.get("upgrade"), "websocket");
    assert.equal(head.get("sec-websocket-key"), KEY);
    assert.ok(!head.has(":protocol"));
    served.stream.sendHead(SWITCH, false);
    served.stream.sendData(PING, 0, 4, true);
    pair.run();
    assert.equal(served.body, "ping");
    assert.equal(asker.head?.get(":status"), "101");
    // RFC 6455 §1.3's example.
    assert.equal(asker.head?.get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert.equal(asker.body, "ping");
    asker.stream.sendData(PING, 0, 0, true);
    pair.run();
    assert.equal(pair.server.activeStreams, 0);
    assert.equal(pair.client.activeStreams, 0);
  });

  it("may be refused with an ordinary answer", () => {
    const pair = new Pair();
    const asker = pair.open(UPGRADE, false);
    pair.run();
    pair.handler.last.stream.sendHead(HeaderBlock.of([":status", "403"]), true);
    pair.run();
    assert.deepEqual(asker.events, ["head end"]);
    assert.equal(asker.head?.get(":status"), "403");
  });

  it("gets a key for an HTTP/1 server when the peer sent none, and keeps the proof from the peer", () => {
    const pair = new Pair();
    const connect = [[":method", "CONNECT"], [":protocol", "websocket"], ...UPGRADE.slice(1, 4)] as const;
    pair.run();
    const asker = pair.open(connect, false);
    pair.run();
    const key = pair.handler.last.head?.get("sec-websocket-key") ?? "";
    assert.equal(Buffer.from(key, "base64").length, 16);
    const answer = SWITCH.clone();
    answer.add("sec-websocket-accept", "abc");
    pair.handler.last.stream.sendHead(answer, false);
    pair.run();
    assert.deepEqual(fieldsOf(asker.head ?? new HeaderBlock()), [[":status", "200"]]);
  });

  it("waits for the server's SETTINGS, and fails as unprocessed when they do not allow it", () => {
    for (const allowed of [true, false]) {
      const dialogue = new ClientDialogue({}, "silent");
      const recorder = new Recorder(undefined);
      const stream = dialogue.client.open(recorder);
      stream.sendHead(HeaderBlock.of(...UPGRADE), false);
      stream.sendData(PING, 0, 4, false);
      assert.deepEqual(dialogue.answer(), []);
      assert.equal(dialogue.client.activeStreams, 1);
      const answer = dialogue.send(settings(...(allowed ? [[SETTING.ENABLE_CONNECT_PROTOCOL, 1] as const] : [])));
      assert.deepEqual(answer, allowed ? ["SETTINGS ACK", "HEADERS 1", "DATA 1 4"] : ["SETTINGS ACK"]);
      assert.equal(recorder.error?.isUnprocessed, allowed ? undefined : true);
      assert.equal(dialogue.client.activeStreams, allowed ? 1 : 0);
    }
  });

  it("fails in a later turn when the settings are known to forbid it", () => {
    const dialogue = new ClientDialogue();
    const recorder = new Recorder(undefined);
    dialogue.client.open(recorder).sendHead(HeaderBlock.of(...UPGRADE), false);
    assert.deepEqual(recorder.events, []);
    dialogue.clock.advance(0);
    assert.deepEqual(recorder.events, ["reset us stream HTTP_1_1_REQUIRED"]);
  });
});

describe("a tunnel over HTTP/2", () => {
  it("stays CONNECT with its protocol, and half-closes", () => {
    const pair = new Pair();
    const asker = pair.open(
      [
        [":method", "CONNECT"],
        [":protocol", "heddle-tcp"],
        [":scheme", "http"],
        [":path", "/"],
        [":authority", "10.0.0.1:3306"],
      ],
      false,
    );
    pair.run();
    const served = pair.handler.last;
    assert.equal(served.head?.get(":method"), "CONNECT");
    assert.equal(served.head?.get(":protocol"), "heddle-tcp");
    served.stream.sendHead(HeaderBlock.of([":status", "200"]), false);
    asker.stream.sendData(PING, 0, 4, true);
    pair.run();
    assert.deepEqual(served.events, ["head", "end"]);
    served.stream.sendData(PING, 0, 4, true);
    pair.run();
    assert.deepEqual(asker.events, ["head", "end"]);
  });

  it("is plain CONNECT without a protocol", () => {
    const pair = new Pair();
    pair.open(
      [
        [":method", "CONNECT"],
        [":authority", "shop:443"],
      ],
      false,
    );
    pair.run();
    assert.deepEqual(pair.handler.last.fields, [
      [":method", "CONNECT"],
      [":authority", "shop:443"],
    ]);
  });

  it("is not offered where it is not allowed", () => {
    const pair = new Pair({ allowConnect: false });
    pair.run();
    assert.equal(pair.client.allowsConnectProtocol, false);
  });
});
