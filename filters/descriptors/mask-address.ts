// The network that an address is in, as text: `10.1.2.0/24`, `2001:db8::/32`.
import { isIPv4, isIPv6 } from "node:net";

/** The address itself in CIDR notation where all bits count; what is no address stays as it is. */
export function maskAddress(address: string, ipv4Bits: number, ipv6Bits: number): string {
  const plain = address.startsWith("::ffff:") && isIPv4(address.slice(7)) ? address.slice(7) : address;
  if (isIPv4(plain)) return `${maskBytes(plain.split(".").map(Number), ipv4Bits).join(".")}/${ipv4Bits}`;
  if (!isIPv6(plain)) return address;
  const bytes = maskBytes(parseIPv6(plain), ipv6Bits);
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return `${formatIPv6(groups)}/${ipv6Bits}`;
}

function maskBytes(bytes: readonly number[], bits: number): readonly number[] {
  return bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - index * 8))) & 0xff);
}

function parseIPv6(address: string): readonly number[] {
  const [left = "", right] = (address.split("%", 1)[0] ?? "").split("::");
  const head = parseGroups(left);
  const tail = parseGroups(right ?? "");
  const gap = right === undefined ? 0 : 16 - head.length - tail.length;
  return [...head, ...Array.from({ length: gap }, () => 0), ...tail];
}

function parseGroups(text: string): readonly number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const number = Number.parseInt(group, 16);
    return [number >> 8, number & 0xff];
  });
}

/** RFC 5952: the longest run of at least two zero groups, the first of equals, is `::`. */
function formatIPv6(groups: readonly number[]): string {
  let best = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) {
      best = i;
      length = end - i;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (best < 0) return hex.join(":");
  return `${hex.slice(0, best).join(":")}::${hex.slice(best + length).join(":")}`;
}
