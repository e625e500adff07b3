// What is wrong with a resource, where, all of it at once: the collector that every translator reports to.
import { HeddleError } from "#lib/errors.ts";
import type { JsonValue } from "../model/filter-config.ts";

export interface ConfigIssue {
  /** Envoy's field names: `static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix`. */
  readonly path: string;
  /** `unsupported` can be let through by its path, `invalid` cannot. */
  readonly kind: "unsupported" | "invalid";
  /** A sentence that goes on after the path: `must be greater than 0s: got 0s`. */
  readonly message: string;
}

/** One issue as users read it. */
export function formatIssue(issue: ConfigIssue): string {
  return issue.path === "" ? issue.message : `${issue.path}: ${issue.message}`;
}

/** A resource that cannot be taken; `issues` has every reason. Code `HDL_XDS_RESOURCE`. */
export class ResourceError extends HeddleError {
  readonly issues: readonly ConfigIssue[];

  constructor(what: string, issues: readonly ConfigIssue[]) {
    super("HDL_XDS_RESOURCE", `Cannot take ${what}: ${issues.map(formatIssue).join("; ")}`);
    this.issues = issues;
  }
}

/** A model that has no form on the wire. Code `HDL_XDS_ENCODE`. */
export class EncodeError extends HeddleError {
  constructor(what: string, reason: string) {
    super("HDL_XDS_ENCODE", `Cannot encode ${what}: ${reason}`);
  }
}

/** What a filter does not take; `path` leads from its configuration to the field, by the names of the configuration's JSON; "" = all of it. */
export interface FilterFault {
  readonly path: string;
  /** Goes on after the path. */
  readonly message: string;
}

/** How resources are read. */
export interface DecodeOptions {
  /** Type URLs of the HTTP filters that this proxy has, and of the messages in which routes speak to them. */
  readonly knownFilters: ReadonlySet<string>;
  /** What is wrong with the configuration of one of them, beyond its message's own rules. */
  readonly checkFilter?: (filter: { readonly typeUrl: string; readonly config: JsonValue }) => FilterFault | undefined;
  /**
   * Unsupported fields that are let through and then ignored: a whole path as issues name it, or a field's full name
   * (`envoy.config.cluster.v3.Cluster.dns_jitter`) for wherever it occurs.
   */
  readonly allowUnsupported?: ReadonlySet<string>;
  /** Reads `filename` of a DataSource; without it a file is an issue. Throws when it cannot. */
  readonly readFile?: (path: string) => Uint8Array;
  /** Reads `environment_variable` of a DataSource; `undefined` when it is not set. */
  readonly readVariable?: (name: string) => string | undefined;
}

/** A place in a resource. Its path is only spelled out when there is something to say about it. */
export class Scope {
  readonly options: DecodeOptions;
  readonly issues: ConfigIssue[];
  readonly #parent: Scope | undefined;
  readonly #segment: string;

  private constructor(options: DecodeOptions, issues: ConfigIssue[], parent: Scope | undefined, segment: string) {
    this.options = options;
    this.issues = issues;
    this.#parent = parent;
    this.#segment = segment;
  }

  static root(options: DecodeOptions, issues: ConfigIssue[], path = ""): Scope {
    return new Scope(options, issues, undefined, path);
  }

  get path(): string {
    const above = this.#parent?.path ?? "";
    return above === "" || this.#segment.startsWith("[") ? above + this.#segment : `${above}.${this.#segment}`;
  }

  /** A field of this message, by its name in the .proto file. */
  field(name: string): Scope {
    return new Scope(this.options, this.issues, this, name);
  }

  /** An item of this list. */
  at(index: number): Scope {
    return new Scope(this.options, this.issues, this, `[${index}]`);
  }

  /** An entry of this map. */
  key(key: string): Scope {
    return new Scope(this.options, this.issues, this, `["${key}"]`);
  }

  invalid(message: string): void {
    this.issues.push({ path: this.path, kind: "invalid", message });
  }

  /** Reports what Heddle cannot do, unless it was let through by its path or by `fullName`. */
  unsupported(message: string, fullName?: string): void {
    if (!this.isAllowed(fullName)) this.issues.push({ path: this.path, kind: "unsupported", message });
  }

  isAllowed(fullName?: string): boolean {
    const allowed = this.options.allowUnsupported;
    if (allowed === undefined || allowed.size === 0) return false;
    return allowed.has(this.path) || (fullName !== undefined && allowed.has(fullName));
  }
}
