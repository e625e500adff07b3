// The proxy's xDS client: keeps one stream to the control plane, and hands on whole configurations, one after the other.
//
//   stored configuration --apply--> running
//   stream: subscribe -> responses -> complete? -> apply (workers) -> ACK / NACK -> store
//   stream lost: running goes on with what it has; back after 500 ms .. 30 s, with the versions that it has
import { fullJitterMs } from "#lib/backoff.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { WatchedValue, type Watched } from "#lib/watched.ts";
import type { AdsCall, AdsTransport } from "./ads-transport.ts";
import type { Apply, ApplyError, DiscoveredConfig } from "./config.ts";
import { tableOf } from "./on-demand-tables.ts";
import { DeltaDialogue, type DeltaRequest, type DialogueOptions } from "./delta-dialogue.ts";
import { OnDemandHosts, type HostAnswer, type HostState } from "./on-demand-hosts.ts";
import { restoreConfiguration, storeConfiguration } from "./last-configuration.ts";

const BACKOFF: ReconnectBackoff = { minMs: 500, maxMs: 30_000 };
/** Wait before a configuration that no worker took is tried again. */
const RETRY_APPLY_MS = 1000;
/** Responses that come together are applied together. */
const COALESCE_MS = 2;
/** Edits that follow one another are written once. */
const STORE_DELAY_MS = 200;

/** Waits between streams: at least `minMs`, with full jitter above it, up to `maxMs`. */
interface ReconnectBackoff {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface DiscoveryClientOptions extends Omit<DialogueOptions, "clock"> {
  readonly transport: AdsTransport;
  readonly apply: Apply;
  /** Where the last configuration is kept; `undefined`: nowhere. */
  readonly stateDir: string | undefined;
  /** 500 ms to 30 s by default. */
  readonly backoff?: ReconnectBackoff;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** For the admin port and metrics. */
export interface DiscoveryStatus {
  readonly connected: boolean;
  readonly version: string | undefined;
  readonly origin: DiscoveredConfig["origin"] | undefined;
  readonly lastError: string | undefined;
  /** What was refused last of each resource, until another version of it is taken. */
  readonly refused: readonly ApplyError[];
  readonly reconnects: number;
}

export class DiscoveryClient {
  readonly #options: DiscoveryClientOptions;
  readonly #dialogue: DeltaDialogue;
  readonly #config = new WatchedValue<DiscoveredConfig | undefined>(undefined);
  readonly #refused = new Map<string, ApplyError>();
  readonly #hosts: OnDemandHosts;
  /** Virtual hosts on demand, by name, that are in the configuration that works. */
  #appliedHosts: ReadonlySet<string> = new Set();
  #call: AdsCall | undefined;
  #isConnected = false;
  #attempt = 0;
  #reconnects = 0;
  #lastError: string | undefined;
  #isDirty = false;
  #isApplying = false;
  #isClosed = false;
  #isRestored = false;
  #stopWatching: (() => void) | undefined;
  #applyTimer: Timer | undefined;
  #applyAtMs = Infinity;
  #connectTimer: Timer | undefined;
  #storeTimer: Timer | undefined;

  constructor(options: DiscoveryClientOptions) {
    this.#options = options;
    this.#dialogue = new DeltaDialogue({ ...options, node: withCapabilities(options.node) });
    this.#hosts = new OnDemandHosts(options.clock, {
      stateOf: (name) => this.#stateOfHost(name),
      subscribe: (name) => this.#send(this.#dialogue.ask(name)),
      unsubscribe: (names) => this.#release(names),
      troubleOf: () => (this.#isConnected ? undefined : (this.#lastError ?? "it is not connected")),
    });
  }

  /** The configuration that works now, after `apply` said so. */
  get config(): Watched<DiscoveredConfig | undefined> {
    return this.#config;
  }

