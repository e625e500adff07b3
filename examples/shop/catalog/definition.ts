// The catalog's gRPC service as loaded from its proto file, and the messages that go with it.
import { fileURLToPath } from "node:url";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";

export interface GetRequest {
  readonly sku: string;
  readonly with_rating: boolean;
}

export interface WatchRequest {
  readonly sku: string;
  readonly count: number;
}

export interface Product {
  readonly sku: string;
  readonly name: string;
  readonly cents: number;
  readonly rating: number;
  readonly instance: string;
}

export interface ProductList {
  readonly products: readonly Product[];
}

export interface QuoteRequest {
  readonly sku: string;
  readonly quantity: number;
}

export interface QuoteReply extends QuoteRequest {
  readonly cents: number;
  readonly instance: string;
}

/** The four methods with their message types. */
export interface CatalogMethods {
  readonly Get: MethodDefinition<GetRequest, Product>;
  readonly List: MethodDefinition<object, ProductList>;
  readonly Quote: MethodDefinition<QuoteRequest, QuoteReply>;
  readonly Watch: MethodDefinition<WatchRequest, QuoteReply>;
}

/** Everything in catalog.proto, for reflection. */
export const catalogPackage: PackageDefinition = loadSync(fileURLToPath(new URL("catalog.proto", import.meta.url)), {
  keepCase: true,
  defaults: true,
});

// proto-loader types what it reads at run time only as a union; the proto file beside this one says that it is this.
export const catalogService = catalogPackage["shop.Catalog"] as unknown as ServiceDefinition & CatalogMethods;
