// Values derived from a snapshot, made again only when something that they were made from has changed.
import { isDeepStrictEqual } from "node:util";
import type { MeshSnapshot, MeshTables } from "./snapshot.ts";

type TableValue<Table extends keyof MeshTables> =
  MeshTables[Table] extends ReadonlyMap<string, infer Value> ? Value : never;

interface Read {
  readonly table: keyof MeshTables;
  readonly key: string;
  readonly value: unknown;
}

/** The only way for a derived value to look at a snapshot: it remembers what was looked at, absent things included. */
export class MeshReader {
  readonly #tables: MeshTables;
  readonly #reads: Read[] = [];
  readonly #seen = new Set<string>();

  constructor(snapshot: MeshSnapshot) {
    this.#tables = snapshot.tables;
  }

  get<Table extends keyof MeshTables>(table: Table, key: string): TableValue<Table> | undefined {
    const value = this.#tables[table].get(key);
    const mark = `${table} ${key}`;
    if (!this.#seen.has(mark)) {
      this.#seen.add(mark);
      this.#reads.push({ table, key, value });
    }
    return value as TableValue<Table> | undefined; // the table's own value type, which the union above loses
  }

  get reads(): readonly Read[] {
    return this.#reads;
  }
}

interface Entry<T> {
  snapshot: MeshSnapshot;
  readonly reads: readonly Read[];
  readonly value: T;
}

/** Derived values of one kind, by key. Equal results keep their identity from one snapshot to the next. */
export class Derivation<T> {
  readonly #entries = new Map<string, Entry<T>>();
  /** How often something was really made; for tests and metrics. */
  madeCount = 0;

  get(key: string, snapshot: MeshSnapshot, make: (reader: MeshReader) => T): T {
    const entry = this.#entries.get(key);
    if (entry?.snapshot === snapshot) return entry.value;
    if (entry?.reads.every((read) => snapshot.tables[read.table].get(read.key) === read.value) === true) {
      entry.snapshot = snapshot;
      return entry.value;
    }
    const reader = new MeshReader(snapshot);
    const made = make(reader);
    this.madeCount++;
    const value = entry !== undefined && isDeepStrictEqual(entry.value, made) ? entry.value : made;
    this.#entries.set(key, { snapshot, reads: reader.reads, value });
    return value;
  }

  /** Forgets what no snapshot since `sequence` asked for. */
  prune(sequence: number): void {
    for (const [key, entry] of this.#entries) if (entry.snapshot.sequence < sequence) this.#entries.delete(key);
  }

  get size(): number {
    return this.#entries.size;
  }
}
