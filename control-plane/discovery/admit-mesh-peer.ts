// Lets a proxy in on the secure port: its certificate must be that of the node that it says it is.
import type { Clock } from "#lib/clock.ts";
import { peerOf } from "../identity/peer.ts";
import { IdentityError, parseSpiffeId } from "../identity/spiffe-id.ts";
import type { Admit } from "./discovery-server.ts";

/**
 * `node.metadata` names the namespace and the service account; both must be the ones in the peer's SPIFFE id. A certificate that
 * is bound to a pod lets in that pod alone, though others have the same account.
 */
export function makeMeshAdmit(trustDomain: string, clock: Clock): Admit {
  return (call, node) => {
    const peer = peerOf(call, clock.wallMs());
    if (peer === undefined) throw new IdentityError("Discovery needs a client certificate of the mesh");
    const id = parseSpiffeId(peer.spiffeId);
    const namespace = node.metadata["namespace"];
    const serviceAccount = node.metadata["serviceAccount"];
    const isOwn = id.trustDomain === trustDomain && id.namespace === namespace && id.serviceAccount === serviceAccount;
    if (!isOwn) {
      throw new IdentityError(
        `${peer.spiffeId} may not be node "${node.id}" (namespace ${JSON.stringify(namespace)}, ` +
          `service account ${JSON.stringify(serviceAccount)}, trust domain ${trustDomain})`,
      );
    }
    if (peer.pod !== undefined && node.id !== `${id.namespace}/${peer.pod.name}`) {
      throw new IdentityError(`The certificate of pod "${id.namespace}/${peer.pod.name}" may not be node "${node.id}"`);
    }
    return { identity: peer.spiffeId, endsAtMs: peer.notAfterMs };
  };
}
