// Filters of one backend that a weighted cluster cannot have: its share becomes a rule of its own, with the filters on the rule.
import type { Fraction } from "#config/model/matcher.ts";
import type { GRPCRouteRule } from "#config/schema/grpc-route.ts";
import type { HTTPRouteRule } from "#config/schema/http-route.ts";
import type { AnyFilter } from "./filters.ts";

type Rule = HTTPRouteRule | GRPCRouteRule;

/** The rule, or the part of it that goes to one backend. */
export interface RulePart {
  readonly rule: Rule;
  /**
   * The share of requests up to which this part and those before it take them; undefined: all. One draw of a request is held against
   * all of them, in Envoy too.
   */
  readonly upTo: Fraction | undefined;
}

/** xDS knows no finer share. */
const MILLION = 1_000_000;
const liftedTypes: ReadonlySet<string> = new Set(["RequestMirror", "RequestRedirect", "URLRewrite", "CORS"]);

/** In the order in which the parts must be tried. Without such filters: the rule as it is. */
export function partsOf(rule: Rule): readonly RulePart[] {
  const refs = (rule.backendRefs ?? []).filter(({ weight }) => weight > 0);
  if (!refs.some(({ filters }) => filters?.some(({ type }) => liftedTypes.has(type))))
    return [{ rule, upTo: undefined }];
  const total = refs.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  return refs.map((ref, index) => {
    sum += ref.weight;
    const numerator = Math.round((sum / total) * MILLION);
    const own: readonly AnyFilter[] = ref.filters ?? [];
    const part = {
      ...rule,
      filters: merged(
        rule.filters ?? [],
        own.filter(({ type }) => liftedTypes.has(type)),
      ),
      backendRefs: [{ ...ref, filters: own.filter(({ type }) => !liftedTypes.has(type)) }],
    };
    return {
      rule: part as Rule, // as: the filters are those of the same kind of route
      upTo: index === refs.length - 1 ? undefined : { numerator, denominator: MILLION },
    };
  });
}

/** What a backend says takes the place of what the rule says with the same filter; copies are made of both. */
function merged(ofRule: readonly AnyFilter[], own: readonly AnyFilter[]): readonly AnyFilter[] {
  const kept = ofRule.filter(({ type }) => type === "RequestMirror" || !own.some((filter) => filter.type === type));
  const rewrite = ofRule.find(({ type }) => type === "URLRewrite");
  return [
    ...kept,
    ...own.map((filter) =>
      filter.type === "URLRewrite" && rewrite?.type === "URLRewrite"
        ? { ...filter, urlRewrite: { ...rewrite.urlRewrite, ...filter.urlRewrite } }
        : filter,
    ),
  ];
}
