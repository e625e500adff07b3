import assert from "node:assert/strict";
import { test } from "node:test";
import type { Route } from "#config/model/route.ts";
import { statusOf } from "../status.ts";
import { makeMesh, nodeOf, type TestMesh } from "../testing/make-mesh.ts";

const services = `
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: web, namespace: shop }
spec:
  ports: [{ name: http, port: 80 }]
  endpoints:
    - { name: web-1, address: 127.0.0.1, sidecar: { outbound: [{ service: cart, port: 8080, listen: 19001 }] } }
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: cart, namespace: shop }
spec: { ports: [{ name: http, port: 8080 }], endpoints: [{ name: cart-1, address: 127.0.0.1 }] }
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: other, namespace: far }
spec: { ports: [{ name: http, port: 8080 }], endpoints: [] }
`;

function route(name: string, rules: string, namespace = "shop", kind = "HTTPRoute"): string {
  return `---
apiVersion: gateway.networking.k8s.io/v1
kind: ${kind}
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  parentRefs: [{ group: "", kind: Service, name: cart, namespace: shop }]
  rules: ${rules}
`;
}

const toCart = "backendRefs: [{ name: cart, port: 8080 }]";

function routesOf(mesh: TestMesh): readonly Route[] {
  const table = mesh.source.resourcesFor(nodeOf("shop/web-1"), "heddle")?.routes.get("outbound/shop/cart/8080");
  assert.ok(table);
  return table.virtualHosts[0]?.routes ?? [];
}

function order(yaml: string): readonly string[] {
  return routesOf(makeMesh(services + yaml)).map(({ name }) => name.replace(/^.*rule /, ""));
}

function reasons(mesh: TestMesh): readonly string[] | undefined {
  const told = statusOf(mesh.store.current ?? assert.fail()).find(({ kind }) => kind === "HTTPRoute")?.conditions;
  return told?.filter(({ type }) => type !== "Effective").map(({ type, reason }) => `${type} ${reason}`);
}

test("without a route everything goes to the service itself", () => {
  const [only, ...more] = routesOf(makeMesh(services));
  assert.equal(more.length, 0);
  assert.ok(only?.action.kind === "forward");
  assert.deepEqual(only.action.target, { kind: "cluster", name: "outbound/shop/cart/8080" });
});

test("the most specific match comes first: exact path, longer prefix, method, headers, query", () => {
  const rules = `
  - { name: all, ${toCart} }
  - { name: query, matches: [{ queryParams: [{ name: a, value: b }] }], ${toCart} }
  - { name: header, matches: [{ headers: [{ name: a, value: b }] }], ${toCart} }
  - { name: method, matches: [{ method: GET }], ${toCart} }
  - { name: prefix, matches: [{ path: { value: /a } }], ${toCart} }
  - { name: longer, matches: [{ path: { value: /a/b } }], ${toCart} }
  - { name: exact, matches: [{ path: { type: Exact, value: /a } }], ${toCart} }`;
  assert.deepEqual(order(route("r", rules)), ["exact", "longer", "prefix", "method", "header", "query", "all"]);
});

test("equal matches are tried in the order of route names, then of rules", () => {
  const routes =
    route("b", `[{ name: b1, ${toCart} }, { name: b2, ${toCart} }]`) + route("a", `[{ name: a1, ${toCart} }]`);
  assert.deepEqual(order(routes), ["a1", "b1", "b2"]);
});

test("of equal matches the older route comes first, whatever its name", () => {
  const made = (name: string, time: string) =>
    route(name, `[{ name: ${name}, ${toCart} }]`).replace(
      `name: ${name}, namespace`,
      `creationTimestamp: "${time}", name: ${name}, namespace`,
    );
  const routes =
    made("a", "2026-02-01T00:00:00Z") + made("b", "2026-01-01T10:00:00Z") + made("c", "2026-01-01T09:00:00Z");
  assert.deepEqual(order(routes), ["c", "b", "a"]);
});

test("of header names that differ in case alone the first holds", () => {
  const match = "matches: [{ headers: [{ name: X-A, value: one }, { name: x-a, value: two }] }]";
  const filter =
    "filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-B, value: one }, { name: x-b, value: two }] } }]";
  const [made] = routesOf(makeMesh(services + route("r", `[{ ${match}, ${filter}, ${toCart} }]`)));
  assert.deepEqual(
    made?.match.headers.map(({ name, match: { kind } }) => `${name} ${kind}`),
    ["x-a string"],
  );
  assert.deepEqual(made.requestHeaders.set, [{ name: "x-b", value: "one" }]);
});

