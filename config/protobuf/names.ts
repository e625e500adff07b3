// Names as protobuf-es gives them to fields, oneofs and values in JavaScript.

/** Property names that every object has already (`safeObjectProperty` of @bufbuild/protobuf). */
const TAKEN: ReadonlySet<string> = new Set(["constructor", "toString", "toJSON", "valueOf"]);

/** protoc's rule for JSON names: the letter after each `_` is a capital, a digit stays, a `_` goes. */
export function toCamelCase(name: string): string {
  return name.includes("_")
    ? name.replace(/_+([^_])?/g, (_, next: string | undefined) => next?.toUpperCase() ?? "")
    : name;
}

export function toPropertyName(name: string): string {
  return TAKEN.has(name) ? `${name}$` : name;
}

/** `my_enum_` for `enum MyEnum { MY_ENUM_A, MY_ENUM_B }`: what all values of an enum begin with; undefined when they do not. */
export function sharedPrefix(enumName: string, valueNames: readonly string[]): string | undefined {
  const prefix = `${enumName.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()}_`;
  const isShared = valueNames.every(
    (name) => name.toLowerCase().startsWith(prefix) && /^\D/.test(name.slice(prefix.length)),
  );
  return isShared ? prefix : undefined;
}
