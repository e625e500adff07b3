import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import {
  DOUBTFUL_COUNT,
  ENDING_COUNT,
  ENDING_IDLE,
  PeerLifetime,
  PeerLifetimes,
  UNTRIED,
  UNPROVEN_IDLE,
  USABLE,
} from "./peer-lifetime.ts";

/** For a request that may be sent again, on a connection that has served a hundred. */
function judgeSafe(lifetime: PeerLifetime, idleMs: number, requests = 100): number {
  return lifetime.judge(idleMs, requests, Infinity, true);
}

/** For a request that must not be lost, after an answer that came at once. */
function judgeCareful(lifetime: PeerLifetime, idleMs: number, requests = 1): number {
  return lifetime.judgeCareful(idleMs, idleMs, requests, Infinity, true);
}

describe("what is known of how long a peer keeps idle connections", () => {
  it("is nothing at first: a request that may be sent again takes any, another only what was idle for a moment", () => {
    const lifetime = new PeerLifetime();
    lifetime.seenServing(1);
    assert.equal(judgeSafe(lifetime, 3_600_000), USABLE);
    assert.equal(judgeCareful(lifetime, 20), USABLE);
    assert.equal(judgeCareful(lifetime, 1000), UNPROVEN_IDLE);
    assert.equal(judgeCareful(lifetime, 1000, 0), USABLE, "nothing was sent on it yet");
  });

  it("is proven by a connection that is open after a longer time", () => {
    const lifetime = new PeerLifetime();
    lifetime.seenServing(1);
    lifetime.seenOpen(4000, 1);
    assert.equal(judgeCareful(lifetime, 2000), UNTRIED);
    lifetime.seenServing(1, 1900);
    assert.equal(judgeCareful(lifetime, 1900), USABLE);
    assert.equal(judgeCareful(lifetime, 2000), UNTRIED);
    assert.equal(judgeCareful(lifetime, 2100), UNPROVEN_IDLE);
  });

  for (const [name, closesAtMs] of [
    ["gunicorn", 2000],
    ["node:http", 5000],
    ["nginx", 75_000],
    ["Go", 120_000],
  ] as const) {
    it(`one close of ${name} after ${closesAtMs} ms keeps every request out of the time before it`, () => {
      const lifetime = new PeerLifetime();
      lifetime.seenServing(1);
      lifetime.closed(closesAtMs, 7, true, 0);
      lifetime.seenOpen(closesAtMs - 1, 7);
      const marginMs = Math.min(closesAtMs / 4, 2000);
      assert.equal(judgeSafe(lifetime, closesAtMs - marginMs - 1), USABLE);
      assert.equal(judgeSafe(lifetime, closesAtMs - marginMs), ENDING_IDLE);
      assert.equal(judgeSafe(lifetime, closesAtMs * 3), ENDING_IDLE);
      assert.equal(judgeCareful(lifetime, closesAtMs / 2 - 1), UNTRIED);
      lifetime.seenServing(1, closesAtMs / 2);
      assert.equal(judgeCareful(lifetime, closesAtMs / 2 - 1), USABLE);
      assert.equal(judgeCareful(lifetime, closesAtMs - marginMs - 1), UNPROVEN_IDLE);
    });
  }

  it("is the least that was seen, and what the peer says itself where that is less", () => {
    const lifetime = new PeerLifetime();
    lifetime.closed(1040, 1, true, 0);
    lifetime.closed(960, 1, true, 10);
    lifetime.closed(1000, 1, true, 20);
    assert.equal(lifetime.closesAtMs, 960);
    assert.equal(lifetime.judge(500, 1, 400, true), ENDING_IDLE);
  });

  it("is given up when three connections outlive it, and the next time only when six do", () => {
    const lifetime = new PeerLifetime();
    lifetime.closed(1000, 1, true, 0);
    lifetime.outlived(2900);
    for (let i = 0; i < 2; i++) lifetime.outlived(3100);
    assert.equal(lifetime.closesAtMs, 1000);
    lifetime.outlived(3100);
    assert.equal(lifetime.closesAtMs, Infinity);
    lifetime.closed(1000, 1, true, 0);
    for (let i = 0; i < 5; i++) lifetime.outlived(3100);
    assert.equal(lifetime.closesAtMs, 1000);
    lifetime.outlived(3100);
    assert.equal(lifetime.closesAtMs, Infinity);
  });

  it("is not given up when one closes in time among those that outlive it: two servers behind one address", () => {
    const lifetime = new PeerLifetime();
    lifetime.closed(1000, 1, true, 0);
    for (let i = 0; i < 20; i++) {
      lifetime.outlived(5000);
      lifetime.outlived(5000);
      lifetime.closed(1010, 1, true, i);
    }
    assert.equal(lifetime.closesAtMs, 1000);
  });

  it("moves up to the later closes of a peer that was restarted with more", () => {
    const lifetime = new PeerLifetime();
    lifetime.closed(300, 1, true, 0);
    for (let i = 0; i < 3; i++) lifetime.closed(5000, 1, true, i);
    assert.equal(lifetime.closesAtMs, 5000);
  });

  it("is forgotten when nothing has confirmed it for ten minutes", () => {
    const lifetime = new PeerLifetime();
    lifetime.closed(5000, 1, true, 0);
    lifetime.closed(5100, 1, true, 300_000);
    lifetime.forgetOld(899_000);
    assert.equal(lifetime.closesAtMs, 5000);
    lifetime.forgetOld(901_000);
    assert.equal(lifetime.closesAtMs, Infinity);
  });
});

