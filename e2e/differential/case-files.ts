// Finds and reads case files; what is wrong with one is said with its file and line.
import fs from "node:fs";
import path from "node:path";

import { formatPath } from "#config/load/json-path.ts";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { structural } from "#config/schema/fields.ts";
import { ShapeChecker } from "#config/schema/shape-checker.ts";

import { caseSchema, type CaseBody } from "./case-schema.ts";

const FOLDER = path.join(import.meta.dirname, "cases");

export interface Case extends CaseBody {
  /** `cases/AREA/FILE.yaml:LINE`. */
  readonly place: string;
}

export function listAreas(): readonly string[] {
  return fs.readdirSync(FOLDER, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

/** All cases of an area, in the order of their files. @throws an error that names every mistake. */
export function readArea(area: string): readonly Case[] {
  const folder = path.join(FOLDER, area);
  const files = fs.readdirSync(folder).filter((file) => file.endsWith(".yaml"));
  const problems: string[] = [];
  const cases = files.sort().flatMap((file) => {
    const read = parseCases(fs.readFileSync(path.join(folder, file), "utf8"), `cases/${area}/${file}`);
    problems.push(...read.problems);
    return read.cases;
  });
  const names = new Map<string, Case>();
  for (const one of cases) {
    const other = names.get(one.name);
    if (other !== undefined) problems.push(`${one.place}: ${other.place} has the same name: ${one.name}`);
    names.set(one.name, one);
  }
  if (problems.length > 0) throw new Error(`Cannot read the cases of ${area}:\n${problems.join("\n")}`);
  return cases;
}

export interface ReadCases {
  readonly cases: readonly Case[];
  /** As `FILE:LINE:COLUMN: what`. */
  readonly problems: readonly string[];
}

export function parseCases(text: string, file: string): ReadCases {
  const checker = new ShapeChecker(structural(caseSchema));
  const { documents, errors } = parseYaml(text, file);
  const problems = errors.map((error) => error.format());
  const cases: Case[] = [];
  for (const document of documents) {
    const { value, findings } = checker.check(document.value, []);
    for (const { path: at, says, hint, at: what } of findings) {
      const { line, column } = document.locate(at, what ?? "value");
      const where = at.length === 0 ? "the case" : formatPath(at);
      problems.push(`${file}:${line}:${column}: ${where} ${says}${hint === undefined ? "" : ` (${hint})`}`);
    }
    if (findings.length > 0) continue;
    const body = value as CaseBody; // as: the checker has shown that it is
    const place = `${file}:${document.locate([]).line}`;
    const given = [body.input.xds, body.input.crds].filter((one) => one !== undefined).length;
    if (given !== 1) problems.push(`${place}: input must have one of xds and crds`);
    cases.push({ ...body, place });
  }
  return { cases, problems };
}
