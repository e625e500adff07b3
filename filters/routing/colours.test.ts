import assert from "node:assert/strict";
import { test } from "node:test";

import { ANSWERED, CONTINUE, type EndpointView, type Pick } from "../filter.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { routingFilter } from "./filter.ts";

const MESH = "spiffe://cluster.local/ns/*/sa/*";
const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const VERSION = { key: "version", baggageKey: "heddle.version", trustedIdentities: [MESH], trustsLocal: true };

type Labels = Readonly<Record<string, string>>;
interface Instance {
  readonly labels: Labels;
  readonly isDown?: boolean;
}

/** As a cluster of these instances says it. */
function view(instances: readonly Instance[]): EndpointView {
  return {
    hasLabel: (key) => instances.some(({ labels }) => key in labels),
    hasUsable: (wanted, avoid = []) =>
      avoid.length === 0 &&
      instances.some(
        ({ labels, isDown = false }) =>
          !isDown && Object.entries(wanted).every(([key, value]) => (labels[key] ?? "") === value),
      ),
  };
}

const BASE_AND_V2 = [{ labels: {} }, { labels: { version: "v2" } }];

interface Case extends HarnessOptions {
  readonly config?: object;
  readonly instances?: readonly Instance[];
  readonly pick?: Partial<Pick>;
  readonly path?: string;
}

function run(given: Case) {
  const { config = { colours: [VERSION] }, instances = BASE_AND_V2, path, ...rest } = given;
  const options: HarnessOptions = { cluster: {}, ...rest };
  const bench = new FilterBench();
  const filter = bench.make(routingFilter, { ...config, rule: "MeshConfig default" }, options);
  const exchange = bench.exchange(options);
  if (path !== undefined) exchange.request.set(":path", path);
  const headVerdict = filter.onRequestHead?.(exchange, exchange.request, true);
  assert.ok(exchange.cluster);
  const pick: Pick = {
    cluster: exchange.cluster,
    endpoints: view(instances),
    labels: {},
    hash: undefined,
    avoid: [],
    ...given.pick,
  };
  const pickVerdict = headVerdict === CONTINUE ? filter.onPick?.(exchange, pick) : undefined;
  const baggage = exchange.request.get("baggage");
  return { bench, exchange, headVerdict, pickVerdict, labels: pick.labels, baggage };
}

const V2 = { headers: [["baggage", "user=1;p, heddle.version=v2"]], peerIdentity: WEB } as const;

test("a colour that came in baggage narrows the choice, and goes on as it came", () => {
  const { labels, baggage, exchange } = run(V2);
  assert.deepEqual(labels, { version: "v2" });
  assert.equal(baggage, "user=1;p, heddle.version=v2");
  assert.equal(exchange.notes.get("colour_version"), "v2");
});

test("a service that has no instance with such a label serves everybody", () => {
  assert.deepEqual(run({ ...V2, instances: [{ labels: {} }, { labels: { app: "b" } }] }).labels, {});
});

test("without a colour the base answers, or any instance where the configuration says so", () => {
  assert.deepEqual(run({}).labels, { version: "" });
  assert.deepEqual(run({ config: { colours: [{ ...VERSION, base: "stable" }] } }).labels, { version: "stable" });
  assert.deepEqual(run({ config: { colours: [{ ...VERSION, withoutColour: "any" }] } }).labels, {});
});

test("a colour without an instance, or whose instances are all down, falls back to the base and to no other colour", () => {
  const other = run({ ...V2, instances: [{ labels: {} }, { labels: { version: "v3" } }] });
  assert.deepEqual(other.labels, { version: "" });
  assert.equal(other.exchange.notes.get("colour_fallback"), "version=v2");
  assert.equal(other.bench.counters.get("heddle_colour_fallbacks_total"), 1);
  const down = run({ ...V2, instances: [{ labels: {} }, { labels: { version: "v2" }, isDown: true }] });
  assert.deepEqual(down.labels, { version: "" });
  assert.deepEqual(run({ ...V2, instances: [{ labels: { version: "v3" } }] }).labels, { version: "" });
});

