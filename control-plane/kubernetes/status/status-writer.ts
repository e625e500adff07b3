// Writes what became of each object into its status: the leader alone, and only what differs from what is there.
import type { Clock, Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Watched } from "#lib/watched.ts";
import { gatewayGroup } from "#config/schema/kind.ts";
import type { ConfigError } from "#config/load/config-error.ts";
import { formatPlace } from "#config/load/config-error.ts";
import { rejectionOf } from "../../admin/rejection.ts";
import type { ProxyStatus } from "../../discovery/proxy-record.ts";
import type { MeshStore } from "../../mesh/store.ts";
import { statusOf } from "../../translate/status.ts";
import { KubernetesError, type KubernetesClient } from "../client.ts";
import type { ConfigRecord } from "../config-objects.ts";
import type { KubernetesConfig, WatchedKind } from "../config.ts";
import { pathOf } from "../resource-type.ts";
import { statusToWrite } from "./findings.ts";
import { ProgrammedTracker } from "./programmed.ts";

export interface StatusWriterOptions {
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: KubernetesConfig;
  readonly store: MeshStore;
  /** Those of all sources: an object may be refused because a file has its name. */
  readonly errors: () => readonly ConfigError[];
  readonly proxies: () => readonly ProxyStatus[];
  readonly isLeader: Watched<boolean>;
  readonly times?: StatusTimes;
}

export interface StatusTimes {
  /** Changes that come together are written together. */
  readonly quietMs: number;
  readonly longestMs: number;
  /** While proxies have not taken something, and after a write failed. */
  readonly againMs: number;
}

const statusTimes: StatusTimes = { quietMs: 100, longestMs: 1000, againMs: 500 };
const requestsAtOnce = 4;

interface Write {
  readonly kind: WatchedKind;
  readonly key: string;
  readonly record: ConfigRecord;
  readonly status: Readonly<Record<string, unknown>>;
}

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #times: StatusTimes;
  readonly #programmed = new ProgrammedTracker();
  readonly #subscriptions: (() => void)[] = [];
  /** The version that was written against, by place: until the watch brings our own word there is nothing more to say. */
  readonly #written = new Map<string, string>();
  #timer: Timer | undefined;
  #firstMs = 0;
  #running: Promise<void> | undefined;
  #isAgain = false;
  #isClosed = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#times = options.times ?? statusTimes;
  }

  start(): void {
    const soon = (): void => this.#soon(this.#times.quietMs);
    const { store, config, isLeader } = this.#options;
    this.#subscriptions.push(store.subscribe(soon), config.subscribeObjects(soon), isLeader.subscribe(soon));
  }

  /** What is being written is finished. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const unsubscribe of this.#subscriptions) unsubscribe();
    this.#timer?.cancel();
    await this.#running;
  }

  #soon(delayMs: number): void {
    if (this.#isClosed || !this.#options.isLeader.current) return;
    const nowMs = this.#options.clock.nowMs();
    if (this.#timer === undefined) this.#firstMs = nowMs;
    this.#timer?.cancel();
    const restMs = this.#firstMs + this.#times.longestMs - nowMs;
    this.#timer = this.#options.clock.setTimer(Math.max(0, Math.min(delayMs, restMs)), () => {
      this.#timer = undefined;
      this.#begin();
    });
  }

  #begin(): void {
    if (this.#running !== undefined) {
      this.#isAgain = true;
      return;
    }
    this.#running = this.#pass().finally(() => {
      this.#running = undefined;
      if (this.#isAgain) this.#soon(this.#times.quietMs);
      this.#isAgain = false;
    });
  }

  async #pass(): Promise<void> {
    const writes = this.#findWrites();
    let hasFailed = false;
    const next = writes.values();
    const work = async (): Promise<void> => {
      for (const write of next) if (!(await this.#write(write))) hasFailed = true;
    };
    await Promise.all(Array.from({ length: requestsAtOnce }, work));
    if (hasFailed || this.#programmed.isWaiting) this.#soon(this.#times.againMs);
  }

  #findWrites(): readonly Write[] {
    const { store, config, clock, isLeader } = this.#options;
    const snapshot = store.current;
    if (snapshot === undefined || !isLeader.current) return [];
    const proxies = this.#options.proxies();
    const statuses = new Map(statusOf(snapshot).map((status) => [status.at, status]));
    const resources = new Map(snapshot.resources.map((resource) => [formatPlace(resource.source), resource]));
    const errors = Map.groupBy(this.#options.errors(), formatPlace);
    const now = new Date(clock.wallMs()).toISOString().replace(/\.\d+Z$/, "Z");
    const places = new Set<string>();
    const writes: Write[] = [];
    for (const kind of config.kinds) {
      if (!hasStatus(kind)) continue;
      for (const key of kind.informer.keys()) {
        const record = kind.informer.get(key);
        const place = `kubernetes ${kind.kind} ${key}`;
        if (record === undefined) continue;
        places.add(place);
        const status = statusToWrite(
          kind.kind,
          place,
          record,
          { statuses, errors },
          (found) =>
            this.#programmed.conditionOf(
              place,
              resources.get(place),
              snapshot.sequence,
              proxies,
              rejectionOf(found, proxies),
            ),
          now,
        );
        if (status === undefined || this.#written.get(place) === record.resourceVersion) continue;
        writes.push({ kind, key, record, status });
      }
    }
    this.#programmed.retain(places);
    for (const place of this.#written.keys()) if (!places.has(place)) this.#written.delete(place);
    return writes;
  }

  /** False: it is to be tried again. */
  async #write({ kind, key, record, status }: Write): Promise<boolean> {
    const { client, isLeader, log } = this.#options;
    if (!isLeader.current || this.#isClosed) return true;
    const { namespace, name } = record.metadata;
    const { resourceVersion } = record;
    const place = `kubernetes ${kind.kind} ${key}`;
    try {
      await client.request({
        method: "PATCH",
        path: pathOf(kind.type, { version: kind.informer.apiVersion, namespace, name, part: "status" }),
        contentType: "application/merge-patch+json",
        // With the version: the list of parents is replaced as a whole, and another controller may have written into it since.
        body: { metadata: { resourceVersion }, status },
      });
      this.#written.set(place, resourceVersion);
      return true;
    } catch (error) {
      const code = error instanceof KubernetesError ? error.status : undefined;
      // Changed or gone since: the watch brings what is there now, and with it the next attempt.
      if (code === 409 || code === 404) return true;
      log.warn("status not written", { object: place, error: describeError(error) });
      return false;
    }
  }
}

/** Of Gateway API routes alone have a status of ours. */
function hasStatus({ kind, type }: WatchedKind): boolean {
  return type.group !== gatewayGroup || kind === "HTTPRoute" || kind === "GRPCRoute";
}
