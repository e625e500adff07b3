import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import { hasBaggage, readBaggage, removeBaggage, writeBaggage } from "./baggage.ts";

describe("a member of baggage", () => {
  it("is found among others, with blanks and properties around it", () => {
    // The examples of the specification.
    const spec = "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue";
    assert.deepEqual(
      ["key1", "key2", "key3", "key", "value1", "property1", "propertyKey"].map((key) => readBaggage(spec, key)),
      ["value1", "value2", "value3", undefined, undefined, undefined, undefined],
    );
  });

  it("is decoded: percent signs are UTF-8, what is none is replaced, what begins no octet stays", () => {
    for (const [text, value] of [
      ["k=a%20b", "a b"],
      ["k=Am%C3%A9lie", "Amélie"],
      ["k=%FFx", "\uFFFDx"],
      ["k=100%", "100%"],
      ["k=%zz%41", "%zzA"],
      ["k=a=b", "a=b"],
      ["k=", ""],
      ["k=1,k=2", "2"],
    ] as const)
      assert.equal(readBaggage(text, "k"), value, text);
  });

  it("is not found where it is not well-formed, or in another's value", () => {
    for (const text of ["", ",", "k", "k;p=1", "kk=1", "xk=1", "a=k=1", "a=1;k=2", "K=1", "=k"]) {
      assert.equal(readBaggage(text, "k"), undefined, text);
      assert.equal(hasBaggage(text, "k"), false, text);
    }
  });

  it("is written before the others, which stay as they are, and replaces all of its key", () => {
    const before = "a=1;x=%zz , k=old;p, broken, k = older,b=2";
    assert.equal(writeBaggage(before, "k", "a b,c;é%"), "k=a%20b%2Cc%3B%C3%A9%25,a=1;x=%zz,broken,b=2");
    assert.equal(removeBaggage(before, "k"), "a=1;x=%zz,broken,b=2");
    assert.equal(removeBaggage("k=1", "k"), "");
  });

  it("has room within 8192 bytes and 180 members, whole ones", () => {
    const many = Array.from({ length: 300 }, (_, i) => `m${i}=1`).join(",");
    assert.equal(writeBaggage(many, "k", "v")?.split(",").length, 180);
    const long = `a=${"x".repeat(5000)},b=${"y".repeat(5000)}`;
    assert.equal(writeBaggage(long, "k", "v"), `k=v,a=${"x".repeat(5000)}`);
    assert.equal(writeBaggage("", "k", "x".repeat(9000)), undefined);
  });

  it("is read as it was written, whatever else is there", () => {
    const anything = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(anything, anything, (rest, value) => {
        const written = writeBaggage(rest, "heddle.version", value.toWellFormed());
        if (written === undefined) return;
        assert.equal(readBaggage(written, "heddle.version"), value.toWellFormed());
        assert.ok(written.startsWith("heddle.version="));
        assert.equal(hasBaggage(removeBaggage(written, "heddle.version"), "heddle.version"), false);
      }),
    );
  });

  it("is nowhere in what is left when it was removed", () => {
    const part = fc.constantFrom("k", "=", ",", ";", " ", "\t", "k=v", "x", "%41");
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const text = parts.join("");
        const left = removeBaggage(text, "k");
        assert.equal(readBaggage(left, "k"), undefined);
        assert.equal(hasBaggage(text, "k"), readBaggage(text, "k") !== undefined);
      }),
    );
  });

  it("is not made out of what was none, by taking off what is no blank", () => {
    for (const odd of ["\u00A0", "\u000B", "\u000C", "\uFEFF"]) {
      const text = `k=1,${odd}k=forged`;
      assert.equal(readBaggage(removeBaggage(text, "k"), "k"), undefined, JSON.stringify(odd));
      assert.equal(readBaggage(writeBaggage(text, "k", "2") ?? "", "k"), "2", JSON.stringify(odd));
    }
  });

  it("costs time in proportion to the text, whatever is in it", () => {
    for (const hostile of [
      ",".repeat(200_000),
      " ".repeat(200_000),
      "k".repeat(200_000),
      "k=%".repeat(70_000),
      "k= ,".repeat(50_000),
    ]) {
      readBaggage(hostile, "k");
      removeBaggage(hostile, "k");
      writeBaggage(hostile, "k", "v");
    }
  });
});