  get status(): DiscoveryStatus {
    return {
      connected: this.#isConnected,
      version: this.#config.current?.version,
      origin: this.#config.current?.origin,
      lastError: this.#lastError,
      refused: [...this.#refused.values()],
      reconnects: this.#reconnects,
    };
  }

  /** Asks for a virtual host of a table with `onDemand` by a request's authority; resolves when the workers have it, or why not. */
  async lookUpHost(table: string, authority: string): Promise<HostAnswer> {
    return this.#hosts.lookUp(`${table}/${authority.toLowerCase()}`);
  }

  /** Requests went to these hosts, as `<table>/<name of the virtual host>`; those that nobody uses for ten minutes are let go. */
  useHosts(used: ReadonlySet<string>): void {
    if (used.size === 0) return;
    const names: string[] = [];
    for (const [name, { resource }] of this.#dialogue.stores.virtualHost.held) {
      if (resource.kind === "virtualHost" && used.has(`${tableOf(name)}/${resource.model.name}`)) names.push(name);
    }
    this.#hosts.use(names);
  }

  /** Applies what was stored, if anything was, and connects. */
  start(): void {
    const { stateDir, log, transport } = this.#options;
    if (stateDir !== undefined && restoreConfiguration(stateDir, this.#dialogue, log)) {
      this.#isRestored = true;
      for (const name of this.#dialogue.stores.virtualHost.held.keys()) this.#hosts.keep(name);
      this.#isDirty = true;
      this.#applyNow("stored");
    }
    this.#stopWatching = transport.onRenewed(() => this.#reopen());
    this.#connect();
  }

  /** Ends the stream; the configuration stays what it is. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#hosts.close();
    this.#stopWatching?.();
    this.#applyTimer?.cancel();
    this.#connectTimer?.cancel();
    this.#call?.close();
    if (this.#storeTimer !== undefined) this.#store();
  }

  #connect(): void {
    this.#connectTimer?.cancel();
    if (this.#isClosed) return;
    let call: AdsCall | undefined;
    try {
      call = this.#options.transport.open({
        onResponse: (response) => {
          if (call !== this.#call) return;
          this.#isConnected = true;
          this.#attempt = 0;
          this.#lastError = undefined;
          this.#isDirty ||= response.resources.length > 0 || response.removedResources.length > 0;
          this.#send(this.#dialogue.receive(response));
          this.#hosts.settle();
          this.#applySoon(COALESCE_MS);
        },
        onEnd: (reason) => {
          if (call === this.#call) this.#onLost(reason);
        },
      });
    } catch (error) {
      this.#onLost(describeError(error));
      return;
    }
    if (call === undefined) return;
    this.#call = call;
    this.#send(this.#dialogue.begin());
    // What the old stream had not delivered is waited for anew.
    this.#applySoon(COALESCE_MS);
  }

  #onLost(reason: string): void {
    const { clock, random, log } = this.#options;
    this.#call = undefined;
    this.#isConnected = false;
    this.#dialogue.end();
    if (this.#isClosed) return;
    this.#attempt++;
    this.#reconnects++;
    this.#lastError = reason;
    const { minMs, maxMs } = this.#options.backoff ?? BACKOFF;
    const delayMs = minMs + fullJitterMs(this.#attempt, minMs, maxMs - minMs, random);
    log.warn("control plane lost", { reason, retryInMs: Math.round(delayMs), version: this.#config.current?.version });
    this.#connectTimer = clock.setTimer(delayMs, () => this.#connect());
  }

  /** Another certificate: a new stream first, then the end of the old one. */
  #reopen(): void {
    const old = this.#call;
    this.#connect();
    if (this.#call !== old) old?.close();
  }

  #send(requests: readonly DeltaRequest[]): void {
    for (const request of requests) this.#call?.send(request);
  }

  /** An earlier look is never put off by a later one: a stream that does not pause is applied all the same. */
  #applySoon(delayMs: number): void {
    const atMs = this.#options.clock.nowMs() + delayMs;
    if (this.#isClosed || atMs >= this.#applyAtMs) return;
    this.#applyTimer?.cancel();
    this.#applyAtMs = atMs;
    this.#applyTimer = this.#options.clock.setTimer(delayMs, () => {
      this.#applyAtMs = Infinity;
      this.#applyIfComplete();
    });
  }