test("a retry goes to the base when the colour's only instance failed the request", () => {
  const avoid = [{ address: "10.0.0.9", port: 80 }] as unknown as Pick["avoid"]; // as: what an endpoint is told apart by
  assert.deepEqual(run({ ...V2, pick: { avoid } }).labels, { version: "" });
  const config = { colours: [{ ...VERSION, onMissing: "refuse" }] };
  assert.deepEqual(run({ ...V2, config, pick: { avoid } }).labels, { version: "v2" });
});

test("or it is refused with a reason", () => {
  const config = { colours: [{ ...VERSION, onMissing: "refuse" }] };
  const { pickVerdict, exchange } = run({ ...V2, config, instances: [{ labels: {} }, { labels: { version: "v3" } }] });
  assert.equal(pickVerdict, ANSWERED);
  assert.deepEqual([exchange.reply?.status, exchange.reply?.code], [503, "colour_unavailable"]);
  assert.match(exchange.reply?.detail ?? "", /no healthy endpoint with version=v2/);
  assert.deepEqual(run({ ...V2, config }).labels, { version: "v2" });
});

test("a copy is narrowed as the request is, and counts nothing", () => {
  const copy = run({ ...V2, instances: [{ labels: { version: "v3" } }], pick: { isMirror: true } });
  assert.deepEqual(copy.labels, { version: "" });
  assert.equal(copy.bench.counters.get("heddle_colour_fallbacks_total"), undefined);
});

test("a forged colour is refused, or taken off with all that it says twice", () => {
  const stranger = {
    remoteAddress: "10.1.2.3",
    headers: [["baggage", "heddle.version=v2,a=1, heddle.version = v3;p"]],
  };
  const options = stranger as unknown as HarnessOptions; // as: pairs
  const refused = run(options);
  assert.equal(refused.headVerdict, ANSWERED);
  assert.deepEqual([refused.exchange.reply?.status, refused.exchange.reply?.code], [403, "colour_untrusted"]);
  assert.match(refused.exchange.reply?.detail ?? "", /10\.1\.2\.3 without an identity may not name the colour version/);
  const stripped = run({ ...options, config: { colours: [{ ...VERSION, onUntrusted: "strip" }] } });
  assert.deepEqual([stripped.baggage, stripped.labels["version"]], ["a=1", ""]);
  assert.equal(stripped.bench.counters.get("heddle_colour_untrusted_total"), 1);
  const others = run({ ...options, headers: [["baggage", "heddle.versions=v2,version=v2"]] });
  assert.deepEqual([others.headVerdict, others.labels["version"]], [CONTINUE, ""]);
});

test("a peer that is not among the trusted is a stranger too", () => {
  const config = { colours: [{ ...VERSION, trustedIdentities: ["spiffe://cluster.local/ns/shop/sa/gateway"] }] };
  assert.equal(run({ ...V2, config }).headVerdict, ANSWERED);
});

test("at the edge a trusted header, cookie or parameter, or the peer's identity, sets the colour and its baggage", () => {
  const sources = [
    { header: { name: "X-Version" } },
    { cookie: { name: "lane" } },
    { query: { name: "v" } },
    { peerIdentity: { pattern: "spiffe://*/ns/*/sa/*-{colour}" } },
  ];
  const config = { colours: [{ ...VERSION, sources }] };
  for (const [given, colour] of [
    [
      {
        headers: [
          ["x-version", "v2"],
          ["cookie", "lane=v3"],
        ],
      },
      "v2",
    ],
    [{ headers: [["cookie", "a=1; lane=v2"]] }, "v2"],
    [{ path: "/a?b=1&v=v2" }, "v2"],
    [{ peerIdentity: "spiffe://cluster.local/ns/shop/sa/orders-v2" }, "v2"],
    [
      {
        headers: [
          ["baggage", "heddle.version=v1"],
          ["x-version", "v2"],
        ],
      },
      "v1",
    ],
    [{ headers: [["x-version", "no label, this"]] }, undefined],
  ] as const) {
    const { baggage, exchange } = run({ ...given, config });
    assert.equal(exchange.notes.get("colour_version"), colour);
    assert.equal(baggage, colour === undefined ? undefined : `heddle.version=${colour}`);
  }
});

