// The documents that the API server has, as resources: each object in its last good version.
import { isDeepStrictEqual } from "node:util";
import type { ConfigError } from "#config/load/config-error.ts";
import type { ResourceDocument, Source } from "#config/load/load.ts";
import type { KindDefinition } from "#config/schema/kind.ts";
import { apiVersionOf } from "#config/schema/kind.ts";
import type { Resource } from "#config/schema/kinds.ts";
import { ResourceParser } from "#config/schema/parse-resource.ts";
import { objectKey, type KubernetesObject, type ObjectMetadata } from "./objects.ts";

/** What is remembered of an object of our kinds: what users wrote, and the status that is there. */
export interface ConfigRecord {
  readonly metadata: Omit<ObjectMetadata, "resourceVersion" | "deletionTimestamp">;
  readonly resourceVersion: string;
  readonly spec: unknown;
  readonly status: unknown;
}

export function keepConfig({ metadata, spec, status }: KubernetesObject): ConfigRecord {
  const { resourceVersion, deletionTimestamp: _, ...rest } = metadata;
  return { metadata: rest, resourceVersion, spec, status };
}

interface ObjectState {
  readonly uid: string;
  /** What was parsed last. */
  readonly record: ConfigRecord;
  /** In force; undefined: no version was good. */
  readonly resource: Resource | undefined;
  /** Of the newest version, when it was refused. */
  readonly errors: readonly ConfigError[];
  readonly warnings: readonly ConfigError[];
}

/** Objects of one kind. */
export class ConfigObjects {
  readonly #definition: KindDefinition;
  readonly #parser: ResourceParser;
  readonly #states = new Map<string, ObjectState>();

  constructor(definition: KindDefinition, parser: ResourceParser) {
    this.#definition = definition;
    this.#parser = parser;
  }

  /** Takes a new version over (undefined: the object is gone); false where nothing of what users write has changed. */
  update(
    key: string,
    record: ConfigRecord | undefined,
  ): { readonly isChanged: boolean; readonly refused: readonly ConfigError[] } {
    const before = this.#states.get(key);
    if (record === undefined) return { isChanged: this.#states.delete(key), refused: [] };
    if (before !== undefined && isSameDocument(before.record, record)) return { isChanged: false, refused: [] };
    const { resource, problems } = this.#parser.parse(documentOf(record, this.#definition));
    const errors = problems.filter(({ severity }) => severity === "error");
    // The last good version of an object that was deleted and made again is another object's.
    const lastGood = before?.uid === record.metadata.uid ? before.resource : undefined;
    this.#states.set(key, {
      uid: record.metadata.uid,
      record,
      resource: errors.length > 0 ? lastGood : resource,
      errors,
      warnings: problems.filter(({ severity }) => severity === "warning"),
    });
    return { isChanged: true, refused: errors };
  }

  /** Those that are told of. */
  keys(): Iterable<string> {
    return this.#states.keys();
  }

  /** What is wrong with the newest version of an object. */
  errorsOf(key: string): readonly ConfigError[] {
    return this.#states.get(key)?.errors ?? [];
  }

  /** By name, whatever order they came in. */
  get states(): readonly ObjectState[] {
    return [...this.#states].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, state]) => state);
  }
}

/** Status, and what others keep in the object's metadata, is not what users say. */
function isSameDocument(left: ConfigRecord, right: ConfigRecord): boolean {
  return isDeepStrictEqual([left.metadata, left.spec], [right.metadata, right.spec]);
}

function documentOf({ metadata, spec }: ConfigRecord, definition: KindDefinition): ResourceDocument {
  const { name, namespace, labels, annotations, generation, creationTimestamp } = metadata;
  return {
    // It may have come in an older version that has the same fields.
    apiVersion: apiVersionOf(definition),
    kind: definition.kind,
    metadata: {
      name,
      ...(namespace === "" ? {} : { namespace }),
      labels,
      annotations,
      ...(generation === undefined ? {} : { generation }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    spec,
    rest: {},
    source: sourceOf(definition.kind, objectKey(metadata)),
  };
}

/** It has no lines. */
function sourceOf(kind: string, key: string): Source {
  const nowhere = { line: 0, column: 0 };
  return { file: `kubernetes ${kind} ${key}`, ...nowhere, locate: () => nowhere };
}
