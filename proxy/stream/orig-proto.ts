// How an HTTP/1 message crosses the mesh hop in HTTP/2 and comes out as it was: its version and the letters of its header
// names travel in `heddle-orig-proto` (contracts.md: the mesh hop). Format: `1.1` [`;t`] (`;` Name)*, where `t` says that names
// are written Title-Case, and the listed names are those that are not written in that way (or not in lower case, without `t`).
import type { HeaderBlock } from "#lib/http/header-block.ts";

export const ORIG_PROTO = "heddle-orig-proto";

const titles = new Map<string, string>();

/** `x-request-id` -> `X-Request-Id`. Remembered for the names that recur. */
function titleCase(name: string): string {
  const known = titles.get(name);
  if (known !== undefined) return known;
  const title = name.replaceAll(/(^|-)([a-z])/g, (_match, dash: string, letter: string) => dash + letter.toUpperCase());
  if (titles.size < 1024) titles.set(name, title);
  return title;
}

/** Writes the field into a head that goes to a mesh peer. */
export function packOrigProto(head: HeaderBlock): void {
  let titled = 0;
  let lower = 0;
  for (let i = 0; i < head.length; i++) {
    const raw = head.rawNameAt(i);
    if (raw === undefined) continue;
    const name = head.nameAt(i);
    if (raw === name) lower++;
    else if (raw === titleCase(name)) titled++;
  }
  const isTitled = titled > lower;
  let text = isTitled ? "1.1;t" : "1.1";
  for (let i = 0; i < head.length; i++) {
    const raw = head.rawNameAt(i);
    const name = head.nameAt(i);
    if (raw !== undefined && raw !== (isTitled ? titleCase(name) : name)) text += `;${raw}`;
  }
  head.set(ORIG_PROTO, text);
}

/** Takes the field out of a head that came from a mesh peer and gives the names their letters back; says whether it was there. */
export function unpackOrigProto(head: HeaderBlock): boolean {
  const text = head.get(ORIG_PROTO);
  if (text === undefined) return false;
  head.delete(ORIG_PROTO);
  const parts = text.split(";");
  const isTitled = parts[1] === "t";
  const exceptions = new Map<string, string>();
  for (let i = isTitled ? 2 : 1; i < parts.length; i++) {
    const raw = parts[i] ?? "";
    exceptions.set(raw.toLowerCase(), raw);
  }
  for (let i = 0; i < head.length; i++) {
    const name = head.nameAt(i);
    if (name.startsWith(":")) continue;
    head.setRawNameAt(i, exceptions.get(name) ?? (isTitled ? titleCase(name) : name));
  }
  return true;
}
