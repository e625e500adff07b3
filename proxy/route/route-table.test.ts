// Which route a request gets, and which of a route's destinations.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import type { Route, RouteMatch } from "#config/model/route.ts";
import type { RouteOverride } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { backendKey } from "#lib/session-key.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";

import { chooseTarget, CompiledRouteTable } from "./route-table.ts";
import { makeHost, makeRoute, makeTable, NO_SCOPE } from "./testing/tables.ts";

const random = makeSeededRandom(11);
const clock = new FakeClock();
const parse = (): RouteOverride => ({ isDisabled: false, config: undefined });

function compile(routes: readonly Route[], domains: readonly string[] = ["*"]): CompiledRouteTable {
  return new CompiledRouteTable(makeTable([makeHost("host", domains, routes)]), parse);
}

function ask(
  table: CompiledRouteTable,
  path: string,
  ...headers: readonly (readonly [string, string])[]
): string | undefined {
  const head = HeaderBlock.of([":method", "GET"], [":authority", "svc"], [":path", path], ...headers);
  return table.match(head, random)?.config.name;
}

describe("a path", () => {
  const cases: readonly (readonly [RouteMatch["path"], readonly string[], readonly string[]])[] = [
    [{ kind: "prefix", value: "/a" }, ["/a", "/ab", "/a/b", "/a?q"], ["/", "/b/a", "/A"]],
    [{ kind: "prefix", value: "/" }, ["/", "/x", "*"], [""]],
    [{ kind: "path", value: "/a" }, ["/a", "/a?q=1", "/a#f"], ["/a/", "/ab", "/b?/a"]],
    [{ kind: "pathSeparatedPrefix", value: "/a" }, ["/a", "/a/", "/a/b", "/a?q"], ["/ab", "/"]],
    [{ kind: "regex", value: "/[0-9]+" }, ["/42", "/42?q=x"], ["/42/x", "/x42", "/"]],
  ];
  for (const [path, yes, no] of cases) {
    it(`is matched by ${path.kind} ${path.kind === "connect" ? "" : path.value}`, () => {
      const table = compile([makeRoute("found", { path })]);
      for (const one of yes) assert.equal(ask(table, one), "found", one);
      for (const one of no) assert.equal(ask(table, one), undefined, one);
    });
  }

  it("is matched without regard to letters where the route says so", () => {
    for (const kind of ["prefix", "path", "pathSeparatedPrefix"] as const) {
      const table = compile([makeRoute("found", { path: { kind, value: "/Ab" }, caseSensitive: false })]);
      assert.equal(ask(table, "/aB"), "found", kind);
    }
  });

  it("of CONNECT is matched by its own kind alone", () => {
    const table = compile([makeRoute("connect", { path: { kind: "connect" } })]);
    assert.equal(
      table.match(HeaderBlock.of([":method", "CONNECT"], [":authority", "svc:1"]), random)?.config.name,
      "connect",
    );
    assert.equal(ask(table, "/"), undefined);
  });
});

describe("a table", () => {
  it("takes the first route that matches wholly", () => {
    const matcher = { kind: "exact", value: "v2", ignoreCase: false } as const;
    const version = {
      name: "version",
      match: { kind: "string", matcher },
      invert: false,
      missingAsEmpty: false,
    } as const;
    const query = [{ name: "beta", match: { kind: "present", present: true } }] as const;
    const table = compile([
      makeRoute("both", { headers: [version], query }),
      makeRoute("v2", { headers: [version] }),
      makeRoute("beta", { query }),
      makeRoute("grpc", { grpcOnly: true }),
      makeRoute("rest"),
    ]);
    assert.equal(ask(table, "/?beta", ["version", "v2"]), "both");
    assert.equal(ask(table, "/", ["version", "v2"]), "v2");
    assert.equal(ask(table, "/?x&beta=1", ["version", "v1"]), "beta");
    assert.equal(ask(table, "/", ["content-type", "application/grpc+proto"]), "grpc");
    assert.equal(ask(table, "/beta"), "rest");
  });

  it("has no route for a host that is not there", () => {
    assert.equal(ask(compile([makeRoute("x")], ["other"]), "/"), undefined);
  });

  it("matches a share of the requests", () => {
    const table = compile([
      makeRoute("some", { runtimeFraction: { numerator: 30, denominator: 100 } }),
      makeRoute("rest"),
    ]);
    let hits = 0;
    for (let i = 0; i < 10_000; i++) if (ask(table, "/") === "some") hits++;
    // 4 sigma of a binomial with n = 10,000, p = 0.3.
    assert.ok(Math.abs(hits - 3000) <= 4 * Math.sqrt(10_000 * 0.3 * 0.7), `${hits}`);
  });

  it("names the route that does not compile", () => {
    assert.throws(
      () => compile([makeRoute("bad", { path: { kind: "regex", value: "(" } })]),
      /Cannot compile route "bad" of virtual host "host": /,
    );
  });

  it("never throws, whatever a client asks for", () => {
    const table = new CompiledRouteTable(
      makeTable([
        makeHost(
          "a",
          ["a", "*.b", "c.*"],
          [
            makeRoute("regex", { path: { kind: "regex", value: "/x.*" } }),
            makeRoute("query", {
              query: [{ name: "q", match: { kind: "string", matcher: { kind: "regex", value: ".*" } } }],
            }),
            makeRoute("separated", { path: { kind: "pathSeparatedPrefix", value: "/y" }, caseSensitive: false }),
          ],
        ),
        makeHost("any", ["*"], [makeRoute("rest")]),
      ]),
      parse,
    );
    const text = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(text, text, text, (authority, path, query) => {
        table.match(
          HeaderBlock.of([":method", "GET"], [":authority", authority], [":path", `${path}?${query}`]),
          random,
        );
        table.match(HeaderBlock.of([":method", "GET"], [":authority", authority], [":path", path]), random);
      }),
    );
    assert.equal(table.match(new HeaderBlock(), random), undefined);
  });
});