test("gRPC methods come before their service, and gRPC before HTTP", () => {
  const grpc = route(
    "g",
    `
  - { name: service, matches: [{ method: { service: shop.Cart } }], ${toCart} }
  - { name: method, matches: [{ method: { service: shop.Cart, method: Get } }], ${toCart} }`,
    "shop",
    "GRPCRoute",
  );
  assert.deepEqual(order(grpc + route("h", `[{ name: http, ${toCart} }]`)), ["method", "service", "http"]);
});

const grant = (name: string, to: string, from = "HTTPRoute", namespace = "shop"): string => `---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: { name: ${name}, namespace: far }
spec: { from: [{ group: gateway.networking.k8s.io, kind: ${from}, namespace: ${namespace} }], to: [${to}] }
`;
const toServices = '{ group: "", kind: Service }';

test("a backend of another namespace needs a grant there, and loses its share with it", () => {
  const refs = "[{ name: other, namespace: far, port: 8080 }, { name: cart, port: 8080 }]";
  const mesh = makeMesh(services + route("r", `[{ backendRefs: ${refs} }]`));
  const targets = (): unknown => {
    const action = routesOf(mesh)[0]?.action;
    return (
      action?.kind === "forward" && action.target.kind === "weighted" && action.target.clusters.map((one) => one.name)
    );
  };
  const refused = ["unresolved/far/other", "outbound/shop/cart/8080"];
  assert.deepEqual(targets(), refused);
  assert.deepEqual(reasons(mesh), ["Accepted Accepted", "ResolvedRefs RefNotPermitted"]);
  mesh.put(grant("kind", toServices, "GRPCRoute") + grant("from", toServices, "HTTPRoute", "far"));
  mesh.put(grant("name", '{ group: "", kind: Service, name: another }') + grant("to", '{ group: "", kind: Secret }'));
  assert.deepEqual(targets(), refused);
  mesh.put(grant("good", '{ group: "", kind: Service, name: other }'));
  assert.deepEqual(targets(), ["outbound/far/other/8080", "outbound/shop/cart/8080"]);
  assert.deepEqual(reasons(mesh), ["Accepted Accepted", "ResolvedRefs ResolvedRefs"]);
  mesh.remove("ReferenceGrant", "good");
  assert.deepEqual(targets(), refused);
});

test("a mirror of another namespace is not sent without a grant, and status says so", () => {
  const filter =
    "filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: other, namespace: far, port: 8080 } } }]";
  const ofBackend = `[{ backendRefs: [{ name: cart, port: 8080, ${filter} }] }]`;
  for (const rules of [`[{ ${filter}, ${toCart} }]`, ofBackend]) {
    const mesh = makeMesh(services + route("r", rules));
    const mirrors = (): unknown => {
      const action = routesOf(mesh)[0]?.action;
      return action?.kind === "forward" && action.mirrors.length;
    };
    assert.equal(mirrors(), 0);
    assert.deepEqual(reasons(mesh), ["Accepted Accepted", "ResolvedRefs RefNotPermitted"]);
    mesh.put(grant("good", toServices));
    assert.equal(mirrors(), 1);
  }
});

test("whether what may not be referred to exists is not told", () => {
  const mesh = makeMesh(services + route("r", "[{ backendRefs: [{ name: gone, namespace: far, port: 8080 }] }]"));
  assert.deepEqual(reasons(mesh), ["Accepted Accepted", "ResolvedRefs RefNotPermitted"]);
});

test("a consumer's route refers to its parent without a grant, and to subsets of it", () => {
  const refs =
    "[{ name: cart, namespace: shop, port: 8080 }, { group: heddle.dev, kind: ServiceSubset, name: v1, namespace: shop }]";
  const subset = `---
apiVersion: heddle.dev/v1alpha1
kind: ServiceSubset
metadata: { name: v1, namespace: shop }
spec: { service: cart, labels: { version: v1 } }
`;
  const mesh = makeMesh(services + subset + route("r", `[{ backendRefs: ${refs} }]`, "far"));
  assert.deepEqual(reasons(mesh), ["Accepted Accepted", "ResolvedRefs ResolvedRefs"]);
  const mixed = route("r", "[{ backendRefs: [{ name: web, namespace: shop, port: 80 }] }]", "far");
  assert.deepEqual(reasons(makeMesh(services + mixed)), ["Accepted Accepted", "ResolvedRefs RefNotPermitted"]);
});

