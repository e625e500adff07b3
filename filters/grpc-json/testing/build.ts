// Writes bookstore.binpb, the descriptor set of bookstore.proto, as `buf build` (or `protoc --include_imports`) gives it to users.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const apis = path.join(
  path.dirname(createRequire(import.meta.url).resolve("@grpc/grpc-js-xds/package.json")),
  "deps/googleapis/google/api",
);
const work = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-bookstore-"));
try {
  fs.mkdirSync(path.join(work, "google/api"), { recursive: true });
  for (const name of ["annotations", "http", "httpbody"])
    fs.copyFileSync(path.join(apis, `${name}.proto`), path.join(work, "google/api", `${name}.proto`));
  fs.copyFileSync(path.join(import.meta.dirname, "bookstore.proto"), path.join(work, "bookstore.proto"));
  const target = path.join(import.meta.dirname, "bookstore.binpb");
  const flags = ["--as-file-descriptor-set", "--exclude-source-info", "-o", target];
  execFileSync("buf", ["build", work, ...flags], { stdio: "inherit" });
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}
