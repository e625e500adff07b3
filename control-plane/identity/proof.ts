// Ways to prove who one is before a certificate is signed.
import type { JoinTokenStore } from "./join-tokens.ts";
import type { PodBinding } from "./pod-binding.ts";

/** A proof that was found good. */
export interface Proof {
  readonly spiffeId: string;
  /** The pod that showed it; undefined: it is bound to none. */
  readonly pod?: PodBinding;
  /** Takes the proof for a public key (DER), if it may be taken once only: false for all other keys. Called right before signing. */
  use(publicKey: ArrayBuffer): boolean;
}

/** Reads one kind of bearer token: join tokens, service-account tokens of Kubernetes. */
export interface ProofVerifier {
  /** `undefined`: not a token of this kind. @throws {IdentityError} for one of this kind that is not good. */
  verify(bearer: string): Promise<Proof | undefined>;
}

/** Join tokens as proof. */
export function makeJoinTokenVerifier(store: JoinTokenStore): ProofVerifier {
  return {
    async verify(bearer) {
      return store.isToken(bearer) ? store.claim(bearer) : undefined;
    },
  };
}
