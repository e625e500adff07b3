// catalog: the products of the shop over gRPC, unary and streaming, with server reflection. Ratings come from reviews.
import {
  Server,
  ServerCredentials,
  status,
  type Metadata,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import {
  catalogPackage,
  catalogService,
  type GetRequest,
  type Product,
  type ProductList,
  type QuoteReply,
  type QuoteRequest,
  type WatchRequest,
} from "../catalog/definition.ts";
import { businessHeaders, traceHeaders } from "../kit/forward.ts";
import { HttpClient } from "../kit/http-client.ts";
import { runMain, type Running } from "../kit/main.ts";
import type { Settings } from "../kit/settings.ts";

const PRODUCTS: ReadonlyMap<string, { readonly name: string; readonly cents: number }> = new Map([
  ["mug", { name: "A mug", cents: 900 }],
  ["teapot", { name: "A teapot", cents: 4200 }],
  ["kettle", { name: "A kettle", cents: 6100 }],
]);

/** How long a running call may take after SIGTERM. */
const CLOSE_MS = 5_000;

/** Starts the catalog. With `REVIEWS_URL` a product has a rating when asked for. */
export async function startCatalog(settings: Settings): Promise<Running> {
  const reviewsUrl = settings.upstreams["reviews"];
  const reviews = reviewsUrl === undefined ? undefined : new HttpClient(reviewsUrl);
  const server = new Server();
  server.addService(catalogService, {
    Get: (call: ServerUnaryCall<GetRequest, Product>, done: sendUnaryData<Product>) => {
      getProduct(settings, reviews, call.request, call.metadata).then(
        (product) => done(null, product),
        (error: unknown) => done(asServiceError(error)),
      );
    },
    List: (_call: ServerUnaryCall<object, ProductList>, done: sendUnaryData<ProductList>) => {
      done(null, { products: [...PRODUCTS.keys()].map((sku) => productOf(settings, sku)) });
    },
    Quote: (call: ServerDuplexStream<QuoteRequest, QuoteReply>) => {
      call.on("data", (request: QuoteRequest) => call.write(quoteOf(settings, request)));
      call.on("end", () => call.end());
    },
    Watch: (call: ServerWritableStream<WatchRequest, QuoteReply>) => {
      for (let quantity = 1; quantity <= call.request.count; quantity += 1) {
        call.write(quoteOf(settings, { sku: call.request.sku, quantity }));
      }
      call.end();
    },
  });
  new ReflectionService(catalogPackage).addToServer(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${settings.host}:${settings.port}`, ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    close: async () => {
      const limit = setTimeout(() => server.forceShutdown(), CLOSE_MS);
      await new Promise<void>((resolve) => {
        server.tryShutdown(() => resolve());
      });
      clearTimeout(limit);
      await reviews?.close();
    },
  };
}

class NoSuchProduct extends Error {}

async function getProduct(
  settings: Settings,
  reviews: HttpClient | undefined,
  request: GetRequest,
  metadata: Metadata,
): Promise<Product> {
  const product = productOf(settings, request.sku);
  if (!request.with_rating || reviews === undefined) return product;
  const incoming = metadata.getMap();
  const headers = { ...traceHeaders(incoming), ...businessHeaders(incoming) };
  const reply = await reviews.get(`/ratings/${encodeURIComponent(request.sku)}`, headers);
  return { ...product, rating: ratingOf(reply.body) };
}

function productOf(settings: Settings, sku: string): Product {
  const product = PRODUCTS.get(sku);
  if (product === undefined) throw new NoSuchProduct(`no product "${sku}"`);
  return { sku, ...product, rating: 0, instance: settings.instance };
}

/** An unknown product costs nothing: a stream does not break for it. */
function quoteOf(settings: Settings, { sku, quantity }: QuoteRequest): QuoteReply {
  return { sku, quantity, cents: (PRODUCTS.get(sku)?.cents ?? 0) * quantity, instance: settings.instance };
}

function ratingOf(body: unknown): number {
  if (typeof body !== "object" || body === null || !("rating" in body)) return 0;
  return typeof body.rating === "number" ? body.rating : 0;
}

function asServiceError(error: unknown): { code: number; details: string } {
  const details = error instanceof Error ? error.message : String(error);
  return { code: error instanceof NoSuchProduct ? status.NOT_FOUND : status.UNAVAILABLE, details };
}

if (import.meta.main) await runMain("catalog", startCatalog);
