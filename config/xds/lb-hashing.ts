// Balancing by hash, message <-> model: what ring hash and Maglev have in the cluster's own fields and in extensions.
import { isPrime } from "#lib/primes.ts";
import type { HashingOptions, LbPolicy } from "../model/cluster.ts";
import { given } from "./fields.ts";
import type { Scope } from "./issues.ts";

/** Envoy's (expectations.md). */
const MIN_RING = 1024;
const MAX_RING = 8 * 1024 * 1024;
const MAGLEV_TABLE = 65_537;
const MAX_MAGLEV_TABLE = 5_000_011;

export function refuseMurmur(scope: Scope): void {
  scope.field("hash_function").unsupported("MURMUR_HASH_2 is not supported: there is one hash function");
}

export function hashingFromWire(
  wire: { readonly useHostnameForHashing: boolean; readonly hashBalanceFactor?: number | undefined } | undefined,
): HashingOptions | undefined {
  const { useHostnameForHashing: useHostname = false, hashBalanceFactor: balanceFactor = 0 } = wire ?? {};
  return useHostname || balanceFactor > 0 ? { useHostname, balanceFactor } : undefined;
}

/** Of a size that is no prime the table could not be filled: an endpoint would never reach some of its cells. */
export function maglevFromWire(wire: bigint | undefined, hashing: HashingOptions | undefined, scope: Scope): LbPolicy {
  const tableSize = Number(wire ?? MAGLEV_TABLE);
  if (tableSize > MAX_MAGLEV_TABLE || !isPrime(tableSize))
    scope.field("table_size").invalid(`must be a prime number of at most ${MAX_MAGLEV_TABLE}: got ${tableSize}`);
  return { kind: "maglev", tableSize, ...given("hashing", hashing) };
}

export function ringHashFromWire(
  min: bigint | undefined,
  max: bigint | undefined,
  hashing: HashingOptions | undefined,
  scope: Scope,
): LbPolicy {
  const minimumRingSize = Number(min ?? MIN_RING);
  const maximumRingSize = Number(max ?? MAX_RING);
  if (minimumRingSize > maximumRingSize) {
    scope.invalid(
      `minimum_ring_size (${minimumRingSize}) must not be greater than maximum_ring_size (${maximumRingSize})`,
    );
  }
  return { kind: "ringHash", minimumRingSize, maximumRingSize, ...given("hashing", hashing) };
}
