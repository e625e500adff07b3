// Certificates of one bench run: an authority, one for each side of the mesh path, one for the load generator.
import fs from "node:fs";
import path from "node:path";

import type { CertificateSecret } from "#config/model/tls.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";

export interface Party extends CertificateSecret {
  readonly identity: string;
}

export interface Certificates {
  readonly bundlePem: string;
  readonly outbound: Party;
  readonly inbound: Party;
  /** Holds ca.pem, client.pem and client.key. */
  readonly folder: string;
}

/** ECDSA P-256, valid for an hour. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const authority = await makeAuthority("Bench CA");
  const issue = async (name: string): Promise<Party> => {
    const identity = `spiffe://cluster.local/ns/bench/sa/${name}`;
    return { identity, ...(await authority.issue({ uri: identity, dns: ["bench.internal"] })) };
  };
  const [outbound, inbound, client] = [await issue("outbound"), await issue("inbound"), await issue("client")];
  fs.writeFileSync(path.join(folder, "ca.pem"), authority.bundlePem);
  fs.writeFileSync(path.join(folder, "client.pem"), client.chainPem);
  fs.writeFileSync(path.join(folder, "client.key"), client.keyPem, { mode: 0o600 });
  return { bundlePem: authority.bundlePem, outbound, inbound, folder };
}
