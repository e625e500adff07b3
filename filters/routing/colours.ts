// Colours: names of versions, lanes or environments that travel with a request as baggage, and narrow the choice of endpoints at
// every hop. One that has no instance falls back to the base, never to another colour's.
import type { Labels } from "#config/model/route.ts";
import { hasBaggage, readBaggage, removeBaggage, writeBaggage } from "#lib/http/baggage.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { Exchange, FilterContext, LocalReply, Pick } from "../filter.ts";
import { isLocalClient } from "../local-client.ts";
import { FilterConfigError, type ConfigReader } from "../parse.ts";
import { compileIdentity } from "./identity-pattern.ts";

export interface ColourConfig {
  /** The endpoint label. */
  readonly key: string;
  readonly baggageKey: string;
  /** Asked in this order where the request brings no colour of this key. */
  readonly sources: readonly ColourSource[];
  /** SPIFFE ids whose word is believed; `*` stands for one path segment. */
  readonly trustedIdentities: readonly string[];
  /** The application beside us is believed, though it has no identity. */
  readonly trustsLocal: boolean;
  readonly onUntrusted: "refuse" | "strip";
  readonly onMissing: "fallback" | "refuse";
  /** The label's value on base instances; "" = they have no such label. */
  readonly base: string;
  /** Where a request without a colour goes. */
  readonly withoutColour: "base" | "any";
}

export type ColourSource =
  /** `isPublic`: strangers are believed too. */
  | { readonly kind: "header" | "cookie" | "query"; readonly name: string; readonly isPublic: boolean }
  | { readonly kind: "peerIdentity"; readonly pattern: string };

export function parseColour(reader: ConfigReader): ColourConfig {
  const config: ColourConfig = {
    key: reader.string("key"),
    baggageKey: reader.string("baggageKey"),
    sources: reader.objects("sources").map(parseSource),
    trustedIdentities: reader.strings("trustedIdentities"),
    trustsLocal: reader.boolean("trustsLocal", false),
    onUntrusted: reader.oneOf("onUntrusted", ["refuse", "strip"], "refuse"),
    onMissing: reader.oneOf("onMissing", ["fallback", "refuse"], "fallback"),
    base: reader.string("base", ""),
    withoutColour: reader.oneOf("withoutColour", ["base", "any"], "base"),
  };
  reader.done();
  return config;
}

function parseSource(reader: ConfigReader): ColourSource {
  const peer = reader.object("peerIdentity");
  const kind = (["header", "cookie", "query"] as const).find((name) => reader.value(name) !== undefined);
  const named = kind === undefined ? undefined : reader.object(kind);
  reader.done();
  if (kind !== undefined && named !== undefined) {
    const name = named.string("name");
    const source = {
      kind,
      name: kind === "header" ? name.toLowerCase() : name,
      isPublic: named.boolean("public", false),
    };
    named.done();
    return source;
  }
  if (peer === undefined)
    throw new FilterConfigError("colours[].sources[]", "one of header, cookie, query, peerIdentity", undefined);
  const source = { kind: "peerIdentity", pattern: peer.string("pattern") } as const;
  peer.done();
  return source;
}

/** What labels of Kubernetes can be; others are no colours, and tell logs nothing. */
const COLOUR = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

export class Colour {
  readonly config: ColourConfig;
  readonly #trusted: readonly RegExp[];
  readonly #sources: readonly CompiledSource[];
  readonly #rule: string;
  readonly #untrusted: { add(value: number): void };
  readonly #fallbacks: { add(value: number): void };
  readonly #refused: { add(value: number): void };

