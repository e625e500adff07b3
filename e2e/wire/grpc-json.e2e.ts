// JSON to a real gRPC service through Heddle and through Envoy: the same configuration, the same requests, the same answers.
import assert from "node:assert/strict";
import http from "node:http";
import { it, type TestContext } from "node:test";

import { DESCRIPTORS, SERVICE, startBookstore, TITLES } from "./bookstore.ts";
import { ask, exampleOf, startBoth, type Asked, type Both } from "./both.ts";
import { atEnd } from "./cleanup.ts";
import { cluster, httpListener, Proxy, type HttpListener } from "./proxy.ts";

const EXTENSIONS = "type.googleapis.com/envoy.extensions.filters.http";

function listener(name: string, options: object, services = [SERVICE], target = "app"): HttpListener {
  const transcoder = { "@type": `${EXTENSIONS}.grpc_json_transcoder.v3.GrpcJsonTranscoder` };
  const filters = [
    {
      name: "envoy.filters.http.grpc_json_transcoder",
      typed_config: { ...transcoder, proto_descriptor: DESCRIPTORS, services, ...options },
    },
    { name: "envoy.filters.http.router", typed_config: { "@type": `${EXTENSIONS}.router.v3.Router` } },
  ];
  return httpListener(name, target, "HTTP1", undefined, { http_filters: filters });
}

const PRINTED = {
  add_whitespace: true,
  always_print_primitive_fields: true,
  always_print_enums_as_ints: true,
  preserve_proto_field_names: true,
};

async function start(t: TestContext): Promise<Both> {
  const app = await startBookstore();
  atEnd(t, () => app.stop());
  return startBoth(t, {
    listeners: [
      listener("plain", {}),
      listener("printed", { convert_grpc_status: true, auto_mapping: true, print_options: PRINTED }),
      listener("strict", {
        request_validation_options: {
          reject_unknown_method: true,
          reject_unknown_query_parameters: true,
          reject_binding_body_field_collisions: true,
        },
        print_options: { stream_newline_delimited: true },
        max_request_body_size: 100,
      }),
      listener("loose", {
        print_options: { stream_sse_style_delimited: true },
        ignore_unknown_query_parameters: true,
        url_unescape_spec: "ALL_CHARACTERS",
        query_param_unescape_plus: true,
        match_unregistered_custom_verb: true,
      }),
      listener("kept", { match_incoming_request_route: true }),
    ],
    clusters: [cluster("app", app.port, "http2")],
  });
}

const BOOK = {
  title: "t",
  pages: "12",
  kind: "COMIC",
  published: "2020-01-01T00:00:00Z",
  readingTime: "3.5s",
  stock: { a: 1 },
  extra: { x: [1, null, { y: "z" }] },
  hash: "AQI=",
  authors: ["a", "b"],
  subtitle: "s",
  euros: 1.25,
};