test("a call whose only backend is missing is answered as gRPC's UNAVAILABLE, a request with 500", () => {
  const rules = "[{ backendRefs: [{ name: gone, port: 1 }] }]";
  const [http] = routesOf(makeMesh(services + route("r", rules)));
  assert.ok(http?.action.kind === "direct" && http.action.status === 500);
  const [grpc] = routesOf(makeMesh(services + route("r", rules, "shop", "GRPCRoute")));
  assert.ok(grpc?.action.kind === "direct" && grpc.action.status === 503);
});

test("one missing backend of two keeps its share, which is answered 500", () => {
  const [made] = routesOf(
    makeMesh(services + route("r", `[{ backendRefs: [{ name: cart, port: 8080 }, { name: gone, port: 1 }] }]`)),
  );
  assert.ok(made?.action.kind === "forward" && made.action.target.kind === "weighted");
  assert.equal(made.action.clusterNotFoundStatus, 500);
  assert.deepEqual(
    made.action.target.clusters.map(({ name, weight }) => [name, weight]),
    [
      ["outbound/shop/cart/8080", 1],
      ["unresolved/shop/gone", 1],
    ],
  );
});

test("a filter that is not supported is answered 500 and not skipped", () => {
  const filter = "filters: [{ type: ExtensionRef, extensionRef: { group: x.dev, kind: X, name: x } }]";
  const mesh = makeMesh(services + route("r", `[{ ${filter}, ${toCart} }]`));
  const [made] = routesOf(mesh);
  assert.ok(made?.action.kind === "direct" && made.action.status === 500);
  assert.deepEqual(reasons(mesh), ["Accepted UnsupportedValue", "ResolvedRefs ResolvedRefs"]);
});

test("a filter of one backend that is not there is answered 500 for its share, and status says so", () => {
  const filter = "filters: [{ type: ExtensionRef, extensionRef: { group: x.dev, kind: X, name: x } }]";
  const mesh = makeMesh(services + route("r", `[{ backendRefs: [{ name: cart, port: 8080, ${filter} }] }]`));
  const [made] = routesOf(mesh);
  assert.ok(made?.action.kind === "direct" && made.action.status === 500);
  assert.deepEqual(reasons(mesh), ["Accepted UnsupportedValue", "ResolvedRefs ResolvedRefs"]);
});

test("a route of which some rules are served and some are not is partially invalid", () => {
  const filter = "filters: [{ type: ExtensionRef, extensionRef: { group: x.dev, kind: X, name: x } }]";
  const mesh = makeMesh(
    services + route("r", `[{ matches: [{ path: { value: /a } }], ${filter}, ${toCart} }, { ${toCart} }]`),
  );
  assert.deepEqual(reasons(mesh), [
    "Accepted Accepted",
    "ResolvedRefs ResolvedRefs",
    "PartiallyInvalid UnsupportedValue",
  ]);
  const told = statusOf(mesh.store.current ?? assert.fail()).find(({ kind }) => kind === "HTTPRoute");
  const found = told?.parents[0]?.conditions.find(({ type }) => type === "PartiallyInvalid");
  assert.equal(found?.status, "True");
  assert.match(found.message, /^Dropped Rule: rules\[0\] has the filter ExtensionRef/);
});

test("rules of two routes for one Service come in one order, and what is equal goes to the older", () => {
  const aged = (name: string, day: number, rules: string): string =>
    route(name, rules).replace("metadata: { ", `metadata: { creationTimestamp: "2026-01-0${day}T00:00:00Z", `);
  const rule = (name: string, match: string): string => `{ name: ${name}, matches: [${match}], ${toCart} }`;
  const old = `[${rule("old-any", "{}")}, ${rule("old-a", "{ path: { value: /a } }")}]`;
  const young = `[${rule("young-ab", "{ path: { value: /a/b } }")}, ${rule("young-a", "{ path: { value: /a } }")}, ${rule("young-any", "{}")}]`;
  const wanted = ["young-ab", "old-a", "young-a", "old-any", "young-any"];
  assert.deepEqual(order(aged("z", 1, old) + aged("a", 2, young)), wanted);
  assert.deepEqual(order(aged("a", 2, young) + aged("z", 1, old)), wanted);
  // Of one age, the first by name; of a longer method name, header and parameter counts the greater.
  assert.deepEqual(order(aged("b", 1, old) + aged("a", 1, young)), [
    "young-ab",
    "young-a",
    "old-a",
    "young-any",
    "old-any",
  ]);
});

