import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { loadBootstrap } from "#config/bootstrap/load-bootstrap.ts";
import { configErrorCodes } from "#config/load/config-error.ts";
import { loadText } from "#config/load/load.ts";
import { analyze, validateAll } from "#config/schema/analyze.ts";
import { knownFilterTypes } from "#filters/standard.ts";

const root = path.join(import.meta.dirname, "..");

/** The product's own sources, tests and generated files left out. */
function sources(...rooms: readonly string[]): readonly string[] {
  return rooms.flatMap((room) =>
    readdirSync(path.join(root, room), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !/(^|\/)(testing|gen)\//.test(file))
      .map((file) => readFileSync(path.join(root, room, file), "utf8")),
  );
}

function found(texts: readonly string[], pattern: RegExp): readonly string[] {
  return [...new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map((match) => match[1] ?? "")))].toSorted();
}

/** The first cells of a page's tables. */
function documented(page: string, pattern: RegExp): readonly string[] {
  return found([readFileSync(path.join(root, page), "utf8")], pattern);
}

describe("docs/errors.md", () => {
  it("has every code of the sources, and no other", () => {
    const used = found(
      sources("lib", "config", "filters", "proxy", "control-plane", "cli"),
      /["'`](HDL_[A-Z0-9_]+)["'`]|\b(?:HDL_CONFIG_[A-Z_]+)(?=:)/g,
    ).filter((code) => code !== "");
    const all = [...new Set([...used, ...Object.keys(configErrorCodes)])].toSorted();
    assert.deepEqual(documented("docs/errors.md", /^\| `(HDL_[A-Z0-9_]+)` \|/gm), all);
  });

  it("has the code of every answer that the mesh makes itself, and no other", () => {
    const used = found(sources("filters", "proxy"), /\bcode: "([a-z][a-z0-9]*(?:_[a-z0-9]+)+)"/g);
    assert.deepEqual(documented("docs/errors.md", /^\| `([a-z0-9_]+)` \|/gm), used);
  });
});

describe("docs/filters", () => {
  for (const folder of readdirSync(path.join(root, "filters"))) {
    if (!existsSync(path.join(root, "filters", folder, "filter.ts"))) continue;
    it(`has a page for ${folder} with its name in the chain and its messages`, () => {
      const text = readdirSync(path.join(root, "filters", folder))
        .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
        .map((file) => readFileSync(path.join(root, "filters", folder, file), "utf8"))
        .join("\n");
      const page = readFileSync(path.join(root, "docs/filters", `${folder}.md`), "utf8");
      for (const word of found([text], /"(type\.googleapis\.com\/[\w.]+)"/g)) assert.ok(page.includes(word), word);
      for (const word of found([text], /^ {2}name: "([\w.]+)",$/gm)) assert.ok(page.includes(`\`${word}\``), word);
    });
  }
});

/** Every page that people read, by its path below the root. */
function pages(): readonly (readonly [page: string, text: string])[] {
  const inDocs = readdirSync(path.join(root, "docs"), { recursive: true, encoding: "utf8" }).map(
    (file) => `docs/${file}`,
  );
  return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...inDocs]
    .filter((page) => page.endsWith(".md"))
    .map((page) => [page, readFileSync(path.join(root, page), "utf8")]);
}

describe("the manual", () => {
  it("has no link into nowhere", () => {
    for (const [page, text] of pages()) {
      for (const link of found([text], /\]\((?!https?:|#)([^)#\s]+)/g)) {
        assert.ok(existsSync(path.join(root, path.dirname(page), link)), `${page} links to ${link}`);
      }
    }
  });

  it("has only YAML that heddle analyze accepts", () => {
    let count = 0;
    for (const [page, text] of pages()) {
      for (const [, yaml = ""] of text.matchAll(/^```yaml\n(apiVersion:.*?)^```/gms)) {
        const { documents, errors } = loadText(yaml, page);
        assert.deepEqual(
          validateAll(documents, errors).errors.map((error) => error.format()),
          [],
        );
        count++;
      }
    }
    assert.ok(count >= 6, `${count} examples were found`);
  });

  it("has only bootstraps that heddle proxy accepts", () => {
    let count = 0;
    for (const [page, text] of pages()) {
      for (const [, yaml = ""] of text.matchAll(/^```yaml\n(static_resources:.*?)^```/gms)) {
        loadBootstrap(yaml, page, { knownFilters: knownFilterTypes });
        count++;
      }
    }
    assert.ok(count >= 2, `${count} examples were found`);
  });

  it("has no page that the README does not lead to", () => {
    const all = new Map(pages());
    const reached = new Set(["README.md"]);
    for (const page of reached) {
      for (const link of found([all.get(page) ?? ""], /\]\((?!https?:|#)([^)#\s]+)/g))
        reached.add(path.join(path.dirname(page), link));
    }
    assert.deepEqual(
      [...all.keys()].filter((page) => !reached.has(page)),
      [],
    );
  });

  it("has a tour whose mesh is accepted without a warning", async () => {
    const { resources, errors, warnings } = await analyze(path.join(root, "docs/tour/hello"));
    assert.deepEqual([...errors, ...warnings], []);
    assert.ok(resources.length > 0);
  });
});
