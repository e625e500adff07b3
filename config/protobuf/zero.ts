// A message without anything in it.
import { ScalarType, type DescMessage } from "@bufbuild/protobuf";

/** FeatureSet.FieldPresence of descriptor.proto. */
export const IMPLICIT = 2;

/**
 * As protobuf-es's `create` makes it, but without a look at the types of its fields, which would lead to all others. The defaults of
 * proto2, which `create` keeps in the prototype, are left out.
 */
export function makeZero(schema: DescMessage): Record<string, unknown> {
  const fields: Record<string, unknown> = { $typeName: schema.typeName };
  for (const member of schema.members) {
    if (member.kind === "oneof") fields[member.localName] = { case: undefined };
    else if (member.fieldKind === "list") fields[member.localName] = [];
    else if (member.fieldKind === "map") fields[member.localName] = {};
    else if (member.presence === IMPLICIT) fields[member.localName] = zeroOf(member.scalar);
  }
  return fields;
}

/** Of an enum, which has no scalar type, it is 0. */
function zeroOf(type: ScalarType | undefined): unknown {
  if (type === ScalarType.STRING) return "";
  if (type === ScalarType.BOOL) return false;
  if (type === ScalarType.BYTES) return new Uint8Array(0);
  return isLong(type) ? 0n : 0;
}

const LONG_TYPES: readonly (ScalarType | undefined)[] = [
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
  ScalarType.SINT64,
];

/** True for what protobuf-es keeps as a bigint. */
export function isLong(type: ScalarType | undefined): boolean {
  return LONG_TYPES.includes(type);
}
