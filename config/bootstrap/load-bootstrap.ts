// The file that a proxy starts with: Envoy's bootstrap in YAML or JSON, read strictly, every mistake with line and column.
import { parseYaml, type YamlDocument } from "../load/yaml-documents.ts";
import type { Bootstrap } from "../model/bootstrap.ts";
import type { ConfigIssue, DecodeOptions } from "../xds/issues.ts";
import { decodeBootstrap } from "./decode-bootstrap.ts";
import type { MessageReader } from "./message-reader.ts";
import { BootstrapError, type BootstrapProblem } from "./problem.ts";

/**
 * Reads a bootstrap. `fileName` is only what errors call it; files that it names are read through `options.readFile`.
 * @throws {BootstrapError} with every problem at once.
 */
export function loadBootstrap(text: string, fileName: string, options: DecodeOptions): Bootstrap {
  const parsed = parseYaml(text, fileName);
  const [document, second] = parsed.documents;
  if (parsed.errors.length > 0) throw new BootstrapError(fileName, parsed.errors);
  if (document === undefined || second !== undefined) {
    const message = `a bootstrap is one document: got ${parsed.documents.length}`;
    const where = second?.locate([]) ?? { line: 1, column: 1 };
    const code = "HDL_CONFIG_NOT_A_RESOURCE";
    throw new BootstrapError(fileName, [{ code, file: fileName, path: "", message, hint: undefined, ...where }]);
  }
  const { bootstrap, reader, issues } = decodeBootstrap(document.value, options);
  const problems = locateProblems(document, reader, issues);
  if (problems.length > 0 || bootstrap === undefined) throw new BootstrapError(fileName, problems);
  return bootstrap;
}

/** What was found, at the place where it was written; what only follows from a mistake in reading is left out. */
function locateProblems(
  document: YamlDocument,
  reader: MessageReader,
  issues: readonly ConfigIssue[],
): BootstrapProblem[] {
  const { file } = document;
  const fromReading = reader.problems.map(({ path, code, message, hint, at }) => {
    const where = document.locate(reader.written.get(path) ?? [], at);
    return { code, file, path, message, hint, ...where };
  });
  const fromChecking = issues
    .filter((issue) => !reader.problems.some((problem) => isAtOrAround(issue.path, problem.path)))
    .map(({ path, kind, message }): BootstrapProblem => {
      const code = kind === "unsupported" ? "HDL_BOOTSTRAP_UNSUPPORTED" : "HDL_CONFIG_INVALID_VALUE";
      const where = document.locate(nearest(reader, path), kind === "unsupported" ? "key" : "value");
      return { code, file, path, message, hint: undefined, ...where };
    });
  return [...fromReading, ...fromChecking];
}

/** A value that could not be read is missing where it stands, and perhaps in what holds it. */
function isAtOrAround(issuePath: string, brokenPath: string): boolean {
  if (issuePath === brokenPath) return true;
  return [".", "["].some((next) => brokenPath.startsWith(issuePath + next) || issuePath.startsWith(brokenPath + next));
}

/** Where a path is written, or the nearest one above it that is. */
function nearest(reader: MessageReader, path: string): readonly (string | number)[] {
  for (let rest = path; rest !== ""; rest = rest.slice(0, Math.max(rest.lastIndexOf("."), rest.lastIndexOf("[")))) {
    const steps = reader.written.get(rest);
    if (steps !== undefined) return steps;
    if (!/[.[]/.test(rest)) break;
  }
  return [];
}
