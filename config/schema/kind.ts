// What a kind is: its names, its one schema, and the object that a checked document of it becomes.

import type { TSchema } from "typebox";
import type { Source } from "#config/load/load.ts";
import { structural } from "./fields.ts";
import type { CelRule, StructuralSchema } from "./structural.ts";

export interface ResourceMetadata {
  readonly name: string;
  /** "default" where the document gives none; "" for a cluster-scoped kind. */
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Set by Kubernetes only. */
  readonly generation?: number;
  /** Set by Kubernetes only: when the object was made, as RFC 3339 in UTC, so that texts sort as times do. */
  readonly creationTimestamp?: string;
}

/** A checked document: defaults filled in, every field of its declared type. */
export interface ResourceOf<Kind extends string, Spec> {
  readonly kind: Kind;
  readonly apiVersion: string;
  readonly metadata: ResourceMetadata;
  readonly spec: Spec;
  readonly source: Source;
}

/** A column of `kubectl get`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "date" | "boolean";
  readonly jsonPath: string;
}

/** Columns that several kinds have. */
export const columns = {
  target: { name: "Target", type: "string", jsonPath: ".spec.targetRefs[*].name" },
  accepted: { name: "Accepted", type: "string", jsonPath: ".status.conditions[?(@.type=='Accepted')].status" },
  programmed: { name: "Programmed", type: "string", jsonPath: ".status.conditions[?(@.type=='Programmed')].status" },
  age: { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
} as const satisfies Readonly<Record<string, PrinterColumn>>;

export interface KindDefinition<Kind extends string = string> {
  readonly kind: Kind;
  readonly group: string;
  readonly version: string;
  /** Those with the same fields that are read as well. */
  readonly olderVersions: readonly string[];
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly scope: "Namespaced" | "Cluster";
  /** One paragraph for the CRD and the reference page. */
  readonly description: string;
  readonly spec: StructuralSchema;
  /** Rules over the whole object: `self.metadata.name`, `self.spec`. */
  readonly rules: readonly CelRule[];
  readonly columns: readonly PrinterColumn[];
  /** False for kinds whose CRDs others publish. */
  readonly hasOwnCrd: boolean;
}

export const heddleGroup = "heddle.dev";
export const gatewayGroup = "gateway.networking.k8s.io";

type Declared<Kind extends string> = Pick<KindDefinition<Kind>, "kind" | "plural" | "description"> &
  Partial<Pick<KindDefinition<Kind>, "scope" | "olderVersions" | "shortNames" | "rules" | "columns">> & {
    /** Schema of the spec, made with the words of fields.ts. */
    readonly spec: TSchema;
  };

/** A kind of our own group. */
export function heddleKind<const Kind extends string>(declared: Declared<Kind>): KindDefinition<Kind> {
  return define(declared, heddleGroup, "v1alpha1", true);
}

/** A kind of Gateway API, used as it is. */
export function gatewayKind<const Kind extends string>(declared: Declared<Kind>): KindDefinition<Kind> {
  return define(declared, gatewayGroup, "v1", false);
}

function define<const Kind extends string>(
  declared: Declared<Kind>,
  group: string,
  version: string,
  hasOwnCrd: boolean,
): KindDefinition<Kind> {
  const defaults = { scope: "Namespaced", olderVersions: [], shortNames: [], rules: [], columns: [] } as const;
  return { ...defaults, ...declared, group, version, hasOwnCrd, spec: structural(declared.spec) };
}

/** Whether documents of this version are of the kind. */
export function isVersionOf({ group, version, olderVersions }: KindDefinition, apiVersion: string): boolean {
  return [version, ...olderVersions].some((one) => apiVersion === `${group}/${one}`);
}

/** `heddle.dev/v1alpha1`. */
export function apiVersionOf(definition: KindDefinition): string {
  return `${definition.group}/${definition.version}`;
}
