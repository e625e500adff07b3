// Requests that may run twice without harm.
import type { HeaderBlock } from "./header-block.ts";

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** RFC 9110 §9.2.2; a key makes any method so (draft-ietf-httpapi-idempotency-key-header). */
export function isIdempotent(request: Pick<HeaderBlock, "get" | "has">): boolean {
  return IDEMPOTENT.has(request.get(":method") ?? "") || request.has("idempotency-key");
}
