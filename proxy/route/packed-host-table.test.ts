// A packed table answers as the table does whose hosts are all there.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import { tryPackRouteTable } from "#config/xds/plain/pack-route-table.ts";
import { encodeResource } from "#config/xds/resource.ts";
import { KNOWN_ENVOY_FILTER, KNOWN_FILTER } from "#config/xds/testing/generators.ts";
import { generators } from "#config/xds/testing/resource-generators.ts";
import type { RouteOverride } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { compileRouteTable } from "#proxy/stream/compile-table.ts";

import type { CompiledRouteTable } from "./route-table.ts";
import { makeHost, makeRoute, makeTable } from "./testing/tables.ts";

const parse = (): RouteOverride => ({ isDisabled: false, config: undefined });
const options = { knownFilters: new Set([KNOWN_FILTER, KNOWN_ENVOY_FILTER]) };

function compileBoth(model: RouteTable): readonly [whole: CompiledRouteTable, packed: CompiledRouteTable] {
  const table = tryPackRouteTable(encodeResource({ kind: "route", model }).value, options);
  assert.ok(table !== undefined);
  // As it comes to a worker.
  return [compileRouteTable(model, parse), compileRouteTable(structuredClone(table.shared), parse)];
}

function ask(table: CompiledRouteTable, authority: string, path: string) {
  const found = table.match(
    HeaderBlock.of([":method", "GET"], [":authority", authority], [":path", path]),
    makeSeededRandom(1),
  );
  if (found === undefined) return undefined;
  // Of what is compiled into functions there is only the configuration to compare.
  const { config, virtualHost, retry, targets, weights } = found;
  return structuredClone({ config, virtualHost, retry, targets, weights });
}

describe("a packed table", () => {
  it("gives every request the route that the whole table gives it", () => {
    fc.assert(
      fc.property(generators.route, fc.array(fc.string()), (model, others) => {
        const routes = [makeRoute("all", { path: { kind: "prefix", value: "/" } })];
        const withAll = (host: VirtualHost): VirtualHost => ({ ...host, routes: [...host.routes, ...routes] });
        const [whole, packed] = compileBoth({ ...model, virtualHosts: model.virtualHosts.map(withAll) });
        const domains = model.virtualHosts.flatMap((host) => host.domains);
        for (const authority of [...domains, ...domains.map((domain) => domain.toUpperCase()), ...others]) {
          assert.equal(packed.hasHost(authority), whole.hasHost(authority));
          for (const path of ["/", "/a/b", "/a?q"])
            assert.deepStrictEqual(ask(packed, authority, path), ask(whole, authority, path));
        }
      }),
      { numRuns: 30 },
    );
  });

  it("prefers an exact domain, then the longest wildcard, then *", () => {
    const domains = ["*", "a.b", "*.b", "*.a.b", "c.*", "c.d:80"];
    const hosts = domains.map((domain) => makeHost(domain, [domain], [makeRoute(domain)]));
    const [whole, packed] = compileBoth(makeTable(hosts));
    for (const authority of ["a.b", "A.B", "x.b", "x.a.b", "c.x", "C.d:80", "c.d", "", "x", "*", "*.b"]) {
      assert.equal(packed.match(headOf(authority), makeSeededRandom(1))?.config.name, nameIn(whole, authority));
    }
  });
});

const headOf = (authority: string): HeaderBlock =>
  HeaderBlock.of([":method", "GET"], [":authority", authority], [":path", "/"]);

const nameIn = (table: CompiledRouteTable, authority: string): string | undefined =>
  table.match(headOf(authority), makeSeededRandom(1))?.config.name;
