// Golden cases: each file of golden/ holds a resource as Envoy's JSON (`input`) and either the model that we read from it
// (`output`) or what is wrong with it (`issues`). `node config/xds/testing/golden.ts` writes all outputs anew.
import { fromJson, toBinary, type JsonValue } from "@bufbuild/protobuf";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { registry } from "../any.ts";
import { ResourceError, formatIssue } from "../issues.ts";
import { decodeResource } from "../resource.ts";
import { typeNameOf } from "../type-urls.ts";
import { KNOWN_ENVOY_FILTER, KNOWN_FILTER } from "./generators.ts";

const FOLDER = path.join(import.meta.dirname, "golden");

export interface GoldenCase {
  readonly typeUrl: string;
  readonly input: JsonValue;
  readonly output?: unknown;
  readonly issues?: readonly string[];
}

export function goldenNames(): readonly string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith(".json"))
    .sort();
}

export function readGolden(name: string): GoldenCase {
  return JSON.parse(readFileSync(path.join(FOLDER, name), "utf8")) as GoldenCase;
}

/** What the case's input gives now, in the same form. */
export function runGolden({ input, typeUrl }: GoldenCase): GoldenCase {
  const schema = registry.getMessage(typeNameOf(typeUrl));
  if (schema === undefined) throw new Error(`Cannot run a golden case: ${typeUrl} is not known`);
  const bytes = toBinary(schema, fromJson(schema, input, { registry }));
  try {
    const knownFilters = new Set([KNOWN_FILTER, KNOWN_ENVOY_FILTER]);
    const { model } = decodeResource(typeUrl, bytes, { knownFilters });
    return JSON.parse(JSON.stringify({ typeUrl, input, output: model })) as GoldenCase;
  } catch (error) {
    if (!(error instanceof ResourceError)) throw error;
    return { typeUrl, input, issues: error.issues.map(formatIssue) };
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of goldenNames()) {
    writeFileSync(path.join(FOLDER, name), `${JSON.stringify(runGolden(readGolden(name)), undefined, 2)}\n`);
  }
}
