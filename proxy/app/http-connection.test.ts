// What a filter says to a whole connection holds for each of its requests.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Filter } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { ExchangeBench, WatchedStream } from "#proxy/stream/testing/bench.ts";
import type { Wire } from "#proxy/wire/wire.ts";

import { ConnectionLimits } from "./connection-limits.ts";
import { DownstreamView, HttpConnection } from "./http-connection.ts";

const OFF = {
  idleTimeoutMs: 0,
  requestHeadersTimeoutMs: 0,
  streamIdleTimeoutMs: 0,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
};
const INFO = { remoteAddress: "127.0.0.1", remotePort: 4000, localAddress: "127.0.0.1", localPort: 80, tls: undefined };

/** Two requests on one connection; what was answered to each, and how many were sent on. */
function askTwice(filter: Filter, failureMode: "closed" | "open") {
  const { service, attempts } = new ExchangeBench({
    extraFilters: [filter],
    failureModes: { [filter.name]: failureMode },
  });
  const limits = new ConnectionLimits(new FakeClock(), OFF);
  const view = new DownstreamView({ info: INFO } as Wire, "http1", service.listener, limits); // as: what a view reads
  const connection = new HttpConnection(
    view,
    () => service,
    limits,
    () => undefined,
  );
  const answers = [0, 1].map(() => {
    const stream = new WatchedStream();
    const head = HeaderBlock.of([":method", "GET"], [":scheme", "http"], [":authority", "svc"], [":path", "/a"]);
    connection.onStream(stream).onHead(head, true);
    return stream;
  });
  return { answers, sentOn: attempts.length };
}

describe("a filter that looks at the connection", () => {
  it("and refuses it is asked once, and every request is answered 403 with its reason", () => {
    let asked = 0;
    const filter: Filter = { name: "strict", onConnection: () => (asked++, "not you") };
    for (const { sent, head } of askTwice(filter, "open").answers) {
      assert.equal(sent[0], "head 403");
      assert.match(head?.get("proxy-status") ?? "", /not you/);
    }
    assert.equal(asked, 1);
  });

  const broken: Filter = {
    name: "broken",
    onConnection() {
      throw new Error("boom");
    },
  };

  it("and throws is skipped where it fails open", () => {
    const { answers, sentOn } = askTwice(broken, "open");
    assert.deepEqual([answers.flatMap(({ sent }) => sent), sentOn], [[], 2]);
  });

  it("and throws is answered 500 with the cause where it fails closed", () => {
    for (const { sent, head } of askTwice(broken, "closed").answers) {
      assert.equal(sent[0], "head 500");
      assert.match(head?.get("proxy-status") ?? "", /the filter broken failed: boom/);
    }
  });
});