  #applyIfComplete(): void {
    if (this.#isApplying) return;
    const untilMs = this.#dialogue.waitsUntilMs();
    if (this.#dialogue.isComplete()) this.#applyNow("ads");
    else if (untilMs !== undefined && Number.isFinite(untilMs)) {
      this.#applySoon(untilMs - this.#options.clock.nowMs());
    }
  }

  #applyNow(origin: DiscoveredConfig["origin"]): void {
    const responses = this.#dialogue.takeUnanswered();
    if (!this.#isDirty) {
      this.#finish(responses, []);
      return;
    }
    this.#isDirty = false;
    this.#isApplying = true;
    const call = this.#call;
    const config = this.#dialogue.config(origin);
    const hosts = new Set(this.#dialogue.stores.virtualHost.held.keys());
    this.#options.apply(config).then(
      (errors) => {
        this.#isApplying = false;
        // A resource that failed is put back, and what then is held differs from what was applied.
        this.#isDirty ||= errors.length > 0 && origin === "ads";
        this.#config.set(config);
        this.#appliedHosts = hosts;
        this.#storeSoon();
        if (call === this.#call) this.#finish(responses, errors);
        else this.#hosts.settle();
        this.#applySoon(0);
      },
      (error: unknown) => {
        this.#isApplying = false;
        this.#options.log.error("configuration not applied", { version: config.version, error });
        const reason = describeError(error);
        const errors = responses.flatMap(({ kind, previous }) =>
          [...previous.keys()].map((name) => ({ kind, name, reason })),
        );
        // What is held is not what works: it is tried again, whole.
        this.#isDirty = true;
        if (call === this.#call) this.#finish(responses, errors);
        this.#applySoon(RETRY_APPLY_MS);
      },
    );
  }

  #finish(responses: ReturnType<DeltaDialogue["takeUnanswered"]>, applyErrors: readonly ApplyError[]): void {
    for (const { kind, previous, errors } of responses) {
      for (const name of previous.keys()) this.#refused.delete(`${kind} ${name}`);
      for (const error of errors) this.#refuse(error);
    }
    for (const error of applyErrors) this.#refuse(error);
    this.#send(this.#dialogue.answer(responses, applyErrors));
    this.#hosts.settle();
  }

  #stateOfHost(name: string): HostState {
    const store = this.#dialogue.stores.virtualHost;
    if (store.isAbsent(name)) return { kind: "unknown" };
    if (store.held.has(name)) return this.#appliedHosts.has(name) ? { kind: "found" } : { kind: "waiting" };
    const refused = this.#refused.get(`virtualHost ${name}`);
    return refused === undefined ? { kind: "waiting" } : { kind: "failed", reason: refused.reason };
  }

  /** Their tables are applied anew without them. */
  #release(names: readonly string[]): void {
    this.#isDirty ||= names.some((name) => this.#dialogue.stores.virtualHost.held.has(name));
    this.#send(this.#dialogue.release(names));
    this.#applySoon(COALESCE_MS);
  }

  #refuse(error: ApplyError): void {
    this.#options.log.warn("resource refused", { ...error });
    this.#refused.set(`${error.kind} ${error.name}`, error);
  }

  #storeSoon(): void {
    if (this.#options.stateDir === undefined || this.#isRestored) {
      this.#isRestored = false;
      return;
    }
    this.#storeTimer ??= this.#options.clock.setTimer(STORE_DELAY_MS, () => this.#store());
  }

  #store(): void {
    const { stateDir, log } = this.#options;
    this.#storeTimer?.cancel();
    this.#storeTimer = undefined;
    if (stateDir === undefined) return;
    try {
      storeConfiguration(stateDir, this.#dialogue);
    } catch (error) {
      log.error("configuration not stored", { stateDir, error });
    }
  }
}

/** Tells the control plane that virtual hosts may come when they are asked for. */
function withCapabilities(node: DialogueOptions["node"]): DialogueOptions["node"] {
  return { ...node, metadata: { ...node.metadata, onDemand: ["virtualHosts"] } };
}
