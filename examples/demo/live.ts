// The live view: customers come to the shop, and the terminal shows what the sidecars say of their traffic.
import { setTimeout as delay } from "node:timers/promises";
import { randomUUID } from "node:crypto";
import type { Background, Call } from "../shop/load.ts";
import type { AccessRecord } from "./observe/access-records.ts";
import { readClusters, type ClusterView } from "./observe/clusters.ts";
import type { Shop } from "./shop.ts";

const REFRESH_MS = 1_000;
/** Each customer looks at something this often. */
const CUSTOMER_PAUSE_MS = 40;
const CUSTOMERS = 4;
const SHOWN_FAILURES = 5;
const CLEAR = "\u001b[H\u001b[2J";

/** What a customer does, again and again. */
const VISITS: readonly ((shop: Shop) => Call)[] = [
  (shop) => ({ url: shop.url("shopper-1", "storefront", "/products/mug") }),
  (shop) => ({ url: shop.url("shopper-1", "storefront", "/reviews/teapot"), headers: { version: "v2" } }),
  (shop) => ({ url: shop.url("shopper-1", "reviews", "/ratings/mug") }),
  (shop) => ({ url: shop.url("shopper-1", "storefront", "/quotes?sku=mug&sku=kettle") }),
  (shop) => order(shop, "acme"),
  (shop) => order(shop, "globex"),
  (shop) => ({ url: shop.url("shopper-1", "payments", "/rates") }),
  (shop) => ({ url: shop.url("shopper-1", "suggestions", "/") }),
];

/** Runs until `stopped`; draws every second when `out` is a terminal, else prints the same as plain text. */
export async function showLive(shop: Shop, stopped: Promise<void>, out: NodeJS.WriteStream): Promise<void> {
  // Something to see: the retries hide this from the customers.
  await shop.setFault("payments-2", { everyNth: 3 });
  const customers = Array.from({ length: CUSTOMERS }, (_, index) => sendCustomer(shop, index));
  const isOver = stopped.then(() => true);
  let before: Counts = new Map();
  let last = performance.now();
  const explanations = new Map<string, string>();
  while (!(await Promise.race([isOver, delay(REFRESH_MS, false)]))) {
    const now = performance.now();
    const counts = await countAll(shop);
    const text = await draw(shop, counts, before, (now - last) / 1000, explanations);
    out.write(out.isTTY ? `${CLEAR}${text}` : `${text}\n`);
    before = counts;
    last = now;
  }
  await Promise.all(customers.map((customer) => customer.stop()));
}

function sendCustomer(shop: Shop, index: number): Pick<Background, "stop"> {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    for (let visit = index; !stopping.signal.aborted; visit += 1) {
      const make = VISITS[visit % VISITS.length];
      if (make !== undefined) await shop.load.call(make(shop));
      await delay(CUSTOMER_PAUSE_MS);
    }
  };
  const done = run();
  return {
    stop: async () => {
      stopping.abort();
      await done;
      return [];
    },
  };
}

function order(shop: Shop, tenant: string): Call {
  return {
    url: shop.url("shopper-1", "storefront", "/orders"),
    method: "POST",
    headers: { "x-tenant": tenant, "idempotency-key": randomUUID() },
    body: { sku: "mug", quantity: 1 },
  };
}

async function draw(
  shop: Shop,
  counts: Counts,
  before: Counts,
  seconds: number,
  explanations: Map<string, string>,
): Promise<string> {
  const lines = [`Heddle: the shop, ${shop.runningSidecars.length} sidecars. Ctrl-C ends everything.`, ""];
  lines.push(`${"instance".padEnd(18)}${"req/s".padStart(8)}   codes since the start`);
  for (const [name, codes] of counts) {
    const rate = (totalOf(codes) - totalOf(before.get(name))) / seconds;
    const text = [...codes].map(([code, count]) => `${code}: ${count}`).join("  ");
    lines.push(`${name.padEnd(18)}${rate.toFixed(0).padStart(8)}   ${text}`);
  }
  const clusters = readClusters((await shop.admin("shopper-1", "/clusters")).body);
  lines.push("", `breakers of the shopper   ${describeBreakers(clusters) || "none needed yet"}`);
  lines.push("", "last answers of the mesh's own");
  for (const { name, record } of lastFailures(shop)) {
    lines.push(
      `  ${record.status} ${record.flags.padEnd(4)} ${name}: ${await sentenceOf(shop, record.requestId, explanations)}`,
    );
  }
  lines.push("", `spans received ${shop.otlp.spanCount}   edit the YAML and watch: ${shop.meshFolder}`);
  return lines.join("\n");
}

type Counts = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** The same of every sidecar that runs, in the order of the YAML. */
async function countAll(shop: Shop): Promise<Counts> {
  const names = shop.workloads.map(({ name }) => name).filter((name) => shop.runningSidecars.includes(name));
  return new Map(await Promise.all(names.map(async (name) => [name, await countRequests(shop, name)] as const)));
}

/** Requests by status of one sidecar: what came in for its application; for those without one, what went out. */
async function countRequests(shop: Shop, name: string): Promise<ReadonlyMap<string, number>> {
  const samples = await shop.metrics(name);
  const counts = new Map<string, number>();
  for (const direction of ["inbound", "outbound"]) {
    if (counts.size > 0) break;
    for (const sample of samples) {
      if (sample.name !== "heddle_requests_total" || sample.labels["direction"] !== direction) continue;
      const code = sample.labels["code"] ?? "?";
      counts.set(code, (counts.get(code) ?? 0) + sample.value);
    }
  }
  return counts;
}

function totalOf(counts: ReadonlyMap<string, number> | undefined): number {
  let total = 0;
  for (const count of counts?.values() ?? []) total += count;
  return total;
}

function describeBreakers(clusters: readonly ClusterView[]): string {
  const breakers = clusters.filter(({ breaker }) => breaker !== "");
  return breakers.map(({ name, breaker }) => `${name} ${breaker}`).join(", ");
}

function lastFailures(shop: Shop): readonly { readonly name: string; readonly record: AccessRecord }[] {
  const failures: { readonly name: string; readonly record: AccessRecord }[] = [];
  for (const name of shop.runningSidecars) {
    const record = shop.accessLog(name).records.findLast(({ flags }) => /[A-Z]/u.test(flags));
    if (record !== undefined) failures.push({ name, record });
  }
  return failures.slice(0, SHOWN_FAILURES);
}

/** What `heddle explain` says; asked once for each request, and for one new request in each round. */
async function sentenceOf(shop: Shop, requestId: string, known: Map<string, string>): Promise<string> {
  const said = known.get(requestId);
  if (said !== undefined) return said;
  const { code, stdout } = await shop.heddle.explain(requestId);
  const sentence = code === 0 ? (stdout.trim().split("\n")[0] ?? "") : `request ${requestId}`;
  if (known.size > 100) known.clear();
  known.set(requestId, sentence);
  return sentence;
}
