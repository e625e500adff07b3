// The Dockerfile says of each image what the table says.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";

import { settingsOf, TARGET_NAMES, TARGETS } from "./contents.ts";

const DOCKERFILE = fs.readFileSync(path.join(import.meta.dirname, "..", "..", "Dockerfile"), "utf8");

/** Stage -> its instructions, in order. */
function readStages(): Map<string, (readonly [instruction: string, rest: string])[]> {
  const stages = new Map<string, (readonly [string, string])[]>();
  let lines: (readonly [string, string])[] = [];
  for (const line of DOCKERFILE.split("\n")) {
    const [, instruction = "", rest = ""] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (instruction === "FROM") stages.set(/ AS (\S+)$/.exec(rest)?.[1] ?? rest, (lines = []));
    if (instruction !== "") lines.push([instruction, rest]);
  }
  return stages;
}

const stages = readStages();

for (const name of TARGET_NAMES) {
  describe(`the Dockerfile's target ${name}`, () => {
    const settings = settingsOf(TARGETS[name]);
    const lines = stages.get(name) ?? [];
    const valueOf = (instruction: string): string | undefined => lines.find(([one]) => one === instruction)?.[1];

    it("holds the files that scripts/image.ts laid out, and no others", () => {
      assert.equal(valueOf("FROM"), `scratch AS ${name}`);
      const copies = lines.filter(([instruction]) => /^(?:COPY|ADD|RUN)$/.test(instruction));
      assert.deepEqual(copies, [["COPY", `--from=build /images/${name}/ /`]]);
      assert.ok(stages.get("build")?.some(([, rest]) => rest === "npm run image -- --layout /images"));
    });

    it("runs as the same user, in the same folder, with the same program and arguments", () => {
      assert.equal(valueOf("USER"), settings.User);
      assert.equal(valueOf("WORKDIR"), settings.WorkingDir);
      assert.equal(valueOf("STOPSIGNAL"), settings.StopSignal);
      assert.deepEqual(JSON.parse(valueOf("ENTRYPOINT") ?? "null"), settings.Entrypoint);
      assert.deepEqual(JSON.parse(valueOf("CMD") ?? "null"), settings.Cmd);
    });

    it("has the same environment and ports", () => {
      assert.deepEqual(valueOf("ENV")?.split(" "), settings.Env);
      const ports = (valueOf("EXPOSE")?.split(" ") ?? []).map((port) => `${port}/tcp`);
      assert.deepEqual(ports, Object.keys(settings.ExposedPorts ?? {}));
    });
  });
}

it("the Dockerfile has no target that the table does not have", () => {
  assert.deepEqual([...stages.keys()].slice(1), ["build", ...TARGET_NAMES].slice(1));
  assert.equal([...stages.keys()][0], "build");
});
