// The value that a client carries: which backend and which endpoint its session belongs to, and until when.
import { readCookie } from "#lib/http/cookie.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { SessionCarrier, SessionConfig } from "./config.ts";

export interface Session {
  /** By `backendKey`; "" where the filter is not the route's own, and no backend is held. */
  readonly backend: string;
  /** By `endpointKey`. */
  readonly endpoint: string;
  /** Wall clock, seconds since the epoch; 0 = never. */
  readonly untilSeconds: number;
}

const VALUE = /^([\w-]{11})?([\w-]{16})(?:\.([0-9a-z]{1,9}))?$/;

/** `<backend><endpoint>`, and `.<seconds>` in base 36 where the session ends some time. */
export function formatSession({ backend, endpoint, untilSeconds }: Session): string {
  return `${backend}${endpoint}${untilSeconds === 0 ? "" : `.${untilSeconds.toString(36)}`}`;
}

/** Undefined: the request has none, or one that is over, or that nobody here made. */
export function readSession(config: SessionConfig, head: HeaderBlock, wallSeconds: number): Session | undefined {
  const { carrier, lifetimeMs } = config;
  if (carrier === undefined || !isBelow(carrier, head)) return undefined;
  const text = carrier.kind === "header" ? head.get(carrier.name) : readCookie(head.getJoined("cookie"), carrier.name);
  const parts = text === undefined ? null : VALUE.exec(text);
  if (parts === null) return undefined;
  const untilSeconds = parts[3] === undefined ? 0 : Number.parseInt(parts[3], 36);
  if (lifetimeMs > 0) {
    // Nobody makes a session last by writing another end into it.
    const last = wallSeconds + Math.ceil(lifetimeMs / 1000);
    if (untilSeconds <= wallSeconds || untilSeconds > last) return undefined;
  }
  return { backend: parts[1] ?? "", endpoint: parts[2] ?? "", untilSeconds };
}

/** Whether the request's path is one that the cookie is sent with (RFC 6265 §5.1.4), before any rewrite. */
export function isBelow(carrier: SessionCarrier, head: HeaderBlock): boolean {
  if (carrier.kind === "header" || carrier.path === "" || carrier.path === "/") return true;
  const path = head.get(":path") ?? "";
  if (!path.startsWith(carrier.path)) return false;
  const next = path[carrier.path.length];
  return carrier.path.endsWith("/") || next === undefined || next === "/" || next === "?" || next === "#";
}
