// Who may say where a request came from: `Forwarded` and its relatives, by the rules of x-forwarded-for.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import type { HttpConnectionManager } from "#config/model/listener.ts";

import { formatNode, isForwarded } from "./forwarded.ts";
import { ExchangeBench } from "./testing/bench.ts";

type Pairs = readonly (readonly [string, string])[];

const CLAIMS: Pairs = [
  ["forwarded", 'for=192.0.2.1;proto=https, for="[2001:db8::1]:4711";by=_hidden'],
  ["x-forwarded-host", "bank.example"],
  ["x-forwarded-port", "443"],
  ["x-forwarded-prefix", "/admin"],
];
const EDGE = { useRemoteAddress: true, xffTrustedHops: 0 };
const BEHIND = { useRemoteAddress: true, xffTrustedHops: 1 };
const INSIDE = { useRemoteAddress: false, xffTrustedHops: 0 };

function upstream(http: Partial<HttpConnectionManager>, ...headers: Pairs) {
  const bench = new ExchangeBench({ http });
  bench.request("GET", "/a", true, ...headers);
  const { head } = bench.attempt.stream;
  assert.ok(head);
  return head;
}

describe("Forwarded and x-forwarded-host, -port and -prefix", () => {
  it("are taken from strangers", () => {
    const head = upstream(EDGE, ...CLAIMS, ["x-forwarded-other", "1"], ["forwarded", "for=second"]);
    for (const [name] of CLAIMS) assert.equal(head.has(name), false, name);
    assert.equal(head.get("x-forwarded-other"), "1");
  });

  it("pass untouched inside, and behind trusted proxies", () => {
    for (const http of [INSIDE, BEHIND]) {
      const head = upstream(http, ...CLAIMS);
      for (const [name, value] of CLAIMS) assert.equal(head.getJoined(name), value, name);
    }
  });

  it("get our element where the listener asks for it: behind what is trusted, in place of what is forged", () => {
    const ours = "for=127.0.0.1;host=svc;proto=http";
    const forwarded = "append";
    const theirs = CLAIMS[0]?.[1] ?? "";
    assert.equal(upstream({ ...EDGE, forwarded }, ...CLAIMS).getJoined("forwarded"), ours);
    assert.equal(upstream({ ...INSIDE, forwarded }).getJoined("forwarded"), ours);
    for (const http of [INSIDE, BEHIND]) {
      assert.equal(upstream({ ...http, forwarded }, ...CLAIMS).getJoined("forwarded"), `${theirs}, ${ours}`);
      const twice = upstream({ ...http, forwarded }, ["forwarded", "for=a"], ["forwarded", "for=_b"]);
      assert.equal(twice.getJoined("forwarded"), `for=a, for=_b, ${ours}`);
    }
  });

  it("never stand behind an open quote", () => {
    for (const open of ['for="', 'for=a;x="\\"', "for", "for=a b", 'for=a""', "for=[::1]", "=a", ";", 'for="a" "']) {
      const head = upstream({ ...INSIDE, forwarded: "append" }, ["forwarded", open]);
      assert.equal(head.getJoined("forwarded"), "for=127.0.0.1;host=svc;proto=http", open);
    }
  });
});

describe("an element of Forwarded", () => {
  it("names its node as RFC 7239 writes it", () => {
    for (const [address, node] of [
      ["192.0.2.1", "192.0.2.1"],
      ["2001:db8::1", '"[2001:db8::1]"'],
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["fe80::1%eth0", '"[fe80::1]"'],
      ["", "unknown"],
      ["/run/app.sock", "unknown"],
    ] as const)
      assert.equal(formatNode(address), node);
  });

  it("is read with obfuscated nodes, ports, quotes and several hops, and nothing else is", () => {
    for (const good of [
      "for=_gazonk",
      'For="[2001:db8:cafe::17]:4711"',
      'for="192.0.2.43:_port", for=unknown',
      "for=192.0.2.60;proto=http;by=203.0.113.43",
      'for=a; host="a\\"b;c,d"',
      "for=a,for=b",
      "",
    ])
      assert.ok(isForwarded(good), good);
    const word = fc.stringMatching(/^[a-z_.]{1,4}$/);
    const quoted = fc.string({ unit: fc.constantFrom("a", " ", ",", ";", '\\"', "\\\\"), maxLength: 6 });
    const value = fc.oneof(
      word,
      quoted.map((text) => `"${text}"`),
    );
    const element = fc
      .array(fc.tuple(word, value), { minLength: 1, maxLength: 3 })
      .map((pairs) => pairs.map(([name, text]) => `${name}=${text}`).join(";"));
    const list = fc.array(element, { maxLength: 3 }).map((elements) => elements.join(", "));
    fc.assert(fc.property(list, (text) => isForwarded(text)));
    fc.assert(
      fc.property(list, fc.constantFrom('"', ' x="', ", a b", "==", "@"), (text, end) => !isForwarded(text + end)),
    );
  });

  it("takes linear time to read", () => {
    assert.equal(isForwarded(`for=a${" ".repeat(60_000)}b`), false);
    assert.equal(isForwarded(`for="${"\\".repeat(60_000)}`), false);
    assert.equal(isForwarded(`a=${"b;a=".repeat(15_000)}`), false);
  });
});