function weightedRoute(weights: readonly number[], more: Partial<Route> = {}): Route {
  const clusters = weights.map((weight, i) => ({
    ...NO_SCOPE,
    name: `c${i}`,
    weight,
    subset: {},
    hostRewrite: undefined,
  }));
  return { ...makeRoute("canary", {}, { target: { kind: "weighted", clusters } }), ...more };
}

/** What `count` requests choose. */
function choices(route: Route, count: number, bind?: string): readonly (string | undefined)[] {
  const override = { filter: "session", typeUrl: "", config: null, disabled: false };
  const table = new CompiledRouteTable(
    makeTable([makeHost("host", ["*"], [bind === undefined ? route : { ...route, filterOverrides: [override] }])]),
    () => ({ isDisabled: false, config: undefined, bind: () => bind }),
  );
  const head = HeaderBlock.of([":method", "GET"], [":authority", "svc"], [":path", "/"]);
  const compiled = table.match(head, random) ?? assert.fail();
  return Array.from({ length: count }, () => chooseTarget(compiled, head, random, clock)?.cluster);
}

describe("turns in place of draws", () => {
  it("are given where the route's metadata asks for them, exactly by weight", () => {
    const seen = choices(weightedRoute([7, 0, 3], { metadata: { heddle: { weights: "smooth" } } }), 100);
    assert.equal(seen.filter((name) => name === "c0").length, 70);
    assert.equal(seen.filter((name) => name === "c2").length, 30);
  });
});

describe("a request that a filter binds to a cluster", () => {
  it("goes there, whatever the weights say, and where they say nothing", () => {
    for (const name of ["c0", "c1", "c2"])
      assert.deepEqual(choices(weightedRoute([98, 0, 2]), 20, backendKey(name, {})), Array(20).fill(name));
  });

  it("is drawn as all others when the route has no such cluster", () => {
    const seen = new Set(choices(weightedRoute([50, 50]), 60, backendKey("gone", {})));
    assert.deepEqual(seen, new Set(["c0", "c1"]));
  });
});

describe("weighted destinations", () => {
  it("get their shares within 4 sigma, and weight 0 gets nothing", () => {
    const weights = [90, 0, 9, 1];
    const clusters = weights.map((weight, i) => ({
      ...NO_SCOPE,
      name: `c${i}`,
      weight,
      subset: {},
      hostRewrite: undefined,
    }));
    const table = compile([makeRoute("canary", {}, { target: { kind: "weighted", clusters } })]);
    const head = HeaderBlock.of([":method", "GET"], [":authority", "svc"], [":path", "/"]);
    const route = table.match(head, random);
    assert.ok(route);
    const n = 20_000;
    const seen = new Map<string, number>();
    for (let i = 0; i < n; i++) {
      const name = chooseTarget(route, head, random, clock)?.cluster ?? "none";
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    for (const [i, weight] of weights.entries()) {
      const p = weight / 100;
      const got = seen.get(`c${i}`) ?? 0;
      assert.ok(Math.abs(got - n * p) <= 4 * Math.sqrt(n * p * (1 - p)), `c${i}: ${got}`);
    }
  });

  it("take what the most specific scope says of a filter", () => {
    const override = (typeUrl: string) => [{ filter: "f", typeUrl, config: {}, disabled: false }];
    const clusters = [
      { ...NO_SCOPE, name: "own", weight: 1, subset: {}, hostRewrite: undefined, filterOverrides: override("cluster") },
      { ...NO_SCOPE, name: "plain", weight: 1, subset: {}, hostRewrite: undefined },
    ];
    const route = {
      ...makeRoute("r", {}, { target: { kind: "weighted", clusters } }),
      filterOverrides: override("route"),
    };
    const host = { ...makeHost("h", ["*"], [route]), filterOverrides: override("host") };
    const table = new CompiledRouteTable(makeTable([host]), ({ typeUrl }) => ({ isDisabled: false, config: typeUrl }));
    const found = table.match(HeaderBlock.of([":method", "GET"], [":authority", "svc"], [":path", "/"]), random);
    assert.deepEqual(
      found?.targets.map(({ overrides }) => overrides.get("f")?.config),
      ["cluster", "route"],
    );
  });
});
