// Which of Linux's capabilities this process has, and what to tell those who start it without the ones it needs.
import { readFileSync } from "node:fs";
import { HeddleError } from "#lib/errors.ts";

/** Bits of <linux/capability.h>. */
const BITS = { NET_ADMIN: 12n, NET_RAW: 13n } as const;

/** Undefined: this is no Linux. */
function tryEffective(): bigint | undefined {
  try {
    const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return digits === undefined ? undefined : BigInt(`0x${digits}`);
  } catch {
    return undefined;
  }
}

/** @throws {HeddleError} HDL_INTERCEPTION_CAPABILITY, with what to do. */
export function needCapabilities(): void {
  const effective = tryEffective();
  if (effective === undefined)
    throw new HeddleError("HDL_INTERCEPTION_CAPABILITY", "Cannot redirect: this is not Linux, or /proc is not mounted");
  const missing = Object.entries(BITS).filter(([, bit]) => ((effective >> bit) & 1n) === 0n);
  if (missing.length === 0) return;
  const names = missing.map(([name]) => name).join(" and ");
  throw new HeddleError(
    "HDL_INTERCEPTION_CAPABILITY",
    `Cannot redirect: this container lacks ${names} (user ${process.getuid?.() ?? "unknown"}). It must run as root with both ` +
      `added to its capabilities; where Pod Security forbids that, use the CNI plugin (heddle.dev/interception: cni) or ` +
      `localhost mode (heddle.dev/interception: none)`,
  );
}
