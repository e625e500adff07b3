// As much of DNS (RFC 1035) as it takes to ask for an IPv4 address.

/** A query for the A records of `name`. */
export function dnsQuery(name: string): Buffer {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  // Id 7, recursion desired, one question; then the root, type A, class IN.
  const header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  return Buffer.concat([Buffer.from(header), ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

/** The addresses of an answer. */
export function dnsAnswers(message: Buffer): readonly string[] {
  if (message.length < 12) return [];
  const count = message.readUInt16BE(6);
  let at = skipName(message, 12) + 4;
  const addresses: string[] = [];
  for (let index = 0; index < count; index++) {
    at = skipName(message, at);
    const type = message.readUInt16BE(at);
    const length = message.readUInt16BE(at + 8);
    if (type === 1) addresses.push([...message.subarray(at + 10, at + 10 + length)].join("."));
    at += 10 + length;
  }
  return addresses;
}

/** Where the name ends that begins there: at the root, or at a pointer (§4.1.4). */
function skipName(message: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const length = message[at] ?? 0;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1;
  }
}
