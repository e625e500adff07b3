// Ranges of ports: those that a pod's packet filter leaves alone.

/** Both ends are in it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const LAST_PORT = 65_535;
/** What names ports one by one names no more than so many. */
const MAX_LISTED = 256;

/** `80,8000-8100`; what is no port is left out, since heddle-init refused to start with it. */
export function parsePorts(text: string): readonly PortRange[] {
  return text.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    const isRange =
      Number.isInteger(first) && Number.isInteger(last) && first >= 1 && last <= LAST_PORT && first <= last;
    return isRange ? [{ first, last }] : [];
  });
}

export function hasPort(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => first <= port && port <= last);
}

/** Every port that is in none of them. */
export function otherPorts(ranges: readonly PortRange[]): readonly PortRange[] {
  const others: PortRange[] = [];
  let next = 1;
  for (const { first, last } of ranges.toSorted((left, right) => left.first - right.first)) {
    if (first > next) others.push({ first: next, last: first - 1 });
    next = Math.max(next, last + 1);
  }
  if (next <= LAST_PORT) others.push({ first: next, last: LAST_PORT });
  return others;
}

/** Each of them, in order; undefined: they are too many. */
export function tryListPorts(ranges: readonly PortRange[]): readonly number[] | undefined {
  const listed = new Set<number>();
  for (const { first, last } of ranges) {
    if (last - first >= MAX_LISTED) return undefined;
    for (let port = first; port <= last; port++) listed.add(port);
  }
  return listed.size > MAX_LISTED ? undefined : [...listed].sort((left, right) => left - right);
}
