// A message from its bytes, one field after the other as they come, for messages that are read once at start: protobuf-es's fromBinary
// compiles a reader for every message that could come first. Fields that are not known are left out.
import { ScalarType, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { makeZero } from "./zero.ts";

/** Reads scalars, enums, messages and lists of them; maps and groups are errors. */
export function readBinary(schema: DescMessage, bytes: Uint8Array): Message {
  const fields = makeZero(schema);
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const field = schema.fields.find((candidate) => candidate.number === number);
    if (field === undefined) reader.skip(wireType, number);
    else if (field.fieldKind === "list") readItems(field, wireType, reader, fields[field.localName] as unknown[]);
    else if (field.oneof === undefined) fields[field.localName] = readValue(field, reader);
    else fields[field.oneof.localName] = { case: field.localName, value: readValue(field, reader) };
  }
  return fields as unknown as Message; // as: what `create` gives
}

function readItems(field: DescField, wireType: WireType, reader: BinaryReader, list: unknown[]): void {
  const isPacked =
    wireType === WireType.LengthDelimited &&
    field.message === undefined &&
    field.scalar !== ScalarType.STRING &&
    field.scalar !== ScalarType.BYTES;
  if (!isPacked) {
    list.push(readValue(field, reader));
    return;
  }
  const length = reader.uint32();
  for (const end = reader.pos + length; reader.pos < end;) list.push(readValue(field, reader));
}

function readValue(field: DescField, reader: BinaryReader): unknown {
  if (field.fieldKind === "map") throw new Error(`Cannot read ${field.name}: it is a map`);
  if (field.message !== undefined) return readBinary(field.message, reader.bytes());
  return field.enum === undefined ? readScalar(field.scalar, reader) : reader.int32();
}

function readScalar(type: ScalarType | undefined, reader: BinaryReader): unknown {
  switch (type) {
    case ScalarType.STRING:
      return reader.string();
    case ScalarType.BOOL:
      return reader.bool();
    case ScalarType.BYTES:
      return reader.bytes();
    case ScalarType.DOUBLE:
      return reader.double();
    case ScalarType.FLOAT:
      return reader.float();
    case ScalarType.INT32:
      return reader.int32();
    case ScalarType.UINT32:
      return reader.uint32();
    case ScalarType.SINT32:
      return reader.sint32();
    case ScalarType.FIXED32:
      return reader.fixed32();
    case ScalarType.SFIXED32:
      return reader.sfixed32();
    case ScalarType.INT64:
      return toBigInt(reader.int64());
    case ScalarType.UINT64:
      return toBigInt(reader.uint64());
    case ScalarType.SINT64:
      return toBigInt(reader.sint64());
    case ScalarType.FIXED64:
      return toBigInt(reader.fixed64());
    case ScalarType.SFIXED64:
      return toBigInt(reader.sfixed64());
    case undefined:
      throw new Error("Cannot read a field without a type");
  }
}

/** protobuf-es gives text where there are no big integers, which is nowhere that Heddle runs. */
function toBigInt(value: bigint | string): bigint {
  return BigInt(value);
}