describe("how long a connection may have been idle for its peer", () => {
  /** It closes after 1 s, and requests are answered up to its end. */
  function closingAfterOne(): PeerLifetime {
    const lifetime = new PeerLifetime();
    lifetime.closed(1000, 1, true, 0);
    lifetime.seenOpen(999, 1);
    lifetime.seenServing(1, 999);
    return lifetime;
  }
  const careful = (lifetime: PeerLifetime, idleMs: number, sentMs: number, announcedMs = Infinity): number =>
    lifetime.judgeCareful(idleMs, sentMs, 1, announcedMs, true);

  it("counts from the request that was sent last: its answer may lie unread for long", () => {
    const lifetime = closingAfterOne();
    assert.equal(careful(lifetime, 10, 480), USABLE);
    assert.equal(careful(lifetime, 10, 500), UNPROVEN_IDLE);
    assert.equal(lifetime.judge(10, 1, Infinity, true), USABLE, "what may be sent again needs no such care");
  });

  it("is no proof: a time is proven only from the end of the answer on", () => {
    const lifetime = new PeerLifetime();
    lifetime.seenServing(1, 5000);
    lifetime.seenOpen(1000, 1);
    assert.equal(careful(lifetime, 10, 500), USABLE);
    assert.equal(careful(lifetime, 10, 501), UNPROVEN_IDLE);
  });

  it("holds against the peer's own word too", () => {
    const lifetime = new PeerLifetime();
    lifetime.seenServing(1);
    assert.equal(careful(lifetime, 10, 2999, 5000), USABLE);
    assert.equal(careful(lifetime, 1500, 3000, 5000), UNPROVEN_IDLE);
    assert.equal(lifetime.judge(3999, 1, 5000, true), USABLE);
    assert.equal(lifetime.judge(4000, 1, 5000, true), ENDING_IDLE);
  });

  it("is two seconds more than we saw at most: an answer that takes a minute does not end reuse", () => {
    const lifetime = new PeerLifetime();
    lifetime.closed(5000, 1, true, 0);
    lifetime.seenOpen(4999, 1);
    lifetime.seenServing(1, 4999);
    assert.equal(careful(lifetime, 499, 60_000), USABLE);
    assert.equal(careful(lifetime, 1000, 60_000), UNPROVEN_IDLE);
    assert.equal(careful(lifetime, 2400, 2450), USABLE, "an answer that came at once is used for longer");
  });

  it("property: wherever in between the peer's clock began, a request that it reads within half its time is in time", () => {
    const ms = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 4000 }),
        ms(2000),
        ms(4000),
        share,
        share,
        (endMs, readMs, idleMs, a, b) => {
          const lifetime = new PeerLifetime();
          lifetime.closed(endMs, 1, true, 0);
          lifetime.seenOpen(endMs - 1, 1);
          lifetime.seenServing(1, endMs);
          // The last request was sent at 0, and the end of its answer read at `readMs`.
          const begunMs = readMs * a;
          const standsStillMs = (endMs / 2) * b;
          const fit = careful(lifetime, idleMs, readMs + idleMs);
          assert.ok(fit !== USABLE || readMs + idleMs + standsStillMs < begunMs + endMs);
        },
      ),
    );
  });
});

