// Where the admin port may be opened.
import { formatAddress } from "#config/model/address.ts";
import type { Bootstrap } from "#config/model/bootstrap.ts";

/** Whoever reaches the admin port sees and changes everything: a pod's network must not, unless somebody says so. */
export function checkAdminAddress({ admin, heddle }: Bootstrap): void {
  if (admin === undefined || heddle.allowRemoteAdmin || isLoopback(admin.address)) return;
  throw new Error(
    `Cannot open the admin port on ${formatAddress(admin)}: it is not a loopback address; use 127.0.0.1 or ::1, or set ` +
      "node.metadata.heddle.allow_remote_admin to true",
  );
}

function isLoopback(address: string): boolean {
  const unmapped = address.toLowerCase().startsWith("::ffff:") ? address.slice(7) : address;
  return unmapped === "::1" || /^127(\.\d+){3}$/.test(unmapped);
}
