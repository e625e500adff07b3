// What a route looks at in a request, in its plain form: no regular expressions, no shares of requests.
import type { HeaderMatcher, QueryMatcher, StringMatcher } from "../../model/matcher.ts";
import type { RouteMatch } from "../../model/route.ts";
import { NONE, NOT_PLAIN, once, onceBit, type PlainReader } from "./plain-reader.ts";

/** Stands for the path among the fields of a RouteMatch: a oneof's members are as good as one field. */
const PATH = 1 << 20;
const MAX_QUERY_NAME = 1024;

/** envoy.config.route.v3.RouteMatch. */
export function readMatch(reader: PlainReader, end: number): RouteMatch {
  const stop = reader.stop(end);
  let path: RouteMatch["path"] | undefined;
  let caseSensitive = true;
  let headers: HeaderMatcher[] | undefined;
  let query: QueryMatcher[] | undefined;
  let grpcOnly = false;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = onceBit(seen, PATH);
        path = { kind: "prefix", value: reader.text(stop) };
        break;
      case 0x12:
        seen = onceBit(seen, PATH);
        path = { kind: "path", value: reader.text(stop) };
        break;
      case 0x62:
        seen = onceBit(seen, PATH);
        reader.empty(stop);
        path = { kind: "connect" };
        break;
      case 0x72:
        seen = onceBit(seen, PATH);
        path = { kind: "pathSeparatedPrefix", value: separated(reader.text(stop)) };
        break;
      case 0x22:
        seen = once(seen, tag);
        caseSensitive = reader.boolValue(stop);
        break;
      case 0x32:
        (headers ??= []).push(readHeaderMatcher(reader, stop));
        break;
      case 0x3a:
        (query ??= []).push(readQueryMatcher(reader, stop));
        break;
      case 0x42:
        seen = once(seen, tag);
        reader.empty(stop);
        grpcOnly = true;
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  if (path === undefined) throw NOT_PLAIN;
  return { path, caseSensitive, headers: headers ?? NONE, query: query ?? NONE, grpcOnly, runtimeFraction: undefined };
}

function separated(path: string): string {
  if (!/^[^?#]+[^?#/]$/.test(path)) throw NOT_PLAIN;
  return path;
}

const SPECIFIER = 1 << 20;

/** envoy.config.route.v3.HeaderMatcher. */
export function readHeaderMatcher(reader: PlainReader, end: number): HeaderMatcher {
  const stop = reader.stop(end);
  let name = "";
  let match: HeaderMatcher["match"] = { kind: "present", present: true };
  let invert = false;
  let missingAsEmpty = false;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = once(seen, tag);
        name = reader.text(stop).toLowerCase();
        break;
      case 0x22:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "string", matcher: { kind: "exact", value: reader.text(stop), ignoreCase: false } };
        break;
      case 0x38:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "present", present: reader.bool() };
        break;
      case 0x40:
        seen = once(seen, tag);
        invert = reader.bool();
        break;
      case 0x4a:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "string", matcher: { kind: "prefix", value: reader.someText(stop), ignoreCase: false } };
        break;
      case 0x52:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "string", matcher: { kind: "suffix", value: reader.someText(stop), ignoreCase: false } };
        break;
      case 0x62:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "string", matcher: { kind: "contains", value: reader.someText(stop), ignoreCase: false } };
        break;
      case 0x6a:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "string", matcher: readStringMatcher(reader, stop) };
        break;
      case 0x70:
        seen = once(seen, tag);
        missingAsEmpty = reader.bool();
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  if (name === "") throw NOT_PLAIN;
  return { name, match, invert, missingAsEmpty };
}

function readQueryMatcher(reader: PlainReader, end: number): QueryMatcher {
  const stop = reader.stop(end);
  let name = "";
  let match: QueryMatcher["match"] = { kind: "present", present: true };
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    switch (tag) {
      case 0x0a:
        seen = once(seen, tag);
        name = reader.text(stop);
        break;
      case 0x2a:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "string", matcher: readStringMatcher(reader, stop) };
        break;
      case 0x30:
        seen = onceBit(seen, SPECIFIER);
        match = { kind: "present", present: reader.bool() };
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  if (name === "" || name.length > MAX_QUERY_NAME) throw NOT_PLAIN;
  return { name, match };
}

/** envoy.type.matcher.v3.StringMatcher. */
function readStringMatcher(reader: PlainReader, end: number): StringMatcher {
  const stop = reader.stop(end);
  let kind: "exact" | "prefix" | "suffix" | "contains" | undefined;
  let value = "";
  let ignoreCase = false;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    if (tag === 0x30) {
      seen = once(seen, tag);
      ignoreCase = reader.bool();
      continue;
    }
    kind = tag === 0x0a ? "exact" : tag === 0x12 ? "prefix" : tag === 0x1a ? "suffix" : "contains";
    if (kind === "contains" && tag !== 0x3a) throw NOT_PLAIN;
    seen = onceBit(seen, SPECIFIER);
    value = kind === "exact" ? reader.text(stop) : reader.someText(stop);
  }
  reader.close(stop);
  if (kind === undefined) throw NOT_PLAIN;
  return { kind, value, ignoreCase };
}
