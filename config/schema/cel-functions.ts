// The CEL functions that Kubernetes adds to the standard ones, as far as rules over plain values can use them.
//
// Source: k8s.io/apiserver/pkg/cel/library (lists.go, regex.go, ip.go, cidr.go, urls.go, quantity.go). The object types of the last
// four (`ip(x).family()`, `quantity(x).isGreaterThan(y)` ...) are left out: only their `isX` tests are here.

import { isIP } from "node:net";
import {
  celFunc,
  celMethod,
  CelScalar,
  isCelUint,
  listType,
  type CelFunc,
  type CelInput,
  type CelValue,
} from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import { RE2JS } from "re2js";
import { tryQuantity } from "./quantity.ts";

const { BOOL, DYN, INT, STRING } = CelScalar;
const LIST = listType(DYN);
const STRINGS = listType(STRING);

/** Standard extensions for strings, and what Kubernetes adds. */
export const kubernetesFunctions: CelFunc[] = [
  ...strings,
  celMethod("isSorted", LIST, [], BOOL, function () {
    const items = [...this];
    return items.every((item, index) => index === 0 || compare(items[index - 1] ?? null, item) <= 0);
  }),
  celMethod("sum", LIST, [], DYN, function () {
    const items = [...this];
    return items.every((item) => typeof item === "bigint")
      ? items.reduce((total, item) => total + item, 0n)
      : items.reduce<number>((total, item) => total + Number(item), 0);
  }),
  celMethod("min", LIST, [], DYN, function () {
    return extreme([...this], "min", -1);
  }),
  celMethod("max", LIST, [], DYN, function () {
    return extreme([...this], "max", 1);
  }),
  celMethod("indexOf", LIST, [DYN], INT, function (wanted) {
    return BigInt([...this].findIndex((item) => compare(item, wanted) === 0));
  }),
  celMethod("lastIndexOf", LIST, [DYN], INT, function (wanted) {
    return BigInt([...this].findLastIndex((item) => compare(item, wanted) === 0));
  }),
  celMethod("find", STRING, [STRING], STRING, function (pattern) {
    return findAll(this, pattern, 1)[0] ?? "";
  }),
  celMethod("findAll", STRING, [STRING], STRINGS, function (pattern) {
    return findAll(this, pattern, Infinity);
  }),
  celMethod("findAll", STRING, [STRING, INT], STRINGS, function (pattern, limit) {
    return findAll(this, pattern, limit < 0n ? Infinity : Number(limit));
  }),
  celFunc("isIP", [STRING], BOOL, isAddress),
  celFunc("isCIDR", [STRING], BOOL, isCidr),
  celFunc("isURL", [STRING], BOOL, (text) => text.startsWith("/") || URL.canParse(text)),
  celFunc("isQuantity", [STRING], BOOL, (text) => tryQuantity(text) !== undefined),
];

/** As Kubernetes has it: no zone, and no IPv4 address dressed as IPv6. */
function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes("%") && !(text.includes(":") && text.includes("."));
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...more] = text.split("/");
  const limit = address.includes(":") ? 128 : 32;
  return more.length === 0 && isAddress(address) && /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= limit;
}

function findAll(text: string, pattern: string, limit: number): string[] {
  const matcher = RE2JS.compile(pattern).matcher(text);
  const found: string[] = [];
  while (found.length < limit && matcher.find()) found.push(matcher.group() ?? "");
  return found;
}

function extreme(items: readonly CelValue[], name: string, sign: number): CelInput {
  const [first, ...rest] = items;
  if (first === undefined) throw new Error(`${name}() called on an empty list`);
  return rest.reduce((best, item) => (compare(item, best) * sign > 0 ? item : best), first);
}

/** Order of numbers, text and booleans; values of different kinds are never equal. */
function compare(left: CelValue, right: CelValue): number {
  const a = comparable(left);
  const b = comparable(right);
  return a === b ? 0 : a < b ? -1 : 1;
}

function comparable(value: CelValue): string | number | bigint | boolean {
  if (isCelUint(value)) return value.value;
  if (typeof value === "bigint" || typeof value === "number" || typeof value === "string" || typeof value === "boolean")
    return value;
  return NaN;
}
