// The CORS filter: answers the questions that browsers ask before a call to another origin, and marks the answers that their scripts
// may read (WHATWG Fetch, §3.2). It keeps nobody from calling: what a browser does not allow is the browser's to refuse.
import type { Fraction } from "#config/model/matcher.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { isDrawn, type Random } from "#lib/random.ts";

import { ANSWERED, CONTINUE, type Filter, type FilterContext, type FilterFactory, type LocalReply } from "../filter.ts";
import { CORS, CORS_POLICY, inheritCors, parseCors, type CorsPolicy } from "./config.ts";

export const corsFilter = {
  name: "envoy.filters.http.cors",
  typeUrls: [CORS_POLICY, CORS],
  failureMode: "closed",
  perRoute: "settings",
  parse: parseCors,
  inherit: inheritCors,
  make(_config, context) {
    return makeFilter(context);
  },
} satisfies FilterFactory<CorsPolicy>;

/** A request of an origin that may read the answer. */
interface Allowed {
  readonly policy: CorsPolicy;
  readonly origin: string;
}

function makeFilter(context: FilterContext): Filter {
  const { name, listener, random } = context;
  const slot = context.slot();
  const counter = (origin: string) =>
    context.metrics.counter("heddle_cors_requests_total", "Requests of another origin, by whether it may call.", {
      listener,
      origin,
    });
  const valid = counter("valid");
  const invalid = counter("invalid");
  return {
    name,
    onRouted(exchange, head) {
      const override = exchange.override(name);
      // Redirects and direct answers are left alone, as Envoy leaves them.
      const action = exchange.route?.action.kind ?? "forward";
      if (override === undefined || override.isDisabled || action !== "forward") return CONTINUE;
      const policy = override.config as CorsPolicy; // as: `parseCors` made it
      const origin = head.get("origin") ?? "";
      if (origin === "") return CONTINUE;
      const isEnabled = isIn(policy.enabled, random, true);
      if (!isEnabled && !isIn(policy.shadow, random, false)) return CONTINUE;
      const isAllowed = policy.origins.some((test) => test(origin));
      (isAllowed ? valid : invalid).add(1);
      if (!isEnabled) return CONTINUE;
      if (isAllowed) exchange.slots[slot] = { policy, origin } satisfies Allowed;
      const asked = head.get("access-control-request-method") ?? "";
      if (head.get(":method") !== "OPTIONS" || asked === "") return CONTINUE;
      if (!isAllowed && policy.forwardsOthers !== false) return CONTINUE;
      exchange.answer(preflight(policy, head, isAllowed));
      return ANSWERED;
    },
    onResponseHead(exchange, head) {
      const allowed = exchange.slots[slot] as Allowed | undefined; // as: only this filter writes its slot
      if (allowed === undefined) return CONTINUE;
      const { policy, origin } = allowed;
      head.set("access-control-allow-origin", origin);
      if (policy.credentials === true) head.set("access-control-allow-credentials", "true");
      if (policy.exposed !== "") head.set("access-control-expose-headers", policy.exposed);
      return CONTINUE;
    },
  };
}

function isIn(share: Fraction | undefined, random: Random, fallback: boolean): boolean {
  return share === undefined ? fallback : isDrawn(share, random);
}

/** `*` is not told to browsers: with credentials they take it for a name (Fetch §3.2.3), so what they asked for is repeated. */
function preflight(policy: CorsPolicy, head: HeaderBlock, isAllowed: boolean): LocalReply {
  const headers: [string, string][] = [];
  const say = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== "") headers.push([`access-control-${name}`, value]);
  };
  if (isAllowed) say("allow-origin", head.get("origin"));
  if (policy.credentials === true) say("allow-credentials", "true");
  say("allow-methods", policy.methods === "*" ? head.get("access-control-request-method") : policy.methods);
  say("allow-headers", policy.headers === "*" ? head.getJoined("access-control-request-headers") : policy.headers);
  say("max-age", policy.maxAge);
  if (policy.privateNetwork === true && head.get("access-control-request-private-network") === "true")
    say("allow-private-network", "true");
  return {
    status: 200,
    flag: undefined,
    code: "preflight",
    proxyStatus: "",
    detail: "a preflight of CORS",
    headers,
    isPlain: true,
  };
}
