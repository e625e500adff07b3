// Endpoints by label sets: each set that is asked for is compiled once per membership or health, never searched per request.
import type { Labels } from "#config/model/route.ts";
import { HostSelector, type LocalityGroup, type SelectorSettings } from "./host-selector.ts";
import { hasLabels } from "./target.ts";

/** A step on the way from no labels to a set: label key, then value, then the next label of the request. */
class Node {
  readonly steps = new Map<string, Map<string, Node>>();
  selector: HostSelector | undefined = undefined;
}

/** Label sets kept; requests can ask only for values that some endpoint has, so this is met only by odd mixtures. */
const MAX_NODES = 4096;

export class SubsetIndex {
  readonly all: HostSelector;
  readonly #groups: readonly LocalityGroup[];
  readonly #settings: SelectorSettings;
  readonly #values = new Map<string, Set<string>>();
  #root = new Node();
  #nodes = 1;

  constructor(groups: readonly LocalityGroup[], settings: SelectorSettings) {
    this.#groups = groups;
    this.#settings = settings;
    this.all = new HostSelector(groups, settings);
    for (const group of groups) {
      for (const host of group.hosts) {
        for (const [key, value] of Object.entries(host.endpoint.labels)) {
          const known = this.#values.get(key);
          if (known === undefined) this.#values.set(key, new Set([value]));
          else known.add(value);
        }
      }
    }
  }

  /** Some endpoint has this label. */
  hasLabel(key: string): boolean {
    return this.#values.has(key);
  }

  /** Only endpoints with all these labels ("": without that label); undefined: there is none. No labels: all endpoints. */
  find(labels: Labels): HostSelector | undefined {
    let node = this.#root;
    for (const key in labels) {
      const value = labels[key];
      if (value === undefined) continue;
      const values = node.steps.get(key);
      const next = values?.get(value) ?? this.#step(node, key, value);
      if (next === undefined) return undefined;
      node = next;
    }
    if (node === this.#root) return this.all;
    node.selector ??= this.#compile(labels);
    return node.selector.total === 0 ? undefined : node.selector;
  }

  /** A label that no endpoint has makes no node: requests cannot fill the memory with names of their own. */
  #step(node: Node, key: string, value: string): Node | undefined {
    if (value !== "" && this.#values.get(key)?.has(value) !== true) return undefined;
    if (this.#nodes++ > MAX_NODES) {
      this.#root = new Node();
      this.#nodes = 1;
    }
    const next = new Node();
    const values = node.steps.get(key);
    if (values === undefined) node.steps.set(key, new Map([[value, next]]));
    else values.set(value, next);
    return next;
  }

  #compile(labels: Labels): HostSelector {
    const groups = this.#groups
      .map((group) => ({ ...group, hosts: group.hosts.filter((host) => hasLabels(host.endpoint.labels, labels)) }))
      .filter((group) => group.hosts.length > 0);
    return new HostSelector(groups, this.#settings);
  }
}
