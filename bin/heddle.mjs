#!/usr/bin/env node
// `heddle`: starts the command line with a Node that can run it. Plain JavaScript that every Node understands, because an old one
// may be what is installed: then the project's own pinned Node takes over, or the message says which one is needed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NEEDED = 26;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");

if (Number(process.versions.node.split(".")[0]) >= NEEDED) {
  const bundle = join(root, "dist", "heddle.mjs");
  const { main } = await import(pathToFileURL(existsSync(bundle) ? bundle : join(root, "cli", "main.ts")).href);
  await main();
} else {
  const node = findPinnedNode();
  if (node === undefined) {
    process.stderr.write(
      `heddle needs Node ${NEEDED} or newer: this is Node ${process.versions.node} (${process.execPath}), and no pinned one is installed (npm ci installs it)\n`,
    );
    process.exitCode = 3;
  } else {
    runWith(node);
  }
}

/** The Node that the project's optional dependencies carry, below this package or beside it. */
function findPinnedNode() {
  const names = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
  for (let folder = root; ; folder = dirname(folder)) {
    for (const name of names) {
      const file = join(folder, "node_modules", name, "bin", "node");
      if (existsSync(file)) return file;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

/** Stands in for that process: same terminal, signals passed on, same end. */
function runWith(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(name, () => {
      // A terminal has sent its own to the child as well; a second one would end it undrained.
      if (name === "SIGTERM" || !process.stdin.isTTY) child.kill(name);
    });
  }
  child.on("error", (error) => {
    process.stderr.write(`heddle: cannot run ${node}: ${error.message}\n`);
    process.exitCode = 3;
  });
  child.on("exit", (code, signal) => {
    if (signal !== null) {
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(name);
      process.kill(process.pid, signal);
    }
    process.exitCode = code ?? 1;
  });
}
