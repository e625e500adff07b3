// Who is who in a test cluster: its certificate authority, the API server's certificate, and a token with a kubeconfig for each client.
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

import { makeRoot, makeServerLeaf } from "#control-plane/identity/certificates.ts";

const DAY_MS = 86_400_000;

/** Client -> its user and groups. */
const CLIENTS: Readonly<Record<string, readonly [user: string, groups?: string]>> = {
  admin: ["admin", "system:masters"],
  manager: ["system:kube-controller-manager"],
  scheduler: ["system:kube-scheduler"],
  proxy: ["system:kube-proxy"],
  node1: ["system:node:node1", "system:nodes"],
  node2: ["system:node:node2", "system:nodes"],
};

/** Writes `ca.crt`, `ca.key`, `api.crt`, `api.key`, `accounts.key`, `accounts.pub`, `tokens.csv` and a `CLIENT.conf` each into `folder`. */
export async function writeCredentials(folder: string, server: string, addresses: readonly string[]): Promise<void> {
  fs.mkdirSync(folder, { recursive: true });
  const write = (name: string, text: string): void => fs.writeFileSync(path.join(folder, name), text, { mode: 0o600 });
  const validity = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + 365 * DAY_MS };
  const root = await makeRoot("test cluster", validity);
  const service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
  const api = await makeServerLeaf(root, service, ["127.0.0.1", ...addresses], validity);
  write("ca.crt", root.certificatePem);
  write("ca.key", root.keyPem);
  write("api.crt", api.certificatePem);
  write("api.key", api.keyPem);
  // Tokens of service accounts: RS256, which every reader of JWTs knows.
  const accounts = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  write("accounts.key", accounts.privateKey);
  write("accounts.pub", accounts.publicKey);
  const tokens = Object.entries(CLIENTS).map(([name, [user, groups]]) =>
    [`${name}-token`, user, name, ...(groups === undefined ? [] : [`"${groups}"`])].join(","),
  );
  write("tokens.csv", `${tokens.join("\n")}\n`);
  const authority = Buffer.from(root.certificatePem).toString("base64");
  for (const name of Object.keys(CLIENTS)) write(`${name}.conf`, makeKubeconfig(server, authority, `${name}-token`));
}

/** JSON, which YAML holds. */
function makeKubeconfig(server: string, authority: string, token: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "certificate-authority-data": authority } }],
    users: [{ name: "test", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  });
}
