import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import type { HeaderMatcher, QueryMatcher } from "../../model/matcher.ts";
import type {
  HeaderMutations,
  RetryPolicy,
  Route,
  RouteAction,
  RouteScope,
  RouteTable,
  VirtualHost,
} from "../../model/route.ts";
import type { DecodeOptions } from "../issues.ts";
import { decodeResource, encodeResource } from "../resource.ts";
import { KNOWN_ENVOY_FILTER, KNOWN_FILTER } from "../testing/generators.ts";
import { generators } from "../testing/resource-generators.ts";
import { ROUTE_TYPE_URL, VIRTUAL_HOST_TYPE_URL } from "../type-urls.ts";
import { tryPackRouteTable } from "./pack-route-table.ts";
import { HostReader } from "./packed-hosts.ts";
import { tryReadPlainHost } from "./plain-host.ts";
import { PlainReader } from "./plain-reader.ts";

const options: DecodeOptions = { knownFilters: new Set([KNOWN_FILTER, KNOWN_ENVOY_FILTER]) };

function readPlain(bytes: Uint8Array): unknown {
  return tryReadPlainHost(new PlainReader(Buffer.from(bytes)), 0, bytes.length);
}

/** What the whole decoder makes of it; `undefined` when it refuses it. */
function readWhole(typeUrl: string, bytes: Uint8Array): unknown {
  try {
    return decodeResource(typeUrl, bytes, options).model;
  } catch {
    return undefined;
  }
}

const NONE = { set: [], add: [], addIfAbsent: [], remove: [] };
const NO_HOST: VirtualHost = {
  name: "host",
  domains: [],
  routes: [],
  retry: undefined,
  requestHeaders: NONE,
  responseHeaders: NONE,
  filterOverrides: [],
};

/** The same without what is never plain. */
function simplify(host: VirtualHost): VirtualHost {
  return {
    name: host.name,
    domains: host.domains,
    ...simpleScope(host),
    retry: host.retry && simpleRetry(host.retry),
    routes: host.routes.map(simpleRoute),
  };
}

function simpleRoute(route: Route): Route {
  const { match } = route;
  return {
    ...route,
    ...simpleScope(route),
    match: {
      ...match,
      path: match.path.kind === "regex" ? { kind: "path", value: "/" } : match.path,
      headers: match.headers.filter(isSimple),
      query: match.query.filter(isSimple),
      runtimeFraction: undefined,
    },
    action: simpleAction(route.action),
  };
}

function simpleAction(action: RouteAction): RouteAction {
  if (action.kind === "redirect") return action.path?.kind === "regex" ? { ...action, path: undefined } : action;
  if (action.kind === "direct") return action;
  const { hostRewriteFrom: _, ...plain } = action;
  const { target, retry } = action;
  return {
    ...plain,
    target:
      target.kind === "weighted"
        ? { kind: "weighted", clusters: target.clusters.map((cluster) => ({ ...cluster, ...simpleScope(cluster) })) }
        : target,
    retry: retry && simpleRetry(retry),
    grpcTimeoutOffsetMs: 0,
    hedgeOnPerTryTimeout: undefined,
    hashPolicy: [],
    mirrors: [],
    regexRewrite: undefined,
  };
}

function simpleRetry(retry: RetryPolicy): RetryPolicy {
  const { retriableHeaders, rateLimitedBackoff } = retry;
  const isInSeconds = rateLimitedBackoff?.resetHeaders.every(({ format }) => format === "seconds") === true;
  return {
    ...retry,
    retriableHeaders: retriableHeaders.filter(isSimple),
    retriableRequestHeaders: [],
    omitHosts: [],
    rateLimitedBackoff: isInSeconds && rateLimitedBackoff?.maxMs !== 300_000 ? rateLimitedBackoff : undefined,
  };
}

function isSimple({ match }: HeaderMatcher | QueryMatcher): boolean {
  return match.kind === "present" || (match.kind === "string" && match.matcher.kind !== "regex");
}

function simpleScope({ requestHeaders, responseHeaders }: RouteScope): RouteScope {
  return {
    requestHeaders: simpleMutations(requestHeaders),
    responseHeaders: simpleMutations(responseHeaders),
    filterOverrides: [],
  };
}

function simpleMutations({ set, add, addIfAbsent, remove }: HeaderMutations): HeaderMutations {
  const simple = (headers: HeaderMutations["set"]) => headers.filter(({ value }) => !value.includes("%"));
  return { set: simple(set), add: simple(add), addIfAbsent: simple(addIfAbsent), remove };
}

const simpleHost = generators.virtualHost.map(simplify);
/** Some plain, some not. */
const anyHost = fc.oneof(simpleHost, generators.virtualHost);

const bytesOf = (model: VirtualHost): Uint8Array => encodeResource({ kind: "virtualHost", model }).value;

