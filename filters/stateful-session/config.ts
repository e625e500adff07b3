// The ways to configure sessions: Envoy's StatefulSession with its cookie and its header, and ours with times that Envoy's lack.
import type { JsonValue } from "#config/model/filter-config.ts";

import { ConfigReader, FilterConfigError } from "../parse.ts";

const COOKIE = "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState";
const HEADER = "type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState";
export const ENVOY_SESSION = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession";
export const ENVOY_SESSION_PER_ROUTE =
  "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute";
export const HEDDLE_SESSION = "type.googleapis.com/heddle.filters.stateful_session.v1.StatefulSession";

export interface SessionConfig {
  /** Undefined: no session at all. */
  readonly carrier: SessionCarrier | undefined;
  /** A session whose endpoint is gone is answered 503, and never another's. */
  readonly isStrict: boolean;
  /** How long a session may last since its endpoint was chosen; 0 = for ever. */
  readonly lifetimeMs: number;
}

export type SessionCarrier =
  | { readonly kind: "header"; readonly name: string }
  | {
      readonly kind: "cookie";
      readonly name: string;
      /** Only requests below it have the session; "" = all. */
      readonly path: string;
      /** What stands behind the value in `set-cookie`. */
      readonly attributes: string;
    };

export const NO_SESSION: SessionConfig = { carrier: undefined, isStrict: false, lifetimeMs: 0 };

export function parseSession(value: JsonValue, typeUrl: string): SessionConfig {
  const reader = new ConfigReader(value, "");
  const config =
    typeUrl === HEDDLE_SESSION
      ? readOurs(reader)
      : typeUrl === ENVOY_SESSION
        ? readEnvoy(reader)
        : readPerRoute(reader);
  reader.done();
  return config;
}

function readPerRoute(reader: ConfigReader): SessionConfig {
  const isDisabled = reader.boolean("disabled", false);
  const own = reader.object("statefulSession");
  if (own === undefined || isDisabled) return NO_SESSION;
  const config = readEnvoy(own);
  own.done();
  return config;
}

function readEnvoy(reader: ConfigReader): SessionConfig {
  reader.string("statPrefix", "");
  const isStrict = reader.boolean("strict", false);
  const state = reader.object("sessionState");
  state?.string("name", "");
  const typed = state?.object("typedConfig");
  state?.done();
  if (typed === undefined) return { ...NO_SESSION, isStrict };
  const type = typed.string("@type");
  if (type === HEADER) {
    const name = someName(typed, typed.string("name", ""), "name");
    typed.done();
    return { carrier: { kind: "header", name: name.toLowerCase() }, isStrict, lifetimeMs: 0 };
  }
  if (type !== COOKIE) throw new FilterConfigError(typed.pathOf("@type"), `${COOKIE} or ${HEADER}`, type);
  const cookie = typed.object("cookie");
  typed.done();
  if (cookie === undefined) throw new FilterConfigError(typed.pathOf("cookie"), "a cookie", undefined);
  const name = someName(cookie, cookie.string("name", ""), "name");
  const path = cookie.string("path", "");
  const lifetimeMs = cookie.durationMs("ttl", 0);
  const extra = cookie.objects("attributes").map((attribute) => {
    const key = attribute.string("name");
    const text = attribute.string("value", "");
    attribute.done();
    return text === "" ? `; ${key}` : `; ${key}=${text}`;
  });
  cookie.done();
  return cookieSession(name, path, lifetimeMs, true, extra.join(""), isStrict);
}

function readOurs(reader: ConfigReader): SessionConfig {
  const isStrict = reader.boolean("strict", false);
  const lifetimeMs = reader.durationMs("absoluteTimeout", 0);
  const header = reader.string("header", "").toLowerCase();
  const cookie = reader.object("cookie");
  if (header !== "") return { carrier: { kind: "header", name: header }, isStrict, lifetimeMs };
  if (cookie === undefined) return { carrier: undefined, isStrict, lifetimeMs };
  const name = someName(cookie, cookie.string("name", ""), "name");
  const path = cookie.string("path", "");
  const isPermanent = cookie.boolean("isPermanent", false);
  cookie.done();
  return cookieSession(name, path, lifetimeMs, isPermanent, "", isStrict);
}

function cookieSession(
  name: string,
  path: string,
  lifetimeMs: number,
  isPermanent: boolean,
  extra: string,
  isStrict: boolean,
): SessionConfig {
  const age = isPermanent && lifetimeMs > 0 ? `; Max-Age=${Math.floor(lifetimeMs / 1000)}` : "";
  const attributes = `${age}${path === "" ? "" : `; Path=${path}`}${extra}; HttpOnly`;
  return { carrier: { kind: "cookie", name, path, attributes }, isStrict, lifetimeMs };
}

function someName(reader: ConfigReader, name: string, field: string): string {
  if (name === "") throw new FilterConfigError(reader.pathOf(field), "a name", name);
  return name;
}
