// An HTTP/1 head crosses the mesh hop and comes out with the letters that it had.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { HeaderBlock } from "#lib/http/header-block.ts";

import { ORIG_PROTO, packOrigProto, unpackOrigProto } from "./orig-proto.ts";

const letter = fc.constantFrom(...Array.from("abcXYZ019-_"));
const rawName = fc.string({ unit: letter, minLength: 1, maxLength: 12 });

test("names keep their letters, whatever they are, when each name is written in one way", () => {
  fc.assert(
    fc.property(fc.uniqueArray(rawName, { selector: (name) => name.toLowerCase() }), (names) => {
      const head = HeaderBlock.of([":method", "GET"], [":path", "/"]);
      for (const name of names) head.add(name.toLowerCase(), "v", name);
      packOrigProto(head);
      // HTTP/2 carries lower-case names alone.
      const carried = new HeaderBlock();
      head.forEach((name, value) => carried.add(name, value));
      assert.equal(unpackOrigProto(carried), true);
      assert.equal(carried.has(ORIG_PROTO), false);
      const spelled = names.map((name) => carried.rawNameAt(carried.indexOf(name.toLowerCase())));
      assert.deepEqual(spelled, names);
    }),
  );
});

test("a field that lies about the names changes no name, and a head without it is left alone", () => {
  const lying = HeaderBlock.of([":status", "200"], ["accept", "x"], [ORIG_PROTO, "1.1;Other;;t;=\u0000"]);
  unpackOrigProto(lying);
  assert.deepEqual([lying.rawNameAt(1), lying.nameAt(1)], ["accept", "accept"]);
  assert.equal(unpackOrigProto(HeaderBlock.of([":status", "200"])), false);
});

test("packing twice says it once", () => {
  const head = HeaderBlock.of([":method", "GET"]);
  head.add("accept", "x", "Accept");
  packOrigProto(head);
  packOrigProto(head);
  assert.equal(head.getJoined(ORIG_PROTO), "1.1;t");
});
