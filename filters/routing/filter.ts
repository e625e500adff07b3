// The tenant and version routing filter. It settles whose request this is from an ordered list of sources, believes a header only
// where it is trusted, and narrows the choice of endpoints to the tenant's own, then to the request's colours. (Versions are routes
// with subset labels; the tenant's label is added to them here.)
import type { JsonValue } from "#config/model/filter-config.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import {
  ANSWERED,
  CONTINUE,
  type Exchange,
  type Filter,
  type FilterContext,
  type FilterFactory,
  type LocalReply,
  type Pick,
} from "../filter.ts";
import { isLocalClient } from "../local-client.ts";
import { ConfigReader, FilterConfigError } from "../parse.ts";
import { Colour, parseColour, type ColourConfig } from "./colours.ts";
import { compileIdentity } from "./identity-pattern.ts";

export interface RoutingConfig {
  /** The endpoint label that names a tenant; a cluster is split by tenants when its metadata `heddle.tenants` says so. */
  readonly labelKey: string;
  /** A request of no tenant to a split cluster: only endpoints without the label, or 403. */
  readonly withoutTenant: "shared" | "deny";
  readonly sources: readonly TenantSource[];
  readonly colours: readonly ColourConfig[];
  readonly rule: string;
}

export type TenantSource =
  | {
      readonly kind: "header";
      readonly name: string;
      /** SPIFFE ids whose word is believed; `*` stands for one path segment. */
      readonly trustedIdentities: readonly string[];
      /** The application beside us is believed, though it has no identity (filters/local-client.ts). */
      readonly trustsLocal: boolean;
      readonly onUntrusted: "refuse" | "strip";
    }
  | { readonly kind: "peerIdentity"; readonly pattern: string };

