// Values that users write into annotations and settings of the injector: ports, networks, quantities ... each gives what it means,
// or says what would be right.
import { isIP } from "node:net";
import { tryQuantity, quantityHint } from "#config/schema/quantity.ts";
import { suggest } from "#config/schema/suggest.ts";
import type { LocalUpstream } from "#config/kubernetes/sidecar-annotation.ts";
import { InjectionError } from "./injection-error.ts";

/** Parts between commas, without the spaces around them; none of an empty text. */
export function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** `80,8000-8100`. */
export function checkPorts(text: string, path: string): string {
  for (const part of splitList(text)) {
    const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const isRange = isPort(first) && isPort(last) && Number(first) <= Number(last);
    if (!isRange)
      throw new InjectionError(path, `must list ports or ranges of ports: got "${part}"`, 'as "3306,8000-8100"');
  }
  return splitList(text).join(",");
}

/** As `checkPorts`, or `*` for all, or `none`. */
export function checkPortsOrAll(text: string, path: string): string {
  return text.trim() === "*" || text.trim() === "none" ? text.trim() : checkPorts(text, path);
}

/** `10.0.0.0/8,fd00::/8`; an address alone is a network of one. */
export function checkCidrs(text: string, path: string): string {
  for (const part of splitList(text)) {
    const [address = "", bits, ...rest] = part.split("/");
    const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
    const isLength = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most);
    if (most === -1 || !isLength || rest.length > 0)
      throw new InjectionError(path, `must list networks: got "${part}"`, 'as "10.0.0.0/8,fd00::/8"');
  }
  return splitList(text).join(",");
}

export function checkCidrsOrAll(text: string, path: string): string {
  return text.trim() === "*" || text.trim() === "none" ? text.trim() : checkCidrs(text, path);
}

/** `1000,1001`. */
export function checkIds(text: string, path: string): string {
  for (const part of splitList(text))
    if (!/^\d{1,10}$/.test(part) || Number(part) > 2 ** 32 - 2)
      throw new InjectionError(path, `must list numbers of users or groups: got "${part}"`, 'as "1000,1001"');
  return splitList(text).join(",");
}

export function checkQuantity(text: string, path: string): string {
  const value = tryQuantity(text);
  if (value === undefined || !(value >= 0))
    throw new InjectionError(path, `must be a quantity: got "${text}"`, quantityHint(text));
  return text;
}

export function checkImage(text: string, path: string): string {
  if (!/^[\w][\w.:/@-]*$/.test(text))
    throw new InjectionError(path, `must be an image: got "${text}"`, 'as "registry.example/heddle/proxy:0.1.0"');
  return text;
}

/** Names of Secrets (RFC 1123 subdomains). */
export function checkNames(text: string, path: string): readonly string[] {
  for (const name of splitList(text)) checkName(name, path);
  return splitList(text);
}

export function checkName(name: string, path: string): string {
  if (name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name)) return name;
  throw new InjectionError(path, `must have names of lower-case letters, digits, "-" and ".": got "${name}"`);
}

export function checkWhole(text: string, path: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new InjectionError(path, `must be a whole number from ${least} to ${most}: got "${text}"`);
}

export function checkChoice<const T extends string>(text: string, path: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found !== undefined) return found;
  const near = suggest(text, choices);
  const hint = near === undefined ? undefined : `did you mean "${near}"?`;
  throw new InjectionError(path, `must be ${choices.map((choice) => `"${choice}"`).join(" or ")}: got "${text}"`, hint);
}

/** `true` or `false`. */
export function checkFlag(text: string, path: string): boolean {
  return checkChoice(text, path, ["true", "false"]) === "true";
}

/** `reviews:9080:15101, other/ratings:80:15102`: service, its port, and the port of 127.0.0.1 that leads to it. */
export function checkUpstreams(text: string, path: string): readonly LocalUpstream[] {
  const taken = new Map<number, string>();
  return splitList(text).map((part) => {
    const [, service = "", port = "", listen = ""] = /^([^:\s]+):(\d{1,5}):(\d{1,5})$/.exec(part) ?? [];
    const names = service.split("/");
    const isService = names.length <= 2 && names.every((name) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name));
    if (!isService || !isPort(port) || !isPort(listen))
      throw new InjectionError(
        path,
        `must list upstreams: got "${part}"`,
        'as "reviews:9080:15101, other/ratings:80:15102": service, port, port on localhost',
      );
    const other = taken.get(Number(listen));
    if (other !== undefined)
      throw new InjectionError(path, `must give each upstream a port of its own: "${other}" and "${part}" have one`);
    taken.set(Number(listen), part);
    return { service, port: Number(port), listen: Number(listen) };
  });
}

function isPort(text: string): boolean {
  return text !== "" && Number(text) >= 1 && Number(text) <= 65_535;
}
