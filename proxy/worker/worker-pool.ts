// The data threads as the main thread sees them: started, told of configuration, asked, replaced when they die.
import { Worker } from "node:worker_threads";

import type { EndpointHealth } from "#config/model/endpoint.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log, LogLevel } from "#lib/log.ts";
import type { OverloadLevel } from "#proxy/app/overload.ts";
import type { SpanRecord } from "#proxy/telemetry/records.ts";

import { threadEnvironment } from "./code-cache.ts";
import { Deaths } from "./deaths.ts";
import type { Answers, ApplyFailure, ConfigDelta, FromWorker, Query, ToWorker, WorkerData } from "./protocol.ts";

export interface WorkerPoolOptions {
  readonly concurrency: number;
  readonly log: Log;
  readonly logLevel: LogLevel;
  readonly proxyName: string;
  readonly localCluster: string;
  readonly drainTimeMs: number;
  /** The worker's entry: the source in development, the bundle when shipped. */
  readonly entry: URL;
  readonly cells: SharedArrayBuffer;
  readonly onSpans: (spans: readonly SpanRecord[]) => void;
  /** Resolves with the reason why it is not known whether a host exists; with nothing when the workers' table tells. */
  readonly onLookup: (table: string, host: string) => Promise<string | undefined>;
  /** Gives a new worker everything that is in force. */
  readonly fullConfig: () => ConfigDelta;
  readonly clock: Clock;
  /** The secret of all workers' session tickets; a ticket of one is good at the others. */
  readonly ticketSecret: Uint8Array;
  /** Old space of each thread in MiB; undefined = Node's default. */
  readonly heapLimitMb: number | undefined;
}

/**
 * Three semi-spaces of 4 MiB. A request leaves little behind, so that a larger young generation (V8's default is 48) saves no CPU: it is
 * memory that is touched in turn, and collections that take longer.
 */
const YOUNG_MB = 12;

interface Slot {
  readonly index: number;
  worker: Worker;
  isDrained: boolean;
}

