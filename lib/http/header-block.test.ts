// Header blocks: reading, changing in place, and leaving the receive buffer.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FIELD_NEVER_INDEXED, HeaderBlock } from "./header-block.ts";

/** Two values that lie in a buffer, the second as a codec of letters turned round. */
function makeRaw(): { block: HeaderBlock; bytes: Buffer } {
  const bytes = Buffer.from("?one-owt?");
  const block = new HeaderBlock();
  block.bytes = bytes;
  block.huffman = (from, start, end) => from.toString("latin1", start, end).split("").toReversed().join("");
  block.add("a", "text");
  block.addRaw("b", 1, 4, 0x100);
  block.addRaw("c", 5, 8, 1 | FIELD_NEVER_INDEXED);
  return { block, bytes };
}

describe("a header block", () => {
  it("keeps raw values through a detach, without making strings of them", () => {
    const { block, bytes } = makeRaw();
    block.detach();
    bytes.fill(0);
    assert.equal(block.knownValueAt(1), undefined);
    assert.deepEqual([block.get("a"), block.get("b"), block.get("c")], ["text", "one", "two"]);
    // What a codec noted about the bytes around is gone, what the value is stays.
    assert.deepEqual(
      [0, 1, 2].map((i) => block.flagsAt(i)),
      [0, 0, 1 | FIELD_NEVER_INDEXED],
    );
    block.detach();
    assert.equal(block.get("b"), "one");
  });

  it("forgets a value's bytes when the value is set", () => {
    const { block } = makeRaw();
    block.set("c", "three");
    assert.equal(block.get("c"), "three");
    assert.equal(block.startAt(2), 0);
    assert.equal(block.flagsAt(2), FIELD_NEVER_INDEXED);
  });

  it("removes fields in place and keeps the order of the others, with their spelling", () => {
    const block = HeaderBlock.of(["a", "1"], ["b", "2"]);
    block.add("c", "3", "C");
    block.add("b", "4");
    assert.ok(block.delete("b"));
    assert.deepEqual([block.length, block.nameAt(1), block.rawNameAt(1), block.rawNameAt(0)], [2, "c", "C", undefined]);
    block.add("d", "5");
    assert.equal(block.rawNameAt(2), undefined);
    assert.ok(!block.delete("x"));
  });

  it("joins values as a matcher sees them, crumbs of cookies with semicolons", () => {
    const block = HeaderBlock.of(["cookie", "a=1"], ["accept", "x"], ["cookie", "b=2"], ["accept", "y"]);
    assert.equal(block.getJoined("cookie"), "a=1; b=2");
    assert.equal(block.getJoined("accept"), "x, y");
  });

  it("says so when bytes are gone", () => {
    const { block } = makeRaw();
    block.bytes = undefined;
    assert.throws(() => block.get("b"), /detach/);
  });
});
