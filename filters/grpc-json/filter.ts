// The gRPC-JSON filter: HTTP clients with JSON call gRPC services, by the google.api.http rules of a descriptor set.
import type { Filter, FilterFactory } from "../filter.ts";

import { parseGrpcJson, type GrpcJsonConfig } from "./config.ts";

type Transcoding = typeof import("./transcoder.ts");

/** Code, no state: most proxies do without it and without protobuf. */
let loaded: Transcoding | undefined;

export const grpcJsonFilter = {
  name: "envoy.filters.http.grpc_json_transcoder",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"],
  failureMode: "closed",
  // The route depends on what the filter makes of the request, so it cannot have a say in that.
  perRoute: "nothing",
  async load() {
    loaded ??= await import("./transcoder.ts");
  },
  parse(value) {
    return parseGrpcJson(value);
  },
  check(config) {
    if (config.services.length > 0) loaded?.checkTranscoder(config);
  },
  make(config, context): Filter {
    if (config.services.length === 0) return { name: context.name };
    if (loaded === undefined) throw new Error("the transcoder was not loaded");
    return loaded.makeTranscoder(config, context);
  },
} satisfies FilterFactory<GrpcJsonConfig>;
