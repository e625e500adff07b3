// Matchers and shares as protobuf's JSON has them in the messages of filters (`type.matcher.v3`, `RuntimeFractionalPercent`).
import type { Fraction, StringMatcher } from "#config/model/matcher.ts";
import { compileString } from "#config/model/string-test.ts";
import { describeError } from "#lib/errors.ts";

import { FilterConfigError, type ConfigReader } from "./parse.ts";

/** envoy.type.matcher.v3.StringMatcher, without `custom`. */
export function readStringMatcher(reader: ConfigReader): StringMatcher {
  const ignoreCase = reader.boolean("ignoreCase", false);
  const regex = reader.object("safeRegex");
  const kinds = ["exact", "prefix", "suffix", "contains"] as const;
  const kind = kinds.find((name) => reader.value(name) !== undefined);
  if (regex !== undefined) {
    regex.object("googleRe2")?.value("maxProgramSize");
    const matcher: StringMatcher = { kind: "regex", value: regex.string("regex") };
    regex.done();
    reader.done();
    try {
      compileString(matcher);
    } catch (error) {
      throw new FilterConfigError(regex.pathOf("regex"), `an RE2 pattern (${describeError(error)})`, matcher.value);
    }
    return matcher;
  }
  if (kind === undefined)
    throw new FilterConfigError(
      reader.pathOf("exact"),
      "set, or one of prefix, suffix, contains, safeRegex",
      undefined,
    );
  const value = reader.string(kind);
  reader.done();
  return { kind, value, ignoreCase };
}

/** envoy.config.core.v3.RuntimeFractionalPercent under this name; no runtime layer overrides what it says. */
export function readShare(reader: ConfigReader, name: string): Fraction | undefined {
  const share = reader.object(name);
  if (share === undefined) return undefined;
  share.string("runtimeKey", "");
  const value = share.object("defaultValue");
  share.done();
  const denominator = value?.oneOf("denominator", ["HUNDRED", "TEN_THOUSAND", "MILLION"], "HUNDRED") ?? "HUNDRED";
  const whole = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 }[denominator];
  const numerator = value?.number("numerator", 0, 0, 2 ** 32 - 1) ?? 0;
  value?.done();
  return { numerator, denominator: whole };
}
