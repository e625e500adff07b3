// One field of a message, or one extension, from its FieldDescriptorProto to the descriptor that protobuf-es works with.
import {
  ScalarType,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescMessage,
  type DescOneof,
} from "@bufbuild/protobuf";
import { toCamelCase, toPropertyName } from "./names.ts";
import type { LazyProto, Piece } from "./lazy-proto.ts";
import { WireCursor } from "./wire-cursor.ts";

/** FieldDescriptorProto.Type and Label (descriptor.proto). */
const TYPE_GROUP = 10;
const TYPE_MESSAGE = 11;
const TYPE_ENUM = 14;
const LABEL_REQUIRED = 2;
const LABEL_REPEATED = 3;
/** FeatureSet.FieldPresence. */
const EXPLICIT = 1;
const IMPLICIT = 2;
const LEGACY_REQUIRED = 3;

/** What is read of a FieldDescriptorProto. */
export interface RawField {
  readonly name: string;
  readonly extendee: string;
  readonly number: number;
  readonly label: number;
  readonly type: number;
  readonly typeName: string;
  readonly defaultValue: string | undefined;
  readonly oneofIndex: number | undefined;
  readonly jsonName: string;
  readonly isProto3Optional: boolean;
  /** FieldOptions.packed. */
  readonly isPacked: boolean | undefined;
  readonly isDeprecated: boolean;
}

/** Where the types are found that a field names. */
export interface TypeScope {
  readonly isProto3: boolean;
  message(typeName: string): DescMessage;
  enum(typeName: string): DescEnum;
  /** The entry message of a map. */
  mapEntry(typeName: string): DescMessage | undefined;
}

export function readField({ bytes, start, end }: Piece): RawField {
  let [name, extendee, typeName, jsonName] = ["", "", "", ""];
  let [number, label, type] = [0, 1, 0];
  let defaultValue: string | undefined;
  let oneofIndex: number | undefined;
  let [isProto3Optional, isDeprecated] = [false, false];
  let packed: boolean | undefined;
  for (const cursor = new WireCursor(bytes, start, end); cursor.next();) {
    if (cursor.number === 1) name = cursor.text();
    else if (cursor.number === 2) extendee = cursor.text().slice(1);
    else if (cursor.number === 3) number = cursor.value;
    else if (cursor.number === 4) label = cursor.value;
    else if (cursor.number === 5) type = cursor.value;
    else if (cursor.number === 6) typeName = cursor.text().slice(1);
    else if (cursor.number === 7) defaultValue = cursor.text();
    else if (cursor.number === 8) {
      for (const option = new WireCursor(bytes, cursor.start, cursor.end); option.next();) {
        if (option.number === 2) packed = option.value === 1;
        else if (option.number === 3) isDeprecated = option.value === 1;
      }
    } else if (cursor.number === 9) oneofIndex = cursor.value;
    else if (cursor.number === 10) jsonName = cursor.text();
    else if (cursor.number === 17) isProto3Optional = cursor.value === 1;
  }
  if (jsonName === "") jsonName = toCamelCase(name);
  return {
    name,
    extendee,
    number,
    label,
    type,
    typeName,
    defaultValue,
    oneofIndex,
    jsonName,
    isProto3Optional,
    isPacked: packed,
    isDeprecated,
  };
}

export function makeField(
  raw: RawField,
  parent: DescMessage,
  oneof: DescOneof | undefined,
  scope: TypeScope,
  proto: LazyProto,
): DescField {
  const camel = toCamelCase(raw.name);
  const field = new FieldDesc(raw, scope, proto, {
    kind: "field",
    presence: presenceOf(raw, oneof, scope),
    jsonName: raw.jsonName,
    parent,
    oneof,
    localName: oneof === undefined ? toPropertyName(camel) : camel,
    title: `field ${parent.typeName}.${raw.name}`,
  });
  return field as unknown as DescField; // as: one class stands for all kinds of the union
}

export function makeExtension(
  raw: RawField,
  place: Pick<DescExtension, "file" | "parent" | "typeName">,
  scope: TypeScope,
  proto: LazyProto,
): DescExtension {
  const field = new FieldDesc(raw, scope, proto, {
    kind: "extension",
    presence: raw.label === LABEL_REPEATED ? IMPLICIT : EXPLICIT,
    jsonName: `[${place.typeName}]`,
    parent: place.parent,
    oneof: undefined,
    localName: undefined,
    title: `extension ${place.typeName}`,
  });
  Object.assign(field, { file: place.file, typeName: place.typeName });
  // Found when it is asked for: options' messages are of descriptor.proto, which hardly anybody needs.
  Object.defineProperty(field, "extendee", { enumerable: true, get: () => scope.message(raw.extendee) });
  return field as unknown as DescExtension; // as: see above
}

interface FieldPlace {
  readonly kind: "field" | "extension";
  readonly presence: number;
  readonly jsonName: string;
  readonly parent: DescMessage | undefined;
  readonly oneof: DescOneof | undefined;
  readonly localName: string | undefined;
  readonly title: string;
}

type ValueKind = "scalar" | "enum" | "message";

