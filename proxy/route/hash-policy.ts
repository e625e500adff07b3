// The key of a request for hashing balancers, from the route's hash policies (Envoy `RouteAction.hash_policy`).
import type { HashPolicy } from "#config/model/route.ts";
import type { ConnectionView } from "#filters/filter.ts";
import { hashString } from "#lib/hash.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

/** Undefined when no policy gave a value: the balancer chooses by chance. */
export type RequestHasher = (head: HeaderBlock, connection: ConnectionView) => number | undefined;

const NO_HASH: RequestHasher = () => undefined;

/** Policies are combined in order, rotated so that order matters; a terminal one that gave a value ends it. */
export function compileHashPolicy(policies: readonly HashPolicy[]): RequestHasher {
  if (policies.length === 0) return NO_HASH;
  const sources = policies.map((policy) => ({ read: compileSource(policy), isTerminal: policy.terminal }));
  return (head, connection) => {
    let hash: number | undefined;
    for (const source of sources) {
      const value = source.read(head, connection);
      if (value === undefined) continue;
      const own = hashString(value);
      hash = hash === undefined ? own : (((hash << 1) | (hash >>> 31)) ^ own) >>> 0;
      if (source.isTerminal) break;
    }
    return hash;
  };
}

function compileSource(policy: HashPolicy): (head: HeaderBlock, connection: ConnectionView) => string | undefined {
  switch (policy.kind) {
    case "header":
      return (head) => head.getJoined(policy.name);
    case "cookie":
      return (head) => readCookie(head.getJoined("cookie"), policy.name);
    case "query":
      return (head) => {
        const path = head.get(":path") ?? "";
        const mark = path.indexOf("?");
        return mark < 0 ? undefined : (new URLSearchParams(path.slice(mark + 1)).get(policy.name) ?? undefined);
      };
    case "sourceIp":
      return (_head, connection) => connection.remoteAddress;
    default:
      return policy satisfies never;
  }
}

function readCookie(cookies: string | undefined, name: string): string | undefined {
  for (const part of cookies?.split(";") ?? []) {
    const equals = part.indexOf("=");
    if (equals > 0 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim();
  }
  return undefined;
}
