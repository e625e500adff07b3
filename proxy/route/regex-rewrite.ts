// Rewrites by a pattern (Envoy `regex_rewrite`): RE2, and RE2's own way of writing a substitution (`\1` is the first group).
import { compileRe2 } from "#lib/re2.ts";

import type { RegexRewrite } from "#config/model/route.ts";

/** Gives the path in which every match was replaced. */
export type PathRewriter = (path: string) => string;

/** Throws when the pattern is not RE2, or the substitution names a group that it does not have. */
export function compileRegexRewrite({ pattern, substitution }: RegexRewrite): PathRewriter {
  const regex = compileRe2(pattern);
  const parts = parseSubstitution(substitution, regex.groupCount());
  return (path) => {
    const matcher = regex.matcher(path);
    let rewritten = "";
    let from = 0;
    while (matcher.find()) {
      rewritten += path.slice(from, matcher.start());
      for (const part of parts) rewritten += typeof part === "string" ? part : (matcher.group(part) ?? "");
      from = matcher.end();
    }
    return rewritten + path.slice(from);
  };
}

/** Text, and numbers of groups; a backslash stands before a digit or another backslash. */
function parseSubstitution(substitution: string, groups: number): readonly (string | number)[] {
  return substitution.split(/\\(.?)/s).map((part, index) => {
    if (index % 2 === 0 || part === "\\") return part;
    const group = /^\d$/.test(part) ? Number(part) : Number.NaN;
    if (!(group <= groups))
      throw new Error(
        `Cannot use the substitution ${JSON.stringify(substitution)}: "\\${part}" names none of ${groups} groups`,
      );
    return group;
  });
}
