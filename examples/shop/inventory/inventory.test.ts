// The inventory's protocol: the server speaks first, replies come in order, half-close is a good-bye.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import * as fc from "fast-check";
import { startInventory } from "../apps/inventory.ts";
import { makeSettings } from "../kit/settings.ts";
import { InventoryConnection } from "./client.ts";
import { formatReply, LineReader, ReplyReader } from "./protocol.ts";

async function withInventory(work: (port: number) => Promise<void>): Promise<void> {
  const running = await startInventory(makeSettings({ instance: "inventory-1" }));
  await work(running.port);
  await running.close();
}

test("the server greets before the client has said anything", async () => {
  await withInventory(async (port) => {
    const connection = await InventoryConnection.open(`127.0.0.1:${port}`);
    assert.equal(connection.greeting, "inventory-1 stock service ready");
    connection.finish();
    await connection.closed;
  });
});

test("commands sent at once are answered in order, also after the client half-closed", async () => {
  await withInventory(async (port) => {
    const connection = await InventoryConnection.open(`127.0.0.1:${port}`);
    const replies = Promise.all(
      ["RESERVE mug 2", "STOCK mug", "LIST", "HISTORY 5000"].map((command) => connection.ask(command)),
    );
    connection.finish();
    const [reserved, stock, list, history] = await replies;
    await connection.closed;
    assert.equal(reserved?.text, "mug 999998");
    assert.equal(stock?.text, "mug 999998");
    assert.deepEqual(list?.lines, ["mug 999998", "teapot 1000000", "kettle 1000000"]);
    assert.equal(history?.lines.length, 5000);
  });
});

test("a refused command rejects with the server's reason, and the connection goes on", async () => {
  await withInventory(async (port) => {
    const connection = await InventoryConnection.open(`127.0.0.1:${port}`);
    await assert.rejects(connection.ask("STOCK anvil"), /550 no such item anvil/u);
    await assert.rejects(connection.ask("RESERVE mug 2000000"), /552 only 1000000 left/u);
    assert.equal((await connection.ask("QUIT")).code, 221);
    await connection.closed;
  });
});

test("a server that closes down says 421 and ends the connection", async () => {
  const running = await startInventory(makeSettings({ instance: "inventory-1" }));
  const socket = connect(running.port, "127.0.0.1");
  await once(socket, "data");
  const last = once(socket, "data");
  const ended = once(socket, "close");
  await running.close();
  assert.equal(String(await last), "421 closing down\r\n");
  await ended;
});

test("a reply reads back as it was written, wherever the bytes are cut", () => {
  const line = fc.string({ unit: fc.constantFrom("a", "é", " ", "0", "9", "-"), maxLength: 40 });
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 999 }),
      fc.array(line, { minLength: 1, maxLength: 5 }),
      fc.nat(300),
      (code, lines, cut) => {
        const bytes = Buffer.from(formatReply(code, lines), "latin1");
        const lineReader = new LineReader();
        const replyReader = new ReplyReader();
        const parts = [bytes.subarray(0, cut), bytes.subarray(cut)].flatMap((part) => lineReader.push(part));
        const replies = parts.map((part) => replyReader.push(part)).filter((reply) => reply !== undefined);
        assert.deepEqual(replies, [{ code, lines, text: lines.join("\n") }]);
      },
    ),
  );
});

test("a line without end is refused before it fills the memory", () => {
  const reader = new LineReader();
  assert.throws(() => reader.push(Buffer.alloc(2000, "a")), /a line may have 1024 bytes/u);
});
