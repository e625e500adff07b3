// Address ranges in the one way that iptables prints them: host bits cleared, IPv6 shortened as RFC 5952 says.
import { isIPv4, isIPv6 } from "node:net";

export type Family = "IPv4" | "IPv6";

export interface Cidr {
  readonly family: Family;
  /** `10.0.0.0/8`, `fd00::/64`; always with its length. */
  readonly text: string;
  /** 0: every address of the family. */
  readonly bits: number;
}

/** `10.0.0.0/8`, `fd00::/64`, or an address alone; undefined for anything else, zones and `::ffff:` forms included. */
export function tryCidr(text: string): Cidr | undefined {
  const [address = "", length, ...more] = text.split("/");
  if (more.length > 0 || (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length))) return undefined;
  const isFour = isIPv4(address);
  if (!isFour && (!isIPv6(address) || address.includes("%") || address.includes("."))) return undefined;
  const most = isFour ? 32 : 128;
  const bits = length === undefined ? most : Number(length);
  if (bits > most) return undefined;
  const value = (isFour ? valueOfFour(address) : valueOfSix(address)) & maskOf(bits, most);
  return {
    family: isFour ? "IPv4" : "IPv6",
    text: `${isFour ? formatFour(value) : formatSix(value)}/${bits}`,
    bits,
  };
}

function maskOf(bits: number, most: number): bigint {
  return ((1n << BigInt(bits)) - 1n) << BigInt(most - bits);
}

function valueOfFour(address: string): bigint {
  return address.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function formatFour(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
}

function valueOfSix(address: string): bigint {
  const [head = "", tail] = address.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => "0");
  return [...front, ...zeros, ...back].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

/** The one canonical way to write it (RFC 5952) is what URL does. */
function formatSix(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** Whether an address of the same family lies in it. */
export function isWithin(address: string, cidr: Cidr): boolean {
  return tryCidr(`${address}/${cidr.bits}`)?.text === cidr.text;
}

/** The address behind the range's first one, which may mean the net itself. */
export function secondAddress({ text, bits, family }: Cidr): string {
  const [address = ""] = text.split("/");
  if (family === "IPv4") return bits > 30 ? address : formatFour(valueOfFour(address) + 1n);
  return bits > 126 ? address : formatSix(valueOfSix(address) + 1n);
}
