// Path templates of google.api.http: `/v1/{name=shelves/*}/books/{book}:verb`, read into segments and variables (google/api/http.proto).
//
//   Template = "/" Segment { "/" Segment } [ ":" Verb ]
//   Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"

export interface Variable {
  /** Names of fields, outermost first. */
  readonly fieldPath: readonly string[];
  /** Segments of the template that it takes: from, and up to without. */
  readonly from: number;
  readonly to: number;
}

export interface PathTemplate {
  /** Literals, `*` (one segment) and at most one `**` (any number of them), behind which are only literals. */
  readonly segments: readonly string[];
  readonly variables: readonly Variable[];
  readonly verb: string;
}

export class PathTemplateError extends Error {
  constructor(template: string, at: number, wanted: string) {
    super(`Cannot read the path template "${template}": character ${at + 1} must be ${wanted}`);
  }
}

/** Throws a `PathTemplateError`. */
export function parsePathTemplate(template: string): PathTemplate {
  return new TemplateParser(template).parse();
}

const LITERAL = /[^/{}=*:]+(?::(?=[^/{}=*]*\/)[^/{}=*:]+)*/y;
const FIELD_PATH = /[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*/y;
const VERB = /[^/{}=*:]+$/y;

class TemplateParser {
  readonly #text: string;
  #at = 0;
  readonly #segments: string[] = [];
  readonly #variables: Variable[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  parse(): PathTemplate {
    this.#expect("/");
    // The root alone.
    if (this.#at < this.#text.length || this.#text !== "/") this.#readSegments(true);
    let verb = "";
    if (this.#take(":")) verb = this.#match(VERB) ?? this.#fail("a verb");
    if (this.#at < this.#text.length) this.#fail('"/", a verb or the end');
    const deep = this.#segments.indexOf("**");
    if (deep >= 0 && this.#segments.slice(deep + 1).some((segment) => segment.startsWith("*")))
      this.#fail('without another wildcard behind "**"');
    return { segments: this.#segments, variables: this.#variables, verb };
  }

  #readSegments(mayHaveVariables: boolean): void {
    do {
      if (mayHaveVariables && this.#take("{")) this.#readVariable();
      else if (this.#take("**")) this.#segments.push("**");
      else if (this.#take("*")) this.#segments.push("*");
      else this.#segments.push(this.#match(LITERAL) ?? this.#fail("a segment"));
    } while (this.#take("/"));
  }

  #readVariable(): void {
    const name = this.#match(FIELD_PATH) ?? this.#fail("the name of a field");
    const from = this.#segments.length;
    if (this.#take("=")) this.#readSegments(false);
    else this.#segments.push("*");
    this.#expect("}");
    this.#variables.push({ fieldPath: name.split("."), from, to: this.#segments.length });
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) this.#fail(`"${text}"`);
  }

  #fail(wanted: string): never {
    throw new PathTemplateError(this.#text, this.#at, wanted);
  }
}
