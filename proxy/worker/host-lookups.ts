// Questions of a worker's requests to the main thread: does this host exist? Those for the same host ask together.
import type { Clock, Timer } from "#lib/clock.ts";

import type { FromWorker } from "./protocol.ts";

/** The main thread answers within 1 s; beyond this it is stuck. */
const STUCK_MS = 3000;

/** `undefined`: look again, the host has come, or there is none. Else why nobody knows. */
type OnAnswer = (failure: string | undefined) => void;

interface Question {
  readonly onAnswers: OnAnswer[];
  readonly timer: Timer;
}

export class HostLookups {
  readonly #clock: Clock;
  readonly #say: (message: FromWorker) => void;
  readonly #questions = new Map<string, Question>();

  constructor(clock: Clock, say: (message: FromWorker) => void) {
    this.#clock = clock;
    this.#say = say;
  }

  readonly lookUp = (table: string, host: string, onAnswer: OnAnswer): void => {
    const key = `${table}/${host}`;
    const asked = this.#questions.get(key);
    if (asked !== undefined) {
      asked.onAnswers.push(onAnswer);
      return;
    }
    const timer = this.#clock.setTimer(STUCK_MS, () =>
      this.answer(table, host, `the main thread did not answer within ${STUCK_MS} ms`),
    );
    this.#questions.set(key, { onAnswers: [onAnswer], timer });
    this.#say({ kind: "lookup", table, host });
  };

  answer(table: string, host: string, failure: string | undefined): void {
    const key = `${table}/${host}`;
    const question = this.#questions.get(key);
    if (question === undefined) return;
    this.#questions.delete(key);
    question.timer.cancel();
    for (const onAnswer of question.onAnswers) onAnswer(failure);
  }
}
