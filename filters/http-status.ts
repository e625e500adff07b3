// Envoy's `type.v3.HttpStatus` in a filter's configuration: a code by its name or number.
import { STATUS_CODES } from "node:http";

import { FilterConfigError, type ConfigReader } from "./parse.ts";

/** Where Envoy's names are not what HTTP calls the status. */
const OTHER_NAMES: readonly (readonly [string, number])[] = [
  ["OK", 200],
  ["PayloadTooLarge", 413],
  ["URITooLong", 414],
  ["RangeNotSatisfiable", 416],
  ["IMUsed", 226],
  ["NonAuthoritativeInformation", 203],
  ["MultiStatus", 207],
  ["RequestHeaderFieldsTooLarge", 431],
  ["HTTPVersionNotSupported", 505],
];

const CODES: ReadonlyMap<string, number> = new Map([
  ...Object.entries(STATUS_CODES).map(
    ([code, name = ""]) => [name.replaceAll(/[^A-Za-z]/g, ""), Number(code)] as const,
  ),
  ...OTHER_NAMES,
]);

/** The status under this name; as Envoy does it, what is below 400 counts as not set. */
export function readStatus(reader: ConfigReader, name: string, fallback: number): number {
  const object = reader.object(name);
  const code = object?.value("code");
  object?.done();
  if (code === undefined || code === "Empty") return fallback;
  const status = typeof code === "number" ? code : typeof code === "string" ? CODES.get(code) : undefined;
  if (status === undefined || !(status >= 200 && status <= 599))
    throw new FilterConfigError(`${reader.pathOf(name)}.code`, "a status of HTTP", code);
  return status < 400 ? fallback : status;
}
