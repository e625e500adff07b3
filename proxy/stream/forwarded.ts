// `Forwarded` (RFC 7239) and the fields that say where a request was sent to first: whose word is passed on, and what we add.
import type { HttpConnectionManager } from "#config/model/listener.ts";
import type { ConnectionView } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

/** A listener that strangers reach: Envoy's `use_remote_address` without trusted proxies before us. */
export function isUntrustedEdge(config: HttpConnectionManager): boolean {
  return config.useRemoteAddress && config.xffTrustedHops === 0;
}

/**
 * At an untrusted edge what a client says of proxies before us is taken away: nothing would tell the application that it is
 * forged. Where the listener asks for it our own element is added, behind what trusted proxies wrote.
 */
export function settleForwarded(head: HeaderBlock, connection: ConnectionView, config: HttpConnectionManager): void {
  if (isUntrustedEdge(config)) head.deleteWhere(isClaim);
  if (config.forwarded !== "append") return;
  const before = head.getJoined("forwarded");
  const ours = makeElement(head, connection);
  // Behind an open quote our element would be a part of theirs.
  head.set("forwarded", before !== undefined && before !== "" && isForwarded(before) ? `${before}, ${ours}` : ours);
}

function isClaim(name: string): boolean {
  switch (name) {
    case "forwarded":
    case "x-forwarded-host":
    case "x-forwarded-port":
    case "x-forwarded-prefix":
      return true;
    default:
      return false;
  }
}

function makeElement(head: HeaderBlock, { remoteAddress, isTls }: ConnectionView): string {
  const host = head.get(":authority") ?? head.get("host") ?? "";
  const about = host === "" ? "" : `;host=${writeValue(host)}`;
  return `for=${formatNode(remoteAddress)}${about};proto=${isTls ? "https" : "http"}`;
}

/** RFC 7239 §6: an IPv6 address has brackets and quotes; zones have no place, IPv4 is written as such, others are unknown. */
export function formatNode(address: string): string {
  const zone = address.indexOf("%");
  const plain = zone < 0 ? address : address.slice(0, zone);
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1] ?? plain;
  if (/^[\d.]+$/.test(mapped)) return mapped;
  return mapped.includes(":") ? `"[${mapped}]"` : "unknown";
}

const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;

function writeValue(text: string): string {
  return TOKEN.test(text) ? text : `"${text.replaceAll(/["\\]/g, (character) => `\\${character}`)}"`;
}

const PAIR = /[!#$%&'*+.^_`|~\w-]+=(?:[!#$%&'*+.^_`|~\w-]+|"(?:[^"\\]|\\.)*")/y;
const GAP = /[ \t]*(?:[;,][ \t]*)*/y;

/** Whether the value can be read (RFC 7239 §4); blanks around `;`, which the grammar does not have and many write, are let be. */
export function isForwarded(value: string): boolean {
  let at = 0;
  while (at < value.length) {
    PAIR.lastIndex = at;
    if (!PAIR.test(value)) return false;
    GAP.lastIndex = PAIR.lastIndex;
    GAP.test(value);
    if (GAP.lastIndex < value.length && !/[;,]/.test(value.slice(PAIR.lastIndex, GAP.lastIndex))) return false;
    at = GAP.lastIndex;
  }
  return true;
}
