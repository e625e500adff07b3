// Makes paths and hosts that mean the same thing look the same before anything is matched (Envoy `normalize_path`,
// `merge_slashes`, `strip_matching_host_port`), so that no rule is passed by writing a path in another way.
import type { HttpConnectionManager } from "#config/model/listener.ts";
import type { ConnectionView } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

/** Changes `:path` and `:authority` in place, as far as the listener asks for it. */
export function normalizeRequest(head: HeaderBlock, connection: ConnectionView, config: HttpConnectionManager): void {
  if (config.normalizePath || config.mergeSlashes) {
    const path = head.get(":path");
    if (path !== undefined && path.startsWith("/")) {
      const normal = normalizeTarget(path, config.normalizePath, config.mergeSlashes);
      if (normal !== path) head.set(":path", normal);
    }
  }
  if (config.stripMatchingHostPort && head.get(":method") !== "CONNECT") {
    const authority = head.get(":authority") ?? "";
    const ending = `:${connection.localPort}`;
    if (authority.length > ending.length && authority.endsWith(ending))
      head.set(":authority", authority.slice(0, -ending.length));
  }
}

/** A path with its query; only the path is changed. */
export function normalizeTarget(target: string, isNormalized: boolean, isMerged: boolean): string {
  const end = target.search(/[?#]/);
  const path = end < 0 ? target : target.slice(0, end);
  let normal = path;
  if (isNormalized && /[%\\]|\/\./.test(path)) normal = removeDots(decodeUnreserved(path.replaceAll("\\", "/")));
  if (isMerged && normal.includes("//")) normal = normal.replaceAll(/\/{2,}/g, "/");
  return normal === path ? target : normal + (end < 0 ? "" : target.slice(end));
}

/** RFC 3986 §6.2.2: unreserved characters need no escape, and the digits of an escape are upper case. */
function decodeUnreserved(path: string): string {
  return path.replaceAll(/%[0-9a-fA-F]{2}/g, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
  });
}

/** RFC 3986 §5.2.4, for a path that begins with `/`. */
function removeDots(path: string): string {
  const kept: string[] = [];
  const segments = path.slice(1).split("/");
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment !== "." && segment !== "..") kept.push(segment);
    else if (isLast) kept.push("");
  }
  return `/${kept.join("/")}`;
}
