// How rules look at strings, headers and query parameters, message <-> model.
import { create } from "@bufbuild/protobuf";
import { compileRe2 } from "#lib/re2.ts";
import type { Fraction, HeaderMatcher, QueryMatcher, StringMatcher } from "../model/matcher.ts";
import {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
  type HeaderMatcher as WireHeaderMatcher,
  type QueryParameterMatcher,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import type { RuntimeFractionalPercent } from "./gen/envoy/config/core/v3/base_pb.ts";
import type { RegexMatcher } from "./gen/envoy/type/matcher/v3/regex_pb.ts";
import { StringMatcherSchema, type StringMatcher as WireStringMatcher } from "./gen/envoy/type/matcher/v3/string_pb.ts";
import {
  FractionalPercentSchema,
  FractionalPercent_DenominatorType as Denominator,
  type FractionalPercent,
} from "./gen/envoy/type/v3/percent_pb.ts";
import type { Scope } from "./issues.ts";
import { describeError } from "#lib/errors.ts";

/** The pattern of a RegexMatcher; reports one that RE2 does not take. */
export function regexFromWire(wire: RegexMatcher, scope: Scope): string {
  try {
    compileRe2(wire.regex);
  } catch (error) {
    scope.field("regex").invalid(`is no RE2 pattern: ${describeError(error)}`);
  }
  return wire.regex;
}

export function stringMatcherFromWire(wire: WireStringMatcher | undefined, scope: Scope): StringMatcher {
  const pattern = wire?.matchPattern;
  const ignoreCase = wire?.ignoreCase ?? false;
  switch (pattern?.case) {
    case "exact":
    case "prefix":
    case "suffix":
    case "contains":
      return { kind: pattern.case, value: pattern.value, ignoreCase };
    case "safeRegex":
      return { kind: "regex", value: regexFromWire(pattern.value, scope.field("safe_regex")) };
    case "custom":
    case undefined:
      // Reported already: unsupported, or a oneof that must be set.
      return { kind: "exact", value: "", ignoreCase };
  }
}

export function stringMatcherToWire(model: StringMatcher): WireStringMatcher {
  if (model.kind === "regex") {
    return create(StringMatcherSchema, { matchPattern: { case: "safeRegex", value: { regex: model.value } } });
  }
  return create(StringMatcherSchema, {
    matchPattern: { case: model.kind, value: model.value },
    ignoreCase: model.ignoreCase,
  });
}

export function headerMatcherFromWire(wire: WireHeaderMatcher, scope: Scope): HeaderMatcher {
  return {
    name: wire.name.toLowerCase(),
    match: headerMatchFromWire(wire, scope),
    invert: wire.invertMatch,
    missingAsEmpty: wire.treatMissingHeaderAsEmpty,
  };
}

function matchText(matcher: StringMatcher): HeaderMatcher["match"] {
  return { kind: "string", matcher };
}

function headerMatchFromWire(wire: WireHeaderMatcher, scope: Scope): HeaderMatcher["match"] {
  const specifier = wire.headerMatchSpecifier;
  switch (specifier.case) {
    case "stringMatch":
      return matchText(stringMatcherFromWire(specifier.value, scope.field("string_match")));
    case "rangeMatch":
      return { kind: "range", start: Number(specifier.value.start), end: Number(specifier.value.end) };
    case "presentMatch":
      return { kind: "present", present: specifier.value };
    case "exactMatch":
      return matchText({ kind: "exact", value: specifier.value, ignoreCase: false });
    case "prefixMatch":
      return matchText({ kind: "prefix", value: specifier.value, ignoreCase: false });
    case "suffixMatch":
      return matchText({ kind: "suffix", value: specifier.value, ignoreCase: false });
    case "containsMatch":
      return matchText({ kind: "contains", value: specifier.value, ignoreCase: false });
    case "safeRegexMatch":
      return matchText({ kind: "regex", value: regexFromWire(specifier.value, scope.field("safe_regex_match")) });
    case undefined:
      return { kind: "present", present: true };
  }
}

export function headerMatcherToWire(model: HeaderMatcher): WireHeaderMatcher {
  const { match } = model;
  const specifier =
    match.kind === "present"
      ? ({ case: "presentMatch", value: match.present } as const)
      : match.kind === "range"
        ? ({ case: "rangeMatch", value: { start: BigInt(match.start), end: BigInt(match.end) } } as const)
        : ({ case: "stringMatch", value: stringMatcherToWire(match.matcher) } as const);
  return create(HeaderMatcherSchema, {
    name: model.name,
    headerMatchSpecifier: specifier,
    invertMatch: model.invert,
    treatMissingHeaderAsEmpty: model.missingAsEmpty,
  });
}

export function queryMatcherFromWire(wire: QueryParameterMatcher, scope: Scope): QueryMatcher {
  const specifier = wire.queryParameterMatchSpecifier;
  const match: QueryMatcher["match"] =
    specifier.case === "stringMatch"
      ? { kind: "string", matcher: stringMatcherFromWire(specifier.value, scope.field("string_match")) }
      : { kind: "present", present: specifier.case === "presentMatch" ? specifier.value : true };
  return { name: wire.name, match };
}

export function queryMatcherToWire(model: QueryMatcher): QueryParameterMatcher {
  const { match } = model;
  return create(QueryParameterMatcherSchema, {
    name: model.name,
    queryParameterMatchSpecifier:
      match.kind === "present"
        ? { case: "presentMatch", value: match.present }
        : { case: "stringMatch", value: stringMatcherToWire(match.matcher) },
  });
}

const DENOMINATORS = [
  [Denominator.HUNDRED, 100],
  [Denominator.TEN_THOUSAND, 10_000],
  [Denominator.MILLION, 1_000_000],
] as const;

export function fractionFromWire(wire: FractionalPercent): Fraction {
  const denominator = DENOMINATORS.find(([code]) => code === wire.denominator)?.[1] ?? 100;
  return { numerator: Math.min(wire.numerator, denominator), denominator };
}

export function fractionToWire(model: Fraction): FractionalPercent {
  const code = DENOMINATORS.find(([, denominator]) => denominator === model.denominator)?.[0];
  if (code !== undefined) return create(FractionalPercentSchema, { numerator: model.numerator, denominator: code });
  // Any other share in the finest of Envoy's three units.
  const numerator = Math.round((model.numerator / model.denominator) * 1_000_000);
  return create(FractionalPercentSchema, { numerator, denominator: Denominator.MILLION });
}

export function runtimeFractionFromWire(wire: RuntimeFractionalPercent | undefined): Fraction | undefined {
  return wire?.defaultValue === undefined ? undefined : fractionFromWire(wire.defaultValue);
}
