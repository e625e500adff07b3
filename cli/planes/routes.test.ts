// What HTTPRoutes do to requests, through both planes: the cases of Gateway API's mesh conformance, and what it leaves unasked.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { startPlane, startProxy } from "./testing/both-planes.ts";

const root = mkdtempSync(path.join(tmpdir(), "heddle-routes-"));
const closers: (() => unknown)[] = [() => rmSync(root, { recursive: true, force: true })];
const ports = new Map<string, number>();

function portOf(name: string): number {
  return ports.get(name) ?? assert.fail(`no port for ${name}`);
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as net.AddressInfo).port; // as: a TCP server's
}

const toV1 = "{ name: v1, port: 80 }";
const toV2 = "{ name: v2, port: 80 }";
const redirect = (to: string): string => `{ type: RequestRedirect, requestRedirect: ${to} }`;
const rewrite = (to: string): string => `{ type: URLRewrite, urlRewrite: ${to} }`;
const change = "{ set: [{ name: X-Set, value: new }], add: [{ name: X-Add, value: more }], remove: [X-Remove] }";

/** Rules by the service that they are for; each service has a listener of its own. */
const rules: Readonly<Record<string, string>> = {
  matching: `
    - { matches: [{ path: { value: / } }, { headers: [{ name: version, value: one }] }], backendRefs: [${toV1}] }
    - { matches: [{ path: { value: /v2 } }, { headers: [{ name: version, value: two }] }], backendRefs: [${toV2}] }`,
  query: `
    - { matches: [{ queryParams: [{ name: animal, value: whale }] }], backendRefs: [${toV1}] }
    - { matches: [{ queryParams: [{ name: animal, value: dolphin }] }], backendRefs: [${toV2}] }
    - { matches: [{ path: { value: /path1 }, queryParams: [{ name: animal, value: dolphin }] }], backendRefs: [${toV1}] }
    - matches: [{ headers: [{ name: version, value: one }], queryParams: [{ name: animal, value: whale }] }]
      backendRefs: [${toV2}]
    - { matches: [{ path: { value: /path5 } }], backendRefs: [${toV1}] }
    - { matches: [{ queryParams: [{ name: animal, value: hydra }] }], backendRefs: [${toV2}] }`,
  methods: `
    - { matches: [{ method: POST }], backendRefs: [${toV1}] }
    - { matches: [{ method: GET, path: { value: /got } }], backendRefs: [${toV2}] }`,
  redirect: `
    - { matches: [{ path: { value: /status } }], filters: [${redirect("{ statusCode: 308 }")}] }
    - { matches: [{ path: { value: /host } }], filters: [${redirect("{ hostname: example.org }")}] }
    - { matches: [{ path: { value: /port } }], filters: [${redirect("{ hostname: example.org, port: 8083, statusCode: 301 }")}] }
    - { matches: [{ path: { value: /scheme } }], filters: [${redirect("{ scheme: https, hostname: example.org }")}] }
    - matches: [{ path: { value: /prefix } }]
      filters: [${redirect("{ hostname: example.org, path: { type: ReplacePrefixMatch, replacePrefixMatch: /new } }")}]
    - matches: [{ path: { value: /full } }]
      filters: [${redirect("{ hostname: example.org, path: { type: ReplaceFullPath, replaceFullPath: /all } }")}]`,
  rewrite: `
    - matches: [{ path: { value: /prefix/one } }]
      filters: [${rewrite("{ path: { type: ReplacePrefixMatch, replacePrefixMatch: /one } }")}]
      backendRefs: [${toV1}]
    - matches: [{ path: { value: /strip } }]
      filters: [${rewrite("{ path: { type: ReplacePrefixMatch, replacePrefixMatch: / } }")}]
      backendRefs: [${toV1}]
    - matches: [{ path: { value: /full } }]
      filters: [${rewrite("{ hostname: in.example, path: { type: ReplaceFullPath, replaceFullPath: /one } }")}]
      backendRefs: [${toV1}]`,
  headers: `
    - matches: [{ path: { value: /rule } }]
      filters: [{ type: RequestHeaderModifier, requestHeaderModifier: ${change} }]
      backendRefs: [${toV1}]
    - matches: [{ path: { value: /backend } }]
      backendRefs:
        - { name: v1, port: 80, filters: [{ type: RequestHeaderModifier, requestHeaderModifier: ${change} }] }
    - matches: [{ path: { value: /response } }]
      filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: ${change} }]
      backendRefs: [${toV1}]`,
  weights: `
    - { backendRefs: [{ name: v1, port: 80, weight: 70 }, { name: v2, port: 80, weight: 30 }, { name: gone, port: 1, weight: 0 }] }`,
  session: `
    - { sessionPersistence: { sessionName: who }, backendRefs: [{ name: v1, port: 80 }, { name: v2, port: 80 }] }`,
  broken: `
    - { matches: [{ path: { value: /missing } }], backendRefs: [{ name: gone, port: 80 }] }
    - { matches: [{ path: { value: /kind } }], backendRefs: [{ group: x.dev, kind: Thing, name: v1, port: 80 }] }
    - { matches: [{ path: { value: /none } }] }
    - matches: [{ path: { value: /filter } }]
      filters: [{ type: ExtensionRef, extensionRef: { group: x.dev, kind: X, name: x } }]
      backendRefs: [${toV1}]`,
  backends: `
    - matches: [{ path: { value: /a } }]
      backendRefs:
        - { name: v1, port: 80, filters: [${rewrite("{ path: { type: ReplacePrefixMatch, replacePrefixMatch: /one } }")}] }
        - { name: v2, port: 80, filters: [${rewrite("{ path: { type: ReplacePrefixMatch, replacePrefixMatch: /two } }")}] }
        - { name: v2, port: 80, filters: [${redirect("{ hostname: c.example }")}] }`,
  cors: `
    - matches: [{ path: { value: /cors }, method: PUT }]
      filters:
        - type: CORS
          cors: { allowOrigins: ["https://*.a.example"], allowMethods: [PUT], allowHeaders: ["*"], exposeHeaders: [x-b], allowCredentials: true }
      backendRefs: [${toV1}]`,
  empty: `
    - { backendRefs: [{ name: idle, port: 80 }] }`,
};

