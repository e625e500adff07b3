// Archives: read back by tar, the same for the same files, with a program's libraries.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";

import { writeImage } from "./archive.ts";
import { reachedFrom } from "./contents.ts";
import { makeTar } from "./tar.ts";
import { ImageTree } from "./tree.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-image-"));
after(() => fs.rmSync(folder, { recursive: true }));

describe("makeTar", () => {
  it("is read by tar: files, folders, links and modes, long paths too", () => {
    const long = `${"folder-of-a-long-name/".repeat(6)}file`;
    const tar = makeTar([
      { path: "a", kind: "folder", mode: 0o1777 },
      { path: "a/run", kind: "file", mode: 0o755, bytes: Buffer.from("hello") },
      { path: "b", kind: "link", mode: 0o777, target: "a/run" },
      { path: long, kind: "file", mode: 0o644 },
    ]);
    const [, ...lines] = execFileSync("tar", ["-tv", "--numeric-owner"], { input: tar, encoding: "utf8" }).split("\n");
    assert.match(lines[0] ?? "", /^-rwxr-xr-x 0\/0 +5 1970-01-01 .* a\/run$/);
    assert.match(lines[1] ?? "", /^lrwxrwxrwx .* b -> a\/run$/);
    assert.ok(lines[2]?.endsWith(long));
  });

  it("refuses a path that the format cannot hold", () => {
    assert.throws(() => makeTar([{ path: "x".repeat(101), kind: "folder", mode: 0o755 }]), /too long for tar/);
  });
});

describe("an image", () => {
  const write = (name: string, text: string): string => {
    const below = ImageTree.makeBase({ heddle: 1337 });
    const tree = new ImageTree(below);
    tree.addText("/lib/of/it", text);
    return writeImage(path.join(folder, name), "heddle/test:1", [below, tree], { User: "1337:1337" }).digest;
  };

  it("has the same bytes and digest for the same files, another digest for others", () => {
    assert.equal(write("one.tar", "text"), write("two.tar", "text"));
    assert.ok(fs.readFileSync(path.join(folder, "one.tar")).equals(fs.readFileSync(path.join(folder, "two.tar"))));
    assert.notEqual(write("three.tar", "other"), write("one.tar", "text"));
  });

  it("keeps links to merged folders: a file in /lib lies in /usr/lib", () => {
    const below = ImageTree.makeBase({});
    const tree = new ImageTree(below);
    tree.addText("/lib/of/it", "");
    assert.deepEqual(
      tree.entries().map((entry) => entry.path),
      ["usr/lib/of", "usr/lib/of/it"],
    );
  });

  it("has a program's shared libraries, and its loader", () => {
    const tree = new ImageTree();
    tree.addProgram("/bin/true", "/bin/true");
    const paths = tree.entries().map((entry) => entry.path);
    assert.ok(
      paths.some((one) => /^usr\/lib\/.*\/libc\.so\.6$/.test(one)),
      paths.join(),
    );
    assert.ok(
      paths.some((one) => /^usr\/lib(?:64)?\/ld-linux/.test(one)),
      paths.join(),
    );
  });
});

it("reachedFrom finds what bundles import, now and later, and nothing else", () => {
  const dist = path.join(folder, "dist");
  fs.mkdirSync(path.join(dist, "chunks"), { recursive: true });
  const files = {
    "main.mjs": 'import "./chunks/early.mjs"; new Worker(new URL("worker.mjs", import.meta.url));',
    "worker.mjs": 'await import("./chunks/late.mjs")',
    "chunks/early.mjs": 'import "../main.mjs"; import("./later.mjs")',
    "chunks/later.mjs": "",
    "chunks/late.mjs": "",
    "chunks/other.mjs": "",
  };
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dist, name), text);
  assert.deepEqual(
    reachedFrom("main.mjs", dist).sort(),
    Object.keys(files)
      .filter((name) => !/other/.test(name))
      .sort(),
  );
});
