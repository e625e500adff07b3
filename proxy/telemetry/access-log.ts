// Access logs: one line per exchange, formatted by compiled operators, collected and written in batches.
import fs from "node:fs";

import type { AccessLog } from "#config/model/telemetry.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { HttpExchange } from "#proxy/stream/exchange.ts";
import { compileFormat, compileJsonFormat } from "#proxy/stream/format.ts";

/** Makes the line of one exchange, line end included. */
export type LineMaker = (exchange: HttpExchange) => string;

/** Throws when the format has an unknown operator. */
export function compileAccessLog(config: AccessLog): LineMaker {
  if (config.format.kind === "text") {
    const format = compileFormat(config.format.format);
    return (exchange) => String(format(exchange) ?? "-");
  }
  const format = compileJsonFormat(config.format.fields);
  return (exchange) => `${format(exchange)}\n`;
}

const FLUSH_BYTES = 65_536;
const FLUSH_MS = 100;

/** A file that is appended to; `/dev/stdout` and `/dev/stderr` are the process's own. Lines wait at most 100 ms or 64 KiB. */
export class LineFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #fd: number | undefined;
  #pending = "";
  #timer: Timer | undefined;
  #isWriting = false;
  #dropped = 0;

  constructor(path: string, clock: Clock, log: Log) {
    this.#path = path;
    this.#clock = clock;
    this.#log = log;
  }

  write(line: string): void {
    if (this.#pending.length > FLUSH_BYTES * 64) {
      this.#dropped++;
      return;
    }
    this.#pending += line;
    if (this.#pending.length >= FLUSH_BYTES) this.#flush();
    else this.#timer ??= this.#clock.setTimer(FLUSH_MS, () => this.#flush());
  }

  /** Writes what waits before the process ends. */
  closeNow(): void {
    this.#timer?.cancel();
    const pending = this.#pending;
    this.#pending = "";
    if (pending === "") return;
    try {
      fs.writeSync(this.#open(), pending);
    } catch (error) {
      this.#log.warn("the access log cannot be written", { path: this.#path, error });
    }
  }

  #open(): number {
    if (this.#path === "/dev/stdout") return 1;
    if (this.#path === "/dev/stderr") return 2;
    return (this.#fd ??= fs.openSync(this.#path, "a", 0o640));
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#isWriting || this.#pending === "") return;
    const bytes = Buffer.from(this.#pending);
    this.#pending = "";
    this.#isWriting = true;
    try {
      this.#writeAll(this.#open(), bytes, 0);
    } catch (error) {
      this.#onWritten(error);
    }
  }

  #writeAll(fd: number, bytes: Buffer, from: number): void {
    fs.write(fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error === null && from + written < bytes.length) this.#writeAll(fd, bytes, from + written);
      else if (error?.code === "EAGAIN") this.#clock.setTimer(FLUSH_MS, () => this.#writeAll(fd, bytes, from));
      else this.#onWritten(error);
    });
  }

  #onWritten(error: unknown): void {
    this.#isWriting = false;
    if (error !== null) this.#log.warn("the access log cannot be written", { path: this.#path, error });
    if (this.#dropped > 0)
      this.#log.warn("access log lines were dropped: the file does not take them", {
        path: this.#path,
        lines: this.#dropped,
      });
    this.#dropped = 0;
    if (this.#pending !== "") this.#timer ??= this.#clock.setTimer(FLUSH_MS, () => this.#flush());
  }
}