function makeYaml(): string {
  const services = [...Object.keys(rules), "plain"];
  const entry = (name: string, endpoints: string): string => `---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ${name}, namespace: shop }
spec:
  ports: [{ name: http, port: 80 }]
  endpoints: [${endpoints}]
`;
  const app = (name: string): string => `{ name: ${name}-1, address: 127.0.0.1, ports: { http: ${portOf(name)} } }`;
  const outbound = services.map((name) => `{ service: ${name}, port: http, listen: ${portOf(name)} }`).join(", ");
  const routes = Object.entries(rules).map(
    ([name, list]) => `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name}, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: ${name}, port: 80 }]
  rules: ${list}
`,
  );
  return [
    entry("client", `{ name: client-1, address: 127.0.0.1, sidecar: { outbound: [${outbound}] } }`),
    entry("v1", app("v1")),
    entry("v2", app("v2")),
    entry("idle", ""),
    ...services.map((name) => entry(name, app("v1"))),
    ...routes,
  ].join("");
}

before(async () => {
  for (const name of ["v1", "v2"]) {
    const app = http.createServer((request, response) => {
      response.setHeader("x-set", "old");
      response.setHeader("x-remove", "old");
      response.end(JSON.stringify({ name, url: request.url, headers: request.headers }));
    });
    ports.set(name, await listen(app));
    closers.push(() => app.close().closeAllConnections());
  }
  const held = [...Object.keys(rules), "plain"].map((name) => ({ name, server: net.createServer() }));
  for (const { name, server } of held) ports.set(name, await listen(server));
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  mkdirSync(path.join(root, "mesh"));
  writeFileSync(path.join(root, "mesh", "mesh.yaml"), makeYaml());
  const plane = await startPlane(root);
  closers.push(() => plane.stop());
  const proxy = await startProxy(root, "shop/client-1", plane.xdsPort);
  closers.push(() => proxy.drain());
});

