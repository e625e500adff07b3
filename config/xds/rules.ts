// The constraints that Envoy's .proto files state for their fields (protoc-gen-validate), checked from the descriptors:
// what they refuse, Envoy refuses too, for the whole response (xDS in practice, 1.4).
import type { DescField, DescOneof, Message } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { readBoolOption, readMessageOption } from "../protobuf/lazy-proto.ts";
import {
  FieldRulesSchema,
  KnownRegex,
  required as oneofRequired,
  rules as rulesOption,
  type FieldRules,
  type RepeatedRules,
  type StringRules,
} from "./gen/validate/validate_pb.ts";
import type { Scope } from "./issues.ts";

/** Says what is wrong with a value, or nothing. `undefined` stands for a field that is not set. */
type Check = (value: unknown) => string | undefined;

interface NumberRules {
  readonly const?: number | bigint;
  readonly lt?: number | bigint;
  readonly lte?: number | bigint;
  readonly gt?: number | bigint;
  readonly gte?: number | bigint;
  readonly in: readonly (number | bigint)[];
  readonly notIn: readonly (number | bigint)[];
  readonly ignoreEmpty?: boolean;
}

/** protobuf-es reads optional proto2 fields through the prototype: a rule is there only when it is an own property. */
function own<T extends object, K extends keyof T>(rules: T, key: K): T[K] | undefined {
  return Object.hasOwn(rules, key) ? rules[key] : undefined;
}

/** The check of one field by its own rules, or `undefined` when it has none. `value` is what protobuf-es holds. */
export function makeFieldCheck(field: DescField): ((value: unknown, scope: Scope) => void) | undefined {
  const rules = readMessageOption(field, rulesOption, FieldRulesSchema);
  if (rules === undefined) return undefined;
  const type = rules.type;
  if (type.case === "repeated") return makeListCheck(type.value);
  if (type.case === "map") return makeMapCheck(type.value.values, Number(own(type.value, "minPairs") ?? 0));
  const check = makeValueCheck(rules);
  if (check === undefined) return undefined;
  // A field with presence (wrapper, message, oneof member) is only looked at when it is set, unless it is required.
  return (value, scope) => {
    const problem = check(value);
    if (problem !== undefined) scope.invalid(problem);
  };
}

/** Reports a oneof that must be set and is not. */
export function checkOneof(oneof: DescOneof, message: Message, scope: Scope): void {
  if (!readBoolOption(oneof, oneofRequired)) return;
  const chosen = (message as unknown as Record<string, { case?: string } | undefined>)[oneof.localName];
  if (chosen?.case === undefined)
    scope.invalid(`one of ${oneof.fields.map((field) => field.name).join(", ")} must be set`);
}

function makeListCheck(rules: RepeatedRules): (value: unknown, scope: Scope) => void {
  const min = Number(own(rules, "minItems") ?? 0);
  const max = Number(own(rules, "maxItems") ?? Infinity);
  const unique = own(rules, "unique") ?? false;
  const items = rules.items === undefined ? undefined : makeValueCheck(rules.items);
  return (value, scope) => {
    const list = value as readonly unknown[];
    if (list.length === 0 && own(rules, "ignoreEmpty")) return;
    if (list.length < min) scope.invalid(`must have at least ${min} item(s): got ${list.length}`);
    if (list.length > max) scope.invalid(`must have at most ${max} item(s): got ${list.length}`);
    if (unique && new Set(list).size < list.length) scope.invalid("must not have the same item twice");
    if (items === undefined) return;
    for (const [index, item] of list.entries()) {
      const problem = items(item);
      if (problem !== undefined) scope.at(index).invalid(problem);
    }
  };
}

function makeMapCheck(values: FieldRules | undefined, min: number): (value: unknown, scope: Scope) => void {
  const check = values === undefined ? undefined : makeValueCheck(values);
  return (value, scope) => {
    const entries = Object.entries(value as Record<string, unknown>);
    if (entries.length < min) scope.invalid(`must have at least ${min} entries: got ${entries.length}`);
    for (const [key, item] of entries) {
      const problem = check?.(item);
      if (problem !== undefined) scope.key(key).invalid(problem);
    }
  };
}

function mustBeSet(value: unknown): string | undefined {
  return value === undefined ? "must be set" : undefined;
}

