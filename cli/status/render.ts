// Writes a mesh's report for people.
import type { MeshReport, ObjectReport, ProblemReport, ProxyReport } from "./report.ts";

/** `nowMs` is Unix time, for ages. `isLong` also lists objects whose conditions are all good. */
export function renderStatus(report: MeshReport, nowMs: number, isLong: boolean): string {
  const { version, receipts, proxies, errors, warnings, refusedFiles, objects } = report;
  const lines = [
    `Configuration version ${version === "" ? "(none yet)" : version}, applied on ${receipts.applied} of ${receipts.total} connected proxies`,
    "",
    ...table([
      ["PROXY", "STATE", "APPLIED", "REFUSED", "IDENTITY"],
      ...proxies.map((proxy) => proxyRow(proxy, version, nowMs)),
    ]),
  ];
  if (proxies.length === 0) lines.push("(no proxy has connected)");
  for (const { id, rejections } of proxies) {
    for (const { kind, name, reason } of rejections) lines.push("", `${id} refused ${kind} ${name}:`, `  ${reason}`);
  }
  lines.push(...problemLines("Errors of configuration", errors), ...problemLines("Warnings", warnings));
  if (refusedFiles.length > 0) {
    lines.push("", `Not in force, the last good version stays: ${refusedFiles.join(", ")}`);
  }
  lines.push(...objectLines(objects, isLong));
  return `${lines.join("\n")}\n`;
}

function proxyRow(proxy: ProxyReport, version: string, nowMs: number): readonly string[] {
  const { id, isConnected, sinceMs, appliedVersion, rejections, identity } = proxy;
  const applied = appliedVersion === "" ? "nothing yet" : appliedVersion === version ? "current" : appliedVersion;
  return [
    id,
    `${isConnected ? "connected" : "gone"} ${age(nowMs - sinceMs)}`,
    applied,
    String(rejections.length),
    identity ?? "none (plaintext)",
  ];
}

function problemLines(title: string, problems: readonly ProblemReport[]): readonly string[] {
  if (problems.length === 0) return [];
  return [
    "",
    `${title}:`,
    ...problems.map(({ at, message, hint, code }) => `  ${at}: ${message}${hint === "" ? "" : ` (${hint})`} [${code}]`),
  ];
}

function objectLines(objects: readonly ObjectReport[], isLong: boolean): readonly string[] {
  const shown = isLong ? objects : objects.filter((object) => !isGood(object));
  const lines = [
    "",
    `Objects: ${objects.filter(isGood).length} of ${objects.length} accepted, resolved and programmed`,
  ];
  for (const { name, at, conditions } of shown) {
    lines.push(`  ${name} (${at})`);
    for (const { type, status, reason, message } of conditions) {
      if (isLong || status !== "True")
        lines.push(`    ${type}=${status} ${reason}${message === "" ? "" : `: ${message}`}`);
    }
  }
  return lines;
}

function isGood({ conditions }: ObjectReport): boolean {
  return conditions.every(({ status }) => status === "True");
}

/** Columns as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 2))
      .join("")
      .trimEnd(),
  );
}

/** As kubectl writes ages: `12s`, `4m`, `3h`, `2d`. */
function age(forMs: number): string {
  const seconds = Math.max(0, Math.floor(forMs / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