after(async () => {
  for (const close of closers.toReversed()) await close();
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  /** What the application says that it got; the empty object where it was not asked. */
  readonly asked: {
    readonly name?: string;
    readonly url?: string;
    readonly headers?: Readonly<Record<string, string>>;
  };
}

const agent = new http.Agent({ keepAlive: true });
closers.push(() => agent.destroy());

async function ask(
  service: string,
  target: string,
  headers: http.OutgoingHttpHeaders = {},
  method = "GET",
): Promise<Answer> {
  const options = { host: "127.0.0.1", port: portOf(service), path: target, headers: { host: service, ...headers } };
  const request = http.request({ ...options, method, agent }).end();
  const [response] = (await once(request, "response")) as [http.IncomingMessage]; // as: the event's one argument
  let body = "";
  for await (const bytes of response) body += String(bytes);
  const isJson = response.statusCode === 200;
  return {
    status: response.statusCode,
    headers: response.headers,
    asked: isJson && body !== "" ? (JSON.parse(body) as Answer["asked"]) : {}, // as: our own application's
  };
}

/** The name of the application that answered, or the status of who answered in its place. */
async function who(
  service: string,
  target: string,
  headers: http.OutgoingHttpHeaders = {},
  method = "GET",
): Promise<unknown> {
  const { status, asked } = await ask(service, target, headers, method);
  return asked.name ?? status;
}

test("paths and headers choose the backend, the longer prefix first, and a prefix ends at a slash", async () => {
  const v1 = [["/"], ["/example"], ["/", { version: "one" }], ["/v2example"], ["/foo/v2/example"]] as const;
  const v2 = [["/v2"], ["/v2/example"], ["/v2/"], ["/", { version: "two" }]] as const;
  for (const [target, headers] of v1) assert.equal(await who("matching", target, headers), "v1", target);
  for (const [target, headers] of v2) assert.equal(await who("matching", target, headers), "v2", target);
});

test("query parameters choose the backend; what no rule matches is answered 404", async () => {
  assert.equal(await who("query", "/?animal=whale&other=irrelevant"), "v1");
  assert.equal(await who("query", "/?color=yellow&animal=dolphin"), "v2");
  for (const none of ["/", "/?color=blue", "/?animal=whaledolphin", "/?ANIMAL=whale"])
    assert.equal(await who("query", none), 404, none);
  assert.equal(await who("query", "/path1?animal=dolphin"), "v1");
  assert.equal(await who("query", "/?animal=whale", { version: "one" }), "v2");
  assert.equal(await who("query", "/path5?animal=hydra"), "v1");
});

test("methods choose the backend", async () => {
  assert.equal(await who("methods", "/", {}, "POST"), "v1");
  assert.equal(await who("methods", "/got"), "v2");
  assert.equal(await who("methods", "/got", {}, "PUT"), 404);
});

test("redirects change what they name and keep the rest; a default port is left out", async () => {
  const cases = [
    ["/status/a?b=c", 308, "http://redirect/status/a?b=c"],
    ["/host/a", 302, "http://example.org/host/a"],
    ["/port", 301, "http://example.org:8083/port"],
    ["/scheme", 302, "https://example.org/scheme"],
    ["/prefix/lemon?b=c", 302, "http://example.org/new/lemon?b=c"],
    ["/prefix", 302, "http://example.org/new"],
    ["/full/a/b", 302, "http://example.org/all"],
  ] as const;
  for (const [target, status, location] of cases) {
    const answer = await ask("redirect", target);
    assert.deepEqual([answer.status, answer.headers.location], [status, location]);
  }
  const asked = await ask("redirect", "/status", { host: "redirect:8080" });
  assert.equal(asked.headers.location, "http://redirect:8080/status");
});

test("rewrites replace a prefix, strip it, or replace the whole path and the host", async () => {
  const urlOf = async (target: string): Promise<unknown> => (await ask("rewrite", target)).asked.url;
  assert.equal(await urlOf("/prefix/one/two?a=b"), "/one/two?a=b");
  assert.equal(await urlOf("/strip/three"), "/three");
  assert.equal(await urlOf("/strip"), "/");
  const full = await ask("rewrite", "/full/one/two");
  assert.deepEqual([full.asked.url, full.asked.headers?.["host"]], ["/one", "in.example"]);
});

test("headers are changed for a rule, for one backend, and on the way back", async () => {
  for (const target of ["/rule", "/backend"]) {
    const { asked } = await ask("headers", target, { "x-SET": "old", "X-add": "some", "x-remove": "old" });
    assert.equal(asked.headers?.["x-set"], "new", target);
    assert.equal(asked.headers["x-add"]?.replace(" ", ""), "some,more", target);
    assert.ok(!("x-remove" in asked.headers), target);
  }
  const { headers } = await ask("headers", "/response");
  assert.deepEqual([headers["x-set"], headers["x-add"], headers["x-remove"]], ["new", "more", undefined]);
});

test("weights share requests, and a backend of weight 0 need not exist", async () => {
  const counts = { v1: 0, v2: 0 };
  for (let at = 0; at < 200; at++) {
    const name = await who("weights", "/");
    assert.ok(name === "v1" || name === "v2");
    counts[name]++;
  }
  // Six standard deviations.
  assert.ok(Math.abs(counts.v1 - 140) < 40, JSON.stringify(counts));
});

test("what cannot be done is answered 500, and a backend without endpoints 503", async () => {
  for (const target of ["/missing", "/kind", "/none", "/filter"])
    assert.equal(await who("broken", target), 500, target);
  assert.equal(await who("empty", "/"), 503);
});

test("each backend rewrites or redirects its own share", async () => {
  const seen = new Map<string, number>();
  for (let at = 0; at < 120; at++) {
    const { asked, headers } = await ask("backends", "/a/b");
    const what = headers.location ?? `${asked.name} ${asked.url}`;
    seen.set(what, (seen.get(what) ?? 0) + 1);
  }
  assert.deepEqual([...seen.keys()].toSorted(), ["http://c.example/a/b", "v1 /one/b", "v2 /two/b"]);
  // A third each, within six standard deviations.
  for (const [what, count] of seen) assert.ok(Math.abs(count - 40) < 31, `${what}: ${count}`);
});

test("a browser's question is answered by the proxy, and an answer to an allowed origin says so", async () => {
  const origin = "https://shop.a.example";
  const question = { origin, "access-control-request-method": "PUT", "access-control-request-headers": "x-one, x-two" };
  const answer = await ask("cors", "/cors", question, "OPTIONS");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["access-control-allow-origin"], origin);
  assert.equal(answer.headers["access-control-allow-methods"], "PUT");
  assert.equal(answer.headers["access-control-allow-headers"], "x-one, x-two");
  assert.equal(answer.headers["access-control-max-age"], "5");
  const other = await ask("cors", "/cors", { ...question, origin: "https://b.example" }, "OPTIONS");
  assert.deepEqual([other.status, other.headers["access-control-allow-origin"]], [200, undefined]);
  const call = await ask("cors", "/cors", { origin }, "PUT");
  assert.equal(call.asked.name, "v1");
  assert.equal(call.headers["access-control-allow-origin"], origin);
  assert.equal(call.headers["access-control-expose-headers"], "x-b");
  assert.equal(await who("cors", "/cors", { origin }, "OPTIONS"), 404);
});

test("a session stays with its backend, whatever the weights say", async () => {
  const sessions = new Map<unknown, string>();
  while (sessions.size < 2) {
    const { asked, headers } = await ask("session", "/");
    const cookie = headers["set-cookie"]?.[0] ?? assert.fail("no cookie");
    assert.match(cookie, /^who="[\w-]+"; Path=\/; HttpOnly$/);
    sessions.set(asked.name, cookie.split(";")[0] ?? "");
  }
  for (const [name, cookie] of sessions)
    for (let at = 0; at < 20; at++) {
      const { asked, headers } = await ask("session", "/", { cookie });
      assert.deepEqual([asked.name, headers["set-cookie"]], [name, undefined]);
    }
});

test("a service without a route is served as it is", async () => {
  assert.equal(await who("plain", "/anything"), "v1");
});
