// Command operators: what each reads, and what is refused before a request comes.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { HeaderBlock } from "#lib/http/header-block.ts";

import { compileFormat } from "./format.ts";
import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

function run(options: BenchOptions = {}): ExchangeBench {
  const bench = new ExchangeBench(options);
  bench.request("GET", "/a?b", true, ["x-forwarded-for", "192.0.2.7, 192.0.2.8"], ["user-agent", "curl"]);
  return bench;
}

function valueOf(bench: ExchangeBench, format: string): unknown {
  const [exchange] = bench.done;
  assert.ok(exchange !== undefined);
  return compileFormat(format)(exchange);
}

describe("an operator", () => {
  it("reads what Envoy's reads", () => {
    const bench = run({ http: { xffTrustedHops: 1 } });
    bench.clock.advance(3);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"], ["x-a", "1"]), false);
    bench.clock.advance(4);
    bench.attempt.handler?.onData(Buffer.from("body"), 0, 4, true);
    const expected = {
      "%RESPONSE_DURATION%": 3,
      "%RESPONSE_TX_DURATION%": 4,
      "%DURATION%": 7,
      "%BYTES_SENT%": 4,
      "%UPSTREAM_HOST%": "10.0.0.1:80",
      "%UPSTREAM_LOCAL_ADDRESS%": "127.0.0.1:1",
      "%UPSTREAM_CLUSTER%": "backend",
      "%UPSTREAM_TRANSPORT_FAILURE_REASON%": undefined,
      "%DOWNSTREAM_REMOTE_ADDRESS%": "192.0.2.7:0",
      "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%": "192.0.2.7",
      "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%": "127.0.0.1:4000",
      "%DOWNSTREAM_LOCAL_PORT%": 80,
      "%REQ(X-NONE?USER-AGENT):2%": "cu",
      "%RESP(X-A)%": "1",
      "%ROUTE_NAME%": "HTTPRoute shop/test rule 0",
      "%DYNAMIC_METADATA(heddle:config_version)%": "7",
      "%START_TIME%": "1970-01-01T00:16:40.000Z",
      "%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s %%)%": "1970/01/01 00:16:40.000 1000 %",
    };
    for (const [format, value] of Object.entries(expected)) assert.deepEqual(valueOf(bench, format), value, format);
  });

  it("says why no connection came about", () => {
    const bench = run({ onOpen: (attempt) => attempt.fail("connect-failure", "nobody listens") });
    assert.equal(valueOf(bench, "%UPSTREAM_TRANSPORT_FAILURE_REASON%"), "nobody listens");
    assert.equal(valueOf(bench, "%RESPONSE_FLAGS%"), "UF");
  });

  it("writes gRPC statuses in three ways", () => {
    const bench = new ExchangeBench();
    bench.request("POST", "/svc/Method", true, ["content-type", "application/grpc"]);
    bench.attempt.answer(200, undefined, ["grpc-status", "4"]);
    assert.deepEqual(
      ["%GRPC_STATUS%", "%GRPC_STATUS(SNAKE_STRING)%", "%GRPC_STATUS(NUMBER)%", "%GRPC_STATUS_NUMBER%"].map((format) =>
        valueOf(bench, format),
      ),
      ["DeadlineExceeded", "DEADLINE_EXCEEDED", 4, 4],
    );
  });

  it("that is not known, or not with this argument, is refused when the format is read", () => {
    for (const [format, reason] of [
      ["%NO_SUCH%", /%NO_SUCH%: it is not known/],
      ["%RESPONSE_CODE(x)%", /takes no argument/],
      ["%REQ()%", /must name one header/],
      ["%START_TIME(%Q)%", /%Q is not known/],
      ["%GRPC_STATUS(X)%", /CAMEL_STRING/],
      ["%DYNAMIC_METADATA(envoy.lb:x)%", /namespace heddle/],
      ["100 % of it", /a % alone is written %%/],
      ["%req(x)%", /operators are %NAME%/],
    ] as const)
      assert.throws(() => compileFormat(format), reason, format);
  });

  it("that is wrong in a header value refuses the route, not the request", () => {
    const requestHeaders = { set: [{ name: "x-a", value: "%NO_SUCH%" }], add: [], addIfAbsent: [], remove: [] };
    assert.throws(
      () => new ExchangeBench({ route: { requestHeaders } }),
      /route "HTTPRoute shop\/test rule 0" of virtual host "svc": header "x-a": .*%NO_SUCH%/,
    );
  });
});
