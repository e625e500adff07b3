// Claim 7, trace propagation. One order is placed through the storefront with a sampled W3C traceparent and a tracestate,
// another with B3 (single header). The proxies' spans come back over OTLP into the demo's own receiver. For each order the
// spans must form one tree: exactly one span has our own as its parent, every other parent is a span of the trace, and each
// hop that the order takes is there, a client span of the caller with the server span of the callee as its child. The
// applications must have seen the trace id and the tracestate. Shipping passes no trace header on: notifications must be
// in none of these trees, and Heddle must name shipping (at its sidecar's admin port), and nobody else.
import { randomBytes, randomUUID } from "node:crypto";
import { claim, type Claim, type ShopView } from "../claim.ts";
import { listOf, textOf } from "../json.ts";
import type { Span } from "../observe/otlp-spans.ts";
import { until } from "../wait.ts";

/** Caller and callee of every hop of an order that carries the trace on. */
const HOPS = [
  ["shopper", "storefront"],
  ["storefront", "orders"],
  ["orders", "payments"],
  ["orders", "shipping"],
] as const;

const FORGETFUL = "shipping-1";
const MINDFUL = ["storefront-1", "orders-acme-1", "orders-acme-2"] as const;
/** Orders placed so that shipping's forgetfulness is no chance. */
const ORDERS = 60;

export const traces = {
  number: 7,
  title: "trace propagation",
  prove: async (shop: ShopView): Promise<string> => {
    const w3c = await placeOrder(shop, "w3c");
    const b3 = await placeOrder(shop, "b3");
    const w3cSpans = await treeOf(shop, w3c);
    const b3Spans = await treeOf(shop, b3);
    await seenByApplications(shop, w3c);
    for (let placed = 0; placed < ORDERS; placed += 1) await placeOrder(shop, "w3c");
    const named = await until("Heddle to name the application that forgets trace headers", async () => {
      return (await saysForgetful(shop, FORGETFUL)) || undefined;
    });
    for (const name of MINDFUL) {
      claim((await saysForgetful(shop, name)) === "", `Heddle blames ${name}, which does pass trace headers on`);
    }
    return `W3C: ${w3cSpans} spans in one tree over ${HOPS.length} hops, B3: ${b3Spans}; named: "${named}"`;
  },
} satisfies Claim;

interface Order {
  readonly traceId: string;
  /** Our own span: the parent of the tree's root. */
  readonly spanId: string;
}

async function placeOrder(shop: ShopView, format: "w3c" | "b3"): Promise<Order> {
  const traceId = randomBytes(16).toString("hex");
  const spanId = randomBytes(8).toString("hex");
  const context: Record<string, string> =
    format === "w3c"
      ? { traceparent: `00-${traceId}-${spanId}-01`, tracestate: "demo=yes" }
      : { b3: `${traceId}-${spanId}-1` };
  const outcome = await shop.load.call({
    url: shop.url("shopper-1", "storefront", "/orders"),
    method: "POST",
    headers: { ...context, "x-tenant": "acme", "idempotency-key": randomUUID() },
    body: { sku: "mug", quantity: 1 },
  });
  claim(outcome.status === 201, `the traced order was answered ${outcome.status} ${outcome.error}`);
  return { traceId, spanId };
}

/** Waits until the tree is whole; gives the number of its spans. Throws with what is missing. */
async function treeOf(shop: ShopView, order: Order): Promise<number> {
  const whole = (): number | undefined => {
    const spans = shop.otlp.spansOf(order.traceId);
    return faultOf(spans, order) === "" ? spans.length : undefined;
  };
  const count = await until("the spans to arrive", whole).catch(() => 0);
  claim(count > 0, `the spans of an order are no tree: ${faultOf(shop.otlp.spansOf(order.traceId), order)}`);
  return count;
}

/** What is wrong with the spans as one tree; empty when nothing is. */
function faultOf(spans: readonly Span[], { spanId }: Order): string {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  const roots = spans.filter((span) => span.parentSpanId === spanId);
  if (roots.length !== 1) return `${roots.length} spans under the caller's own`;
  for (const span of spans) {
    if (span.parentSpanId !== spanId && !byId.has(span.parentSpanId)) {
      return `the parent ${span.parentSpanId} of a ${span.kind} span of ${span.service} is not there`;
    }
  }
  for (const [caller, callee] of HOPS) {
    const hop = spans.some((span) => {
      const parent = byId.get(span.parentSpanId);
      return span.kind === "server" && isOf(span, callee) && parent?.kind === "client" && isOf(parent, caller);
    });
    if (!hop) return `no server span of ${callee} under a client span of ${caller}`;
  }
  const strangers = spans.filter((span) => isOf(span, "notifications"));
  return strangers.length === 0 ? "" : "notifications is in the tree, though shipping passes nothing on";
}

/** Spans name their service plainly or with its namespace. */
function isOf(span: Span, service: string): boolean {
  return span.service.split(/[./]/u).includes(service);
}

async function seenByApplications(shop: ShopView, { traceId }: Order): Promise<void> {
  let seen = 0;
  for (const name of ["storefront-1", "payments-1", "payments-2", "payments-3", FORGETFUL]) {
    const arrival = (await shop.stats(name)).arrivals.find(({ headers }) => headers["traceparent"]?.includes(traceId));
    if (arrival === undefined) continue;
    claim(
      arrival.headers["tracestate"]?.includes("demo=yes") === true,
      `${name} got the traceparent without the tracestate`,
    );
    seen += 1;
  }
  claim(seen === 3, `the trace id was seen by ${seen} applications, not by storefront, one of payments, and shipping`);
}

/** The sentence with which the sidecar blames its application; empty when it does not. */
async function saysForgetful(shop: ShopView, name: string): Promise<string> {
  const { body } = await shop.admin(name, "/explain");
  const sentences = listOf(body, "findings").map((finding) => textOf(finding, "sentence"));
  return sentences.find((sentence) => sentence.includes("does not forward traceparent")) ?? "";
}
