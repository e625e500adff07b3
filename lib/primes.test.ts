import assert from "node:assert/strict";
import { test } from "node:test";

import { isPrime, nextPrime } from "./primes.ts";

test("a prime has no divisor but one and itself", () => {
  const numbers = Array.from({ length: 32 }, (_, i) => i);
  assert.deepEqual(numbers.filter(isPrime), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31]);
  assert.deepEqual([65_536, 65_537, 65_539 ** 2, 5_000_011].map(isPrime), [false, true, false, true]);
});

test("a number that is none goes up to the next prime", () => {
  assert.deepEqual([0, 2, 8, 65_536, 65_537, 5_000_000].map(nextPrime), [2, 2, 11, 65_537, 65_537, 5_000_011]);
});
