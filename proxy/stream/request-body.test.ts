// Credit for request bytes: never before they went on, and all of it in the end, whatever happens in between.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import { HeaderBlock } from "#lib/http/header-block.ts";

import { ReplayBudget, RequestBody } from "./request-body.ts";
import { WatchedStream } from "./testing/bench.ts";

type Step =
  | { readonly kind: "data"; readonly size: number }
  | { readonly kind: "attach" | "detach" | "drain" | "hold" | "resume" | "stopReplay" }
  | { readonly kind: "fill"; readonly isFull: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("data" as const), size: fc.integer({ min: 0, max: 40 }) }),
  fc.record({ kind: fc.constant("fill" as const), isFull: fc.boolean() }),
  fc.record({ kind: fc.constantFrom("attach", "detach", "drain", "hold", "resume", "stopReplay") }),
);
const ending = fc.constantFrom("data", "trailers", "none");

describe("a request's body", () => {
  it("credits no byte twice nor before it came, and every byte when it is over", () => {
    fc.assert(
      fc.property(fc.array(step), ending, fc.boolean(), fc.boolean(), (steps, end, isReplayable, isSmall) => {
        const budget = new ReplayBudget(isSmall ? 50 : 1000, 100);
        const downstream = new WatchedStream();
        const body = new RequestBody(downstream, budget);
        if (isReplayable) body.allowReplay();
        let upstream: WatchedStream | undefined;
        let received = 0;
        for (const now of steps) {
          switch (now.kind) {
            case "data":
              received += now.size;
              body.receive(Buffer.alloc(now.size), 0, now.size, false);
              break;
            case "attach":
              body.detachUpstream();
              body.attach((upstream = new WatchedStream()));
              break;
            case "detach":
              body.detachUpstream();
              break;
            case "drain":
              body.onUpstreamDrain();
              break;
            case "hold":
              body.hold();
              break;
            case "resume":
              body.resume();
              break;
            case "stopReplay":
              body.stopReplay();
              break;
            case "fill":
              if (upstream !== undefined) upstream.isFull = now.isFull;
              break;
            default:
              now satisfies never;
          }
          assert.ok(downstream.credited <= received, `${downstream.credited} of ${received}`);
        }
        if (end === "data") body.receive(Buffer.alloc(0), 0, 0, true);
        else if (end === "trailers") body.receiveTrailers(HeaderBlock.of(["grpc-status", "0"]));
        body.dispose();
        assert.equal(downstream.credited, received);
        assert.equal(budget.usedBytes, 0);
      }),
      { numRuns: 300 },
    );
  });

  it("gives each attempt the same bytes in the same order, with one end", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "grapheme-ascii", maxLength: 9 })),
        fc.nat(),
        fc.boolean(),
        (texts, cut, hasTrailers) => {
          const body = new RequestBody(new WatchedStream(), new ReplayBudget());
          body.allowReplay();
          const first = new WatchedStream();
          const second = new WatchedStream();
          body.attach(first);
          const at = texts.length === 0 ? 0 : cut % texts.length;
          for (const [i, text] of texts.entries()) {
            if (i === at) {
              body.detachUpstream();
              body.attach(second);
            }
            const bytes = Buffer.from(text);
            body.receive(bytes, 0, bytes.length, false);
          }
          if (texts.length === 0) body.attach(second);
          if (hasTrailers) body.receiveTrailers(HeaderBlock.of(["grpc-status", "0"]));
          else body.receive(Buffer.alloc(0), 0, 0, true);
          const sent = second.sent.map((line) => line.replace(/^data /, "")).join("");
          assert.equal(sent, `${texts.join("")}${hasTrailers ? "trailers 0" : " end"}`);
          assert.equal(body.isSent, true);
        },
      ),
    );
  });

  it("is kept too where it came before anybody could know that it must be, within the same budget", () => {
    for (const [size, isKept] of [
      [50, true],
      [51, false],
    ] as const) {
      const budget = new ReplayBudget(50, 1000);
      const body = new RequestBody(new WatchedStream(), budget);
      body.receive(Buffer.alloc(size), 0, size, true);
      body.allowReplay();
      body.attach(new WatchedStream());
      assert.equal(body.canReplay, isKept);
      body.dispose();
      assert.equal(budget.usedBytes, 0);
    }
  });

  it("shares what may be kept among all requests", () => {
    const budget = new ReplayBudget(100, 150);
    const bodies = [0, 1].map(() => {
      const body = new RequestBody(new WatchedStream(), budget);
      body.allowReplay();
      body.attach(new WatchedStream());
      body.receive(Buffer.alloc(90), 0, 90, false);
      return body;
    });
    assert.deepEqual(
      bodies.map((body) => body.canReplay),
      [true, false],
    );
    assert.equal(budget.usedBytes, 90);
    for (const body of bodies) body.dispose();
    assert.equal(budget.usedBytes, 0);
  });
});
