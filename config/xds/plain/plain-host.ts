// A virtual host straight from its bytes to the model, without a message in between, where it is written as nearly all are.
// What is read here is what the whole decoder (resource.ts) makes of it, nothing in it is refused there, and it always compiles:
// regular expressions, operators in header values and filters' settings are left to the whole decoder, as is all that is odd.
import type { Route, RouteAction, RouteMatch, RetryPolicy, VirtualHost } from "../../model/route.ts";
import { ROUTE_KEY } from "../metadata-keys.ts";
import { readDirect, readForward, readRedirect } from "./plain-action.ts";
import { readMatch } from "./plain-matcher.ts";
import { NONE, NOT_PLAIN, once, onceBit, type PlainReader } from "./plain-reader.ts";
import { readRetry } from "./plain-retry.ts";
import { MutationsBuilder, NO_MUTATIONS } from "./plain-scope.ts";
import { readMetadata } from "./plain-struct.ts";

const NO_METADATA: Route["metadata"] = {};
const ACTION = 1 << 20;

/** The message in `bytes` from `start` to `end`; `undefined` when it is not plain. */
export function tryReadPlainHost(reader: PlainReader, start: number, end: number): VirtualHost | undefined {
  try {
    reader.at = start;
    return readHost(reader, end);
  } catch (error) {
    if (error === NOT_PLAIN) return undefined;
    throw error;
  }
}

function readHost(reader: PlainReader, stop: number): VirtualHost {
  let name = "";
  const domains: string[] = [];
  const routes: Route[] = [];
  let retry: RetryPolicy | undefined;
  let onRequest: MutationsBuilder | undefined;
  let onResponse: MutationsBuilder | undefined;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = once(seen, tag);
        name = reader.text(stop);
        break;
      case 0x12:
        domains.push(checkDomain(reader.text(stop)));
        break;
      case 0x1a:
        routes.push(readRoute(reader, reader.stop(stop)));
        break;
      case 0x3a:
        onRequest = (onRequest ?? new MutationsBuilder()).readOption(reader, stop);
        break;
      case 0x52:
        onResponse = (onResponse ?? new MutationsBuilder()).readOption(reader, stop);
        break;
      case 0x5a:
        onResponse = (onResponse ?? new MutationsBuilder()).readRemoval(reader, stop);
        break;
      case 0x6a:
        onRequest = (onRequest ?? new MutationsBuilder()).readRemoval(reader, stop);
        break;
      case 0x82:
        seen = once(seen, tag);
        retry = reader.message(reader.retries, stop, readRetry);
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  if (name === "" || domains.length === 0) throw NOT_PLAIN;
  return {
    name,
    domains,
    routes,
    retry,
    requestHeaders: onRequest?.build() ?? NO_MUTATIONS,
    responseHeaders: onResponse?.build() ?? NO_MUTATIONS,
    filterOverrides: NONE,
  };
}

/** A wildcard may only come first or last. */
function checkDomain(domain: string): string {
  const star = domain.indexOf("*", 1);
  if (star > 0 && star < domain.length - 1) throw NOT_PLAIN;
  return domain;
}

function readRoute(reader: PlainReader, stop: number): Route {
  let name = "";
  let match: RouteMatch | undefined;
  let action: RouteAction | undefined;
  let metadata = NO_METADATA;
  let onRequest: MutationsBuilder | undefined;
  let onResponse: MutationsBuilder | undefined;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = once(seen, tag);
        match = reader.message(reader.matches, stop, readMatch);
        break;
      case 0x12:
        seen = onceBit(seen, ACTION);
        action = reader.message(reader.actions, stop, readForward);
        break;
      case 0x1a:
        seen = onceBit(seen, ACTION);
        action = readRedirect(reader, stop);
        break;
      case 0x22:
        seen = once(seen, tag);
        metadata = readMetadata(reader, stop, ROUTE_KEY);
        break;
      case 0x3a:
        seen = onceBit(seen, ACTION);
        action = readDirect(reader, stop);
        break;
      case 0x4a:
        onRequest = (onRequest ?? new MutationsBuilder()).readOption(reader, stop);
        break;
      case 0x52:
        onResponse = (onResponse ?? new MutationsBuilder()).readOption(reader, stop);
        break;
      case 0x5a:
        onResponse = (onResponse ?? new MutationsBuilder()).readRemoval(reader, stop);
        break;
      case 0x62:
        onRequest = (onRequest ?? new MutationsBuilder()).readRemoval(reader, stop);
        break;
      case 0x72:
        seen = once(seen, tag);
        name = reader.text(stop);
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  if (match === undefined || action === undefined) throw NOT_PLAIN;
  return {
    name,
    match,
    action,
    metadata,
    requestHeaders: onRequest?.build() ?? NO_MUTATIONS,
    responseHeaders: onResponse?.build() ?? NO_MUTATIONS,
    filterOverrides: NONE,
  };
}
