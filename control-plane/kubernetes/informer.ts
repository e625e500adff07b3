// Keeps a copy of all objects of one kind: lists them, watches from there, and keeps its last state through whatever happens.
import { isDeepStrictEqual } from "node:util";
import { isObject } from "#config/load/values.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { Backoff } from "../registry/backoff.ts";
import { KubernetesError, type KubernetesClient, type Query } from "./client.ts";
import { objectKey, tryObject, type KubernetesObject } from "./objects.ts";
import { pathOf, type ResourceType } from "./resource-type.ts";

/**
 * starting: it has not been listed yet; live: what we hold is true; stale: the API server cannot be asked, what we hold was true
 * when it last could; absent: the API server is well and does not know the kind (its CRD is not installed): there are none.
 */
export type InformerState = "starting" | "live" | "stale" | "absent";

export interface InformerOptions<T> {
  readonly client: KubernetesClient;
  readonly type: ResourceType;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What is remembered of an object; as little as is needed. undefined: nothing, the object is none of ours. */
  readonly keep: (object: KubernetesObject) => T | undefined;
  /** Only this namespace. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Spec and status are not sent to us. */
  readonly metadataOnly?: boolean;
  readonly times?: InformerTimes;
}

export interface InformerTimes {
  /** First and longest wait before the API server is asked again after a failure. */
  readonly retryMs: number;
  readonly longestRetryMs: number;
  /** A kind that is not installed is asked for again after this. */
  readonly absentMs: number;
  /** A watch without a sign for so long is taken for dead; bookmarks come every minute. */
  readonly silenceMs: number;
  /** We ask the server to end a watch after this, so that watches spread over the API servers again. */
  readonly watchMs: number;
}

const informerTimes: InformerTimes = {
  retryMs: 200,
  longestRetryMs: 10_000,
  absentMs: 5000,
  silenceMs: 90_000,
  watchMs: 300_000,
};

export interface InformerListener {
  /** Everything may have changed: it was listed. */
  onReplace(): void;
  /** One object came, changed or went. */
  onChange(key: string): void;
  /** It became live, stale or absent. */
  onState(): void;
}

/** Objects of a page of a list. */
const pageSize = 500;

/**
 *              list                    watch ends, or breaks: again from the last version
 *   starting ---------> live <------------------------------------------------------------+
 *      | 404, and it is ready          | broken                                           |
 *      v                               v                                                  |
 *   absent <--- 404 --- stale (keeps what it has) --- 410, or any other refusal: list ----+
 *
 * The package's own informer stops for good at the first error, tells a new list object by object (half of it in force meanwhile),
 * asks for no bookmarks, and swallows what its callbacks throw.
 */
export class Informer<T> {
  readonly #options: InformerOptions<T>;
  readonly #times: InformerTimes;
  readonly #listener: InformerListener;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  #objects = new Map<string, Held<T>>();
  #version: string | undefined;
  #apiVersion: string;
  #state: InformerState = "starting";
  #error: Error | undefined;
  #running: Promise<void> | undefined;
  /** How often it was listed, for tests and metrics. */
  listCount = 0;

  constructor(options: InformerOptions<T>, listener: InformerListener) {
    this.#options = options;
    this.#times = options.times ?? informerTimes;
    this.#listener = listener;
    this.#apiVersion = options.type.versions[0];
    this.#backoff = new Backoff(options.random, this.#times.retryMs, this.#times.longestRetryMs);
  }

  get state(): InformerState {
    return this.#state;
  }

  /** Why it is not live. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Whether what it holds may be used. */
  get hasSynced(): boolean {
    return this.#state !== "starting";
  }

