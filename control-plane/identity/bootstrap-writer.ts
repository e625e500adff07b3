// Writes what one sidecar starts from: its bootstrap (Envoy's format) and a join token.
import path from "node:path";
import { stringify } from "yaml";
import { makeSidecarBootstrap, type SidecarBootstrap } from "#config/bootstrap/sidecar-bootstrap.ts";
import type { JoinTokenStore } from "./join-tokens.ts";
import { writePrivateFile } from "./private-file.ts";

/**
 * Writes `bootstrap.yaml` and `token` (0600) under `folder` and answers where the bootstrap is. The token is issued here, for
 * `spiffeId`, with the given life (1 h when undefined).
 */
export function writeBootstrap(
  folder: string,
  sidecar: Omit<SidecarBootstrap, "tokenFile" | "stateDir">,
  tokens: JoinTokenStore,
  tokenLifeMs?: number,
): string {
  const tokenFile = path.join(folder, "token");
  const bootstrapFile = path.join(folder, "bootstrap.yaml");
  writePrivateFile(tokenFile, `${tokens.issueToken(sidecar.spiffeId, tokenLifeMs)}\n`);
  const full = { ...sidecar, tokenFile, stateDir: path.join(folder, "state") };
  writePrivateFile(bootstrapFile, stringify(makeSidecarBootstrap(full), { lineWidth: 0 }), 0o644);
  return bootstrapFile;
}
