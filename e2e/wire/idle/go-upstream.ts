// Go's net/http as an upstream that closes by its own IdleTimeout; HTTP/1 and HTTP/2 on one port. Built once; needs Go.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";

import type { Upstream, UpstreamCounts } from "./upstream.ts";

const SOURCE = path.join(import.meta.dirname, "server.go");
const BINARY = path.join(import.meta.dirname, "..", "..", "..", ".cache", "go-idle", "server");

export async function startGoUpstream(idleMs: number): Promise<Upstream & { stop(): void }> {
  if (!fs.existsSync(BINARY) || fs.statSync(BINARY).mtimeMs < fs.statSync(SOURCE).mtimeMs) build();
  const child = spawn(BINARY, [`${idleMs}ms`], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const nextLine = (): Promise<string> =>
    new Promise((resolve, reject) => {
      lines.once("line", resolve);
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the Go server ended with ${code}`)));
    });
  const port = Number(await nextLine());
  return {
    port,
    count: async () => {
      const line = nextLine();
      child.stdin.write("report\n");
      return JSON.parse(await line) as UpstreamCounts; // as: server.go prints it
    },
    stop: () => void child.kill("SIGKILL"),
  };
}

function build(): void {
  fs.mkdirSync(path.dirname(BINARY), { recursive: true });
  const PATH = `${process.env["PATH"] ?? ""}:/usr/local/go/bin`;
  try {
    execFileSync("go", ["build", "-o", BINARY, SOURCE], {
      env: { ...process.env, PATH },
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot build ${SOURCE}: these tests need Go (https://go.dev): ${said}`, { cause });
  }
}