  /** The version of the API in which the objects come. */
  get apiVersion(): string {
    return this.#apiVersion;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key)?.value;
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  *values(): Iterable<T> {
    for (const { value } of this.#objects.values()) yield value;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** After it resolves the listener is not called any more. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isClosed()) {
      const startedMs = this.#options.clock.nowMs();
      let waitMs: number | undefined;
      try {
        if (this.#version === undefined) await this.#list();
        await this.#watch();
        // A server that ends each watch at once is not to be asked without pause.
        if (this.#options.clock.nowMs() - startedMs < this.#times.retryMs) waitMs = this.#backoff.next();
        else this.#backoff.reset();
      } catch (error) {
        if (this.#isClosed()) return;
        waitMs = await this.#recover(error);
      }
      if (waitMs !== undefined) await this.#pause(waitMs);
    }
  }

  #isClosed(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Decides what a failure means, and how long to wait. */
  async #recover(error: unknown): Promise<number> {
    const refused = error instanceof KubernetesError ? error.status : undefined;
    // An answer other than "not now" says something about our question: begin anew with a list.
    if (refused !== undefined && refused !== 429 && refused !== 503) this.#version = undefined;
    // What is behind the oldest version that the server remembers is the common case after a restart, and no failure.
    if (refused === 410) return this.#backoff.next();
    if (refused === 404 && (await this.#isReady())) {
      if (this.#nextVersion()) return 0;
      this.#clear();
      return this.#times.absentMs;
    }
    if (!this.#isClosed()) this.#fail(error instanceof Error ? error : new Error(describeError(error)));
    return this.#backoff.next();
  }

  /** While an API server starts it says 404 for kinds that it will know: only from a ready one that is a word. */
  async #isReady(): Promise<boolean> {
    try {
      await this.#options.client.request({ path: "/readyz", signal: this.#abort.signal });
      return true;
    } catch {
      return false;
    }
  }

  /** The kind may be served in an older version. False: all have been tried. */
  #nextVersion(): boolean {
    const { versions } = this.#options.type;
    const next = versions[versions.indexOf(this.#apiVersion) + 1];
    this.#apiVersion = next ?? versions[0];
    return next !== undefined;
  }

  #clear(): void {
    const { type, log } = this.#options;
    if (this.#state !== "absent")
      log.info("kind is not installed in the cluster, it is awaited", { kind: type.kind, group: type.group });
    this.#objects = new Map();
    this.#setState("absent", undefined);
    this.#listener.onReplace();
  }

  #fail(error: Error): void {
    const { type, log } = this.#options;
    // That the server is away is said once, by who needs the objects, and not by each kind; a refusal is about this kind.
    const level = error instanceof KubernetesError && error.status !== undefined ? "warn" : "debug";
    if (this.#error?.message !== error.message)
      log[level]("cannot watch, the last state stays", { kind: type.kind, state: this.#state, error });
    this.#setState(this.#state === "starting" ? "starting" : "stale", error);
  }

  #setState(state: InformerState, error: Error | undefined): void {
    const isSame = this.#state === state && this.#error?.message === error?.message;
    this.#state = state;
    this.#error = error;
    if (!isSame) this.#listener.onState();
  }

  async #list(): Promise<void> {
    const { client, keep } = this.#options;
    const objects = new Map<string, Held<T>>();
    let version = "";
    let token: string | undefined;
    do {
      const query = { ...this.#selectors(), limit: pageSize, continue: token };
      const answer = await client.request({ ...this.#request("List"), query });
      const list = parseList(answer);
      for (const item of list.items) {
        const held = hold(item, this.#objects, keep);
        if (held !== undefined) objects.set(held.key, held);
      }
      ({ version, token } = list);
    } while (token !== undefined);
    if (this.#isClosed()) return;
    this.listCount++;
    this.#objects = objects;
    this.#version = version;
    this.#setState("live", undefined);
    this.#listener.onReplace();
  }

  async #watch(): Promise<void> {
    const { client, clock, random } = this.#options;
    if (this.#isClosed()) return;
    // Spread, so that the watches of all kinds do not end together.
    const seconds = Math.ceil(((1 + random.next()) * this.#times.watchMs) / 2000);
    const query: Query = {
      ...this.#selectors(),
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: this.#version,
      timeoutSeconds: seconds,
    };
    const openedMs = clock.nowMs();
    await client.stream(
      { ...this.#request(""), query, timeoutMs: this.#times.silenceMs },
      () => this.#setState("live", undefined),
      (event) => {
        if (!this.#isClosed()) this.#take(event);
        if (clock.nowMs() - openedMs > this.#times.retryMs) this.#backoff.reset();
      },
    );
  }

  #take(event: unknown): void {
    const fields = isObject(event) ? event : {};
    const type = fields["type"];
    if (type === "ERROR") throw watchError(fields["object"]);
    const bookmark = type === "BOOKMARK" ? versionOf(fields["object"]) : undefined;
    if (bookmark !== undefined) this.#version = bookmark;
    if (type === "BOOKMARK") return;
    const object = tryObject(fields["object"]);
    if (object === undefined) return;
    const held = type === "DELETED" ? undefined : hold(object, this.#objects, this.#options.keep);
    const key = objectKey(object.metadata);
    const before = this.#objects.get(key);
    this.#version = object.metadata.resourceVersion;
    if (held === undefined) this.#objects.delete(key);
    else this.#objects.set(key, held);
    // Most events are about what we do not keep: heartbeats of nodes, conditions of pods.
    if (held?.value !== before?.value) this.#listener.onChange(key);
  }

  #selectors(): Query {
    const { labelSelector, fieldSelector } = this.#options;
    return { labelSelector, fieldSelector };
  }

  #request(list: "List" | "") {
    const { type, namespace, metadataOnly = false } = this.#options;
    const accept = metadataOnly
      ? `application/json;as=PartialObjectMetadata${list};g=meta.k8s.io;v=v1`
      : "application/json";
    return { path: pathOf(type, { version: this.#apiVersion, namespace }), accept, signal: this.#abort.signal };
  }

  async #pause(waitMs: number): Promise<void> {
    const { signal } = this.#abort;
    if (signal.aborted || waitMs === 0) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = this.#options.clock.setTimer(waitMs, end);
      signal.addEventListener("abort", end);
    });
  }
}

interface Held<T> {
  readonly key: string;
  readonly version: string;
  readonly value: T;
}

/** The value that we have, where nothing of it differs. */
function hold<T>(
  object: KubernetesObject,
  known: ReadonlyMap<string, Held<T>>,
  keep: (object: KubernetesObject) => T | undefined,
): Held<T> | undefined {
  const key = objectKey(object.metadata);
  const before = known.get(key);
  const version = object.metadata.resourceVersion;
  if (before?.version === version && version !== "") return before;
  const value = keep(object);
  if (value === undefined) return undefined;
  return { key, version, value: before !== undefined && isDeepStrictEqual(before.value, value) ? before.value : value };
}

interface ObjectList {
  readonly items: readonly KubernetesObject[];
  readonly version: string;
  /** Where the next page begins. */
  readonly token: string | undefined;
}

function parseList(answer: unknown): ObjectList {
  const list = isObject(answer) ? answer : {};
  const metadata = isObject(list["metadata"]) ? list["metadata"] : {};
  const { resourceVersion, continue: token } = metadata;
  if (!Array.isArray(list["items"]) && list["items"] !== null)
    throw new KubernetesError("The API server's answer is no list");
  return {
    items: ((list["items"] ?? []) as unknown[]).flatMap((item) => tryObject(item) ?? []), // it is an array or null
    version: typeof resourceVersion === "string" ? resourceVersion : "",
    token: typeof token === "string" && token !== "" ? token : undefined,
  };
}

function versionOf(object: unknown): string | undefined {
  const metadata = isObject(object) && isObject(object["metadata"]) ? object["metadata"] : {};
  const { resourceVersion } = metadata;
  return typeof resourceVersion === "string" ? resourceVersion : undefined;
}

/** What a watch ends with: a Status. */
function watchError(status: unknown): KubernetesError {
  const { code, message, reason } = isObject(status) ? status : {};
  const text = typeof message === "string" ? message : "no reason given";
  return new KubernetesError(
    `The watch was ended: ${text}`,
    typeof code === "number" ? code : 500,
    typeof reason === "string" ? reason : "",
  );
}
