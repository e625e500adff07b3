// Tells the story of a request in sentences, from the records of the proxies that it met.
import { grpcStatusNames } from "#lib/grpc/status.ts";
import { inOrder, type Hop, type HopAttempt } from "./records.ts";

/** The whole story: first why, in one sentence; then each hop in the order in which the request met it. */
export function tellStory(hops: readonly Hop[]): string {
  const ordered = inOrder(hops);
  const decisive = decisiveHop(ordered);
  if (decisive === undefined) return "";
  const lines = [tellCause(decisive)];
  for (const [index, hop] of ordered.entries()) {
    lines.push("");
    if (ordered.length > 1) lines.push(`Hop ${index + 1}, the ${place(hop)}:`);
    lines.push(...tellHop(hop, hop === decisive).map((line) => (ordered.length > 1 ? `  ${line}` : line)));
  }
  return `${lines.join("\n")}\n`;
}

/** The hop that the answer came from: the first one that made it itself, else the last that has one. */
export function decisiveHop(ordered: readonly Hop[]): Hop | undefined {
  return ordered.find(({ code }) => code !== undefined) ?? ordered.find(({ status }) => status >= 500) ?? ordered[0];
}

/** One sentence: what was asked, what it was answered, by whom, and why. */
export function tellCause(hop: Hop): string {
  const what = `${hop.method} ${urlOf(hop)}`;
  if (hop.code !== undefined) {
    return `${what} was answered ${tellStatus(hop)} by the ${place(hop)}: ${sentence(hop.detail ?? hop.code)}`;
  }
  if (hop.status === 0) return `${what} got no answer from the ${place(hop)}: ${whyNone(hop)}`;
  const from = hop.attempts.at(-1)?.endpoint;
  const by = from === undefined ? "" : ` by ${from}`;
  return `${what} was answered ${tellStatus(hop)}${by} through the ${place(hop)}, after ${ms(hop.durationMs)}.`;
}

function whyNone({ flags }: Hop): string {
  return flags.includes("DC") ? "the caller left before there was one (DC)." : `flags ${flags.join(",") || "none"}.`;
}

function tellHop(hop: Hop, isDecisive: boolean): readonly string[] {
  const lines: string[] = [];
  if (!isDecisive) lines.push(tellCause(hop));
  if (hop.peerIdentity !== undefined) lines.push(`Caller: ${hop.peerIdentity}, verified.`);
  if (hop.rule !== undefined) lines.push(`Rule: ${hop.rule}.`);
  if (hop.route !== undefined || hop.cluster !== undefined) {
    const route = hop.route === undefined ? "" : ` by route ${hop.route}`;
    const cluster = hop.cluster === undefined ? "" : ` to cluster ${hop.cluster}`;
    lines.push(`Routed${route}${cluster}, from listener ${hop.listener}.`);
  } else {
    lines.push(`Listener ${hop.listener}; no route was chosen.`);
  }
  lines.push(...tellAttempts(hop.attempts));
  const notes = Object.entries(hop.notes);
  if (notes.length > 0) lines.push(`Noted: ${notes.map(([name, value]) => `${name} ${value}`).join(", ")}.`);
  const code = hop.code === undefined ? "" : `code ${hop.code}, `;
  const flags = hop.flags.length === 0 ? "" : `flags ${hop.flags.join(",")}, `;
  lines.push(
    `${capital(`${code}${flags}configuration ${tellVersion(hop.configVersion)}`)}; ${hop.time}, ${ms(hop.durationMs)}${hop.traceId === "" ? "" : `, trace ${hop.traceId}`}.`,
  );
  return lines;
}

function tellAttempts(attempts: readonly HopAttempt[]): readonly string[] {
  if (attempts.length === 0) return ["Attempts: none, nothing was sent upstream."];
  const told = attempts.map(({ endpoint, startMs, durationMs, outcome }, index) => {
    const to = endpoint === undefined ? "to no endpoint" : `to ${endpoint}`;
    return `${index + 1} ${to} at ${ms(startMs)}: ${outcome}, after ${ms(durationMs)}`;
  });
  return told.length === 1
    ? [`Attempts: ${told[0] ?? ""}.`]
    : [`Attempts: ${told.length}`, ...told.map((line) => `  ${line}`)];
}

function place({ direction, node }: Hop): string {
  const kind = direction === "inbound" || direction === "outbound" ? `${direction} sidecar` : "proxy";
  return node === "" ? kind : `${kind} of ${node}`;
}

function urlOf({ authority, path }: Hop): string {
  return path.startsWith("/") || path === "" ? `http://${authority}${path}` : path;
}

function tellStatus({ status, grpcStatus }: Hop): string {
  if (grpcStatus === undefined) return String(status);
  return `${status} with grpc-status ${grpcStatus} (${grpcStatusNames[grpcStatus] ?? "unknown"})`;
}

function tellVersion(version: string): string {
  return version === "" ? "version of the bootstrap" : `version ${version}`;
}

function ms(value: number): string {
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ms`;
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
