// Settings of interception for tests, and any of them for properties.
import fc from "fast-check";
import { parseInterception } from "../settings.ts";
import type { Interception } from "../interception.ts";

export function interceptionOf(flags: Readonly<Record<string, string>> = {}): Interception {
  return parseInterception(flags, {});
}

const port = fc.integer({ min: 1, max: 65_535 });
const ports = fc
  .array(
    fc.oneof(
      port.map(String),
      fc.tuple(port, port).map((pair) => `${Math.min(...pair)}-${Math.max(...pair)}`),
    ),
    { maxLength: 5 },
  )
  .map((items) => items.join(","));
const cidr = fc.oneof(
  fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([address, bits]) => `${address}/${bits}`),
  fc
    .tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 }))
    .filter(([address]) => !address.includes("."))
    .map(([address, bits]) => `${address}/${bits}`),
);
const cidrs = fc.array(cidr, { maxLength: 5 }).map((items) => items.join(","));
const ids = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 2 }), { maxLength: 3 }).map((items) => items.join(","));

/** Flags that are right. */
export const anyFlags = fc.record({
  "exclude-outbound-ports": ports,
  "exclude-inbound-ports": ports,
  "include-inbound-ports": fc.oneof(fc.constantFrom("*", "none", ""), ports),
  "exclude-outbound-cidrs": cidrs,
  "include-outbound-cidrs": fc.oneof(fc.constantFrom("*", "none", ""), cidrs),
  "exclude-uids": ids,
  "exclude-gids": ids,
  "proxy-uid": fc.integer({ min: 1, max: 70_000 }).map(String),
});
