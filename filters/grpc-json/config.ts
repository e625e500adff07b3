// What the transcoder is told: Envoy's message in protobuf JSON. What has no meaning here is refused, never ignored.
import type { JsonValue } from "#config/model/filter-config.ts";

import { ConfigReader, FilterConfigError } from "../parse.ts";

/** How a stream of answers is written. */
export type StreamFormat = "array" | "lines" | "events";
/** Which escapes of a path are undone in variables of several segments; one segment is always unescaped wholly. */
export type UnescapeSpec = "ALL_CHARACTERS_EXCEPT_RESERVED" | "ALL_CHARACTERS_EXCEPT_SLASH" | "ALL_CHARACTERS";

export interface GrpcJsonConfig {
  /** The FileDescriptorSet: its bytes, or the file that has them. */
  readonly descriptors: { readonly base64: string } | { readonly file: string };
  /** Full names; none = the filter does nothing. */
  readonly services: readonly string[];
  readonly print: {
    readonly hasWhitespace: boolean;
    readonly emitsDefaults: boolean;
    readonly enumsAsNumbers: boolean;
    readonly protoNames: boolean;
    readonly stream: StreamFormat;
  };
  /** The route is chosen by what the client sent, not by the gRPC method's path. */
  readonly keepsRoute: boolean;
  readonly ignoredQuery: ReadonlySet<string>;
  readonly ignoresUnknownQuery: boolean;
  readonly autoMapping: boolean;
  readonly convertsStatus: boolean;
  readonly unescape: UnescapeSpec;
  readonly unescapesPlus: boolean;
  readonly matchesAnyVerb: boolean;
  readonly rejectsUnknownMethod: boolean;
  readonly rejectsUnknownQuery: boolean;
  readonly rejectsCollisions: boolean;
  readonly maxRequestBytes: number;
  readonly maxResponseBytes: number;
}

/** Envoy's default, its buffer for one stream. */
const MAX_BODY_BYTES = 1_048_576;
const UNESCAPES = ["ALL_CHARACTERS_EXCEPT_RESERVED", "ALL_CHARACTERS_EXCEPT_SLASH", "ALL_CHARACTERS"] as const;

export function parseGrpcJson(value: JsonValue): GrpcJsonConfig {
  const reader = new ConfigReader(value, "");
  const services = reader.strings("services");
  const file = reader.string("protoDescriptor", "");
  const base64 = reader.string("protoDescriptorBin", "");
  if (services.length > 0 && file === "" && base64 === "")
    throw new FilterConfigError("protoDescriptor", "set (or protoDescriptorBin)", undefined);
  const validation = reader.object("requestValidationOptions");
  const config: GrpcJsonConfig = {
    descriptors: base64 === "" ? { file } : { base64 },
    services,
    print: parsePrint(reader.object("printOptions")),
    keepsRoute: reader.boolean("matchIncomingRequestRoute", false),
    ignoredQuery: new Set(reader.strings("ignoredQueryParameters")),
    ignoresUnknownQuery: reader.boolean("ignoreUnknownQueryParameters", false),
    autoMapping: reader.boolean("autoMapping", false),
    convertsStatus: reader.boolean("convertGrpcStatus", false),
    unescape: reader.oneOf("urlUnescapeSpec", UNESCAPES, "ALL_CHARACTERS_EXCEPT_RESERVED"),
    unescapesPlus: reader.boolean("queryParamUnescapePlus", false),
    matchesAnyVerb: reader.boolean("matchUnregisteredCustomVerb", false),
    rejectsUnknownMethod: validation?.boolean("rejectUnknownMethod", false) ?? false,
    rejectsUnknownQuery: validation?.boolean("rejectUnknownQueryParameters", false) ?? false,
    rejectsCollisions: validation?.boolean("rejectBindingBodyFieldCollisions", false) ?? false,
    maxRequestBytes: reader.number("maxRequestBodySize", MAX_BODY_BYTES, 1, 2 ** 31 - 1),
    maxResponseBytes: reader.number("maxResponseBodySize", MAX_BODY_BYTES, 1, 2 ** 31 - 1),
  };
  validation?.done();
  reader.done();
  return config;
}

function parsePrint(reader: ConfigReader | undefined): GrpcJsonConfig["print"] {
  const isLines = reader?.boolean("streamNewlineDelimited", false) ?? false;
  const isEvents = reader?.boolean("streamSseStyleDelimited", false) ?? false;
  const print = {
    hasWhitespace: reader?.boolean("addWhitespace", false) ?? false,
    emitsDefaults: reader?.boolean("alwaysPrintPrimitiveFields", false) ?? false,
    enumsAsNumbers: reader?.boolean("alwaysPrintEnumsAsInts", false) ?? false,
    protoNames: reader?.boolean("preserveProtoFieldNames", false) ?? false,
    stream: isEvents ? "events" : isLines ? "lines" : "array",
  } as const;
  reader?.done();
  return print;
}