describe("a plain virtual host", () => {
  it("is read as the whole decoder reads it", () => {
    fc.assert(
      fc.property(simpleHost, (model) => {
        const bytes = bytesOf(model);
        assert.deepStrictEqual(readPlain(bytes), readWhole(VIRTUAL_HOST_TYPE_URL, bytes));
      }),
      { numRuns: 100 },
    );
  });

  it("is one that always compiles", () => {
    fc.assert(
      fc.property(anyHost, (model) => {
        const host = readPlain(bytesOf(model));
        assert.ok(host === undefined || !/"kind":"regex"|%/.test(JSON.stringify(host)));
      }),
      { numRuns: 30 },
    );
  });

  it("whose bytes were changed is read as the whole decoder reads it, or not at all", () => {
    const byte = fc.oneof(fc.constantFrom(0, 1, 2, 0x0a, 0x12, 0x25, 0x2a, 0x7f, 0xff), fc.nat(255));
    let read = 0;
    fc.assert(
      fc.property(
        simpleHost,
        fc.array(fc.tuple(fc.nat(), byte), { maxLength: 3 }),
        fc.nat(2),
        (model, changes, cut) => {
          const bytes = Buffer.from(bytesOf(model));
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          const changed = bytes.subarray(0, bytes.length - cut);
          const host = readPlain(changed);
          if (host === undefined) return;
          read++;
          assert.deepStrictEqual(host, readWhole(VIRTUAL_HOST_TYPE_URL, changed));
        },
      ),
      { numRuns: 200 },
    );
    assert.ok(read > 10, `${read} of 200 could still be read`);
  });

  it("of two messages, one after the other, is read as their merger or not at all", () => {
    fc.assert(
      fc.property(simpleHost, simpleHost, (first, second) => {
        const bytes = Buffer.concat([bytesOf(first), bytesOf(second)]);
        const host = readPlain(bytes);
        if (host !== undefined) assert.deepStrictEqual(host, readWhole(VIRTUAL_HOST_TYPE_URL, bytes));
      }),
      { numRuns: 30 },
    );
  });
});

/** Hosts with names and domains of their own. */
const table: fc.Arbitrary<RouteTable> = fc
  .tuple(generators.route, fc.array(anyHost, { maxLength: 6 }))
  .map(([model, hosts]) => ({
    ...model,
    virtualHosts: hosts.map((host, index) => ({
      ...host,
      name: `host-${index}`,
      domains: host.domains.map((domain, at) => (at === 2 ? `*.${domain}.${index}` : `${domain}.${index}`)),
    })),
  }));

const packOf = (model: RouteTable, before?: RouteTable) =>
  tryPackRouteTable(encodeResource({ kind: "route", model }).value, options, before);

describe("a packed route table", () => {
  it("has the hosts that the whole decoder reads", () => {
    fc.assert(
      fc.property(table, (model) => {
        const { value } = encodeResource({ kind: "route", model });
        assert.deepStrictEqual(packOf(model)?.toJSON(), readWhole(ROUTE_TYPE_URL, value));
      }),
      { numRuns: 30 },
    );
  });

  it("finds each host by each of its exact domains, in any case, and by nothing else", () => {
    fc.assert(
      fc.property(table, (model) => {
        const packed = packOf(model)?.shared.packed;
        assert.ok(packed !== undefined);
        const reader = new HostReader(packed);
        for (const [index, host] of model.virtualHosts.entries())
          for (const domain of host.domains)
            for (const spelt of [domain, domain.toUpperCase()])
              assert.equal(reader.find(spelt), domain.includes("*") ? -1 : index);
        for (const other of ["", "host-0", "a.9", "\u0141.0"]) assert.equal(reader.find(other), -1);
      }),
      { numRuns: 30 },
    );
  });

  it("takes over from the version before whatever stayed the same, wherever it stands", () => {
    fc.assert(
      fc.property(table, fc.nat(), fc.array(anyHost, { maxLength: 2 }), (model, turn, added) => {
        const before = packOf(model);
        const hosts = [...model.virtualHosts];
        const moved = hosts.splice(turn % (hosts.length + 1), 1);
        const news = added.map((host, index) => ({ ...host, name: `new-${index}`, domains: [`new-${index}`] }));
        const next = { ...model, virtualHosts: [...news, ...hosts, ...moved] };
        const packed = packOf(next, before);
        assert.deepStrictEqual(packed?.toJSON(), packOf(next)?.toJSON());
        const notPlain = new Set(before?.shared.packed.others.values());
        for (const host of packed?.shared.packed.others.values() ?? [])
          assert.ok(host.name.startsWith("new-") ? packed?.unproven.includes(host) : notPlain.has(host));
        assert.ok(packed?.unproven.every(({ name }) => name.startsWith("new-")));
      }),
      { numRuns: 30 },
    );
  });

  it("is left to the whole decoder, which says why, where two hosts claim a domain, or bytes are no message", () => {
    const host = simplify({ ...NO_HOST, domains: ["a.b"] });
    const model: RouteTable = { ...NO_HOST, name: "t", onDemand: false, virtualHosts: [host] };
    assert.ok(packOf(model) !== undefined);
    for (const domain of ["A.b", "*.c", "\u212a"]) {
      const other = { ...host, name: "other", domains: ["*.C", domain] };
      assert.equal(packOf({ ...model, virtualHosts: [host, other] }) === undefined, true, domain);
    }
    for (const bytes of [
      [0x12],
      [0x12, 0x05, 0x0a],
      [0x12, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0x0b],
      [0x12, 0x02, 0x0b, 0x00],
    ])
      assert.equal(tryPackRouteTable(Buffer.from(bytes), options), undefined);
  });
});
