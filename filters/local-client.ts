// Who counts as the application beside this proxy.
import type { ConnectionView } from "./filter.ts";

/** The client of an outbound listener, or somebody on this machine's own loopback. */
export function isLocalClient({ direction, remoteAddress }: ConnectionView): boolean {
  return direction === "outbound" || remoteAddress.startsWith("127.") || remoteAddress === "::1";
}

/** The application beside us, or a verified peer of the mesh: others are told what happened, not where and by which rule. */
export function isInsideMesh(connection: ConnectionView): boolean {
  return connection.peerIdentity !== undefined || isLocalClient(connection);
}
