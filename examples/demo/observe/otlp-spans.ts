// Reads spans out of an OTLP export request, in its JSON and its protobuf form (opentelemetry.proto.collector.trace.v1).
import { fieldOf, listOf, textOf } from "../json.ts";

export interface Span {
  /** The `service.name` of its resource. */
  readonly service: string;
  /** Lower-case hexadecimal. */
  readonly traceId: string;
  readonly spanId: string;
  /** Empty at a root. */
  readonly parentSpanId: string;
  readonly name: string;
  /** `server`, `client`, or the number of another kind. */
  readonly kind: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly traceState: string;
}

const KINDS: Readonly<Record<string, string>> = {
  "2": "server",
  "3": "client",
  SPAN_KIND_SERVER: "server",
  SPAN_KIND_CLIENT: "client",
};

/** The spans of a JSON export request. */
export function spansOfJson(text: string): readonly Span[] {
  const request: unknown = JSON.parse(text);
  const spans: Span[] = [];
  for (const resourceSpans of listOf(request, "resourceSpans")) {
    const resource = attributesOf(listOf(fieldOf(resourceSpans, "resource"), "attributes"));
    for (const scopeSpans of listOf(resourceSpans, "scopeSpans")) {
      for (const span of listOf(scopeSpans, "spans")) {
        spans.push({
          service: resource["service.name"] ?? "",
          traceId: textOf(span, "traceId").toLowerCase(),
          spanId: textOf(span, "spanId").toLowerCase(),
          parentSpanId: textOf(span, "parentSpanId").toLowerCase(),
          name: textOf(span, "name"),
          kind: KINDS[textOf(span, "kind")] ?? textOf(span, "kind"),
          attributes: attributesOf(listOf(span, "attributes")),
          traceState: textOf(span, "traceState"),
        });
      }
    }
  }
  return spans;
}

/** The spans of a protobuf export request. Throws when the bytes are no protobuf message. */
export function spansOfProtobuf(bytes: Buffer): readonly Span[] {
  const spans: Span[] = [];
  for (const resourceSpans of submessages(bytes, 1)) {
    const resource: Record<string, string> = {};
    for (const message of submessages(resourceSpans, 1)) Object.assign(resource, keyValues(submessages(message, 1)));
    for (const scopeSpans of submessages(resourceSpans, 2)) {
      for (const span of submessages(scopeSpans, 2)) {
        const fields = readFields(span);
        const hex = (field: number): string => bytesOf(fields, field).toString("hex");
        const kind = String(fields.find((field) => field.number === 6)?.integer ?? 0);
        spans.push({
          service: resource["service.name"] ?? "",
          traceId: hex(1),
          spanId: hex(2),
          parentSpanId: hex(4),
          name: bytesOf(fields, 5).toString("utf8"),
          kind: KINDS[kind] ?? kind,
          attributes: keyValues(submessages(span, 9)),
          traceState: bytesOf(fields, 3).toString("utf8"),
        });
      }
    }
  }
  return spans;
}

interface Field {
  readonly number: number;
  /** Wire type 0. */
  readonly integer: number;
  /** Wire type 2. */
  readonly bytes: Buffer | undefined;
}

function readFields(bytes: Buffer): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at];
      if (byte === undefined || scale > 2 ** 63) throw new Error(`not a protobuf message: bad varint at byte ${at}`);
      at += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        fields.push({ number, integer: varint(), bytes: undefined });
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        if (at + length > bytes.length) throw new Error(`not a protobuf message: field ${number} is cut`);
        fields.push({ number, integer: 0, bytes: bytes.subarray(at, at + length) });
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new Error(`not a protobuf message: wire type ${tag % 8} at byte ${at}`);
    }
  }
  return fields;
}

function submessages(bytes: Buffer, number: number): readonly Buffer[] {
  return readFields(bytes).flatMap((field) =>
    field.number === number && field.bytes !== undefined ? [field.bytes] : [],
  );
}

function bytesOf(fields: readonly Field[], number: number): Buffer {
  return fields.find((field) => field.number === number)?.bytes ?? Buffer.alloc(0);
}

/** KeyValue { key = 1, value = 2 }, AnyValue { string = 1, bool = 2, int = 3 }; other kinds of values are left empty. */
function keyValues(messages: readonly Buffer[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const message of messages) {
    const fields = readFields(message);
    const [value] = readFields(bytesOf(fields, 2));
    const text = value?.number === 1 ? value.bytes?.toString("utf8") : String(value?.integer ?? "");
    values[bytesOf(fields, 1).toString("utf8")] = text ?? "";
  }
  return values;
}

function attributesOf(list: readonly unknown[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const entry of list) {
    const value = fieldOf(entry, "value");
    values[textOf(entry, "key")] =
      textOf(value, "stringValue") || textOf(value, "intValue") || textOf(value, "boolValue");
  }
  return values;
}
