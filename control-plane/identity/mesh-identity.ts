// Who signs and what proves who one is, wherever the control plane runs; outside a cluster both lie in its state folder.
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import { CertificateAuthority } from "./authority.ts";
import { JoinTokenStore } from "./join-tokens.ts";
import { makeJoinTokenVerifier, type ProofVerifier } from "./proof.ts";

export interface MeshIdentity {
  readonly authority: CertificateAuthority;
  /** Asked in order; the first that knows a token decides. */
  readonly verifiers: readonly ProofVerifier[];
  /** What the control plane's certificate is for besides its fixed name. */
  readonly serverNames: readonly string[];
  close(): Promise<void>;
}

export interface FolderIdentityOptions {
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly leafLifeMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** @throws {IdentityError} when the folder holds an authority that cannot be used. */
export async function openFolderIdentity(options: FolderIdentityOptions): Promise<MeshIdentity> {
  const authority = await CertificateAuthority.open(options);
  authority.watchRotation(options.log);
  return {
    authority,
    verifiers: [makeJoinTokenVerifier(new JoinTokenStore(options.stateDir, options.clock))],
    serverNames: [],
    close: async () => authority.close(),
  };
}
