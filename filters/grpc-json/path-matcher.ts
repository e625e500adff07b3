// Finds the rule for a method and a path: a tree of segments in which a literal wins over `*` and `*` over `**`, segment by segment.
import { isUtf8 } from "node:buffer";

import type { UnescapeSpec } from "./config.ts";
import type { PathTemplate } from "./path-template.ts";

export interface PathMatch<T> {
  readonly value: T;
  /** By the template's variables, in their order. */
  readonly values: readonly string[];
}

interface Rule<T> {
  readonly template: PathTemplate;
  readonly value: T;
}

class Node<T> {
  readonly literals = new Map<string, Node<T>>();
  single: Node<T> | undefined;
  deep: Node<T> | undefined;
  /** Behind `**`: how many literals follow until a rule's end. */
  readonly tails = new Set<number>();
  /** By HTTP method and verb: `GET:publish`. */
  readonly rules = new Map<string, Rule<T>>();
}

export class PathMatcher<T> {
  readonly #root = new Node<T>();
  readonly #verbs = new Set<string>();
  readonly #unescape: UnescapeSpec;
  readonly #matchesAnyVerb: boolean;

  constructor(unescape: UnescapeSpec, matchesAnyVerb: boolean) {
    this.#unescape = unescape;
    this.#matchesAnyVerb = matchesAnyVerb;
  }

  /** `method` may be `*`. False: there is a rule for these already. */
  add(method: string, template: PathTemplate, value: T): boolean {
    let node = this.#root;
    for (const [i, segment] of template.segments.entries()) {
      if (segment === "**") {
        node = node.deep ??= new Node();
        node.tails.add(template.segments.length - i - 1);
      } else if (segment === "*") node = node.single ??= new Node();
      else {
        const next = node.literals.get(segment) ?? new Node();
        node.literals.set(segment, next);
        node = next;
      }
    }
    const key = `${method}:${template.verb}`;
    if (node.rules.has(key)) return false;
    if (template.verb !== "") this.#verbs.add(template.verb);
    node.rules.set(key, { template, value });
    return true;
  }

  /** `path` without its query. Throws a `BadEscapeError`. */
  match(method: string, path: string): PathMatch<T> | undefined {
    if (!path.startsWith("/")) return undefined;
    const colon = path.lastIndexOf(":");
    const verb = path.slice(colon + 1);
    const hasVerb = colon > path.lastIndexOf("/") && (this.#matchesAnyVerb || this.#verbs.has(verb));
    return hasVerb ? this.#matchParts(method, path.slice(0, colon), verb) : this.#matchParts(method, path, "");
  }

  #matchParts(method: string, path: string, verb: string): PathMatch<T> | undefined {
    // A slash at the end says nothing (as in Envoy).
    const parts = path === "/" ? [] : path.slice(1, path.endsWith("/") ? -1 : undefined).split("/");
    const rule = find(this.#root, parts, 0, `${method}:${verb}`, `*:${verb}`);
    if (rule === undefined) return undefined;
    const { segments, variables } = rule.template;
    const deep = segments.indexOf("**");
    // How many segments more than written the `**` took.
    const more = deep < 0 ? 0 : parts.length - segments.length;
    const place = (segment: number): number => (deep >= 0 && segment > deep ? segment + more : segment);
    const values = variables.map(({ from, to }) => {
      const isDeep = deep >= from && deep < to;
      const spec = to - from > 1 || isDeep ? this.#unescape : "ALL_CHARACTERS";
      return parts
        .slice(place(from), place(to))
        .map((part) => unescapePath(part, spec))
        .join("/");
    });
    return { value: rule.value, values };
  }
}

function find<T>(
  node: Node<T>,
  parts: readonly string[],
  at: number,
  key: string,
  anyMethod: string,
): Rule<T> | undefined {
  const part = parts[at];
  if (part === undefined) {
    const own = node.rules.get(key) ?? node.rules.get(anyMethod);
    return own ?? (node.deep && findBehind(node.deep, parts, at, key, anyMethod));
  }
  const literal = node.literals.get(part);
  return (
    (literal && find(literal, parts, at + 1, key, anyMethod)) ??
    (node.single && part !== "" ? find(node.single, parts, at + 1, key, anyMethod) : undefined) ??
    (node.deep && findBehind(node.deep, parts, at, key, anyMethod))
  );
}

/** The `**` takes what the literals behind it leave; the longest tail is the closest rule. */
function findBehind<T>(
  deep: Node<T>,
  parts: readonly string[],
  at: number,
  key: string,
  anyMethod: string,
): Rule<T> | undefined {
  for (const tail of [...deep.tails].toSorted((a, b) => b - a)) {
    const from = parts.length - tail;
    let node: Node<T> | undefined = from < at ? undefined : deep;
    for (let i = from; node !== undefined && i < parts.length; i++) node = node.literals.get(parts[i] ?? "");
    const rule = node?.rules.get(key) ?? node?.rules.get(anyMethod);
    if (rule !== undefined) return rule;
  }
  return undefined;
}

/** An escape gives bytes that are no text. */
export class BadEscapeError extends Error {
  constructor(text: string) {
    super(`${JSON.stringify(text)} is not UTF-8`);
  }
}

/** What RFC 6570 §1.5 calls reserved. */
const RESERVED = ":/?#[]@!$&'()*+,;=";

/** Undoes percent-escapes of a header's value, whose characters are bytes; what is none stays, and so do the escapes of characters that the spec keeps. Throws a `BadEscapeError`. */
export function unescapePath(text: string, spec: UnescapeSpec): string {
  if (!text.includes("%")) return text;
  const plain = text.replaceAll(/%([0-9A-Fa-f]{2})/g, (escape, hex: string) => {
    const char = String.fromCharCode(Number.parseInt(hex, 16));
    if (spec === "ALL_CHARACTERS_EXCEPT_RESERVED" && RESERVED.includes(char)) return escape;
    return spec === "ALL_CHARACTERS_EXCEPT_SLASH" && char === "/" ? escape : char;
  });
  const decoded = Buffer.from(plain, "latin1");
  if (!isUtf8(decoded)) throw new BadEscapeError(text);
  return decoded.toString();
}
