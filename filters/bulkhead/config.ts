// The configuration of the bulkhead filter.
import type { JsonValue } from "#config/model/filter-config.ts";

import { ConfigReader } from "../parse.ts";

export const BULKHEAD = "type.googleapis.com/heddle.filters.bulkhead.v1.Bulkhead";

export type BulkheadKey =
  | { readonly type: "header"; readonly name: string }
  | { readonly type: "tenant" | "route" | "identity" };

export interface BulkheadConfig {
  /** Whom it is for, also the name under which its counts live on through changes; "" = nobody, it does nothing. */
  readonly scope: string;
  readonly maxConcurrent: number;
  readonly maxPending: number;
  readonly maxWaitMs: number;
  /** One compartment for each distinct combination; empty = one. */
  readonly per: readonly BulkheadKey[];
  readonly maxKeys: number;
}

/** A paused filter has ten seconds (contracts.md). */
const MAX_WAIT_MS = 9000;

export function parseBulkhead(value: JsonValue): BulkheadConfig {
  const reader = new ConfigReader(value, "");
  const config = {
    scope: reader.string("scope", ""),
    maxConcurrent: reader.number("maxConcurrent", 1, 1, 2 ** 31 - 1),
    maxPending: reader.number("maxPending", 0, 0, 2 ** 31 - 1),
    maxWaitMs: reader.number("maxWaitMs", 0, 0, MAX_WAIT_MS),
    per: reader.objects("per").map(parseKey),
    maxKeys: reader.number("maxKeys", 1000, 1, 100_000),
  };
  reader.done();
  return config;
}

function parseKey(reader: ConfigReader): BulkheadKey {
  const type = reader.oneOf("type", ["header", "tenant", "route", "identity"], "header");
  const key = type === "header" ? ({ type, name: reader.string("name").toLowerCase() } as const) : { type };
  reader.done();
  return key;
}