describe("what is known of how many requests a peer serves on a connection", () => {
  it("is tried by one request at a time of those that must not be lost", () => {
    const lifetime = new PeerLifetime();
    lifetime.seenServing(3);
    assert.equal(judgeCareful(lifetime, 0, 3), USABLE);
    assert.equal(judgeCareful(lifetime, 0, 4), UNTRIED);
    assert.equal(judgeSafe(lifetime, 0, 4), USABLE);
    lifetime.startTrial(0);
    assert.equal(lifetime.isTrying(10), true);
    assert.equal(lifetime.isTrying(1001), false, "a peer that counts closes at once");
    lifetime.startTrial(0);
    lifetime.endTrial();
    assert.equal(lifetime.isTrying(10), false);
  });

  it("is suspected after one close right behind an answer: the others go elsewhere", () => {
    const lifetime = new PeerLifetime();
    lifetime.seenServing(9);
    lifetime.closed(2, 10, true, 0);
    assert.equal(judgeCareful(lifetime, 0, 9), USABLE);
    assert.equal(judgeCareful(lifetime, 0, 10), DOUBTFUL_COUNT);
    assert.equal(judgeSafe(lifetime, 0, 10), USABLE);
  });

  it("is certain after a second one later, for ten minutes", () => {
    const lifetime = new PeerLifetime();
    lifetime.closed(2, 10, true, 0);
    lifetime.closed(2, 10, true, 500);
    assert.equal(lifetime.limitRequests, Infinity, "a restart closes many at the same count");
    lifetime.closed(2, 10, true, 1500);
    assert.equal(lifetime.limitRequests, 10);
    assert.equal(judgeSafe(lifetime, 0, 10), ENDING_COUNT);
    lifetime.forgetOld(700_000);
    assert.equal(judgeSafe(lifetime, 0, 10), USABLE);
    assert.equal(judgeCareful(lifetime, 0, 10), DOUBTFUL_COUNT);
  });

  it("is no suspicion any more when one is used, or idle, beyond it", () => {
    const used = new PeerLifetime();
    used.closed(2, 10, true, 0);
    used.seenServing(10);
    assert.equal(judgeCareful(used, 0, 10), USABLE);
    const idle = new PeerLifetime();
    idle.closed(2, 10, true, 0);
    idle.seenOpen(600, 12);
    assert.equal(judgeCareful(idle, 0, 12), USABLE);
  });

  it("does not matter to a peer that serves thousands, or with HTTP/2, which says when it ends", () => {
    const lifetime = new PeerLifetime();
    assert.equal(judgeCareful(lifetime, 0, 1000), USABLE);
    lifetime.closed(2, 10, false, 0);
    assert.equal(lifetime.judgeCareful(0, 0, 10, Infinity, false), USABLE);
  });
});

it("property: after a close no request goes within the margin before any close seen since the last change of mind", () => {
  const event = fc.record({
    kind: fc.constantFrom("closed", "open", "outlived"),
    idleMs: fc.integer({ min: 100, max: 20_000 }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const lifetime = new PeerLifetime();
      lifetime.seenServing(1);
      for (const [i, { kind, idleMs }] of events.entries()) {
        if (kind === "closed") lifetime.closed(idleMs, 1, true, i);
        else if (kind === "open") lifetime.seenOpen(idleMs, 1);
        else lifetime.outlived(idleMs);
        const { closesAtMs } = lifetime;
        if (closesAtMs === Infinity) continue;
        const margin = Math.min(closesAtMs / 4, 2000);
        assert.equal(judgeCareful(lifetime, closesAtMs - margin), ENDING_IDLE);
        assert.equal(judgeSafe(lifetime, closesAtMs - margin, 1), ENDING_IDLE);
        if (kind === "closed" && idleMs <= closesAtMs * 2) assert.ok(closesAtMs <= idleMs);
      }
    }),
  );
});

it("what was learned is kept by endpoint, the least recently asked for forgotten first", () => {
  const all = new PeerLifetimes();
  const first = all.get("10.0.0.1:80/http1");
  const second = all.get("10.0.0.2:80/http1");
  for (let i = 0; i < 4095; i++) {
    all.get(`10.1.0.${i}:80/http1`);
    assert.equal(all.get("10.0.0.1:80/http1"), first);
  }
  assert.notEqual(all.get("10.0.0.2:80/http1"), second);
});
