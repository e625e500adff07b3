// The proxies that are compared: how each is started with the bootstrap.
import fs from "node:fs";
import path from "node:path";

import { makeBootstrap } from "./bootstrap.ts";
import { getEnvoy } from "./get-envoy.ts";
import { freePorts, waitForPort } from "./ports.ts";
import { startPinned, type Running } from "./processes.ts";

export interface Contender {
  readonly name: string;
  readonly version: string;
  readonly port: number;
  readonly running: Running;
}

export const PROXY_CORE = 0;

/** Both read the same bootstrap; only the port numbers and the log's path differ. */
export async function startContender(
  name: "heddle" | "envoy",
  protocol: "http1" | "http2",
  upstream: number,
  folder: string,
): Promise<Contender> {
  const [admin = 0, listener = 0, metrics = 0] = await freePorts(3);
  const file = path.join(folder, `${name}.json`);
  const accessLog = path.join(folder, `${name}-access.log`);
  fs.writeFileSync(
    file,
    JSON.stringify(makeBootstrap(protocol, { admin, listener, upstream }, accessLog, metrics), null, 2),
  );
  const command =
    name === "envoy"
      ? [
          getEnvoy(),
          "-c",
          file,
          "--concurrency",
          "1",
          "--base-id",
          String(listener),
          "--disable-hot-restart",
          "-l",
          "warn",
        ]
      : heddleCommand(file);
  const running = startPinned(PROXY_CORE, command, path.join(folder, `${name}.log`));
  await waitForPort(listener, 15_000, `${name} (see ${folder})`);
  const version = name === "envoy" ? "1.40.0" : "this tree";
  return { name, version, port: listener, running };
}

/** `HEDDLE_MAIN` names another main file (the bundle); `HEDDLE_NODE_OPTIONS` goes to our Node alone, for profiles. */
function heddleCommand(file: string): readonly string[] {
  const options = (process.env["HEDDLE_NODE_OPTIONS"] ?? "").split(" ").filter((option) => option !== "");
  const main = process.env["HEDDLE_MAIN"] ?? path.join(import.meta.dirname, "..", "cli", "main.ts");
  return [process.execPath, ...options, main, "proxy", "-c", file];
}