  constructor(config: ColourConfig, rule: string, context: FilterContext) {
    this.config = config;
    this.#rule = rule;
    this.#trusted = config.trustedIdentities.map((pattern) => compileIdentity(pattern));
    this.#sources = config.sources.map(compileSource);
    const labels = { listener: context.listener, key: config.key };
    const { metrics } = context;
    this.#untrusted = metrics.counter(
      "heddle_colour_untrusted_total",
      "Requests that brought a colour from somebody who may not name one.",
      labels,
    );
    this.#fallbacks = metrics.counter(
      "heddle_colour_fallbacks_total",
      "Requests whose colour has no usable instance, and that went to the base.",
      labels,
    );
    this.#refused = metrics.counter(
      "heddle_colour_refused_total",
      "Requests whose colour has no usable instance, and that were refused.",
      labels,
    );
  }

  /** The request's colour; undefined = none. A reply: it must not go on. What it may not bring is taken off. */
  settle(exchange: Exchange, head: HeaderBlock): string | LocalReply | undefined {
    const { baggageKey, onUntrusted } = this.config;
    const isTrusted = this.#trusts(exchange);
    const baggage = head.getJoined("baggage");
    let colour: string | undefined;
    if (baggage !== undefined && hasBaggage(baggage, baggageKey)) {
      if (isTrusted) colour = readBaggage(baggage, baggageKey);
      else if (onUntrusted === "refuse") return this.#forged(exchange, `baggage ${baggageKey}`);
      else {
        this.#untrusted.add(1);
        this.#strip(head, baggage);
      }
      if (colour !== undefined && !COLOUR.test(colour)) {
        this.#strip(head, baggage);
        colour = undefined;
      }
    }
    for (let i = 0; i < this.#sources.length; i++) {
      const source = this.#sources[i];
      if (source === undefined) continue;
      const found = source.read(exchange, head);
      if (found === undefined) continue;
      if (isTrusted || source.isProof) {
        if (colour === undefined && COLOUR.test(found)) {
          colour = found;
          this.write(head, found);
        }
      } else if (source.header !== undefined) {
        if (onUntrusted === "refuse") return this.#forged(exchange, source.header);
        this.#untrusted.add(1);
        head.delete(source.header);
      }
    }
    return colour;
  }

  /** Puts the colour into the request's baggage, in the place of what was there. */
  write(head: HeaderBlock, colour: string): void {
    const baggage = writeBaggage(head.getJoined("baggage") ?? "", this.config.baggageKey, colour);
    if (baggage !== undefined) head.set("baggage", baggage);
  }

  /** Narrows the choice; a reply: there is no instance that this request may have. */
  narrow(exchange: Exchange, pick: Pick, colour: string | undefined): LocalReply | undefined {
    const { key, base, onMissing, withoutColour } = this.config;
    const { endpoints, labels } = pick;
    // A route that names the label itself, or the tenant's isolation, holds; who is not divided by the label serves everybody.
    if (labels[key] !== undefined || endpoints === undefined || !endpoints.hasLabel(key)) return undefined;
    if (colour === undefined) {
      if (withoutColour === "base") pick.labels = { ...labels, [key]: base };
      return undefined;
    }
    const own: Labels = { ...labels, [key]: colour };
    // An instance that failed this very request is as good as none where there is a base to go to.
    if (endpoints.hasUsable(own, onMissing === "fallback" ? pick.avoid : undefined)) {
      pick.labels = own;
      return undefined;
    }
    if (onMissing === "fallback") {
      pick.labels = { ...labels, [key]: base };
      if (pick.isMirror === true || colour === base) return undefined;
      this.#fallbacks.add(1);
      exchange.note("colour_fallback", `${key}=${colour}`);
      return undefined;
    }
    if (pick.isMirror !== true) this.#refused.add(1);
    return {
      status: 503,
      flag: "UH",
      code: "colour_unavailable",
      proxyStatus: "destination_unavailable",
      detail: `${pick.cluster.name} has no healthy endpoint with ${key}=${colour}, and the colour's onMissing is refuse`,
      rule: this.#rule,
      isUnprocessed: true,
    };
  }

  #trusts(exchange: Exchange): boolean {
    const identity = exchange.connection.peerIdentity;
    if (identity === undefined) return this.config.trustsLocal && isLocalClient(exchange.connection);
    for (let i = 0; i < this.#trusted.length; i++) if (this.#trusted[i]?.test(identity) === true) return true;
    return false;
  }

  #strip(head: HeaderBlock, baggage: string): void {
    const left = removeBaggage(baggage, this.config.baggageKey);
    if (left === "") head.delete("baggage");
    else head.set("baggage", left);
  }

  #forged(exchange: Exchange, where: string): LocalReply {
    this.#untrusted.add(1);
    const { peerIdentity, remoteAddress } = exchange.connection;
    return {
      status: 403,
      flag: "UAEX",
      code: "colour_untrusted",
      proxyStatus: "http_request_denied",
      detail: `${peerIdentity ?? `${remoteAddress} without an identity`} may not name the colour ${this.config.key} in ${where}`,
      rule: this.#rule,
    };
  }
}

interface CompiledSource {
  /** Nobody needs to be believed. */
  readonly isProof: boolean;
  /** A header, which can be taken off. */
  readonly header: string | undefined;
  read(exchange: Exchange, head: HeaderBlock): string | undefined;
}

function compileSource(source: ColourSource): CompiledSource {
  switch (source.kind) {
    case "peerIdentity": {
      const pattern = compileIdentity(source.pattern, "colour");
      return {
        isProof: true,
        header: undefined,
        read: ({ connection }) =>
          connection.peerIdentity === undefined ? undefined : pattern.exec(connection.peerIdentity)?.groups?.["colour"],
      };
    }
    case "header":
      return { isProof: source.isPublic, header: source.name, read: (_, head) => head.get(source.name) };
    case "cookie":
      return { isProof: source.isPublic, header: undefined, read: (_, head) => cookieIn(head, source.name) };
    case "query":
      return { isProof: source.isPublic, header: undefined, read: (_, head) => parameterIn(head, source.name) };
    default:
      return source satisfies never;
  }
}

function cookieIn(head: HeaderBlock, name: string): string | undefined {
  for (const pair of (head.getJoined("cookie") ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}

function parameterIn(head: HeaderBlock, name: string): string | undefined {
  const path = head.get(":path") ?? "";
  const mark = path.indexOf("?");
  return mark < 0 ? undefined : (new URLSearchParams(path.slice(mark + 1)).get(name) ?? undefined);
}
