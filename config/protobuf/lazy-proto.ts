// What our descriptors keep of their .proto: the name and the options, as unknown fields, which is where protobuf-es and we look for
// custom options. Everything else of a DescriptorProto is in the descriptor itself.
import type { DescExtension, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { readBinary } from "./binary.ts";
import { WireCursor } from "./wire-cursor.ts";

/** A stretch of a file's bytes. */
export interface Piece {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

interface Options {
  readonly $typeName: string;
  readonly $unknown: { readonly no: number; readonly wireType: number; readonly data: Uint8Array }[];
}

/** Stands for a FieldDescriptorProto, OneofDescriptorProto and so on. */
export class LazyProto {
  readonly name: string;
  readonly #piece: Piece;
  readonly #optionsType: string;
  readonly #optionsNumber: number;

  /** `optionsNumber` is the number of the field `options`. */
  constructor(piece: Piece, name: string, optionsType: string, optionsNumber: number) {
    this.#piece = piece;
    this.name = name;
    this.#optionsType = optionsType;
    this.#optionsNumber = optionsNumber;
  }

  get options(): Options | undefined {
    const { bytes, start, end } = this.#piece;
    for (const cursor = new WireCursor(bytes, start, end); cursor.next();) {
      if (cursor.number !== this.#optionsNumber) continue;
      const options: Options = { $typeName: this.#optionsType, $unknown: [] };
      for (const option = new WireCursor(bytes, cursor.start, cursor.end); option.next();)
        options.$unknown.push({ no: option.number, wireType: option.wireType, data: option.data() });
      return options;
    }
    return undefined;
  }
}

/** Whatever may have options. */
interface Described {
  readonly proto: { readonly options?: { readonly $unknown?: Options["$unknown"] | undefined } | undefined };
}

/** A custom option that is a message, without hydrating descriptor.proto as protobuf-es's `getOption` would. */
export function readMessageOption<Desc extends DescMessage>(
  described: Described,
  extension: DescExtension,
  schema: Desc,
): MessageShape<Desc> | undefined {
  const found = described.proto.options?.$unknown?.find(({ no }) => no === extension.number);
  return found && (readBinary(schema, new BinaryReader(found.data).bytes()) as MessageShape<Desc>); // as: its schema
}

/** A custom option that is a bool. */
export function readBoolOption(described: Described, extension: DescExtension): boolean {
  const found = described.proto.options?.$unknown?.find(({ no }) => no === extension.number);
  return found !== undefined && new BinaryReader(found.data).bool();
}
