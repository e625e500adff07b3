// How long one endpoint keeps its connections, learned from when it closes them: idle time, and number of requests.

/** Connections are left alone so long before the peer is expected to close them: a share of its time, within bounds. */
const MARGIN_SHARE = 0.25;
/** The same for requests that must not be lost: a busy peer notices late that one has come, and closes first. */
const CAREFUL_SHARE = 0.5;
const MAX_MARGIN_MS = 2000;
/** The same by the peer's own word, for requests that may be sent again. */
const ANNOUNCED_SHARE = 0.2;
const MAX_ANNOUNCED_MARGIN_MS = 1000;
/** A peer that took longer to answer was at work, not standing still between the answer and our reading it. */
const MAX_SKEW_MS = MAX_MARGIN_MS;
/** Nobody closes sooner than this for want of requests: an end so soon after an answer is one of count, or of the peer itself. */
const SHORTEST_IDLE_MS = 100;
/** Idle time that needs no proof. */
const HARMLESS_IDLE_MS = 50;
/** A connection that was open so far beyond the learned time speaks against it. Less could be a FIN that a busy loop reads late. */
const BEYOND_TIMES = 2;
const BEYOND_MS = 1000;
const FIRST_WITNESSES = 3;
const MAX_WITNESSES = 48;
/** What nothing has confirmed for so long is forgotten. */
const FORGET_MS = 600_000;
/** A peer that serves so many requests on one connection does not count them; those that do say so (nginx: 1000). */
const UNCOUNTED_REQUESTS = 1000;

/** An open connection that has idled so long was not closed for its count. */
const OUTLIVED_COUNT_MS = 500;
const MAX_KNOWN = 4096;
const TRIAL_MS = 1000;
/** Two ends at the same count that lie nearer together may be one event: a restart. */
const SEPARATE_MS = 1000;

/** Whether a request may go on a connection. */
export const USABLE = 0;
/** One at a time: no request was answered after so many before it, or after so long an idle time. */
export const UNTRIED = 1;
/** Not this request, which must not be lost: it may close for its count. */
export const DOUBTFUL_COUNT = 2;
/** Not this request, which must not be lost: nothing is known of so long an idle time. */
export const UNPROVEN_IDLE = 3;
/** No request: the peer is about to close it for its idle time. */
export const ENDING_IDLE = 4;
/** No request: the peer closes it after so many. */
export const ENDING_COUNT = 5;

/**
 *     unknown --a close after idling T--> closes at T --closes earlier--> closes at less
 *        ^                                    |
 *        +---- witnesses open beyond T -------+   (3 in a row; twice as many after each time that this was wrong)
 *        +---- 10 min without a close --------+
 *
 *     uncounted --a close right after answer N--> suspected N --another later--> limited to N --10 min--> suspected N
 *        ^                                           |
 *        +------ one that is open beyond N ----------+
 *
 * Requests that may be sent again use whatever is not known to end: their loss is mended, and teaches. Others use only what was
 * proven by some connection of the same endpoint, with a margin, and where no request was answered before after such a time or
 * count, one of them at a time.
 *
 * How long a connection has been idle for its peer is known only within bounds: at least since we read the end of its answer, at
 * most since we sent the request. A peer's clock starts between the two, and on a busy machine they lie far apart. What is learned
 * takes the lower bound, so that times are learned short; a request that must not be lost is judged by the upper one.
 * Times come in; nothing here reads a clock.
 */
export class PeerLifetime {
  #closesAtMs = Infinity;
  #seenClosingMs = 0;
  /** The longest that a connection was seen open and idle. */
  #openAtMs = 0;
  /** The longest idling after which a request was answered. */
  #servedIdleMs = 0;
  #witnesses = 0;
  #neededWitnesses = FIRST_WITNESSES;
  #suspectedRequests = Infinity;
  #suspectedMs = 0;
  #limitRequests = Infinity;
  #limitSeenMs = 0;
  /** A connection was open after so many. */
  #provenRequests = 0;
  #triesUntilMs = -Infinity;

  /** Ms of idling at which it closes; Infinity = unknown. */
  get closesAtMs(): number {
    return this.#closesAtMs;
  }

  /** Requests after which it closes for certain; Infinity = unknown. */
  get limitRequests(): number {
    return this.#limitRequests;
  }

  /** Ms of idling from which on no request takes a connection. */
  get idleLimitMs(): number {
    return this.#closesAtMs - Math.min(this.#closesAtMs * MARGIN_SHARE, MAX_MARGIN_MS);
  }

  /** Ms of idling from which on a connection was open for longer than the learned time allows. */
  get beyondMs(): number {
    return this.#closesAtMs * BEYOND_TIMES + BEYOND_MS;
  }

  /** For a request that may be sent again. `announcedMs`: what the peer itself said of its idle time; Infinity = nothing. */
  judge(idleMs: number, requests: number, announcedMs: number, isCounted: boolean): number {
    if (idleMs >= this.idleLimitMs || idleMs >= announcedLimitMs(announcedMs)) return ENDING_IDLE;
    return isCounted && requests >= this.#limitRequests ? ENDING_COUNT : USABLE;
  }