test("a stranger's header is a forgery, a stranger's cookie is nothing, unless it is for everybody", () => {
  const stranger = { remoteAddress: "10.1.2.3" };
  const header = { colours: [{ ...VERSION, sources: [{ header: { name: "x-version" } }] }] };
  assert.equal(run({ ...stranger, config: header, headers: [["x-version", "v2"]] }).headVerdict, ANSWERED);
  const cookie = (isPublic: boolean) => ({
    colours: [{ ...VERSION, sources: [{ cookie: { name: "lane", public: isPublic } }] }],
  });
  const headers = [["cookie", "lane=v2"]] as const;
  assert.deepEqual(run({ ...stranger, config: cookie(false), headers }).labels, { version: "" });
  assert.deepEqual(run({ ...stranger, config: cookie(true), headers }).labels, { version: "v2" });
});

test("what no label can be is no colour, and goes no further", () => {
  const { labels, baggage } = run({ headers: [["baggage", "heddle.version=a%2Fb,c=1"]] });
  assert.deepEqual([labels["version"], baggage], ["", "c=1"]);
});

test("a route that names the version itself holds over the colour", () => {
  assert.deepEqual(run({ ...V2, pick: { labels: { version: "v1" } } }).labels, { version: "v1" });
});

test("several colours narrow one after the other, each within what those before it left", () => {
  const config = { colours: [VERSION, { ...VERSION, key: "lane", baggageKey: "lane" }] };
  const headers = [["baggage", "heddle.version=v2,lane=blue"]] as const;
  const both = { labels: { version: "v2", lane: "blue" } };
  assert.deepEqual(run({ config, headers, instances: [{ labels: {} }, both] }).labels, both.labels);
  const apart = [{ labels: {} }, { labels: { version: "v2" } }, { labels: { lane: "blue" } }];
  assert.deepEqual(run({ config, headers, instances: apart }).labels, { version: "v2", lane: "" });
});

const TENANTS = {
  labelKey: "tenant",
  sources: [{ header: { name: "x-tenant", trustedIdentities: [MESH], trustsLocal: true } }],
  colours: [{ ...VERSION, key: "tenant", baggageKey: "heddle.tenant" }],
};
const SPLIT = { metadata: { "heddle.tenants": { labelKey: "tenant" } } };
const TWO_TENANTS = [{ labels: {} }, { labels: { tenant: "acme" }, isDown: true }, { labels: { tenant: "globex" } }];

test("a tenant travels as a colour, and its isolation knows no fallback", () => {
  const first = run({ config: TENANTS, cluster: SPLIT, instances: TWO_TENANTS, headers: [["x-tenant", "acme"]] });
  assert.deepEqual([first.baggage, first.labels], ["heddle.tenant=acme", { tenant: "acme" }]);
  const headers = [["baggage", "heddle.tenant=acme"]] as const;
  const next = run({ config: TENANTS, cluster: SPLIT, instances: TWO_TENANTS, headers, peerIdentity: WEB });
  assert.deepEqual([next.exchange.notes.get("tenant"), next.labels], ["acme", { tenant: "acme" }]);
});

test("where a source and the baggage name different tenants the source holds, and the baggage is made to say so", () => {
  const headers = [
    ["x-tenant", "acme"],
    ["baggage", "heddle.tenant=globex,a=1"],
  ] as const;
  const { labels, baggage } = run({ config: TENANTS, cluster: SPLIT, instances: TWO_TENANTS, headers });
  assert.deepEqual([labels, baggage], [{ tenant: "acme" }, "heddle.tenant=acme,a=1"]);
});

test("an instance that is called by its own address was chosen already", () => {
  assert.deepEqual(run({ ...V2, cluster: { lb: { kind: "originalEndpoint" } } }).labels, {});
});
