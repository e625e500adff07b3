// Node checks addresses with patterns, at the first `listen` and `connect` of a thread. The one for IPv6 is so large that V8 takes 5 to
// 10 ms to compile it optimized, and 1 ms plainly; it then decides a few addresses per connection at most.
import { isIPv6 } from "node:net";
import v8 from "node:v8";

/** Compiles the pattern plainly in this thread. To be called before its first `listen`. */
export function prepareAddressCheck(): void {
  v8.setFlagsFromString("--no-regexp-optimization");
  // V8 compiles once for a first look, and again for those that follow.
  for (const address of ["::1", "127.0.0.1"]) isIPv6(address);
  v8.setFlagsFromString("--regexp-optimization");
}
