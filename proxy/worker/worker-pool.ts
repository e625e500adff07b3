// The data threads as the main thread sees them: started, told of configuration, asked, replaced when they die.
import { Worker } from "node:worker_threads";

import type { EndpointHealth } from "#config/model/endpoint.ts";
import type { Log, LogLevel } from "#lib/log.ts";
import type { OverloadLevel } from "#proxy/app/overload.ts";
import type { SpanRecord } from "#proxy/telemetry/records.ts";

import type { Answers, ApplyFailure, ConfigDelta, FromWorker, Query, ToWorker, WorkerData } from "./protocol.ts";

export interface WorkerPoolOptions {
  readonly concurrency: number;
  readonly log: Log;
  readonly logLevel: LogLevel;
  readonly proxyName: string;
  readonly needsOriginalDestination: boolean;
  readonly drainTimeMs: number;
  /** The worker's entry: the source in development, the bundle when shipped. */
  readonly entry: URL;
  readonly cells: SharedArrayBuffer;
  readonly onSpans: (spans: readonly SpanRecord[]) => void;
  /** Gives a new worker everything that is in force. */
  readonly fullConfig: () => ConfigDelta;
  /** A second death within 60 s: the process is not ready any more. */
  readonly onUnready: (reason: string) => void;
}

interface Slot {
  readonly index: number;
  worker: Worker;
  isDrained: boolean;
}

const DEATH_WINDOW_MS = 60_000;

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #slots: Slot[] = [];
  readonly #answers = new Map<number, (value: unknown) => void>();
  #nextId = 1;
  #lastDeathMs = -Infinity;
  #isStopping = false;
  #onDrained: (() => void) | undefined;
  deaths = 0;
  /** Name and open port of every listener. */
  ports: ReadonlyMap<string, number> = new Map();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** Starts the threads; resolves when all of them are ready. */
  async start(): Promise<void> {
    const ready: Promise<void>[] = [];
    for (let index = 0; index < this.#options.concurrency; index++) {
      const { worker, isReady } = this.#spawn(index);
      this.#slots.push({ index, worker, isDrained: false });
      ready.push(isReady);
    }
    await Promise.all(ready);
  }

  /** Applies on every worker; resolves with what did not compile (the same on each, so the first one's list). */
  async apply(delta: ConfigDelta): Promise<readonly ApplyFailure[]> {
    const results = await Promise.all(this.#slots.map((slot) => this.#applyOn(slot.worker, delta)));
    return results[0] ?? [];
  }

  /** Asks every worker. */
  async query<K extends Query["kind"]>(query: Query & { readonly kind: K }): Promise<readonly Answers[K][]> {
    return Promise.all(
      this.#slots.map(
        (slot) =>
          new Promise<Answers[K]>((resolve) => {
            const id = this.#nextId++;
            this.#answers.set(id, (value) => resolve(value as Answers[K])); // as: the worker answers by the query's kind
            send(slot.worker, { kind: "query", id, query });
          }),
      ),
    );
  }

  setHealth(cluster: string, endpoint: string, health: EndpointHealth): void {
    for (const slot of this.#slots) send(slot.worker, { kind: "health", cluster, endpoint, health });
  }

  setOverload(level: OverloadLevel): void {
    for (const slot of this.#slots) send(slot.worker, { kind: "overload", level });
  }

  setLogLevel(level: LogLevel): void {
    for (const slot of this.#slots) send(slot.worker, { kind: "log", level });
  }

  /** Stops accepting, lets running exchanges end; resolves when all are over or the time is up. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isStopping = true;
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
      for (const slot of this.#slots) send(slot.worker, { kind: "drain", timeoutMs });
    });
    await Promise.all(this.#slots.map((slot) => slot.worker.terminate()));
  }

  #applyOn(worker: Worker, delta: ConfigDelta): Promise<readonly ApplyFailure[]> {
    return new Promise((resolve) => {
      const id = this.#nextId++;
      this.#answers.set(id, (value) => resolve(value as readonly ApplyFailure[])); // as: what "applied" carries
      send(worker, { kind: "apply", id, delta });
    });
  }

  #spawn(index: number): { readonly worker: Worker; readonly isReady: Promise<void> } {
    const { entry, cells, logLevel, proxyName, concurrency, needsOriginalDestination, drainTimeMs } = this.#options;
    const data: WorkerData = {
      index,
      cells,
      logLevel,
      proxyName,
      reusePort: concurrency > 1,
      needsOriginalDestination,
      drainTimeMs,
    };
    const worker = new Worker(entry, { workerData: data, name: `heddle-data-${index}` });
    const isReady = new Promise<void>((resolve, reject) => {
      worker.once("error", reject);
      worker.on("message", (message: FromWorker) => this.#onMessage(index, message, resolve));
    });
    worker.on("error", (error) => this.#options.log.error("a data thread failed", { index, error }));
    worker.on("exit", (code) => this.#onExit(index, code));
    return { worker, isReady };
  }

  #onMessage(index: number, message: FromWorker, onReady: () => void): void {
    switch (message.kind) {
      case "ready":
        onReady();
        break;
      case "applied":
        this.ports = new Map(message.ports);
        this.#settle(message.id, message.failures);
        break;
      case "answer":
        this.#settle(message.id, message.value);
        break;
      case "spans":
        this.#options.onSpans(message.spans);
        break;
      case "drained": {
        const slot = this.#slots[index];
        if (slot !== undefined) slot.isDrained = true;
        if (this.#slots.every((other) => other.isDrained)) this.#onDrained?.();
        break;
      }
      default:
        message satisfies never;
    }
  }

  #settle(id: number, value: unknown): void {
    this.#answers.get(id)?.(value);
    this.#answers.delete(id);
  }

  #onExit(index: number, code: number): void {
    if (this.#isStopping) {
      const slot = this.#slots[index];
      if (slot !== undefined) slot.isDrained = true;
      if (this.#slots.every((other) => other.isDrained)) this.#onDrained?.();
      return;
    }
    this.deaths++;
    const now = performance.now();
    this.#options.log.error("a data thread died and is replaced", { index, code });
    if (now - this.#lastDeathMs < DEATH_WINDOW_MS) this.#options.onUnready("data threads died twice within a minute");
    this.#lastDeathMs = now;
    const { worker, isReady } = this.#spawn(index);
    const slot = this.#slots[index];
    if (slot !== undefined) slot.worker = worker;
    void isReady.then(
      () => this.#applyOn(worker, this.#options.fullConfig()),
      (error: unknown) => this.#options.onUnready(`a data thread cannot be started: ${String(error)}`),
    );
  }
}

function send(worker: Worker, message: ToWorker): void {
  worker.postMessage(message);
}
