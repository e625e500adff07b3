// The key of a request for hashing balancers, from the route's hash policies (Envoy `RouteAction.hash_policy`).
import { readCookie } from "#lib/http/cookie.ts";
import type { HashPolicy } from "#config/model/route.ts";
import type { ConnectionView } from "#filters/filter.ts";
import { hashString } from "#lib/hash.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

/** Whose request it is. */
export interface HashedRequest {
  readonly connection: ConnectionView;
  /** The client that is believed, behind trusted proxies. */
  readonly clientAddress: string;
  /** Sends a cookie to the client with the answer; the same one twice is sent once. */
  setCookie(cookie: string): void;
}

/** Undefined when no policy gave a value: the balancer chooses by chance. */
export type RequestHasher = (head: HeaderBlock, request: HashedRequest) => number | undefined;

const NO_HASH: RequestHasher = () => undefined;

/** Policies are combined in order, rotated so that order matters; a terminal one that gave a value ends it. */
export function compileHashPolicy(policies: readonly HashPolicy[]): RequestHasher {
  if (policies.length === 0) return NO_HASH;
  const sources = policies.map((policy) => ({ read: compileSource(policy), isTerminal: policy.terminal }));
  return (head, request) => {
    let hash: number | undefined;
    for (const source of sources) {
      const value = source.read(head, request);
      if (value === undefined) continue;
      const own = hashString(value);
      hash = hash === undefined ? own : (((hash << 1) | (hash >>> 31)) ^ own) >>> 0;
      if (source.isTerminal) break;
    }
    return hash;
  };
}

function compileSource(policy: HashPolicy): (head: HeaderBlock, request: HashedRequest) => string | undefined {
  switch (policy.kind) {
    case "header":
      return (head) => head.getJoined(policy.name);
    case "cookie":
      return compileCookie(policy);
    case "query":
      return (head) => {
        const path = head.get(":path") ?? "";
        const mark = path.indexOf("?");
        return mark < 0 ? undefined : (new URLSearchParams(path.slice(mark + 1)).get(policy.name) ?? undefined);
      };
    case "sourceIp":
      return (_head, request) => request.clientAddress;
    default:
      return policy satisfies never;
  }
}

/** With a time to live a client that has no such cookie is given one; 0 = for the browser's session. */
function compileCookie(
  policy: Extract<HashPolicy, { kind: "cookie" }>,
): (head: HeaderBlock, request: HashedRequest) => string | undefined {
  const { name, path, ttlMs } = policy;
  const age = ttlMs === undefined || ttlMs === 0 ? "" : `; Max-Age=${Math.ceil(ttlMs / 1000)}`;
  const attributes = `${age}${path === "" ? "" : `; Path=${path}`}; HttpOnly`;
  return (head, request) => {
    const given = readCookie(head.getJoined("cookie"), name);
    if (given !== undefined || ttlMs === undefined) return given;
    const made = makeCookieValue(request.connection);
    request.setCookie(`${name}="${made}"${attributes}`);
    return made;
  };
}

/** The same for all requests of a connection that come before the first answer, as Envoy's. */
function makeCookieValue({ remoteAddress, remotePort, localAddress, localPort }: ConnectionView): string {
  const ends = `${remoteAddress}:${remotePort}|${localAddress}:${localPort}`;
  return [hashString(ends), hashString(ends, 1)].map((part) => part.toString(16).padStart(8, "0")).join("");
}
