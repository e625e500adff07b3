// Writes a pod's rules into the network namespace of this process, and takes them out: the right backend, both families, and a
// look afterwards whether the kernel has them.
import { describeError, HeddleError } from "#lib/errors.ts";
import type { Family } from "./cidr.ts";
import { BACKENDS, hasLegacyTable, type Backend, type Iptables } from "./iptables.ts";
import { PROXY_SOURCES, type Interception } from "./interception.ts";
import { addProxySource, hasIpv6Address, removeProxySource } from "./netns.ts";
import { makeRules, type RuleSet } from "./rules.ts";
import { findDifference, formatClean, formatRestore, type SavedTable } from "./table.ts";

export type BackendChoice = "auto" | Backend;

/** What was done, a line for each family, for people. */
export type Report = readonly string[];

/**
 * Idempotent: what is there already stays, what is different is replaced in one transaction.
 * @throws {HeddleError} HDL_INTERCEPTION_FAILED: a family that the pod has could not be redirected.
 */
export async function applyInterception(wanted: Interception, tools: Iptables, choice: BackendChoice): Promise<Report> {
  const four = applyFamily("IPv4", makeRules(wanted, "IPv4"), tools, choice);
  try {
    const six = applyFamily("IPv6", makeRules(wanted, "IPv6"), tools, choice);
    if (!(await addProxySource()) && hasIpv6Address())
      throw failed(`Cannot give lo the address ${PROXY_SOURCES.IPv6}, which the proxy calls the application from`);
    return [four, six];
  } catch (error) {
    if (hasIpv6Address()) throw error;
    return [four, `IPv6: not redirected, and the pod has no IPv6 address: ${describeError(error)}`];
  }
}

function applyFamily(family: Family, wanted: RuleSet, tools: Iptables, choice: BackendChoice): string {
  const problems: string[] = [];
  for (const backend of order(family, tools, choice)) {
    try {
      const now = tools.read(backend, family);
      if (findDifference(wanted, now) === undefined) return `${family}: redirected already (${backend})`;
      tools.restore(backend, family, formatRestore(wanted, now));
      const difference = findDifference(wanted, tools.read(backend, family));
      if (difference !== undefined) throw failed(`the rules are not as they were written: ${difference}`);
      return `${family}: redirected, ${wanted.rules.length} rules (${backend})`;
    } catch (error) {
      problems.push(describeError(error));
    }
  }
  throw failed(`Cannot redirect ${family}: ${problems.join("; ")}`);
}

/** nft first, as every current distribution has it; legacy where the pod is legacy's already, or the kernel has no nf_tables. */
function order(family: Family, tools: Iptables, choice: BackendChoice): readonly Backend[] {
  if (choice !== "auto") return [choice];
  const backends = BACKENDS.filter((backend) => tools.has(backend));
  if (backends.length === 0)
    throw failed("there is no xtables-nft-multi and no xtables-legacy-multi in PATH or /usr/sbin");
  return isLegacys(family, tools) ? backends.toReversed() : backends;
}

function isLegacys(family: Family, tools: Iptables): boolean {
  if (!tools.has("legacy") || !hasLegacyTable(family)) return false;
  const nft = tools.has("nft") ? tryRead(tools, "nft", family) : undefined;
  return tryRead(tools, "legacy", family)?.isUsed === true && nft?.isUsed !== true;
}

function tryRead(tools: Iptables, backend: Backend, family: Family): SavedTable | undefined {
  try {
    return tools.read(backend, family);
  } catch {
    return undefined;
  }
}

/** Takes out all that is Heddle's, of any version and backend. @throws {HeddleError} HDL_INTERCEPTION_FAILED. */
export async function cleanInterception(tools: Iptables): Promise<Report> {
  const report: string[] = [];
  for (const family of ["IPv4", "IPv6"] as const) {
    for (const backend of BACKENDS) {
      if (!tools.has(backend) || (backend === "legacy" && !hasLegacyTable(family))) continue;
      // What cannot be read has no rules: the kernel lacks this backend or this family.
      const now = tryRead(tools, backend, family);
      const input = now === undefined ? undefined : formatClean(now);
      if (input === undefined) continue;
      tools.restore(backend, family, input);
      report.push(`${family}: cleaned (${backend})`);
    }
  }
  await removeProxySource();
  return report.length === 0 ? ["nothing to clean"] : report;
}

/** The first thing that is missing of a pod's rules; undefined: all are there. For CNI's CHECK. */
export function findMissing(wanted: Interception, tools: Iptables): string | undefined {
  const families = hasIpv6Address() ? (["IPv4", "IPv6"] as const) : (["IPv4"] as const);
  for (const family of families) {
    const rules = makeRules(wanted, family);
    const differences = BACKENDS.filter(
      (backend) => tools.has(backend) && (backend === "nft" || hasLegacyTable(family)),
    ).map((backend) => {
      const now = tryRead(tools, backend, family);
      return now === undefined ? `${backend} cannot be read` : findDifference(rules, now);
    });
    if (!differences.includes(undefined)) return `${family}: ${differences.join("; ") || "there is no packet filter"}`;
  }
  return undefined;
}

function failed(message: string): HeddleError {
  return new HeddleError("HDL_INTERCEPTION_FAILED", message);
}