export const routingFilter = {
  name: "heddle.routing",
  typeUrls: ["type.googleapis.com/heddle.filters.routing.v1.Routing"],
  failureMode: "closed",
  perRoute: "nothing",
  parse(value) {
    const reader = new ConfigReader(value, "");
    const config: RoutingConfig = {
      labelKey: reader.string("labelKey", "tenant"),
      withoutTenant: reader.oneOf("withoutTenant", ["shared", "deny"], "shared"),
      sources: reader.objects("sources").map(parseSource),
      colours: reader.objects("colours").map(parseColour),
      rule: reader.string("rule", ""),
    };
    reader.done();
    return config;
  },
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<RoutingConfig>;

function parseSource(reader: ConfigReader): TenantSource {
  const header = reader.object("header");
  const peer = reader.object("peerIdentity");
  reader.done();
  if (header !== undefined) {
    const source = {
      kind: "header",
      name: header.string("name").toLowerCase(),
      trustedIdentities: header.strings("trustedIdentities"),
      trustsLocal: header.boolean("trustsLocal", false),
      onUntrusted: header.oneOf("onUntrusted", ["refuse", "strip"], "refuse"),
    } as const;
    header.done();
    return source;
  }
  if (peer === undefined) throw new FilterConfigError("sources[]", "one of header, peerIdentity", undefined);
  const source = { kind: "peerIdentity", pattern: peer.string("pattern") } as const;
  peer.done();
  return source;
}

/** What one exchange's request says. */
interface Origin {
  readonly tenant: string | undefined;
  /** In the order of the configuration. */
  readonly colours: readonly (string | undefined)[];
}

const NOBODY: Origin = { tenant: undefined, colours: [] };

type CompiledSource = (exchange: Exchange, head: HeaderBlock) => string | LocalReply | undefined;

function makeFilter(config: RoutingConfig, context: FilterContext): Filter {
  const slot = context.slot();
  const sources = config.sources.map((source) => compileSource(source, config));
  const colours = config.colours.map((colour) => new Colour(colour, config.rule, context));
  // The colour that is the tenant's name: it travels as one, and is decided as the tenant is.
  const tenantAt = config.colours.findIndex(({ key }) => key === config.labelKey);
  const forged = context.metrics.counter(
    "heddle_tenant_untrusted_total",
    "Requests that named a tenant without being trusted to.",
    { listener: context.listener },
  );
  return {
    name: context.name,
    onRequestHead(exchange, head) {
      let tenant: string | undefined;
      // The first source that names a tenant decides; the others are asked all the same, for a forged header must not pass on.
      for (let i = 0; i < sources.length; i++) {
        const found = sources[i]?.(exchange, head);
        if (found === undefined) continue;
        if (typeof found !== "string") {
          forged.add(1);
          exchange.answer(found);
          return ANSWERED;
        }
        tenant ??= found;
      }
      if (colours.length === 0) {
        if (tenant === undefined) return CONTINUE;
        exchange.slots[slot] = { tenant, colours: NOBODY.colours } satisfies Origin;
        exchange.note("tenant", tenant);
        return CONTINUE;
      }
      const found: (string | undefined)[] = [];
      for (let i = 0; i < colours.length; i++) {
        const colour = colours[i]?.settle(exchange, head);
        if (colour !== undefined && typeof colour !== "string") {
          exchange.answer(colour);
          return ANSWERED;
        }
        found.push(colour);
        if (i !== tenantAt) continue;
        if (tenant === undefined) tenant = colour;
        else if (tenant !== colour) {
          found[i] = tenant;
          colours[i]?.write(head, tenant);
        }
      }
      exchange.slots[slot] = { tenant, colours: found } satisfies Origin;
      if (tenant !== undefined) exchange.note("tenant", tenant);
      for (let i = 0; i < colours.length; i++) {
        const colour = found[i];
        if (colour !== undefined && i !== tenantAt) exchange.note(`colour_${colours[i]?.config.key}`, colour);
      }
      return CONTINUE;
    },
    onPick(exchange, pick) {
      const { tenant, colours: found } = (exchange.slots[slot] as Origin | undefined) ?? NOBODY; // as: only this filter writes its slot
      const settings = splitOf(pick.cluster.metadata["heddle.tenants"], config.labelKey);
      if (settings !== undefined && tenant === undefined && config.withoutTenant === "deny") {
        exchange.answer({
          status: 403,
          flag: "UAEX",
          code: "tenant_required",
          proxyStatus: "http_request_denied",
          detail: `${pick.cluster.name} is divided by tenants, and the request names none`,
          rule: config.rule,
        });
        return ANSWERED;
      }
      if (settings !== undefined) pick.labels = { ...pick.labels, [settings]: tenant ?? "" };
      // Whoever calls an instance by its address has chosen.
      if (colours.length === 0 || isChosen(pick)) return CONTINUE;
      for (let i = 0; i < colours.length; i++) {
        const refusal = colours[i]?.narrow(exchange, pick, found[i]);
        if (refusal === undefined) continue;
        exchange.answer(refusal);
        return ANSWERED;
      }
      return CONTINUE;
    },
  };
}

function isChosen({ cluster }: Pick): boolean {
  return cluster.lb?.kind === "originalEndpoint" || cluster.discovery?.kind === "originalDst";
}

/** The label by which a cluster is divided; undefined when it is not, or not isolated. */
function splitOf(metadata: JsonValue | undefined, fallback: string): string | undefined {
  if (metadata === undefined || metadata === null) return undefined;
  const reader = new ConfigReader(metadata, "heddle.tenants");
  return reader.boolean("isolate", true) ? reader.string("labelKey", fallback) : undefined;
}

function compileSource(source: TenantSource, config: RoutingConfig): CompiledSource {
  if (source.kind === "peerIdentity") {
    const pattern = compileIdentity(source.pattern);
    return (exchange) => {
      const identity = exchange.connection.peerIdentity;
      return identity === undefined ? undefined : pattern.exec(identity)?.groups?.["tenant"];
    };
  }
  const { name, onUntrusted, trustsLocal } = source;
  const trusted = source.trustedIdentities.map((pattern) => compileIdentity(pattern));
  return (exchange, head) => {
    const value = head.get(name);
    if (value === undefined) return undefined;
    const identity = exchange.connection.peerIdentity;
    const isTrusted =
      identity === undefined
        ? trustsLocal && isLocalClient(exchange.connection)
        : trusted.some((pattern) => pattern.test(identity));
    if (isTrusted) return value;
    if (onUntrusted === "strip") {
      head.delete(name);
      return undefined;
    }
    return {
      status: 403,
      flag: "UAEX",
      code: "tenant_untrusted",
      proxyStatus: "http_request_denied",
      detail: `${identity ?? `${exchange.connection.remoteAddress} without an identity`} may not name a tenant in ${name}`,
      rule: config.rule,
    };
  };
}
