// Reading a filter's configuration: each reader names the path of what is wrong and what would have been right.
import type { JsonValue } from "#config/model/filter-config.ts";
import { HeddleError } from "#lib/errors.ts";

/** A filter's configuration does not say what it must. */
export class FilterConfigError extends HeddleError {
  readonly path: string;
  /** The message without the path. */
  readonly reason: string;

  constructor(path: string, wanted: string, got: unknown) {
    const reason = `must be ${wanted}: got ${JSON.stringify(got) ?? "nothing"}`;
    super("HDL_FILTER_CONFIG", `${path} ${reason}`);
    this.path = path;
    this.reason = reason;
  }
}

/** One JSON object, read field by field; `done` refuses the fields that nobody read. */
export class ConfigReader {
  readonly #fields: { readonly [key: string]: JsonValue };
  readonly #path: string;
  readonly #read = new Set<string>();

  constructor(value: JsonValue, path: string) {
    if (!isObject(value)) throw new FilterConfigError(path === "" ? "the configuration" : path, "an object", value);
    this.#fields = value;
    this.#path = path;
  }

  /** The raw value under this name, or undefined. */
  value(name: string): JsonValue | undefined {
    this.#read.add(name);
    return this.#fields[name];
  }

  pathOf(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  string(name: string, fallback?: string): string {
    const value = this.value(name) ?? fallback;
    if (typeof value !== "string") throw new FilterConfigError(this.pathOf(name), "a string", value);
    return value;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.value(name) ?? fallback;
    if (typeof value !== "boolean") throw new FilterConfigError(this.pathOf(name), "true or false", value);
    return value;
  }

  /** 64-bit numbers stand in protobuf JSON as strings; both are taken. */
  number(name: string, fallback: number | undefined, least = -Infinity, most = Infinity): number {
    const value = this.value(name) ?? fallback;
    const number = typeof value === "string" && value !== "" ? Number(value) : value;
    if (typeof number !== "number" || !(number >= least && number <= most)) {
      throw new FilterConfigError(this.pathOf(name), `a number from ${least} to ${most}`, value);
    }
    return number;
  }

  oneOf<const T extends string>(name: string, words: readonly T[], fallback: T): T {
    const value = this.value(name) ?? fallback;
    const found = words.find((word) => word === value);
    if (found === undefined) throw new FilterConfigError(this.pathOf(name), words.join(" or "), value);
    return found;
  }

  strings(name: string): readonly string[] {
    return this.list(name).map((item, index) => {
      if (typeof item !== "string") throw new FilterConfigError(`${this.pathOf(name)}[${index}]`, "a string", item);
      return item;
    });
  }

  numbers(name: string, fallback: readonly number[] = []): readonly number[] {
    if (this.value(name) === undefined) return fallback;
    return this.list(name).map((item, index) => {
      if (typeof item !== "number") throw new FilterConfigError(`${this.pathOf(name)}[${index}]`, "a number", item);
      return item;
    });
  }

  list(name: string): readonly JsonValue[] {
    const value = this.value(name) ?? [];
    if (!isList(value)) throw new FilterConfigError(this.pathOf(name), "a list", value);
    return value;
  }

  /** A reader for the object under this name; undefined when it is absent. */
  object(name: string): ConfigReader | undefined {
    const value = this.value(name);
    return value === undefined || value === null ? undefined : new ConfigReader(value, this.pathOf(name));
  }

  objects(name: string): readonly ConfigReader[] {
    return this.list(name).map((item, index) => new ConfigReader(item, `${this.pathOf(name)}[${index}]`));
  }

  /** A protobuf JSON duration (`0.250s`) in ms. */
  durationMs(name: string, fallback: number | undefined): number {
    const value = this.value(name) ?? (fallback === undefined ? undefined : `${fallback / 1000}s`);
    const parts = typeof value === "string" ? /^(\d+(?:\.\d+)?)s$/.exec(value) : null;
    if (parts === null) throw new FilterConfigError(this.pathOf(name), 'a duration in seconds, as "1.5s"', value);
    return Number(parts[1]) * 1000;
  }

  /** Refuses unknown fields. */
  done(): void {
    for (const name of Object.keys(this.#fields)) {
      if (!this.#read.has(name)) {
        throw new FilterConfigError(
          this.pathOf(name),
          `left out (what can be set: ${[...this.#read].join(", ") || "nothing"})`,
          this.#fields[name],
        );
      }
    }
  }
}

function isObject(value: JsonValue): value is { readonly [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !isList(value);
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
