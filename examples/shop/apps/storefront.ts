// storefront: the edge of the shop. Asks catalog, reviews and orders through localhost ports and answers JSON.
import { status as grpcStatus } from "@grpc/grpc-js";
import { CatalogClient } from "../catalog/client.ts";
import { businessHeaders, traceHeaders } from "../kit/forward.ts";
import { HttpClient } from "../kit/http-client.ts";
import { BadRequest, startHttpService, type Answer, type Ask } from "../kit/http-service.ts";
import { runMain, type Running } from "../kit/main.ts";
import { relay } from "../kit/relay.ts";
import { upstreamOf, type Settings } from "../kit/settings.ts";

interface Upstreams {
  readonly catalog: CatalogClient;
  readonly reviews: HttpClient;
  readonly orders: HttpClient;
}

/** Starts the storefront; needs `CATALOG_URL`, `REVIEWS_URL` and `ORDERS_URL`. */
export async function startStorefront(settings: Settings): Promise<Running> {
  const upstreams = {
    catalog: new CatalogClient(upstreamOf(settings, "catalog")),
    reviews: new HttpClient(upstreamOf(settings, "reviews")),
    orders: new HttpClient(upstreamOf(settings, "orders")),
  };
  const service = await startHttpService(settings, (ask) => answer(upstreams, ask));
  return {
    port: service.port,
    close: async () => {
      await service.close();
      upstreams.catalog.close();
      await Promise.all([upstreams.reviews.close(), upstreams.orders.close()]);
    },
  };
}

async function answer(upstreams: Upstreams, ask: Ask): Promise<Answer | undefined> {
  const headers = { ...traceHeaders(ask.headers), ...businessHeaders(ask.headers) };
  const [resource, id] = ask.path;
  switch (`${ask.method} ${resource}`) {
    case "GET products":
      return id === undefined ? listProducts(upstreams, headers) : showProduct(upstreams, id, headers);
    case "GET reviews":
      return relay("reviews", await upstreams.reviews.get(`/reviews/${encodeURIComponent(id ?? "")}`, headers));
    case "GET quotes":
      return quote(upstreams, ask.query.getAll("sku"), headers);
    case "GET orders":
      return relay("orders", await upstreams.orders.get("/orders", headers));
    case "POST orders": {
      const key = ask.headers["idempotency-key"];
      const extra = typeof key === "string" ? { "idempotency-key": key } : {};
      return relay("orders", await upstreams.orders.post("/orders", { ...headers, ...extra }, ask.body ?? {}));
    }
    default:
      return undefined;
  }
}

async function listProducts(upstreams: Upstreams, headers: Record<string, string>): Promise<Answer> {
  return grpcAnswer(async () => ({ products: await upstreams.catalog.list(headers) }));
}

async function showProduct(upstreams: Upstreams, sku: string, headers: Record<string, string>): Promise<Answer> {
  return grpcAnswer(async () => {
    const [product, reviews] = await Promise.all([
      upstreams.catalog.get({ sku, with_rating: true }, headers),
      upstreams.reviews.get(`/reviews/${encodeURIComponent(sku)}`, headers),
    ]);
    // A product without its reviews is still worth showing.
    return { product, reviews: reviews.status === 200 ? reviews.body : undefined };
  });
}

async function quote(upstreams: Upstreams, skus: readonly string[], headers: Record<string, string>): Promise<Answer> {
  if (skus.length === 0) throw new BadRequest("quotes need at least one ?sku=");
  const requests = skus.map((sku) => ({ sku, quantity: 1 }));
  return grpcAnswer(async () => ({ quotes: await upstreams.catalog.quote(requests, headers) }));
}

/** The HTTP status for a failed gRPC call, for the codes that the catalog or the mesh answers. */
const HTTP_STATUS: ReadonlyMap<number, number> = new Map([
  [grpcStatus.NOT_FOUND, 404],
  [grpcStatus.PERMISSION_DENIED, 403],
  [grpcStatus.RESOURCE_EXHAUSTED, 429],
  [grpcStatus.DEADLINE_EXCEEDED, 504],
]);

async function grpcAnswer(work: () => Promise<unknown>): Promise<Answer> {
  try {
    return { status: 200, body: await work() };
  } catch (error) {
    const code = error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : -1;
    const message = error instanceof Error ? error.message : String(error);
    return { status: HTTP_STATUS.get(code) ?? 503, body: { error: `catalog failed: ${message}` } };
  }
}

if (import.meta.main) await runMain("storefront", startStorefront);
