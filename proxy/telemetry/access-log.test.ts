// Log lines in real files.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { silentLog, type Log } from "#lib/log.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { TextBuffer } from "#lib/text-buffer.ts";
import type { HttpExchange } from "#proxy/stream/exchange.ts";
import { ExchangeBench } from "#proxy/stream/testing/bench.ts";

import { compileAccessLog, LineFile, type LineMaker } from "./access-log.ts";

let folder = "";
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-log-"));
});
after(() => fs.rmSync(folder, { recursive: true }));

/** Waits until the file holds so many bytes. */
async function contentsOf(file: string, bytes: number): Promise<string> {
  for (;;) {
    const text = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
    if (text.length >= bytes) return text;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function lineBy(makeLine: LineMaker, exchange: HttpExchange): string {
  const out = new TextBuffer();
  makeLine(exchange, out);
  return out.bytes.toString();
}

describe("a log file", () => {
  it("is appended to, in batches, in order", async () => {
    const file = path.join(folder, "batches.log");
    fs.writeFileSync(file, "before\n");
    const clock = new FakeClock();
    const log = new LineFile(file, clock, silentLog);
    log.write("one\n");
    log.write("two\n");
    assert.equal(fs.readFileSync(file, "utf8"), "before\n");
    clock.advance(100);
    assert.equal(await contentsOf(file, 15), "before\none\ntwo\n");
  });

  it("is written without waiting when much has come, and wholly when the process ends", async () => {
    const file = path.join(folder, "much.log");
    const log = new LineFile(file, new FakeClock(), silentLog);
    const line = `${"x".repeat(999)}\n`;
    for (let i = 0; i < 70; i++) log.write(line);
    await contentsOf(file, 66_000);
    log.closeNow();
    assert.equal(fs.readFileSync(file, "utf8"), line.repeat(70));
  });

  it("that cannot be opened is said once a batch, and nothing is thrown", () => {
    const said: string[] = [];
    const log: Log = { ...silentLog, warn: (message) => void said.push(message) };
    const clock = new FakeClock();
    const file = new LineFile(path.join(folder, "none", "x.log"), clock, log);
    file.write("lost\n");
    clock.advance(100);
    file.write("lost\n");
    file.closeNow();
    assert.deepEqual(said, ["the access log cannot be written", "the access log cannot be written"]);
  });

  it("holds one line per request as its format says, and a wrong format is refused before", async () => {
    const bench = new ExchangeBench();
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "body");
    const [exchange] = bench.done;
    assert.ok(exchange);
    const json = compileAccessLog({ path: "", format: { kind: "json", fields: { code: "%RESPONSE_CODE%" } } });
    assert.equal(lineBy(json, exchange), '{"code":200}\n');
    const text = compileAccessLog({ path: "", format: { kind: "text", format: "%REQ(:PATH)% %RESPONSE_CODE%\n" } });
    assert.equal(lineBy(text, exchange), "/a 200\n");
    assert.throws(() => compileAccessLog({ path: "", format: { kind: "text", format: "%NO_SUCH%" } }), /NO_SUCH/);
  });
});
