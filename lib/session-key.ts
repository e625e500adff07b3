// What a session's value says of the backend and the endpoint that it belongs to: digests, so that a client that invents one names nothing.
import type { Hash } from "node:crypto";

let crypto: { createHash(algorithm: "sha256"): Hash } | undefined;

/** Of a backend: a cluster, and the labels that narrow it. 11 characters of base64url. */
export function backendKey(cluster: string, labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return digest(["backend", cluster, ...parts.flat()], 8);
}

/** Of an endpoint of a cluster, by its address as `formatAddress` writes it. 16 characters of base64url. */
export function endpointKey(cluster: string, address: string): string {
  return digest(["endpoint", cluster, address], 12);
}

function digest(parts: readonly string[], bytes: number): string {
  // Loading it takes milliseconds, which a proxy without sessions spares.
  crypto ??= process.getBuiltinModule("node:crypto");
  return crypto.createHash("sha256").update(parts.join("\0")).digest().subarray(0, bytes).toString("base64url");
}