  /** For a request that must not be lost. `sentMs`: how long ago the last request was sent, at least `idleMs`. */
  judgeCareful(idleMs: number, sentMs: number, requests: number, announcedMs: number, isCounted: boolean): number {
    const fit = this.judge(idleMs, requests, announcedMs, isCounted);
    if (fit !== USABLE || requests === 0) return fit;
    const mostMs = Math.min(sentMs, idleMs + MAX_SKEW_MS);
    const endMs = Math.min(this.#closesAtMs, announcedMs);
    if (mostMs >= endMs - Math.min(endMs * CAREFUL_SHARE, MAX_MARGIN_MS)) return UNPROVEN_IDLE;
    const isUnproven = announcedMs === Infinity && mostMs > this.#openAtMs * CAREFUL_SHARE;
    if (isUnproven && mostMs > HARMLESS_IDLE_MS) return UNPROVEN_IDLE;
    if (!isCounted) return USABLE;
    if (requests >= this.#suspectedRequests) return DOUBTFUL_COUNT;
    if (announcedMs === Infinity && idleMs > HARMLESS_IDLE_MS && idleMs > this.#servedIdleMs) return UNTRIED;
    return requests > this.#provenRequests && requests < UNCOUNTED_REQUESTS ? UNTRIED : USABLE;
  }

  /** The peer closed a connection after `idleMs` without a request, and after `requests` of them. */
  closed(idleMs: number, requests: number, isCounted: boolean, nowMs: number): void {
    if (idleMs < SHORTEST_IDLE_MS) {
      if (isCounted && requests > 0) this.#closedAtCount(requests, nowMs);
      return;
    }
    if (idleMs > this.beyondMs) {
      this.#witness(idleMs);
      if (this.#closesAtMs !== Infinity) return;
    }
    this.#closesAtMs = Math.min(this.#closesAtMs, idleMs);
    this.#openAtMs = Math.min(this.#openAtMs, idleMs);
    this.#servedIdleMs = Math.min(this.#servedIdleMs, idleMs * CAREFUL_SHARE);
    this.#seenClosingMs = nowMs;
    this.#witnesses = 0;
  }

  /** A connection is open after so many requests and idling so long, for certain: what came from its peer has been read. */
  seenOpen(idleMs: number, requests: number): void {
    if (idleMs > this.#openAtMs && idleMs < this.#closesAtMs) this.#openAtMs = idleMs;
    if (idleMs >= OUTLIVED_COUNT_MS) this.seenServing(requests);
  }

  /** Once for each connection that is open and idle beyond `beyondMs`. */
  outlived(idleMs: number): void {
    if (idleMs > this.beyondMs) this.#witness(idleMs);
  }

  /** A request was answered on a connection that had served so many before it, and idled so long. */
  seenServing(requests: number, idleMs = 0): void {
    if (idleMs > this.#servedIdleMs) this.#servedIdleMs = idleMs;
    if (requests <= this.#provenRequests) return;
    this.#provenRequests = requests;
    if (requests >= this.#suspectedRequests) this.#suspectedRequests = Infinity;
  }

  /** A request that must not be lost tries what no other has; a peer that closes does so soon. */
  startTrial(nowMs: number): void {
    this.#triesUntilMs = nowMs + TRIAL_MS;
  }

  endTrial(): void {
    this.#triesUntilMs = -Infinity;
  }

  isTrying(nowMs: number): boolean {
    return nowMs < this.#triesUntilMs;
  }

  forgetOld(nowMs: number): void {
    if (this.#closesAtMs !== Infinity && nowMs - this.#seenClosingMs > FORGET_MS) {
      this.#closesAtMs = Infinity;
      this.#neededWitnesses = FIRST_WITNESSES;
    }
    if (this.#limitRequests !== Infinity && nowMs - this.#limitSeenMs > FORGET_MS) this.#limitRequests = Infinity;
  }

  #closedAtCount(requests: number, nowMs: number): void {
    this.#provenRequests = Math.min(this.#provenRequests, requests - 1);
    if (requests < this.#suspectedRequests) {
      this.#suspectedRequests = requests;
      this.#suspectedMs = nowMs;
    } else if (requests === this.#suspectedRequests && nowMs - this.#suspectedMs >= SEPARATE_MS) {
      this.#limitRequests = requests;
      this.#limitSeenMs = nowMs;
    }
  }

  #witness(idleMs: number): void {
    if (++this.#witnesses < this.#neededWitnesses) return;
    this.#witnesses = 0;
    this.#neededWitnesses = Math.min(this.#neededWitnesses * 2, MAX_WITNESSES);
    this.#closesAtMs = Infinity;
    this.#openAtMs = Math.max(this.#openAtMs, idleMs);
  }
}

/** Ms of idling from which on no request takes a connection whose peer said that it keeps it for `announcedMs`; Infinity = it did not. */
export function announcedLimitMs(announcedMs: number): number {
  return announcedMs - Math.min(announcedMs * ANNOUNCED_SHARE, MAX_ANNOUNCED_MARGIN_MS);
}

/** All that one worker has learned, by endpoint and protocol. It outlives clusters and endpoints that come and go. */
export class PeerLifetimes {
  readonly #all = new Map<string, PeerLifetime>();

  /** Those not asked for since the most others are forgotten first. */
  get(key: string): PeerLifetime {
    const lifetime = this.#all.get(key) ?? new PeerLifetime();
    this.#all.delete(key);
    this.#all.set(key, lifetime);
    const oldest = this.#all.size > MAX_KNOWN ? this.#all.keys().next().value : undefined;
    if (oldest !== undefined) this.#all.delete(oldest);
    return lifetime;
  }
}