/** Somebody waits for a worker's word. */
interface Asked {
  readonly worker: Worker;
  /** Undefined: the worker died. */
  settle(value: unknown): void;
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #slots: Slot[] = [];
  readonly #asked = new Map<number, Asked>();
  readonly #deaths: Deaths;
  readonly #dead = new WeakSet<Worker>();
  /** What a replacement must be told too. */
  readonly #health = new Map<string, ToWorker>();
  #logLevel: LogLevel;
  #overload: OverloadLevel = "normal";
  #cannotStart: string | undefined;
  #nextId = 1;
  #isStopping = false;
  #onDrained: (() => void) | undefined;
  /** Name and open port of every listener. */
  ports: ReadonlyMap<string, number> = new Map();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#logLevel = options.logLevel;
    this.#deaths = new Deaths(() => options.clock.nowMs());
  }

  /** Threads that died and were replaced. */
  get deaths(): number {
    return this.#deaths.count;
  }

  /** Undefined when the threads are as they should be. */
  get notReady(): string | undefined {
    return this.#cannotStart ?? this.#deaths.reason;
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

  /** Asks every worker; one that dies meanwhile is missing among the answers. */
  async query<K extends Query["kind"]>(query: Query & { readonly kind: K }): Promise<readonly Answers[K][]> {
    const answers = await Promise.all(
      this.#slots.map(({ worker }) => this.#ask(worker, (id) => ({ kind: "query", id, query }))),
    );
    return answers.filter((answer) => answer !== undefined) as Answers[K][]; // as: the worker answers by the query's kind
  }

  /** Asks one worker; undefined when there is none of that number, or it dies meanwhile. */
  async queryOne<K extends Query["kind"]>(
    index: number,
    query: Query & { readonly kind: K },
  ): Promise<Answers[K] | undefined> {
    const slot = this.#slots[index];
    if (slot === undefined) return undefined;
    return (await this.#ask(slot.worker, (id) => ({ kind: "query", id, query }))) as Answers[K] | undefined; // as: above
  }

  setHealth(cluster: string, endpoint: string, health: EndpointHealth): void {
    const message: ToWorker = { kind: "health", cluster, endpoint, health };
    this.#health.set(`${cluster}|${endpoint}`, message);
    for (const slot of this.#slots) send(slot.worker, message);
  }

  /** A worker that comes later is told nothing of this endpoint. */
  forgetHealth(cluster: string, endpoint: string): void {
    this.#health.delete(`${cluster}|${endpoint}`);
  }

  setOverload(level: OverloadLevel): void {
    this.#overload = level;
    for (const slot of this.#slots) send(slot.worker, { kind: "overload", level });
  }

  /** Has threads collect their garbage: all of them, or those that have no connection. */
  collect(who: "all" | "idle"): void {
    for (const slot of this.#slots) send(slot.worker, { kind: "collect", who });
  }

  setLogLevel(level: LogLevel): void {
    this.#logLevel = level;
    for (const slot of this.#slots) send(slot.worker, { kind: "log", level });
  }

  /** Stops accepting, lets running exchanges end; resolves when all are over or the time is up. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isStopping = true;
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
      for (const slot of this.#slots) {
        // One that is dead and waits for its replacement has nothing to drain.
        if (this.#dead.has(slot.worker)) slot.isDrained = true;
        else send(slot.worker, { kind: "drain", timeoutMs });
      }
      if (this.#slots.every(({ isDrained }) => isDrained)) resolve();
    });
    await Promise.all(this.#slots.map((slot) => slot.worker.terminate()));
  }

  /** Ends one thread at once, as a crash would; it is replaced. */
  async kill(index: number): Promise<void> {
    await this.#slots[index]?.worker.terminate();
  }

  async #applyOn(worker: Worker, delta: ConfigDelta): Promise<readonly ApplyFailure[]> {
    const failures = await this.#ask(worker, (id) => ({ kind: "apply", id, delta }));
    return (failures ?? []) as readonly ApplyFailure[]; // as: what "applied" carries; the dead one's successor gets everything
  }

  #ask(worker: Worker, makeMessage: (id: number) => ToWorker): Promise<unknown> {
    // Nobody would answer; its replacement gets everything that is in force.
    if (this.#dead.has(worker)) return Promise.resolve(undefined);
    return new Promise((settle) => {
      const id = this.#nextId++;
      this.#asked.set(id, { worker, settle });
      send(worker, makeMessage(id));
    });
  }

  #spawn(index: number): { readonly worker: Worker; readonly isReady: Promise<void> } {
    const { entry, cells, proxyName, localCluster, concurrency, drainTimeMs, ticketSecret } = this.#options;
    const data: WorkerData = {
      index,
      cells,
      logLevel: this.#logLevel,
      proxyName,
      localCluster,
      reusePort: concurrency > 1,
      drainTimeMs,
      ticketSecret,
    };
    const worker = new Worker(entry, {
      workerData: data,
      env: threadEnvironment(process.env),
      name: `heddle-data-${index}`,
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_MB,
        ...(this.#options.heapLimitMb === undefined ? {} : { maxOldGenerationSizeMb: this.#options.heapLimitMb }),
      },
    });
    const isReady = new Promise<void>((resolve, reject) => {
      worker.once("error", reject);
      worker.once("exit", () => reject(new Error("the thread ended before it was ready")));
      worker.on("message", (message: FromWorker) => this.#onMessage(index, worker, message, resolve));
    });
    worker.on("error", (error) => this.#options.log.error("a data thread failed", { index, error }));
    worker.on("exit", (code) => this.#onExit(index, worker, code));
    return { worker, isReady };
  }

  #onMessage(index: number, worker: Worker, message: FromWorker, onReady: () => void): void {
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
      case "lookup":
        void this.#lookUp(worker, message.table, message.host);
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

  async #lookUp(worker: Worker, table: string, host: string): Promise<void> {
    const failure = await this.#options.onLookup(table, host);
    send(worker, { kind: "looked-up", table, host, failure });
  }

  #settle(id: number, value: unknown): void {
    this.#asked.get(id)?.settle(value);
    this.#asked.delete(id);
  }

  #onExit(index: number, worker: Worker, code: number): void {
    this.#dead.add(worker);
    for (const [id, asked] of this.#asked) if (asked.worker === worker) this.#settle(id, undefined);
    const slot = this.#slots[index];
    if (this.#isStopping) {
      if (slot !== undefined) slot.isDrained = true;
      if (this.#slots.every((other) => other.isDrained)) this.#onDrained?.();
      return;
    }
    const delayMs = this.#deaths.add();
    this.#options.log.error("a data thread died and is replaced", { index, code, delayMs });
    // At start the pool has not got it yet, and `start` tells of the failure.
    if (slot === undefined) return;
    if (delayMs === 0) this.#replace(slot);
    else this.#options.clock.setTimer(delayMs, () => this.#replace(slot));
  }

  #replace(slot: Slot): void {
    if (this.#isStopping) return;
    const { worker, isReady } = this.#spawn(slot.index);
    slot.worker = worker;
    void isReady.then(
      async () => {
        this.#cannotStart = undefined;
        for (const failure of await this.#applyOn(worker, this.#options.fullConfig()))
          this.#options.log.error("a resource could not be applied in a new data thread", { ...failure });
        for (const message of this.#health.values()) send(worker, message);
        send(worker, { kind: "overload", level: this.#overload });
      },
      (error: unknown) => (this.#cannotStart = `a data thread cannot be started: ${describeError(error)}`),
    );
  }
}

function send(worker: Worker, message: ToWorker): void {
  worker.postMessage(message);
}