/** The types that it names are found when they are asked for: a message's fields lead to all others. */
class FieldDesc {
  readonly kind: "field" | "extension";
  readonly name: string;
  readonly number: number;
  readonly jsonName: string;
  readonly localName: string | undefined;
  readonly parent: DescMessage | undefined;
  readonly oneof: DescOneof | undefined;
  readonly presence: number;
  readonly fieldKind: ValueKind | "list" | "map";
  readonly scalar: number | undefined;
  readonly listKind: ValueKind | undefined;
  readonly mapKind: ValueKind | undefined;
  readonly mapKey: number | undefined;
  readonly packed: boolean | undefined;
  readonly delimitedEncoding: boolean | undefined;
  readonly utf8Validation: boolean;
  readonly longAsString = false;
  readonly deprecated: boolean;
  readonly proto: LazyProto;
  readonly #raw: RawField;
  readonly #scope: TypeScope;
  readonly #title: string;
  /** The type of what is in the field, in its items or in its entries. */
  readonly #valueKind: ValueKind;
  readonly #entryValue: DescField | undefined;
  /** Found once: encoding and checking ask for it in every message. */
  #message: DescMessage | undefined = undefined;
  #enum: DescEnum | undefined = undefined;

  constructor(raw: RawField, scope: TypeScope, proto: LazyProto, place: FieldPlace) {
    if (raw.type === TYPE_GROUP) throw new Error(`Cannot hydrate ${place.title}: it is a group`);
    const kind = raw.type === TYPE_MESSAGE ? "message" : raw.type === TYPE_ENUM ? "enum" : "scalar";
    const isRepeated = raw.label === LABEL_REPEATED;
    const entry = isRepeated && kind === "message" ? scope.mapEntry(raw.typeName) : undefined;
    this.#raw = raw;
    this.#scope = scope;
    this.#title = place.title;
    this.#entryValue = entry?.fields.find(({ number }) => number === 2);
    this.#valueKind = (this.#entryValue?.fieldKind ?? kind) as ValueKind; // as: a map's value is neither a list nor a map
    this.kind = place.kind;
    this.name = raw.name;
    this.number = raw.number;
    this.jsonName = place.jsonName;
    this.localName = place.localName;
    this.parent = place.parent;
    this.oneof = place.oneof;
    this.presence = place.presence;
    this.fieldKind = entry !== undefined ? "map" : isRepeated ? "list" : kind;
    this.scalar = entry !== undefined ? this.#entryValue?.scalar : kind === "scalar" ? raw.type : undefined;
    this.listKind = this.fieldKind === "list" ? kind : undefined;
    this.mapKind = entry === undefined ? undefined : this.#valueKind;
    this.mapKey = entry?.fields.find(({ number }) => number === 1)?.scalar;
    this.packed = this.fieldKind === "list" ? isPacked(raw, kind, scope) : undefined;
    this.delimitedEncoding = kind === "message" ? false : undefined;
    this.utf8Validation = scope.isProto3;
    this.deprecated = raw.isDeprecated;
    this.proto = proto;
  }

  get message(): DescMessage | undefined {
    if (this.#valueKind !== "message") return undefined;
    return (this.#message ??=
      this.#entryValue === undefined ? this.#scope.message(this.#raw.typeName) : this.#entryValue.message);
  }

  get enum(): DescEnum | undefined {
    if (this.#valueKind !== "enum") return undefined;
    return (this.#enum ??=
      this.#entryValue === undefined ? this.#scope.enum(this.#raw.typeName) : this.#entryValue.enum);
  }

  getDefaultValue(): unknown {
    return this.fieldKind === "list" || this.fieldKind === "map" ? undefined : defaultOf(this.#raw, this.enum);
  }

  toString(): string {
    return this.#title;
  }
}

function presenceOf(raw: RawField, oneof: DescOneof | undefined, scope: TypeScope): number {
  if (raw.label === LABEL_REQUIRED) return LEGACY_REQUIRED;
  if (raw.label === LABEL_REPEATED) return IMPLICIT;
  const hasPresence = oneof !== undefined || raw.isProto3Optional || raw.type === TYPE_MESSAGE || !scope.isProto3;
  return hasPresence ? EXPLICIT : IMPLICIT;
}

function isPacked(raw: RawField, kind: string, scope: TypeScope): boolean {
  if (kind === "message" || raw.type === ScalarType.STRING || raw.type === ScalarType.BYTES) return false;
  return raw.isPacked ?? scope.isProto3;
}

/** proto2's `[default = ...]`, in its text form. */
function defaultOf(raw: RawField, enumeration: DescEnum | undefined): unknown {
  const { defaultValue: value, type } = raw;
  if (value === undefined) return undefined;
  if (enumeration !== undefined) return enumeration.values.find(({ name }) => name === value)?.number;
  switch (type) {
    case ScalarType.STRING:
      return value;
    case ScalarType.BOOL:
      return value === "true";
    case ScalarType.BYTES:
      throw new Error(`Cannot hydrate ${raw.name}: it has default bytes`);
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.SINT64:
      return BigInt(value);
    default:
      return Number(value);
  }
}