test("backends with rewrites, redirects or copies of their own become routes that share the requests", () => {
  const rewriting = "filters: [{ type: URLRewrite, urlRewrite: { hostname: a.example } }]";
  const redirecting = "filters: [{ type: RequestRedirect, requestRedirect: { hostname: b.example } }]";
  const copying = "filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: cart, port: 8080 } } }]";
  const changing =
    "filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: a, value: b }] } }]";
  const one = (weight: number, filters: string): string => `{ name: cart, port: 8080, weight: ${weight}, ${filters} }`;
  const refs = [one(1, rewriting), one(1, redirecting), one(0, changing), one(1, copying), one(1, changing)].join(", ");
  const mesh = makeMesh(services + route("r", `[{ backendRefs: [${refs}] }]`));
  const made = routesOf(mesh);
  assert.deepEqual(
    made.map(({ match }) => match.runtimeFraction?.numerator),
    [250_000, 500_000, 750_000, undefined],
  );
  const [rewritten, redirected, copied, changed] = made.map(({ action }) => action);
  assert.ok(rewritten?.kind === "forward" && rewritten.hostRewrite === "a.example");
  assert.ok(redirected?.kind === "redirect" && redirected.host === "b.example");
  assert.ok(copied?.kind === "forward" && copied.mirrors.length === 1);
  assert.ok(changed?.kind === "forward" && changed.target.kind === "weighted" && changed.mirrors.length === 0);
  assert.deepEqual(reasons(mesh), ["Accepted Accepted", "ResolvedRefs ResolvedRefs"]);
});

test("a rule with CORS has Envoy's policy, and a rule for one method takes the browser's question about it", () => {
  const cors = `{ type: CORS, cors: { allowOrigins: ["https://a.example:443", "https://*.b.example"], allowMethods: [PUT], allowCredentials: true, exposeHeaders: [x-a, "*"] } }`;
  const mesh = makeMesh(services + route("r", `[{ matches: [{ method: PUT }], filters: [${cors}], ${toCart} }]`));
  const [rule, question] = routesOf(mesh);
  const policy = {
    allowOriginStringMatch: [
      { exact: "https://a.example", ignoreCase: true },
      { safeRegex: { regex: "(?i)https://[A-Za-z0-9.-]+\\.b\\.example" } },
    ],
    allowMethods: "PUT",
    exposeHeaders: "x-a",
    maxAge: "5",
    allowCredentials: true,
    forwardNotMatchingPreflights: false,
  };
  assert.deepEqual(
    rule?.filterOverrides.map(({ config }) => config),
    [policy],
  );
  assert.deepEqual(question?.filterOverrides, rule.filterOverrides);
  assert.deepEqual(
    question.match.headers.map(({ name }) => name),
    [":method", "access-control-request-method", "origin"],
  );
  assert.deepEqual(reasons(mesh), ["Accepted Accepted", "ResolvedRefs ResolvedRefs"]);
});

function sessionOf(
  dialect: "heddle" | "envoy",
  session: string,
  matches = "[{ path: { value: /a/b } }, { path: { value: /a/c } }]",
): unknown {
  const refs = "[{ name: cart, port: 8080 }, { name: cart, port: 8080, weight: 0 }]";
  const yaml = route("r", `[{ name: one, matches: ${matches}, sessionPersistence: ${session}, backendRefs: ${refs} }]`);
  const table = makeMesh(services + yaml).source.resourcesFor(nodeOf("shop/web-1"), dialect)?.routes;
  const made = table?.get("outbound/shop/cart/8080")?.virtualHosts[0]?.routes[0];
  assert.ok(made?.action.kind === "forward" && made.action.target.kind === "weighted");
  assert.equal(made.action.target.clusters.length, 2, "a backend without weight keeps its sessions");
  const config = made.filterOverrides[0]?.config as { statefulSession?: { sessionState: { typedConfig: object } } }; // as: the translation's
  return config.statefulSession?.sessionState.typedConfig ?? config;
}

test("session persistence is Envoy's filter, and ours where Envoy has no word for it", () => {
  const type = "type.googleapis.com/envoy.extensions.http.stateful_session";
  const cookieOf = (more: object) => ({
    "@type": `${type}.cookie.v3.CookieBasedSessionState`,
    cookie: { name: "s", ...more, path: "/a" },
  });
  const header = { "@type": `${type}.header.v3.HeaderBasedSessionState`, name: "s" };
  const ending = "{ sessionName: s, absoluteTimeout: 1h }";
  const endingHeader = "{ sessionName: s, absoluteTimeout: 1h, type: Header }";
  assert.deepEqual(sessionOf("heddle", "{ sessionName: s }"), cookieOf({}));
  assert.deepEqual(
    sessionOf("heddle", "{ sessionName: s, absoluteTimeout: 1h, cookieConfig: { lifetimeType: Permanent } }"),
    cookieOf({ ttl: "3600s" }),
  );
  assert.deepEqual(sessionOf("heddle", "{ sessionName: s, type: Header }"), header);
  assert.deepEqual(sessionOf("heddle", ending), { cookie: { name: "s", path: "/a" }, absoluteTimeout: "3600s" });
  assert.deepEqual(sessionOf("heddle", endingHeader), { header: "s", absoluteTimeout: "3600s" });
  assert.deepEqual(sessionOf("envoy", ending), cookieOf({ ttl: "3600s" }));
  assert.deepEqual(sessionOf("envoy", endingHeader), header);
  const unnamed = sessionOf("heddle", "{}", "[{ path: { type: RegularExpression, value: /x } }]");
  assert.match(JSON.stringify(unnamed), /"name":"heddle-session-[0-9a-f]{8}","path":"\/"/);
});

