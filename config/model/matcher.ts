// How a rule looks at a string, a header or a query parameter.

/** Matches one string. `regex` is RE2 syntax and must match the whole value (Envoy's `safe_regex`). */
export type StringMatcher =
  | { readonly kind: "exact"; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: "prefix"; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: "suffix"; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: "contains"; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: "regex"; readonly value: string };

/** Matches a header by its lower-case name; pseudo-headers (`:method`, `:path`, `:authority`) included. */
export interface HeaderMatcher {
  readonly name: string;
  readonly match:
    | { readonly kind: "present"; readonly present: boolean }
    | { readonly kind: "range"; readonly start: number; readonly end: number }
    | { readonly kind: "string"; readonly matcher: StringMatcher };
  readonly invert: boolean;
  /** An absent header is looked at as an empty value (Envoy `treat_missing_header_as_empty`). */
  readonly missingAsEmpty: boolean;
}

/** Matches one query parameter. */
export interface QueryMatcher {
  readonly name: string;
  readonly match:
    | { readonly kind: "present"; readonly present: boolean }
    | { readonly kind: "string"; readonly matcher: StringMatcher };
}

/** A share of requests: `numerator` of `denominator` (100, 10_000 or 1_000_000). */
export interface Fraction {
  readonly numerator: number;
  readonly denominator: number;
}
