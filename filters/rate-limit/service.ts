// The rate-limit service as one worker sees it: calls of it, and whether it is worth calling.
//
//   answering -- 20 calls fail one after the other --> silent: calls fail at once for 1 s, then one goes out
//       ^----------------------- it is answered -----------------------'  (not answered: another second)
import type { Clock } from "#lib/clock.ts";

import type { Descriptor } from "../descriptors/describe.ts";
import type { FilterContext } from "../filter.ts";
import { decodeAnswer, encodeRequest, type LimitAnswer } from "./messages.ts";

const METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
const FAILURES_TO_SILENCE = 20;
const SILENCE_MS = 1000;
/** Calls that may wait for their answer at a time: those beyond fail at once. */
const MAX_PENDING = 1024;

export type ServiceAnswer = LimitAnswer | { readonly code: "failed"; readonly reason: string };

export class RateLimitService {
  readonly #context: FilterContext;
  readonly #clock: Clock;
  readonly #cluster: string;
  #pending = 0;
  #failures = 0;
  #silentUntilMs = 0;

  constructor(context: FilterContext, cluster: string) {
    this.#context = context;
    this.#clock = context.clock;
    this.#cluster = cluster;
  }

  /** Calls back once, at once or later, unless what it returns is called before. */
  ask(
    request: {
      readonly domain: string;
      readonly authority: string;
      readonly timeoutMs: number;
      readonly descriptors: readonly Descriptor[];
    },
    onAnswer: (answer: ServiceAnswer) => void,
  ): () => void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      onAnswer({ code: "failed", reason: refusal });
      return () => undefined;
    }
    this.#pending++;
    let isOver = false;
    const cancel = this.#context.unary(
      {
        cluster: this.#cluster,
        path: METHOD,
        authority: request.authority,
        timeoutMs: request.timeoutMs,
        message: encodeRequest(request.domain, request.descriptors),
      },
      (result) => {
        if (isOver) return;
        isOver = true;
        this.#pending--;
        const answer = typeof result === "string" ? ({ code: "failed", reason: result } as const) : tryDecode(result);
        this.#count(answer.code === "failed");
        onAnswer(answer);
      },
    );
    return () => {
      if (isOver) return;
      isOver = true;
      this.#pending--;
      cancel();
    };
  }

  #refusal(): string | undefined {
    if (this.#pending >= MAX_PENDING) return `${MAX_PENDING} calls of it wait already`;
    if (this.#failures < FAILURES_TO_SILENCE) return undefined;
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#silentUntilMs) return `it did not answer ${this.#failures} calls`;
    // This one call goes out; the others wait for what becomes of it, or for another second.
    this.#silentUntilMs = nowMs + SILENCE_MS;
    return undefined;
  }

  #count(isFailure: boolean): void {
    this.#failures = isFailure ? this.#failures + 1 : 0;
    if (this.#failures === FAILURES_TO_SILENCE) this.#silentUntilMs = this.#clock.nowMs() + SILENCE_MS;
  }
}

function tryDecode(bytes: Buffer): ServiceAnswer {
  try {
    return decodeAnswer(bytes);
  } catch (error) {
    return { code: "failed", reason: error instanceof Error ? error.message : String(error) };
  }
}
