// Claim 9, every answer that the mesh itself makes carries its cause. Nine different refusals and failures are provoked.
// Each answer must have its status and a Proxy-Status, a record with the response flag in some sidecar's access log under
// its request id, and `heddle explain <request-id>` must print a sentence that names what was decisive: the rule, the
// endpoint, the timer or the attempts, and the version of the configuration.
import { randomUUID } from "node:crypto";
import { fieldOf, type Call, type Outcome } from "../../shop/load.ts";
import { claim, type Claim, type ShopView } from "../claim.ts";
import type { AccessRecord } from "../observe/access-records.ts";
import { until } from "../wait.ts";

/** One answer of the mesh's own. */
interface Refusal {
  readonly name: string;
  /** Makes the calls until one has the status; sets up and takes down what is needed. */
  readonly provoke: (shop: ShopView) => Promise<Provoked>;
  readonly status: number;
  /** Response flags that are right. */
  readonly flags: RegExp;
  /** What the sentence must say. */
  readonly says: readonly RegExp[];
}

interface Provoked {
  readonly outcome: Outcome;
  readonly sentId: string;
}

const VERSION = /version \S+/u;

const REFUSALS: readonly Refusal[] = [
  {
    name: "rate limit",
    provoke: (shop) =>
      repeatUntil(shop, 429, () => ({
        url: shop.url("shopper-1", "notifications", "/publish"),
        method: "POST",
        body: {},
      })),
    status: 429,
    flags: /RL/u,
    says: [/publish/u, VERSION],
  },
  {
    name: "open breaker",
    provoke: (shop) =>
      repeatUntil(
        shop,
        503,
        () => ({ url: shop.url("shopper-1", "suggestions", "/") }),
        (outcome) => fieldOf(outcome, "code").includes("breaker"),
      ),
    status: 503,
    flags: /UO|CB/u,
    says: [/breaker/iu, /suggestions/u, VERSION],
  },
  {
    name: "dead endpoint",
    provoke: (shop) => once(shop, { url: shop.url("shopper-1", "vault", "/") }),
    status: 503,
    flags: /UF|URX/u,
    says: [/\d+\.\d+\.\d+\.\d+:\d+/u, /attempt/iu, VERSION],
  },
  {
    name: "timeout",
    provoke: (shop) =>
      withFault(shop, { delayMs: 2_000 }, () => once(shop, { url: shop.url("shopper-1", "payments", "/audit") })),
    status: 504,
    flags: /UT/u,
    says: [/300 ?ms/u, /audit|payments/u, VERSION],
  },
  {
    name: "connection broken by the endpoint",
    provoke: (shop) =>
      withFault(shop, { everyNth: 1, status: 0 }, () =>
        once(shop, { url: shop.url("shopper-1", "payments", "/charges"), method: "POST", body: {} }),
      ),
    status: 503,
    flags: /UC/u,
    says: [/attempt/iu, /\d+\.\d+\.\d+\.\d+:\d+|payments-\d/u, VERSION],
  },
  {
    name: "forged tenant",
    provoke: (shop) =>
      once(shop, { url: shop.url("stranger-1", "orders", "/orders"), headers: { "x-tenant": "acme" } }),
    status: 403,
    flags: /[A-Z]/u,
    says: [/tenant/iu, VERSION],
  },
  {
    name: "no tenant",
    provoke: (shop) => once(shop, { url: shop.url("shopper-1", "orders", "/orders") }),
    status: 403,
    flags: /[A-Z]/u,
    says: [/tenant/iu, VERSION],
  },
  {
    name: "tenant without instances",
    provoke: (shop) =>
      once(shop, { url: shop.url("shopper-1", "orders", "/orders"), headers: { "x-tenant": "initech" } }),
    status: 503,
    flags: /UH/u,
    says: [/initech|orders/u, VERSION],
  },
  {
    name: "no route",
    provoke: (shop) => once(shop, { url: shop.url("shopper-1", "shipping", "/nowhere") }),
    status: 404,
    flags: /NR/u,
    says: [/route/iu, VERSION],
  },
];

export const explained = {
  number: 9,
  title: "explained failures",
  prove: async (shop: ShopView): Promise<string> => {
    const sentences: string[] = [];
    for (const refusal of REFUSALS) sentences.push(await check(shop, refusal));
    return `${REFUSALS.length} of ${REFUSALS.length} kinds with Proxy-Status, flag and sentence, for example "${sentences[0] ?? ""}"`;
  },
} satisfies Claim;

async function check(shop: ShopView, refusal: Refusal): Promise<string> {
  const { outcome, sentId } = await refusal.provoke(shop);
  const what = `${refusal.name} (${refusal.status})`;
  claim(outcome.status === refusal.status, `${what} was answered ${outcome.status} ${outcome.error}`);
  claim(outcome.headers["proxy-status"] !== undefined, `${what} has no Proxy-Status`);
  const requestId = outcome.headers["x-request-id"] ?? sentId;
  const record = await until(`the record of ${what}`, () => recordOf(shop, requestId, refusal.status));
  claim(refusal.flags.test(record.flags), `${what} is logged with the flag "${record.flags}"`);
  const sentence = await until(`heddle explain ${requestId}`, async () => {
    const { code, stdout } = await shop.heddle.explain(requestId);
    return code === 0 && stdout.trim() !== "" ? stdout.trim() : undefined;
  });
  for (const word of refusal.says)
    claim(word.test(sentence), `heddle explain says of ${what}: "${sentence}", without ${word.source}`);
  return sentence.split("\n")[0] ?? "";
}

/** The record of whichever sidecar made the answer: the one with a flag. */
function recordOf(shop: ShopView, requestId: string, status: number): AccessRecord | undefined {
  const records = shop.runningSidecars
    .map((name) => shop.accessLog(name).byRequestId(requestId))
    .filter((record) => record !== undefined && record.status === status);
  return records.find((record) => /[A-Z]/u.test(record?.flags ?? "")) ?? undefined;
}

async function once(shop: ShopView, call: Call): Promise<Provoked> {
  const sentId = randomUUID();
  const outcome = await shop.load.call({ ...call, headers: { ...call.headers, "x-request-id": sentId } });
  return { outcome, sentId };
}

/** Calls, 8 at a time, until an answer has the status and is wanted. */
function repeatUntil(
  shop: ShopView,
  status: number,
  make: () => Call,
  isWanted: (outcome: Outcome) => boolean = () => true,
): Promise<Provoked> {
  return until(`an answer ${status}`, async () => {
    const provoked = await Promise.all(Array.from({ length: 8 }, () => once(shop, make())));
    return provoked.find(({ outcome }) => outcome.status === status && isWanted(outcome));
  });
}

const PAYMENTS = ["payments-1", "payments-2", "payments-3"] as const;

async function withFault(
  shop: ShopView,
  fault: Parameters<ShopView["setFault"]>[1],
  work: () => Promise<Provoked>,
): Promise<Provoked> {
  for (const name of PAYMENTS) await shop.setFault(name, fault);
  try {
    return await work();
  } finally {
    for (const name of PAYMENTS) await shop.setFault(name, {});
  }
}
