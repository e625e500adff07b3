// The nodes of one YAML document with aliases and merge keys followed, at a cost that grows only with its text.

import { isAlias, isMap, isScalar, isSeq, visit, type Document, type Node, type Pair, type YAMLMap } from "yaml";
import type { PathStep } from "./json-path.ts";

/** One key of a mapping as it reads: of its own, or merged into it. */
export interface MapEntry {
  readonly key: unknown;
  readonly pair: Pair;
}

export class NodeGraph {
  // What each alias stands for. The package's own `resolve` walks the whole document for every alias.
  readonly #targets = new Map<unknown, Node>();
  // The entries of mappings that merge others; memory, since merges of merges would multiply.
  readonly #entries = new Map<YAMLMap, readonly MapEntry[]>();

  constructor(document: Document.Parsed) {
    const anchors = new Map<string, Node>();
    visit(document, {
      Node: (_, node) => {
        if (isAlias(node)) {
          const target = anchors.get(node.source);
          if (target !== undefined) this.#targets.set(node, target);
        } else if (node.anchor !== undefined) anchors.set(node.anchor, node);
      },
    });
  }

  /** The node itself, or what it is an alias of; undefined for an alias without anchor. */
  follow(node: unknown): unknown {
    return isAlias(node) ? this.#targets.get(node) : node;
  }

  /** The entries of a mapping, with merge keys (`<<`) spread. What the mapping says itself wins over what it merges. */
  entriesOf(node: YAMLMap): readonly MapEntry[] {
    const known = this.#entries.get(node);
    if (known !== undefined) return known;
    const own: MapEntry[] = [];
    const sources: YAMLMap[] = [];
    for (const pair of node.items) {
      const key = keyOf(pair.key);
      const merged = key === "<<" || typeof key === "symbol" ? this.#mergeSources(pair.value) : undefined;
      if (merged === undefined) own.push({ key, pair });
      else sources.push(...merged);
    }
    // Stands while its sources are read, so that a mapping that merges itself ends.
    this.#entries.set(node, own);
    if (sources.length === 0) return own;
    const seen = new Set(own.map(({ key }) => key));
    const all = [...own];
    for (const entry of sources.flatMap((source) => this.entriesOf(source))) {
      if (seen.has(entry.key)) continue;
      seen.add(entry.key);
      all.push(entry);
    }
    this.#entries.set(node, all);
    return all;
  }

  /** One step down: the value there, and its key if it has one. */
  stepInto(node: unknown, step: PathStep): { readonly key?: unknown; readonly value: unknown } | undefined {
    const target = this.follow(node);
    if (isSeq(target)) {
      const index = Number(step);
      return index in target.items ? { value: target.items[index] } : undefined;
    }
    if (!isMap(target)) return undefined;
    const entry = this.entriesOf(target).find(({ key }) => key === String(step));
    return entry === undefined ? undefined : { key: entry.pair.key, value: entry.pair.value };
  }

  #mergeSources(value: unknown): YAMLMap[] | undefined {
    const node = this.follow(value);
    if (isMap(node)) return [node];
    if (!isSeq(node)) return undefined;
    const maps = node.items.map((item) => this.follow(item)).filter((item) => isMap(item));
    return maps.length === node.items.length ? maps : undefined;
  }
}

/** Offset of a node's beginning in the text. */
export function startOf(node: unknown): number | undefined {
  const range = (node as Partial<Node> | null | undefined)?.range; // anything but a node has none
  return range === null || range === undefined ? undefined : range[0];
}

function keyOf(key: unknown): unknown {
  if (!isScalar(key)) return key === null ? "" : key;
  // `8080: 80` and `true: x` are read as the text that was written, as Kubernetes reads them.
  return typeof key.value === "number" || typeof key.value === "boolean"
    ? (key.source ?? String(key.value))
    : key.value;
}
