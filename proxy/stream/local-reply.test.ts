// Answers of the mesh itself: what they say, to whom, and in which form.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import type { LocalReply } from "#filters/filter.ts";

import { renderReply, withoutDetails, type ReplyContext } from "./local-reply.ts";
import { ExchangeBench } from "./testing/bench.ts";

const REPLY: LocalReply = {
  status: 503,
  flag: "UF",
  code: "upstream_connect_failure",
  proxyStatus: "connection_refused",
  detail: "10.1.2.3:80 refused the connection",
  rule: "TrafficPolicy shop/reviews",
};
const CONTEXT: ReplyContext = {
  requestId: "id-1",
  isGrpc: false,
  isHead: false,
  proxyName: "heddle",
  isTrusted: true,
  endpoint: "10.1.2.3:80",
};

/** Reads an RFC 8941 string that begins behind the given text; throws when it is none. */
function readString(field: string, behind: string): string {
  const text = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(
    field.slice(field.indexOf(behind) + behind.length),
  );
  assert.ok(text, `no RFC 8941 string: ${field}`);
  return (text[1] ?? "").replaceAll(/\\(["\\])/g, "$1");
}

describe("a local reply", () => {
  it("is a problem document with everything for those inside the mesh", () => {
    const { head, body } = renderReply(REPLY, CONTEXT);
    assert.equal(
      head.get("proxy-status"),
      'heddle; error=connection_refused; details="10.1.2.3:80 refused the connection"',
    );
    assert.equal(head.get("content-type"), "application/problem+json");
    assert.equal(head.get("content-length"), String(body.length));
    assert.deepEqual(JSON.parse(body.toString()), {
      type: "https://heddle.dev/errors/upstream_connect_failure",
      status: 503,
      title: "10.1.2.3:80 refused the connection",
      code: "upstream_connect_failure",
      requestId: "id-1",
      rule: "TrafficPolicy shop/reviews",
      endpoint: "10.1.2.3:80",
    });
  });

  it("tells others neither rule nor endpoint, in no form", () => {
    for (const isGrpc of [false, true]) {
      const { head, body } = renderReply(REPLY, { ...CONTEXT, isTrusted: false, isGrpc });
      let all = body.toString();
      head.forEach((name, value) => (all += `${name}: ${value}\n`));
      assert.ok(!all.includes("10.1.2.3") && !all.includes("TrafficPolicy"), all);
      assert.equal(head.get("proxy-status"), "heddle; error=connection_refused");
    }
  });

  it("is trailers-only for gRPC, with the mapped code unless one is given", () => {
    const { head, body } = renderReply(REPLY, { ...CONTEXT, isGrpc: true });
    assert.deepEqual([head.get(":status"), head.get("grpc-status"), body.length], ["200", "14", 0]);
    const own = renderReply({ ...REPLY, grpcStatus: 4 }, { ...CONTEXT, isGrpc: true });
    assert.equal(own.head.get("grpc-status"), "4");
  });

  it("has no body for HEAD, but the length that it would have", () => {
    const { head, body } = renderReply(REPLY, { ...CONTEXT, isHead: true });
    assert.equal(body.length, 0);
    assert.ok(Number(head.get("content-length")) > 0);
  });

  it("quotes whatever a detail and a proxy's name hold", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (detail) => {
        const { head } = renderReply({ ...REPLY, detail }, { ...CONTEXT, proxyName: "a b" });
        const field = head.get("proxy-status") ?? "";
        assert.ok(field.startsWith('"a b"; error='));
        assert.equal(readString(field, "details="), detail.replaceAll(/[^\x20-\x7e]/g, "?"));
        assert.equal(withoutDetails(field), '"a b"; error=connection_refused');
      }),
    );
  });
});

describe("details of hops before this one", () => {
  it("are taken out for a client outside the mesh", () => {
    const upstream = ["proxy-status", 'inner; error=connection_refused; details="10.0.0.1:80, \\"x\\""'] as const;
    const outside = new ExchangeBench({ connection: { direction: "inbound", remoteAddress: "192.0.2.1" } });
    outside.request("GET", "/", true);
    outside.attempt.answer(503, "no", upstream);
    assert.equal(outside.downstream.head?.get("proxy-status"), "inner; error=connection_refused");
    const inside = new ExchangeBench();
    inside.request("GET", "/", true);
    inside.attempt.answer(503, "no", upstream);
    assert.equal(inside.downstream.head?.get("proxy-status"), upstream[1]);
  });
});
