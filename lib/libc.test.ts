import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { loadLibc } from "./libc.ts";

const isLinux = process.platform === "linux";

test("libc's functions can be called", { skip: !isLinux }, () => {
  const libc = loadLibc<{ getpid(): number }>({ getpid: { return: "int32", arguments: [] } });
  assert.equal(libc.getpid(), process.pid);
});

test("loading them prints no warning, and other warnings are printed afterwards", { skip: !isLinux }, () => {
  const script = `
    const { loadLibc } = await import(${JSON.stringify(import.meta.resolve("./libc.ts"))});
    loadLibc({ getpid: { return: "int32", arguments: [] } });
    process.emitWarning("something else", "ExperimentalWarning");
    process.on("warning", ({ message }) => console.log(message));`;
  const args = ["--no-warnings", "--input-type=module", "--eval", script];
  assert.equal(execFileSync(process.execPath, args, { encoding: "utf8" }), "something else\n");
});
