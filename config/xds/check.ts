// The strict look at a message: every field that is set must be one that Heddle supports and must obey its own rules.
import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Scope } from "./issues.ts";
import { checkOneof, makeFieldCheck } from "./rules.ts";
import { supportedFields } from "./supported.ts";

/** FeatureSet.FieldPresence of descriptor.proto. */
const IMPLICIT = 2;

/** What is known of a field before any message is seen. */
interface FieldPlan {
  readonly name: string;
  readonly fullName: string;
  /** Where protobuf-es keeps it: its own property, or the oneof's with `case`. */
  readonly property: string;
  readonly oneofCase: string | undefined;
  readonly kind: DescField["fieldKind"];
  /** True when the zero value means "not set" (proto3 scalars and enums). */
  readonly isImplicit: boolean;
  readonly isSupported: boolean;
  /** Asked for its types only where it is set: they lead to all other messages. */
  readonly field: DescField;
  readonly check: ((value: unknown, scope: Scope) => void) | undefined;
}

/** Plans by message type: a memo of what descriptors say, the same for every mesh. */
const plans = new WeakMap<DescMessage, readonly FieldPlan[]>();

/**
 * Reports every field of `message` that is set and not supported, is of no known number, or breaks its rules. What is inside
 * an `Any` is looked at when it is unpacked (any.ts).
 */
export function checkMessage(schema: DescMessage, message: Message, scope: Scope): void {
  for (const unknown of message.$unknown ?? [])
    scope.unsupported(`field number ${unknown.no} of ${schema.typeName} is unknown`);
  for (const oneof of schema.oneofs) checkOneof(oneof, message, scope);
  for (const plan of planOf(schema)) checkField(plan, message, scope);
}

function checkField(plan: FieldPlan, message: Record<string, unknown>, scope: Scope): void {
  const value = readField(plan, message);
  const isSet = isFieldSet(plan, value);
  if (isSet && !plan.isSupported) {
    scope.field(plan.name).unsupported("is not supported", plan.fullName);
    return;
  }
  // Rules of an oneof member hold only when it is the one chosen.
  if (plan.check !== undefined && (plan.oneofCase === undefined || isSet)) plan.check(value, scope.field(plan.name));
  if (!isSet) return;
  const { enum: desc, message: inner } = plan.field;
  if (desc !== undefined) checkEnum(desc, value, scope.field(plan.name));
  if (inner?.typeName === "google.protobuf.Duration" && isNegative(value))
    scope.field(plan.name).invalid("must not be negative");
  // Google's own types (Duration, wrappers, Struct, Any) have no fields of their own to refuse.
  if (inner !== undefined && !inner.typeName.startsWith("google.protobuf."))
    checkInside(plan, inner, value, scope.field(plan.name));
}

/** Envoy takes no negative duration for any field, with a rule of its own or without one. */
function isNegative(value: unknown): boolean {
  const { seconds, nanos } = value as Duration; // as: the field's type says so, and no supported one is a list of them
  return seconds < 0n || nanos < 0;
}

function checkEnum(desc: DescEnum, value: unknown, scope: Scope): void {
  for (const item of Array.isArray(value) ? value : [value]) {
    if (desc.value[item as number] === undefined) scope.invalid(`${String(item)} is no value of ${desc.name}`);
  }
}

function checkInside(plan: FieldPlan, schema: DescMessage, value: unknown, scope: Scope): void {
  if (plan.kind === "list") {
    for (const [index, item] of (value as readonly Message[]).entries()) checkMessage(schema, item, scope.at(index));
  } else if (plan.kind === "map") {
    for (const [key, item] of Object.entries(value as Record<string, Message>))
      checkMessage(schema, item, scope.key(key));
  } else {
    checkMessage(schema, value as Message, scope);
  }
}

function readField(plan: FieldPlan, message: Record<string, unknown>): unknown {
  if (plan.oneofCase === undefined) return message[plan.property];
  const chosen = message[plan.property] as { readonly case?: string; readonly value?: unknown } | undefined;
  return chosen?.case === plan.oneofCase ? unwrap(chosen.value) : undefined;
}

/** protobuf-es takes wrappers (BoolValue ...) out of their messages everywhere but in a oneof. */
function unwrap(value: unknown): unknown {
  const wrapper = value as { readonly $typeName?: string; readonly value?: unknown } | undefined;
  return /^google\.protobuf\.\w+Value$/.test(wrapper?.$typeName ?? "") ? wrapper?.value : value;
}

function isFieldSet(plan: FieldPlan, value: unknown): boolean {
  if (value === undefined) return false;
  if (plan.kind === "list") return (value as readonly unknown[]).length > 0;
  if (plan.kind === "map") return Object.keys(value as object).length > 0;
  if (!plan.isImplicit) return true;
  return value instanceof Uint8Array
    ? value.length > 0
    : value !== 0 && value !== 0n && value !== "" && value !== false;
}

function planOf(schema: DescMessage): readonly FieldPlan[] {
  let plan = plans.get(schema);
  if (plan === undefined) {
    const supported = supportedFields(schema.typeName);
    plan = schema.fields.map((field) => planField(field, supported));
    plans.set(schema, plan);
  }
  return plan;
}

function planField(field: DescField, supported: ReadonlySet<string>): FieldPlan {
  const isSingular = field.fieldKind === "scalar" || field.fieldKind === "enum";
  return {
    name: field.name,
    fullName: `${field.parent.typeName}.${field.name}`,
    property: field.oneof?.localName ?? field.localName,
    oneofCase: field.oneof === undefined ? undefined : field.localName,
    kind: field.fieldKind,
    isImplicit: isSingular && field.presence === IMPLICIT,
    isSupported: supported.has(field.name),
    field,
    check: makeFieldCheck(field),
  };
}
