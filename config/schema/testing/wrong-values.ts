// What may be written wrongly at a place of a schema: another type, beyond a bound, another unit, another form, another word.
import { formats, type FormatName } from "../formats.ts";
import type { StructuralSchema } from "../structural.ts";

/** Of each form what people write instead; every one breaks its pattern. */
const wrongForms: Readonly<Record<FormatName, readonly string[]>> = {
  duration: ["5 parsecs", "5", "-1s", "1.5s", "5 sec", "1d"],
  quantity: ["10 MB", "-1", "1.5.0"],
  objectName: ["Cart", "my_cart", "-cart"],
  dnsLabel: ["HTTP", "a.b", "http-"],
  hostname: ["Example.COM", "*.*.example.com", "example.com:80"],
  preciseHostname: ["*.example.com", "example.com:80"],
  group: ["heddle.dev/v1", "Core"],
  kind: ["my kind", "1Service"],
  labelKey: ["a b", "-version"],
  labelValue: ["v 1", "-v1"],
  method: ["GE T", "GET/"],
  headerName: ["x user", "x-user:"],
  headerValue: ["v1 ", "\u00e4"],
  ipAddress: ["localhost", "127.0.0.1/32"],
  spiffeId: ["cluster.local/ns/shop/sa/cart", "spiffe://cluster.local"],
  trustDomain: ["Cluster.Local", "spiffe://cluster.local"],
  url: ["127.0.0.1:4318", "ftp://127.0.0.1"],
  absolutePath: ["a", "/a b"],
  portReference: ["HTTP", "80/tcp"],
  serviceRef: ["Shop/cart", "a/b/c"],
  listenerRef: ["cart-1:18000", "shop/cart-1"],
};

/** Longer texts and lists are not tried: the case would be a page long. */
const LONGEST_TEXT = 512;
const LONGEST_LIST = 64;
/** Beyond it numbers of JSON are not exact, and no case is one of range. */
const GREATEST = Number.MAX_SAFE_INTEGER;

/** Values that the schema must refuse at this very place, one for each way to be wrong. */
export function wrongValuesFor(schema: StructuralSchema, good: unknown): readonly unknown[] {
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) return [];
  if (schema["x-kubernetes-int-or-string"] === true)
    return [true, ...beyondBounds(schema), ...formsOf(schema), "a".repeat((schema.maxLength ?? 0) + 1)];
  switch (schema.type) {
    case "object":
      return ["x", [], ...(schema.minProperties === undefined ? [] : [{}])];
    case "array":
      return ["x", {}, ...wrongLists(schema, good)];
    case "string":
      return [7, {}, ...wrongTexts(schema)];
    case "integer":
      return ["7", "many", 1.5, ...beyondBounds(schema), ...(schema.maximum === 100 ? ["10%"] : [])];
    case "number":
      return ["7", "many", ...beyondBounds(schema)];
    case "boolean":
      return ["true", "yes", 1];
    case undefined:
    default:
      return [];
  }
}

/** Names that are nearly the field's own: the message must say which was meant. */
export function misspelt(name: string): string {
  if (name.length < 3) return `${name}x`;
  const at = name.length - 2;
  const swapped = `${name.slice(0, at)}${name.slice(at + 1)}${name.charAt(at)}`;
  return swapped === name ? `${name}x` : swapped;
}

function beyondBounds({ minimum, maximum }: StructuralSchema): readonly number[] {
  const below = minimum === undefined || minimum <= -GREATEST ? [] : [minimum - 1];
  return maximum === undefined || maximum >= GREATEST ? below : [...below, maximum + 1];
}

function formsOf({ "x-heddle-format": format }: StructuralSchema): readonly string[] {
  return format === undefined ? [] : wrongForms[format];
}

function wrongTexts(schema: StructuralSchema): readonly string[] {
  const { minLength = 0, maxLength = Infinity, pattern } = schema;
  if (schema.enum !== undefined) {
    const [word = ""] = schema.enum.map(String);
    return ["unheardOf", ...(word.length < 3 ? [] : [misspelt(word)])];
  }
  const wrong = [...formsOf(schema)];
  const matches = pattern === undefined ? undefined : new RegExp(pattern);
  if (minLength > 0) wrong.push("");
  if (maxLength <= LONGEST_TEXT) wrong.push("a".repeat(maxLength + 1));
  if (matches !== undefined && schema["x-heddle-format"] === undefined)
    wrong.push(...["", "a b", "\u00e4"].filter((text) => !matches.test(text) && text.length >= minLength));
  return [...new Set(wrong)];
}

function wrongLists(schema: StructuralSchema, good: unknown): readonly unknown[] {
  const { minItems = 0, maxItems = Infinity } = schema;
  const [item] = Array.isArray(good) ? (good as readonly unknown[]) : []; // as: its items are looked at
  const wrong: unknown[] = minItems > 0 ? [[]] : [];
  if (item === undefined) return wrong;
  if (["set", "map"].includes(schema["x-kubernetes-list-type"] ?? "")) wrong.push([item, item]);
  else if (maxItems <= LONGEST_LIST) wrong.push(Array.from({ length: maxItems + 1 }, () => item));
  return wrong;
}

/** Every form has its wrong ones, and each of them is wrong. For a test. */
export function formsThatFit(): readonly string[] {
  return Object.entries(wrongForms).flatMap(([name, texts]) => {
    const { pattern } = formats[name as FormatName]; // as: both tables have the same keys
    return texts.length === 0
      ? [name]
      : texts.filter((text) => new RegExp(pattern).test(text)).map((text) => `${name} ${text}`);
  });
}
