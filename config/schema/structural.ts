// The schema language of a kind: what a Kubernetes structural schema can say, and what our sentences need besides.

import type { JsonPath } from "#config/load/json-path.ts";
import type { FormatName } from "./formats.ts";

/** A rule in CEL over a value (`self`), as in `x-kubernetes-validations`. */
export interface CelRule {
  readonly rule: string;
  /** A sentence for the user, without full stop. */
  readonly message: string;
  /** Where below the value the mistake is, as `.backoff.maxInterval`. */
  readonly fieldPath?: string;
  /** Finds the very place in a value that breaks the rule. For messages only; not part of the CRD. */
  readonly find?: (value: unknown) => { readonly path: JsonPath; readonly hint?: string | undefined } | undefined;
}

/** One source for the validator, the CRD and the reference page. Plain data: TypeBox makes it, nothing but this shape is read from it. */
export interface StructuralSchema {
  readonly type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly (string | number)[];
  readonly properties?: { readonly [field: string]: StructuralSchema };
  readonly required?: readonly string[];
  readonly additionalProperties?: StructuralSchema;
  readonly items?: StructuralSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-type"?: "atomic" | "set" | "map";
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-validations"?: readonly CelRule[];
  /** Names the sentence and the hint for text (formats.ts); not part of the CRD. */
  readonly "x-heddle-format"?: FormatName;
  /** For a reader's page: what holds where the field is absent and there is no fixed default. */
  readonly "x-heddle-absent"?: string;
  /** Any metadata or foreign object: nothing below is checked. */
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
}

/** Everything of T, all the way down, cannot be written to. */
export type Immutable<T> = T extends readonly (infer Item)[]
  ? readonly Immutable<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Immutable<T[Key]> }
    : T;
