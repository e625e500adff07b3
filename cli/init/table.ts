// The nat table as text: reads what `iptables-save` prints, writes what `iptables-restore --noflush` takes. Pure.
import { CHAIN_PREFIX, type RuleSet } from "./rules.ts";

/** What of ours is in a nat table now. */
export interface SavedTable {
  /** Chains of ours. */
  readonly chains: readonly string[];
  /** In our chains, in order. */
  readonly rules: readonly string[];
  /** In other chains, that lead to ours. */
  readonly jumps: readonly string[];
  /** Whether anybody has rules in the table. */
  readonly isUsed: boolean;
}

export function parseSaved(text: string): SavedTable {
  const chains: string[] = [];
  const rules: string[] = [];
  const jumps: string[] = [];
  let isUsed = false;
  let isNat = false;
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) isNat = line.trim() === "*nat";
    if (!isNat) continue;
    const chain = /^:(\S+)/.exec(line)?.[1];
    if (chain?.startsWith(CHAIN_PREFIX) === true) chains.push(chain);
    const within = /^-A (\S+)/.exec(line)?.[1];
    if (within === undefined) continue;
    isUsed = true;
    if (within.startsWith(CHAIN_PREFIX)) rules.push(line.trim());
    else if (new RegExp(` -[jg] ${CHAIN_PREFIX}`).test(line)) jumps.push(line.trim());
  }
  return { chains, rules, jumps, isUsed };
}

/**
 * Replaces all that is ours by `wanted`, in one transaction, whatever was there: naming a chain empties it, and a jump is
 * taken out before it is added.
 */
export function formatRestore(wanted: RuleSet, now: SavedTable): string {
  const stale = now.chains.filter((chain) => !wanted.chains.includes(chain));
  return table([
    ...[...wanted.chains, ...stale].map((chain) => `:${chain} - [0:0]`),
    ...now.jumps.map((jump) => jump.replace(/^-A /, "-D ")),
    ...wanted.rules,
    ...stale.map((chain) => `-X ${chain}`),
  ]);
}

/** Takes out all that is ours; undefined: nothing is. */
export function formatClean(now: SavedTable): string | undefined {
  if (now.chains.length === 0) return undefined;
  return table([
    ...now.chains.map((chain) => `:${chain} - [0:0]`),
    ...now.jumps.map((jump) => jump.replace(/^-A /, "-D ")),
    ...now.chains.map((chain) => `-X ${chain}`),
  ]);
}

function table(lines: readonly string[]): string {
  return `${["*nat", ...lines, "COMMIT"].join("\n")}\n`;
}

/** The first difference between what should be and what is, in words; undefined: they are the same. */
export function findDifference(wanted: RuleSet, now: SavedTable): string | undefined {
  const isOurs = (rule: string): boolean => rule.startsWith(`-A ${CHAIN_PREFIX}`);
  const jumps = wanted.rules.filter((rule) => !isOurs(rule));
  const inChain = (rules: readonly string[], chain: string): readonly string[] =>
    rules.filter((rule) => rule.startsWith(`-A ${chain} `));
  const stale = now.chains.find((chain) => !wanted.chains.includes(chain));
  if (stale !== undefined) return `there should be no chain ${stale}`;
  // The jumps lie in different chains, whose order among each other means nothing.
  let found = differ(jumps.toSorted(), now.jumps.toSorted());
  for (const chain of wanted.chains) found ??= differ(inChain(wanted.rules, chain), inChain(now.rules, chain));
  return found;
}

function differ(should: readonly string[], is: readonly string[]): string | undefined {
  for (let i = 0; i < Math.max(should.length, is.length); i++) {
    if (normalize(should[i] ?? "") === normalize(is[i] ?? "")) continue;
    return `"${should[i] ?? "nothing"}" should be there, and there is "${is[i] ?? "nothing"}"`;
  }
  return undefined;
}

/** A rule without the order of its options and the names of matches, which versions of iptables print differently. */
function normalize(rule: string): string {
  const options: string[] = [];
  for (const word of rule.split(/\s+/)) {
    const last = options.at(-1);
    if (last === undefined || word === "!" || (word.startsWith("-") && last !== "!")) options.push(word);
    else options[options.length - 1] = `${last} ${word}`;
  }
  return options
    .filter((option) => !option.startsWith("-m "))
    .toSorted()
    .join(" ");
}