/** Listener, method, path, body: to the letter the same answer of both. */
const SAME: readonly (readonly [listener: string, method: string, path: string, body?: string])[] = [
  ["plain", "GET", "/v1/shelves"],
  ["plain", "GET", "/v1/shelves/"],
  [
    "plain",
    "GET",
    "/v1/shelves?page_size=3&pageToken=a%20b+c&tags=x&tags=y&filter.query=q&filter.years=1&filter.years=2&filter.inner.query=z",
  ],
  ["plain", "GET", "/v1/shelves?all=1&kind=COMIC&limit=5&since=2020-01-02T03:04:05Z&offset=9007199254740993&score=1.5"],
  ["plain", "GET", "/v1/shelves?kind=2&all=false&page_token&page_token=a&page_token=b"],
  ["plain", "GET", "/v1/shelves?unknown=1"],
  ["plain", "GET", "/v1/shelves?filter.query.x=b"],
  ["loose", "GET", "/v1/shelves?unknown=1&page_token=a+b"],
  ["plain", "GET", "/v1/nope"],
  ["plain", "GET", "/v1//shelves"],
  ["plain", "GET", "/v1/shelves/a%2Fb%20c"],
  ["loose", "GET", "/v1/shelves/a%2Fb%20c"],
  ["plain", "GET", "/v1/shelves/%zz"],
  ["plain", "GET", "/v1/shelf-by-name/a%2Fb%20c"],
  ["plain", "PURGE", "/v1/shelves/7"],
  ["plain", "GET", "/v1/shelves/2:other"],
  ["plain", "GET", "/v1/shelves/2:publish"],
  ["loose", "GET", "/v1/shelves/2:other"],
  ["plain", "POST", "/v1/shelves/1/books/2:publish", "{}"],
  ["plain", "POST", "/v1/shelves/1/books/2:other", "{}"],
  ["plain", "GET", "/v1/files/a/b/c%2Fd%20e"],
  ["loose", "GET", "/v1/files/a/b/c%2Fd%20e"],
  ["plain", "GET", "/v1/files"],
  ["kept", "GET", "/v1/shelves/7"],
  ["printed", "GET", "/v1/shelves/none"],
  ["printed", "GET", "/v1/shelves/denied"],
  ["printed", "GET", "/v1/shelves?kind=NOVEL"],
  ["plain", "POST", "/v1/shelves?request_id=r1", '{"theme":"T"}'],
  ["plain", "POST", "/v1/shelves", ""],
  ["plain", "POST", "/v1/shelves", '{"nope":"5"}'],
  ["plain", "PUT", "/v1/shelves/1/books/2", JSON.stringify(BOOK)],
  ["printed", "PUT", "/v1/shelves/1/books/2", JSON.stringify({ title: "t", reading_time: "3.5s", kind: 2, pages: 12 })],
  ["plain", "PATCH", "/v1/shelves/1/books/2", ""],
  ["printed", "DELETE", "/v1/shelves/1/books/2?force=true"],
  ["plain", "GET", "/v1/shelves/1/books?count=2"],
  ["plain", "GET", "/v1/shelves/1/books"],
  ["plain", "GET", "/v1/shelves/1/books?count=2&fail_after=1"],
  ["plain", "GET", "/v1/shelves/1/books?count=0&fail_after=1"],
  ["printed", "GET", "/v1/shelves/1/books?count=0&fail_after=1"],
  ["printed", "GET", "/v1/shelves/1/books?count=2"],
  ["strict", "GET", "/v1/shelves/1/books?count=2"],
  ["loose", "GET", "/v1/shelves/1/books?count=2"],
  ["plain", "POST", "/v1/books:import", '[{"name":"a"}, {"name":"b,]\\"}"} ]'],
  ["plain", "POST", "/v1/books:import", "[]"],
  ["plain", "POST", "/v1/books:echo?title=z", '[{"name":"a"},{"name":"b"}]'],
  ["plain", "GET", "/v1/covers/1"],
  ["plain", "GET", "/v1/streamed-covers/1"],
  ["plain", "PUT", "/v1/covers/1", "any bytes"],
  ["printed", "POST", `/${SERVICE}/Unmapped`, '{"title":"u"}'],
  ["plain", "POST", `/${SERVICE}/Unmapped`, '{"title":"u"}'],
];

/** The same status; the words are each one's own. */
const REFUSED: readonly (readonly [status: number, listener: string, method: string, path: string, body?: string])[] = [
  [400, "plain", "GET", "/v1/shelves?page_size=abc"],
  [400, "plain", "GET", "/v1/shelves?kind=NOPE"],
  [400, "plain", "GET", "/v1/shelves?filter=1"],
  [400, "plain", "GET", "/v1/shelves?since=nonsense"],
  [400, "plain", "GET", "/v1/shelves?offset=99999999999999999999"],
  [400, "strict", "GET", "/v1/shelves?unknown=1"],
  [404, "strict", "GET", "/v1/nope"],
  [404, "plain", "GET", "/v1/shelves/none"],
  [403, "plain", "GET", "/v1/shelves/denied"],
  [400, "plain", "POST", "/v1/shelves", '{"theme":'],
  [400, "plain", "POST", "/v1/shelves", '{"theme":5}'],
  [400, "plain", "POST", "/v1/shelves", "[]"],
  [413, "strict", "POST", "/v1/shelves", JSON.stringify({ theme: "x".repeat(200) })],
  [400, "strict", "PATCH", "/v1/shelves/1/books/2", '{"name":"other"}'],
  [400, "plain", "POST", "/v1/books:import", ""],
  [400, "plain", "POST", "/v1/books:import", '{"name":"a"}'],
  [400, "plain", "POST", "/v1/books:import", '[{"name":"a"}'],
];

