import assert from "node:assert/strict";
import { test } from "node:test";

import { randomSecret } from "./random-secret.ts";

test("secrets have the length that was asked for and are not the same twice", () => {
  const secrets = Array.from({ length: 50 }, () => randomSecret(32));
  assert.ok(secrets.every(({ length }) => length === 32));
  assert.equal(new Set(secrets.map((secret) => secret.toString("hex"))).size, 50);
  // Chance makes one of 256 values miss 1,600 bytes in 1 of 500: half of them never do.
  assert.ok(new Set(secrets.flatMap((secret) => [...secret])).size > 128);
});
