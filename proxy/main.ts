// `heddle proxy`: reads the bootstrap, runs the proxy until a signal, drains.
import fs from "node:fs";

import type { ApplicationSettings } from "#config/kubernetes/application.ts";
import { tryLoadJsonBootstrap } from "#config/bootstrap/json-bootstrap.ts";
import type { Bootstrap } from "#config/model/bootstrap.ts";
import { checkFilter, knownFilterTypes } from "#filters/standard.ts";
import { makeJsonLog, type LogLevel } from "#lib/log.ts";

import { ProxyApp } from "./app/proxy-app.ts";

export interface RunProxyOptions {
  /** The bootstrap's file; with `configText`, only what errors call it. */
  readonly configFile: string;
  /** The bootstrap itself, where there is no file. */
  readonly configText?: string | undefined;
  readonly allowUnsupported: readonly string[];
  readonly concurrency: number | undefined;
  readonly logLevel: LogLevel;
  /** In a pod: the application beside the proxy. */
  readonly application?: ApplicationSettings | undefined;
}

/** Resolves after a drain. Rejects before any port is opened when the bootstrap is wrong. */
export async function runProxy(options: RunProxyOptions): Promise<void> {
  const allowUnsupported = new Set(options.allowUnsupported);
  const text = options.configText ?? fs.readFileSync(options.configFile, "utf8");
  const bootstrap = await readBootstrap(text, options.configFile, allowUnsupported);
  const threshold = { level: options.logLevel };
  const log = makeJsonLog((line) => void fs.writeSync(2, line), threshold, { node: bootstrap.node.id });
  const workerEntry = new URL(
    import.meta.url.endsWith(".ts") ? "./worker/entry.ts" : "../heddle-proxy-worker.mjs",
    import.meta.url,
  );
  const app = new ProxyApp({
    bootstrap,
    concurrency: options.concurrency ?? bootstrap.heddle.concurrency,
    log,
    threshold,
    workerEntry,
    allowUnsupported,
    application: options.application,
  });
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  try {
    await app.start();
  } catch (error) {
    // Threads that run already would keep a process alive that serves nothing.
    await app.drain();
    throw error;
  }
  void app
    .whenReady()
    .then(() =>
      process.stdout.write(
        `${JSON.stringify({ message: "ready", node: bootstrap.node.id, admin: app.adminPort, listeners: Object.fromEntries(app.ports) })}\n`,
      ),
    );
  const signal = await stopped;
  const { drainTimeMs, terminationDrainMs } = bootstrap.heddle;
  log.info("draining", { signal, terminationMs: terminationDrainMs, timeoutMs: drainTimeMs });
  await app.terminate(terminationDrainMs);
}

async function readBootstrap(text: string, file: string, allowUnsupported: ReadonlySet<string>): Promise<Bootstrap> {
  const decoding = {
    knownFilters: knownFilterTypes,
    checkFilter,
    allowUnsupported,
    readFile: (named: string) => fs.readFileSync(named),
    readVariable: (name: string) => process.env[name],
  };
  const bootstrap = tryLoadJsonBootstrap(text, decoding);
  if (bootstrap !== undefined) return bootstrap;
  const { loadBootstrap } = await import("#config/bootstrap/load-bootstrap.ts");
  return loadBootstrap(text, file, decoding);
}
