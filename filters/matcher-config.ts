// Matchers and shares as protobuf's JSON has them in the messages of filters (`HeaderMatcher`, `type.matcher.v3`, `FractionalPercent`).
import type { Fraction, HeaderMatcher, QueryMatcher, StringMatcher } from "#config/model/matcher.ts";
import { compileString } from "#config/model/string-test.ts";
import { describeError } from "#lib/errors.ts";

import { FilterConfigError, type ConfigReader } from "./parse.ts";

const TEXT_KINDS = ["exact", "prefix", "suffix", "contains"] as const;

/** envoy.config.route.v3.HeaderMatcher; without a specifier the header must be there. */
export function readHeaderMatcher(reader: ConfigReader): HeaderMatcher {
  const matcher: HeaderMatcher = {
    name: reader.string("name").toLowerCase(),
    match: readHeaderMatch(reader),
    invert: reader.boolean("invertMatch", false),
    missingAsEmpty: reader.boolean("treatMissingHeaderAsEmpty", false),
  };
  reader.done();
  return matcher;
}

function readHeaderMatch(reader: ConfigReader): HeaderMatcher["match"] {
  const text = reader.object("stringMatch");
  if (text !== undefined) return { kind: "string", matcher: readStringMatcher(text) };
  const range = reader.object("rangeMatch");
  if (range !== undefined) {
    const match = { kind: "range", start: range.number("start", 0), end: range.number("end", 0) } as const;
    range.done();
    return match;
  }
  const regex = reader.object("safeRegexMatch");
  if (regex !== undefined) return { kind: "string", matcher: readRegex(regex) };
  // The names that Envoy had before it had `string_match`.
  for (const kind of TEXT_KINDS) {
    const name = `${kind}Match`;
    if (reader.value(name) === undefined) continue;
    return { kind: "string", matcher: { kind, value: reader.string(name), ignoreCase: false } };
  }
  return { kind: "present", present: reader.boolean("presentMatch", true) };
}

/** envoy.type.matcher.v3.StringMatcher, without `custom`. */
export function readStringMatcher(reader: ConfigReader): StringMatcher {
  const ignoreCase = reader.boolean("ignoreCase", false);
  const regex = reader.object("safeRegex");
  const kind = TEXT_KINDS.find((name) => reader.value(name) !== undefined);
  if (regex !== undefined) {
    reader.done();
    return readRegex(regex);
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

function readRegex(reader: ConfigReader): StringMatcher {
  reader.object("googleRe2")?.value("maxProgramSize");
  const matcher: StringMatcher = { kind: "regex", value: reader.string("regex") };
  reader.done();
  try {
    compileString(matcher);
  } catch (error) {
    throw new FilterConfigError(reader.pathOf("regex"), `an RE2 pattern (${describeError(error)})`, matcher.value);
  }
  return matcher;
}

/** envoy.config.route.v3.QueryParameterMatcher; without a specifier the parameter must be there. */
export function readQueryMatcher(reader: ConfigReader): QueryMatcher {
  const text = reader.object("stringMatch");
  const matcher: QueryMatcher = {
    name: reader.string("name"),
    match:
      text === undefined
        ? { kind: "present", present: reader.boolean("presentMatch", true) }
        : { kind: "string", matcher: readStringMatcher(text) },
  };
  reader.done();
  return matcher;
}

/** envoy.config.core.v3.RuntimeFractionalPercent under this name; no runtime layer overrides what it says. */
export function readShare(reader: ConfigReader, name: string): Fraction | undefined {
  const share = reader.object(name);
  if (share === undefined) return undefined;
  share.string("runtimeKey", "");
  const value = share.object("defaultValue");
  share.done();
  return readFraction(value);
}

const DENOMINATORS = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 } as const;

/** envoy.type.v3.FractionalPercent; absent = nothing, as its defaults say. */
export function readFraction(reader: ConfigReader | undefined): Fraction {
  if (reader === undefined) return { numerator: 0, denominator: 100 };
  const denominator = DENOMINATORS[reader.oneOf("denominator", ["HUNDRED", "TEN_THOUSAND", "MILLION"], "HUNDRED")];
  const numerator = reader.number("numerator", 0, 0, 2 ** 32 - 1);
  reader.done();
  return { numerator, denominator };
}
