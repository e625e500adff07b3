import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import * as fc from "fast-check";
import { TOKEN_BUCKET_CELLS, TokenBucket } from "./token-bucket.ts";

const HUNDRED_A_SECOND = { maxTokens: 20, tokensPerFill: 100, fillIntervalMs: 1000 };

function countAllowed(bucket: TokenBucket, fromMs: number, toMs: number, everyMs: number): number {
  let allowed = 0;
  for (let at = fromMs; at <= toMs; at += everyMs) if (bucket.tryTake(at).allowed) allowed++;
  return allowed;
}

test("a full bucket lets the burst through at once, and then one token per 10 ms", () => {
  const bucket = new TokenBucket(HUNDRED_A_SECOND);
  const start = 5_000_000;
  for (let i = 0; i < 20; i++) assert.equal(bucket.tryTake(start).remaining, 19 - i);
  assert.equal(bucket.tryTake(start).allowed, false);
  assert.equal(bucket.tryTake(start + 9.9).allowed, false);
  assert.equal(bucket.tryTake(start + 10.1).allowed, true);
  assert.equal(bucket.tryTake(start + 10.1).allowed, false);
});

test("100 a second with burst 20, asked 1000 times a second for 3 s, lets 320 through", () => {
  const allowed = countAllowed(new TokenBucket(HUNDRED_A_SECOND), 1_000, 4_000, 1);
  assert.ok(allowed >= 319 && allowed <= 320, `${allowed}`);
});

test("a refusal says when the tokens will be there, and when the bucket is full", () => {
  const bucket = new TokenBucket(HUNDRED_A_SECOND);
  for (let i = 0; i < 20; i++) bucket.tryTake(7_000);
  const refused = bucket.tryTake(7_004);
  assert.equal(refused.allowed, false);
  assert.ok(Math.abs(refused.retryAfterMs - 6) < 0.05, `${refused.retryAfterMs}`);
  assert.ok(Math.abs(refused.resetMs - 196) < 0.05, `${refused.resetMs}`);
  assert.equal(bucket.tryTake(7_004 + refused.retryAfterMs + 0.02).allowed, true);
});

test("more tokens than the bucket holds never come", () => {
  assert.equal(new TokenBucket(HUNDRED_A_SECOND).tryTake(1_000, 21).retryAfterMs, Infinity);
});

test("a bucket left alone for months is full, and not more than full", () => {
  const bucket = new TokenBucket({ maxTokens: 5, tokensPerFill: 1_000_000, fillIntervalMs: 1000 });
  let at = 10_000;
  for (const gapMs of [3_600_000, 2 ** 31, 2 ** 32 + 17, 90 * 86_400_000]) {
    for (let i = 0; i < 5; i++) assert.equal(bucket.tryTake(at).allowed, true);
    assert.equal(bucket.tryTake(at).allowed, false);
    at += gapMs;
  }
});

test("a slow bucket does not forget what was taken minutes ago", () => {
  const bucket = new TokenBucket({ maxTokens: 2, tokensPerFill: 1, fillIntervalMs: 3_600_000 });
  assert.equal(bucket.tryTake(1_000).allowed, true);
  assert.equal(bucket.tryTake(1_000).allowed, true);
  assert.equal(bucket.tryTake(1_801_000).allowed, false);
  assert.equal(bucket.tryTake(3_602_000).allowed, true);
});

test("property: in every window no more passes than maxTokens + elapsed * rate, and never less than the ideal bucket gives", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 50, max: 5000 }),
      fc.array(fc.double({ min: 0, max: 40, noNaN: true }), { minLength: 1, maxLength: 300 }),
      (maxTokens, tokensPerFill, fillIntervalMs, gaps) => {
        const bucket = new TokenBucket({ maxTokens, tokensPerFill, fillIntervalMs });
        const rate = tokensPerFill / fillIntervalMs;
        let at = 12_345.678;
        let ideal = maxTokens;
        for (const gap of gaps) {
          at += gap;
          ideal = Math.min(maxTokens, ideal + gap * rate);
          const allowed = bucket.tryTake(at).allowed;
          const slack = 2 / 1024;
          if (allowed) assert.ok(ideal >= 1 - slack, `admitted with ${ideal} tokens`);
          else assert.ok(ideal < 1 + slack, `refused with ${ideal} tokens`);
          if (allowed) ideal -= 1;
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("two threads on the same cells take exactly what is there", async () => {
  const shared = new SharedArrayBuffer(TOKEN_BUCKET_CELLS * 4);
  const body = `
    const { workerData, parentPort } = require("node:worker_threads");
    import(workerData.url).then(({ TokenBucket }) => {
      const bucket = new TokenBucket(workerData.spec, new Int32Array(workerData.shared));
      let taken = 0;
      for (let i = 0; i < 60000; i++) if (bucket.tryTake(50000).allowed) taken++;
      parentPort.postMessage(taken);
    });`;
  const spec = { maxTokens: 70_000, tokensPerFill: 1, fillIntervalMs: 1000 };
  const url = new URL("./token-bucket.ts", import.meta.url).href;
  const take = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(body, { eval: true, workerData: { shared, spec, url } });
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  const [left, right] = await Promise.all([take(), take()]);
  assert.equal(left + right, 70_000);
});

test("a token that is given back in time is as if it had not been taken", () => {
  const step = fc.record({ afterMs: fc.nat(40), takes: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), fc.array(step, { maxLength: 12 }), (before, between) => {
      const [lender, other] = [new TokenBucket(HUNDRED_A_SECOND), new TokenBucket(HUNDRED_A_SECOND)];
      let nowMs = 1000;
      let wasFull = false;
      const take = ({ afterMs, takes }: { afterMs: number; takes: number }): void => {
        nowMs += afterMs;
        wasFull ||= other.peek(nowMs).resetMs === 0;
        for (let i = 0; i < takes; i++) if (lender.tryTake(nowMs).allowed) other.tryTake(nowMs);
      };
      for (const one of before) take(one);
      if (!lender.tryTake(nowMs).allowed) return;
      const untilMs = nowMs + lender.resetMs;
      wasFull = false;
      for (const one of between) take(one);
      if (nowMs >= untilMs || wasFull) return;
      lender.giveBack(nowMs);
      const difference = Math.abs(lender.peek(nowMs).resetMs - other.peek(nowMs).resetMs);
      assert.ok(difference < 0.1, `${difference} ms`);
    }),
  );
});