test("backends are given turns where a policy asks for them", () => {
  const policy = `---
apiVersion: heddle.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: turns, namespace: shop }
spec: { targetRefs: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: r, sectionName: one }], backends: { choice: smooth } }
`;
  const rules = `[{ name: one, matches: [{ path: { value: /a } }], ${toCart} }, { name: two, ${toCart} }]`;
  const told = routesOf(makeMesh(services + route("r", rules) + policy)).map(({ metadata }) => metadata["heddle"]);
  assert.deepEqual(told, [
    { kind: "HTTPRoute", namespace: "shop", name: "r", rule: "one", weights: "smooth" },
    { kind: "HTTPRoute", namespace: "shop", name: "r", rule: "two" },
  ]);
});

test("status tells the parents that are Services, with their place in the route and its generation", () => {
  const gateway = "{ kind: Gateway, name: edge }";
  const mixed = route("r", `[{ ${toCart} }]`)
    .replace("parentRefs: [", `parentRefs: [${gateway}, `)
    .replace("name: r,", "name: r, generation: 7,");
  const [status] = statusOf(makeMesh(services + mixed).store.current ?? assert.fail());
  assert.equal(status?.observedGeneration, 7);
  assert.deepEqual(
    status.parents.map(({ ref, conditions }) => [ref, conditions.map(({ reason }) => reason)]),
    [[{ group: "", kind: "Service", name: "cart", namespace: "shop" }, ["Accepted", "ResolvedRefs", "NoEffect"]]],
  );
});

test("a route of a Gateway alone has no parents for us, and says so", () => {
  const alone = route("r", `[{ ${toCart} }]`).replace(/parentRefs: .*/, "parentRefs: [{ name: edge }]");
  const [status] = statusOf(makeMesh(services + alone).store.current ?? assert.fail());
  assert.deepEqual(status?.parents, []);
  assert.equal(status.conditions[0]?.reason, "NoMatchingParent");
});

function rewrite(to: string): Route | undefined {
  const filter = `{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: "${to}" } } }`;
  const rules = `[{ matches: [{ path: { value: /a/ } }], filters: [${filter}], ${toCart} }]`;
  return routesOf(makeMesh(services + route("r", rules)))[0];
}

test("rewrites replace whole prefixes", () => {
  const kept = rewrite("/b/");
  assert.deepEqual(kept?.match.path, { kind: "pathSeparatedPrefix", value: "/a" });
  assert.ok(kept?.action.kind === "forward" && kept.action.prefixRewrite === "/b");
  const root = rewrite("/");
  assert.ok(root?.action.kind === "forward");
  assert.deepEqual(root.action.regexRewrite, { pattern: "^/a/*", substitution: "/" });
});

test("a percent sign in a header value is text, not an operator", () => {
  const filter = `filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-Off, value: "50%" }] } }]`;
  const [made] = routesOf(makeMesh(services + route("r", `[{ ${filter}, ${toCart} }]`)));
  assert.deepEqual(made?.requestHeaders.set, [{ name: "x-off", value: "50%%" }]);
});

test("a route of another namespace is for clients of that namespace alone", () => {
  const consumer = route("mine", `[{ backendRefs: [{ name: other, port: 8080 }] }]`, "far");
  const mesh = makeMesh(services + consumer);
  assert.equal(routesOf(mesh)[0]?.name, "Service shop/cart");
  mesh.put(`
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: client, namespace: far }
spec:
  ports: [{ name: http, port: 81 }]
  endpoints: [{ name: client-1, address: 127.0.0.1, sidecar: { outbound: [{ service: shop/cart, port: http, listen: 19002 }] } }]`);
  const table = mesh.source.resourcesFor(nodeOf("far/client-1"), "heddle")?.routes.get("outbound/shop/cart/8080");
  assert.equal(table?.virtualHosts[0]?.routes[0]?.name, "HTTPRoute far/mine rule 0");
});
