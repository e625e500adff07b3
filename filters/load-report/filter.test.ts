import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { FilterBench } from "../testing/harness.ts";
import { loadReportFilter } from "./filter.ts";
import { ApplicationLoad, LOAD_CELLS } from "./load.ts";

test("rate, errors and the mean of what ran are those of the last second", () => {
  const clock = new FakeClock();
  const load = new ApplicationLoad(clock, new Int32Array(LOAD_CELLS));
  assert.equal(load.report(), "");
  // Ten requests of 50 ms each, one after the other, of which two fail.
  for (let i = 0; i < 10; i++) {
    load.began();
    clock.advance(50);
    load.ended(i < 2);
    clock.advance(50);
  }
  assert.equal(
    load.report(),
    "TEXT rps_fractional=10.000,eps=2.000,application_utilization=0.5000,named_metrics.in_flight=0",
  );
  clock.advance(500);
  assert.match(load.report(), /rps_fractional=10\.000/);
  clock.advance(500);
  assert.equal(load.report(), "", "nothing came in this second");
});

test("a request that runs for long counts while it runs, and all threads count together", () => {
  const clock = new FakeClock();
  const totals = new Int32Array(LOAD_CELLS);
  const [one, other] = [new ApplicationLoad(clock, totals), new ApplicationLoad(clock, totals)];
  one.began();
  other.began();
  clock.advance(2000);
  other.ended(false);
  assert.match(one.report(), /rps_fractional=1\.000,eps=0\.000,application_utilization=2\.0000/);
});

test("only mesh peers are told, and what the mesh answers itself is no load", () => {
  const bench = new FilterBench();
  for (const peerIdentity of ["spiffe://mesh/ns/shop/sa/orders", undefined]) {
    const options = peerIdentity === undefined ? {} : { peerIdentity };
    const filter = bench.make(loadReportFilter, {}, options);
    const run = (reaches: boolean): string | undefined => {
      const exchange = bench.exchange(options);
      const head = HeaderBlock.of([":status", "200"]);
      if (reaches)
        filter.onAttemptStart?.(
          exchange,
          exchange.attempt({ kind: "response", status: 200, grpcStatus: undefined, head }),
          exchange.request,
        );
      bench.clock.advance(600);
      filter.onResponseHead?.(exchange, head, false);
      filter.onDone?.(exchange);
      return head.get("heddle-load-report");
    };
    assert.equal(run(false), undefined);
    run(true);
    const told = run(true);
    if (peerIdentity === undefined) assert.equal(told, undefined);
    else assert.match(told ?? "", /^TEXT rps_fractional=/);
  }
});