function request(method: string, target: string, body: string | undefined): Asked {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  return { method, path: target, headers, ...(body === undefined ? {} : { body }) };
}

it("answers as Envoy does", async (t) => {
  const { heddle, envoy } = await start(t);
  for (const [name, method, target, body] of SAME) {
    const asked = request(method, target, body);
    const [ours, theirs] = [await ask(heddle.port(name), asked), await ask(envoy.port(name), asked)];
    assert.deepEqual(ours, theirs, `${name} ${method} ${target} ${body ?? ""}`);
  }
  for (const [status, name, method, target, body] of REFUSED) {
    const asked = request(method, target, body);
    const statuses = [(await ask(heddle.port(name), asked)).status, (await ask(envoy.port(name), asked)).status];
    assert.deepEqual(statuses, [status, status], `${name} ${method} ${target} ${body ?? ""}`);
  }
});

it("differs from Envoy where the manual says so", async (t) => {
  const { heddle, envoy } = await start(t);
  const asked = request("PATCH", "/v1/shelves/1/books/2", '{"name":"other"}');
  assert.equal((await ask(heddle.port("plain"), asked)).body, '{"name":"shelves/1/books/2"}');
  assert.equal((await ask(envoy.port("plain"), asked)).body, '{"name":"other"}');
  assert.equal((await ask(heddle.port("plain"), { path: "/v1/shelves/none" })).type, "application/json");
  assert.equal((await ask(heddle.port("plain"), { path: "/v1/shelves/%ff" })).status, 400);
});

it("sends each message of a stream at once", async (t) => {
  const { heddle } = await start(t);
  // The service waits a second between its messages: what has come when the second one is there did not wait for it.
  const target = "/v1/shelves/1/books?count=3&pause_ms=1000";
  const first = await new Promise<string>((resolve, reject) => {
    const sent = http.get({ host: "127.0.0.1", port: heddle.port("plain"), path: target }, (answer) => {
      answer.setEncoding("utf8").once("data", (text: string) => {
        resolve(text);
        sent.destroy();
      });
    });
    sent.once("error", reject);
  });
  assert.equal(first, '[{"name":"book-0"}');
});

it("passes megabytes within the limit of one message, and the example of the manual works", async (t) => {
  const app = await startBookstore();
  atEnd(t, () => app.stop());
  const both = await startBoth(t, exampleOf("grpc-json.md", app.port, { "bookstore.binpb": DESCRIPTORS }));
  const body = `{"title":"${"x".repeat(1_000_000)}"}`;
  for (const proxy of [both.heddle, both.envoy]) {
    const { status, body: got } = await ask(proxy.port("json"), request("PUT", "/v1/shelves/1/books/2", body));
    assert.deepEqual([status, got.length], [200, body.length + '"name":"shelves/1/books/2",'.length]);
    const missing = await ask(proxy.port("json"), { path: "/v1/shelves/none" });
    assert.deepEqual([missing.status, missing.type], [404, "application/json"]);
  }
});

it("sends one field of an answer, which Envoy refuses to, and tells why there is no service behind", async (t) => {
  const app = await startBookstore();
  atEnd(t, () => app.stop());
  const proxy = await Proxy.start({
    listeners: [listener("titles", {}, [TITLES]), listener("down", {}, [SERVICE], "down")],
    clusters: [cluster("app", app.port, "http2"), cluster("down", 1, "http2")],
  });
  atEnd(t, () => proxy.stop());
  assert.equal((await ask(proxy.port("titles"), { path: "/v1/titles/x" })).body, '"Title of x"');
  const { status, type } = await ask(proxy.port("down"), { path: "/v1/shelves" });
  assert.deepEqual([status, type], [503, "application/problem+json"]);
});

it("refuses to start with a service that the descriptor set does not have", async () => {
  const config = { listeners: [listener("in", {}, ["bookstore.v1.Nope"])], clusters: [cluster("app", 1, "http2")] };
  await assert.rejects(
    Proxy.start(config),
    /services\[0\]: must be a service of the descriptor set .*bookstore\.v1\.Nope/,
  );
});
