// SPIFFE identities of workloads: spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
import { HeddleError } from "#lib/errors.ts";

export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const FORM = /^spiffe:\/\/([a-z0-9._-]{1,255})\/ns\/([a-z0-9.-]{1,253})\/sa\/([a-z0-9.-]{1,253})$/;

/** The parts of a workload's identity, or `undefined` when it is not written as we write it. */
export function trySpiffeId(text: string): SpiffeId | undefined {
  const parts = FORM.exec(text);
  if (parts === null) return undefined;
  const [, trustDomain = "", namespace = "", serviceAccount = ""] = parts;
  return { trustDomain, namespace, serviceAccount };
}

/** @throws {IdentityError} */
export function parseSpiffeId(text: string): SpiffeId {
  const id = trySpiffeId(text);
  if (id === undefined) {
    throw new IdentityError(`"${text}" is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>`);
  }
  return id;
}

/** Somebody is not who they must be, or asks for what they may not have. Code `HDL_IDENTITY`. */
export class IdentityError extends HeddleError {
  constructor(message: string, options?: ErrorOptions) {
    super("HDL_IDENTITY", message, options);
  }
}