function makeValueCheck(rules: FieldRules): Check | undefined {
  const required = rules.message !== undefined && (own(rules.message, "required") ?? false);
  const type = rules.type;
  switch (type.case) {
    case undefined:
      return required ? mustBeSet : undefined;
    case "string":
      return makeStringCheck(type.value);
    case "enum": {
      const excluded = type.value.notIn;
      return excluded.length === 0
        ? undefined
        : (value) => (excluded.includes(value as number) ? `must not be ${String(value)}` : undefined);
    }
    case "bool": {
      const only = own(type.value, "const");
      return only === undefined
        ? undefined
        : (value) => (value === undefined || value === only ? undefined : `must be ${only}`);
    }
    case "bytes": {
      const min = Number(own(type.value, "minLen") ?? 0);
      return (value) =>
        value instanceof Uint8Array && value.length < min ? `must have at least ${min} byte(s)` : undefined;
    }
    case "any": {
      const isRequired = own(type.value, "required") ?? false;
      return isRequired ? mustBeSet : undefined;
    }
    case "duration": {
      const limits = type.value;
      const isRequired = own(limits, "required") ?? false;
      return (value) => {
        if (value === undefined) return isRequired || required ? "must be set" : undefined;
        const nanos = toNanos(value as Duration);
        if (limits.gt && nanos <= toNanos(limits.gt))
          return `must be greater than ${show(limits.gt)}: got ${show(value as Duration)}`;
        if (limits.gte && nanos < toNanos(limits.gte))
          return `must be at least ${show(limits.gte)}: got ${show(value as Duration)}`;
        if (limits.lt && nanos >= toNanos(limits.lt))
          return `must be less than ${show(limits.lt)}: got ${show(value as Duration)}`;
        if (limits.lte && nanos > toNanos(limits.lte))
          return `must be at most ${show(limits.lte)}: got ${show(value as Duration)}`;
        return undefined;
      };
    }
    case "timestamp":
    case "repeated":
    case "map":
      return undefined;
    case "float":
    case "double":
    case "int32":
    case "int64":
    case "uint32":
    case "uint64":
    case "sint32":
    case "sint64":
    case "fixed32":
    case "fixed64":
    case "sfixed32":
    case "sfixed64":
      return makeNumberCheck(type.value, required);
  }
}

function makeNumberCheck(rules: NumberRules, required: boolean): Check {
  const only = own(rules, "const");
  const lt = own(rules, "lt");
  const lte = own(rules, "lte");
  const gt = own(rules, "gt");
  const gte = own(rules, "gte");
  return (value) => {
    if (value === undefined) return required ? "must be set" : undefined;
    const number = value as number | bigint;
    if (own(rules, "ignoreEmpty") && Number(number) === 0) return undefined;
    if (only !== undefined && number !== only) return `must be ${only}: got ${number}`;
    if (lt !== undefined && number >= lt) return `must be less than ${lt}: got ${number}`;
    if (lte !== undefined && number > lte) return `must be at most ${lte}: got ${number}`;
    if (gt !== undefined && number <= gt) return `must be greater than ${gt}: got ${number}`;
    if (gte !== undefined && number < gte) return `must be at least ${gte}: got ${number}`;
    if (rules.in.length > 0 && !rules.in.includes(number))
      return `must be one of ${rules.in.join(", ")}: got ${number}`;
    return rules.notIn.includes(number) ? `must not be ${number}` : undefined;
  };
}

function makeStringCheck(rules: StringRules): Check {
  const minLength = Number(own(rules, "minLen") ?? 0);
  const minBytes = Number(own(rules, "minBytes") ?? 0);
  const maxBytes = Number(own(rules, "maxBytes") ?? Infinity);
  const prefix = own(rules, "prefix");
  const knownRegex = rules.wellKnown.case === "wellKnownRegex" ? rules.wellKnown.value : KnownRegex.UNKNOWN;
  const strict = own(rules, "strict") ?? true;
  return (value) => {
    if (value === undefined) return undefined;
    const text = value as string;
    if (text === "" && own(rules, "ignoreEmpty")) return undefined;
    if (text === "" && (minLength > 0 || minBytes > 0)) return "must not be empty";
    if (text.length < minLength) return `must have at least ${minLength} characters: got "${text}"`;
    const bytes = Buffer.byteLength(text);
    if (bytes < minBytes) return `must have at least ${minBytes} bytes: got "${text}"`;
    if (bytes > maxBytes) return `must have at most ${maxBytes} bytes: got ${bytes}`;
    if (prefix !== undefined && !text.startsWith(prefix)) return `must start with "${prefix}": got "${text}"`;
    if (rules.in.length > 0 && !rules.in.includes(text)) return `must be one of ${rules.in.join(", ")}: got "${text}"`;
    return isKnown(text, knownRegex, strict)
      ? undefined
      : `has characters that no header may have: ${JSON.stringify(text)}`;
  };
}

/** The two patterns of protoc-gen-validate's rules.md; `strict: false` forbids only NUL, CR and LF. */
function isKnown(text: string, regex: KnownRegex, strict: boolean): boolean {
  if (regex === KnownRegex.UNKNOWN) return true;
  // oxlint-disable-next-line no-control-regex -- these are the characters that must not be there
  if (!strict) return !/[\u0000\r\n]/.test(text);
  if (regex === KnownRegex.HTTP_HEADER_NAME) return text === "" || /^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$/.test(text);
  // oxlint-disable-next-line no-control-regex -- these are the characters that must not be there
  return !/[\u0000-\u0008\u000A-\u001F\u007F]/.test(text);
}

function toNanos(duration: Duration): bigint {
  return duration.seconds * 1_000_000_000n + BigInt(duration.nanos);
}

function show(duration: Duration): string {
  return `${Number(toNanos(duration)) / 1e9}s`;
}
