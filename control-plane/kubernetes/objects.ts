// Objects of the API as we keep them: plain JSON, checked for metadata, everything else read field by field.
import { isObject } from "#config/load/values.ts";

/** An object with what every object has. */
export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMetadata;
  readonly [field: string]: unknown;
}

export interface ObjectMetadata {
  readonly name: string;
  /** "" where the kind has none. */
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly generation?: number;
}

/** `namespace/name`, or the name alone. */
export function objectKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

/** undefined where it is no object of Kubernetes. `managedFields` are left out: they are often longer than the object. */
export function tryObject(value: unknown): KubernetesObject | undefined {
  if (!isObject(value) || !isObject(value["metadata"])) return undefined;
  const { managedFields: _, ...metadata } = value["metadata"];
  const { name } = metadata;
  if (typeof name !== "string" || name === "") return undefined;
  return {
    ...value,
    metadata: {
      name,
      namespace: textOf(metadata["namespace"]),
      uid: textOf(metadata["uid"]),
      resourceVersion: textOf(metadata["resourceVersion"]),
      labels: textsOf(metadata["labels"]),
      annotations: textsOf(metadata["annotations"]),
      ...(typeof metadata["creationTimestamp"] === "string"
        ? { creationTimestamp: metadata["creationTimestamp"] }
        : {}),
      ...(typeof metadata["deletionTimestamp"] === "string"
        ? { deletionTimestamp: metadata["deletionTimestamp"] }
        : {}),
      ...(typeof metadata["generation"] === "number" ? { generation: metadata["generation"] } : {}),
    },
  };
}

/** A field that is text; "" where it is absent. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A field that maps text to text. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [key, text] of Object.entries(isObject(value) ? value : {}))
    if (typeof text === "string") texts[key] = text;
  return texts;
}

/** A field that is a list of objects; others are left out. */
export function objectsOf(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter((item) => isObject(item)) : [];
}

/** A field that is an object; an empty one where it is absent. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

/** A field that is a list of text. */
export function textListOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
