// Gets and runs h2spec, the conformance suite of HTTP/2 servers (github.com/summerwind/h2spec), and reads its JUnit report.
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { getGoTool } from "../go-tools.ts";

const MODULE = "github.com/summerwind/h2spec/cmd/h2spec@latest";
/** Path of the program; builds it once with Go. Throws when there is no Go. */
export function getH2spec(): string {
  return getGoTool("h2spec", MODULE);
}

export interface SpecCase {
  /** As h2spec takes it: `http2/6.9.1/2`. */
  readonly id: string;
  readonly title: string;
  /** What was expected and found; undefined = passed. */
  readonly failure: string | undefined;
}

export interface SpecTarget {
  readonly port: number;
  readonly isTls: boolean;
}

/** Runs all cases, or those with these ids. */
export async function runH2spec(target: SpecTarget, ids: readonly string[] = []): Promise<readonly SpecCase[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-h2spec-"));
  const report = path.join(folder, "report.xml");
  try {
    const options = ["-h", "127.0.0.1", "-p", String(target.port), "-P", "/", "-o", "2", "-S", "-j", report];
    if (target.isTls) options.push("-t", "-k");
    const child = spawn(getH2spec(), [...ids, ...options], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    await once(child, "close");
    if (!fs.existsSync(report)) throw new Error(`h2spec wrote no report: ${said}`);
    return readReport(fs.readFileSync(report, "utf8"));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Cases that did not run (of sections that were not asked for) are not listed. */
export function readReport(xml: string): readonly SpecCase[] {
  const cases: SpecCase[] = [];
  for (const [, suite = ""] of xml.matchAll(/<testsuite ([\s\S]*?)<\/testsuite>/g)) {
    for (const [index, [, attributes = "", body = ""]] of [
      ...suite.matchAll(/<testcase ([^>]*)>([\s\S]*?)<\/testcase>/g),
    ].entries()) {
      const section = /package="([^"]*)"/.exec(attributes)?.[1] ?? "";
      const title = unescape(/classname="([^"]*)"/.exec(attributes)?.[1] ?? "");
      const failure = /<(?:failure|error)[^>]*>([\s\S]*?)<\/(?:failure|error)>/.exec(body)?.[1];
      if (body.includes("<skipped")) continue;
      cases.push({
        id: `${section}/${index + 1}`,
        title,
        failure: failure === undefined ? undefined : unescape(failure),
      });
    }
  }
  return cases;
}

function unescape(text: string): string {
  return text
    .replaceAll("&#34;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&#xA;", "\n")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}
