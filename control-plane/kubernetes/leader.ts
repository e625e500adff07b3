// Which of the control planes does what only one may do: the holder of a Lease.
import { WatchedValue, type Watched } from "#lib/watched.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { KubernetesError, type KubernetesClient } from "./client.ts";
import { fieldsOf, textOf, tryObject } from "./objects.ts";
import { leaseType, pathOf } from "./resource-type.ts";

export interface LeaderOptions {
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly namespace: string;
  /** Name of the Lease. */
  readonly name: string;
  /** Who we are; no two processes that live at one time may be called the same, the pod's name before and after a restart included. */
  readonly identity: string;
  readonly times?: LeaderTimes;
}

/** Those of client-go and of the components of Kubernetes. */
export interface LeaderTimes {
  /** Others wait so long after the last sign of the holder. */
  readonly leaseMs: number;
  /** A holder that could not renew for so long stops being one; shorter than `leaseMs`, so that there are never two. */
  readonly renewMs: number;
  readonly retryMs: number;
}

const leaderTimes: LeaderTimes = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2000 };

interface LeaseRecord {
  readonly resourceVersion: string;
  readonly holder: string;
  readonly acquireTime: string;
  readonly transitions: number;
}

/**
 *   follower --- the Lease is free, or unchanged for leaseMs, and our write of it succeeded ---> leader
 *   leader --- no renewal for renewMs, or somebody else holds it ---> follower
 *
 * Clocks of different machines are never compared: what counts is how long ago we ourselves saw the Lease change.
 */
export class LeaderElection {
  readonly #options: LeaderOptions;
  readonly #times: LeaderTimes;
  readonly #isLeader = new WatchedValue(false);
  readonly #abort = new AbortController();
  #seen: { readonly version: string; readonly atMs: number } | undefined;
  #deadline: Timer | undefined;
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #error = "";

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#times = options.times ?? leaderTimes;
  }

  /** True while we may do what only one may do. It turns false before another can be one. */
  get isLeader(): Watched<boolean> {
    return this.#isLeader;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Gives the Lease back, so that another takes it at once. Never rejects. */
  async close(): Promise<void> {
    const wasLeader = this.#isLeader.current;
    this.#abort.abort();
    this.#timer?.cancel();
    this.#wake?.();
    await this.#running;
    this.#resign("we are ending");
    if (!wasLeader) return;
    try {
      const lease = await this.#read();
      if (lease?.holder === this.#options.identity) await this.#write(lease, "");
    } catch (error) {
      this.#options.log.debug("lease not given back", { error: describeError(error) });
    }
  }

  async #run(): Promise<void> {
    const { log, clock, random } = this.#options;
    while (!this.#abort.signal.aborted) {
      try {
        await this.#tryOnce();
        this.#error = "";
      } catch (error) {
        const message = describeError(error);
        if (message !== this.#error && !this.#abort.signal.aborted)
          log.warn("cannot agree on a leader", { lease: this.#options.name, error: message });
        this.#error = message;
      }
      if (this.#abort.signal.aborted) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        // Spread, so that followers do not write in the same instant.
        this.#timer = clock.setTimer(this.#times.retryMs * (1 + 0.2 * random.next()), resolve);
      });
    }
  }

  async #tryOnce(): Promise<void> {
    const { clock, identity } = this.#options;
    const lease = await this.#read();
    const nowMs = clock.nowMs();
    if (lease !== undefined && lease.resourceVersion !== this.#seen?.version)
      this.#seen = { version: lease.resourceVersion, atMs: nowMs };
    const isMine = lease?.holder === identity;
    const isFree = lease === undefined || lease.holder === "";
    const isLate = this.#seen !== undefined && nowMs - this.#seen.atMs >= this.#times.leaseMs;
    if (!isMine && !isFree && !isLate) {
      this.#resign("another control plane holds the lease");
      return;
    }
    // Before the write: what others wait for begins there.
    const beganMs = clock.nowMs();
    try {
      await this.#write(lease, identity);
    } catch (error) {
      // Somebody else was faster.
      if (error instanceof KubernetesError && error.status === 409) return;
      throw error;
    }
    this.#lead(beganMs);
  }

  #lead(sinceMs: number): void {
    const { clock, log, identity } = this.#options;
    if (this.#abort.signal.aborted) return;
    this.#deadline?.cancel();
    const restMs = sinceMs + this.#times.renewMs - clock.nowMs();
    this.#deadline = clock.setTimer(Math.max(0, restMs), () => this.#resign("the lease could not be renewed in time"));
    if (restMs <= 0 || this.#isLeader.current) return;
    log.info("this control plane is the leader", { identity });
    this.#isLeader.set(true);
  }

  #resign(reason: string): void {
    this.#deadline?.cancel();
    if (!this.#isLeader.current) return;
    this.#options.log.info("this control plane is not the leader any more", { reason });
    this.#isLeader.set(false);
  }

  async #read(): Promise<LeaseRecord | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      const object = tryObject(
        await client.request({ path: pathOf(leaseType, { namespace, name }), timeoutMs: this.#requestMs }),
      );
      if (object === undefined) throw new KubernetesError("The API server's answer is no Lease");
      const spec = fieldsOf(object["spec"]);
      return {
        resourceVersion: object.metadata.resourceVersion,
        holder: textOf(spec["holderIdentity"]),
        acquireTime: textOf(spec["acquireTime"]),
        transitions: typeof spec["leaseTransitions"] === "number" ? spec["leaseTransitions"] : 0,
      };
    } catch (error) {
      if (error instanceof KubernetesError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Refused with 409 when somebody else wrote since `lease` was read. */
  async #write(lease: LeaseRecord | undefined, holder: string): Promise<void> {
    const { client, clock, namespace, name, identity } = this.#options;
    const now = new Date(clock.wallMs()).toISOString().replace("Z", "000Z");
    const isRenewal = lease?.holder === identity && holder === identity;
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace, ...(lease === undefined ? {} : { resourceVersion: lease.resourceVersion }) },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: holder === "" ? 1 : Math.ceil(this.#times.leaseMs / 1000),
        acquireTime: isRenewal && lease.acquireTime !== "" ? lease.acquireTime : now,
        renewTime: now,
        leaseTransitions: (lease?.transitions ?? 0) + (isRenewal || holder === "" || lease === undefined ? 0 : 1),
      },
    };
    const path = pathOf(leaseType, lease === undefined ? { namespace } : { namespace, name });
    const method = lease === undefined ? "POST" : "PUT";
    const answer = tryObject(await client.request({ method, path, body, timeoutMs: this.#requestMs }));
    if (answer !== undefined)
      this.#seen = { version: answer.metadata.resourceVersion, atMs: this.#options.clock.nowMs() };
  }

  /** A hanging request must not cost the time in which another could succeed. */
  get #requestMs(): number {
    return this.#times.renewMs / 2;
  }
}
