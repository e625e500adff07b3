// Access logs: one line per exchange, formatted by compiled operators, collected and written in batches.
import fs from "node:fs";

import type { AccessLog } from "#config/model/telemetry.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import { TextBuffer } from "#lib/text-buffer.ts";
import type { HttpExchange } from "#proxy/stream/exchange.ts";
import { compileFormat, compileJsonFormat } from "#proxy/stream/format.ts";

/** Writes the line of one exchange, line end included. */
export type LineMaker = (exchange: HttpExchange, out: TextBuffer) => void;

/** Throws when the format has an unknown operator. */
export function compileAccessLog(config: AccessLog): LineMaker {
  if (config.format.kind === "text") {
    const format = compileFormat(config.format.format);
    return (exchange, out) => out.write(String(format(exchange) ?? "-"));
  }
  const write = compileJsonFormat(config.format.fields);
  return (exchange, out) => {
    write(exchange, out);
    out.write("\n");
  };
}

const FLUSH_BYTES = 65_536;
const FLUSH_MS = 100;

/** A file that is appended to; `/dev/stdout` and `/dev/stderr` are the process's own. Lines wait at most 100 ms or 64 KiB. */
export class LineFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #fd: number | undefined;
  #pending = new TextBuffer();
  /** The other of two buffers, while it is not being written. */
  #spare: TextBuffer | undefined;
  #timer: Timer | undefined;
  #isWriting = false;
  #dropped = 0;

  constructor(path: string, clock: Clock, log: Log) {
    this.#path = path;
    this.#clock = clock;
    this.#log = log;
  }

  write(line: string): void {
    const out = this.begin();
    if (out === undefined) return;
    out.write(line);
    this.end();
  }

  /** Where to write the next line, to be followed by `end`; undefined = the file takes nothing, the line is lost and counted. */
  begin(): TextBuffer | undefined {
    if (this.#pending.length <= FLUSH_BYTES * 64) return this.#pending;
    this.#dropped++;
    return undefined;
  }

  end(): void {
    if (this.#pending.length >= FLUSH_BYTES) this.#flush();
    else this.#timer ??= this.#clock.setTimer(FLUSH_MS, () => this.#flush());
  }

  /** Writes what waits before the process ends. */
  closeNow(): void {
    this.#timer?.cancel();
    const pending = this.#pending;
    this.#pending = new TextBuffer();
    if (pending.length === 0) return;
    try {
      fs.writeSync(this.#open(), pending.bytes);
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
    if (this.#isWriting || this.#pending.length === 0) return;
    const full = this.#pending;
    this.#pending = this.#spare ?? new TextBuffer();
    this.#spare = undefined;
    this.#isWriting = true;
    try {
      this.#writeAll(this.#open(), full, 0);
    } catch (error) {
      this.#onWritten(full, error);
    }
  }

  #writeAll(fd: number, full: TextBuffer, from: number): void {
    fs.write(fd, full.bytes, from, full.length - from, null, (error, written) => {
      if (error === null && from + written < full.length) this.#writeAll(fd, full, from + written);
      else if (error?.code === "EAGAIN") this.#clock.setTimer(FLUSH_MS, () => this.#writeAll(fd, full, from));
      else this.#onWritten(full, error);
    });
  }

  #onWritten(written: TextBuffer, error: unknown): void {
    this.#isWriting = false;
    // One that grew because the file was slow is let go.
    if (written.capacity <= FLUSH_BYTES * 4) {
      written.clear();
      this.#spare = written;
    }
    if (error !== null) this.#log.warn("the access log cannot be written", { path: this.#path, error });
    if (this.#dropped > 0)
      this.#log.warn("access log lines were dropped: the file does not take them", {
        path: this.#path,
        lines: this.#dropped,
      });
    this.#dropped = 0;
    if (this.#pending.length > 0) this.#timer ??= this.#clock.setTimer(FLUSH_MS, () => this.#flush());
  }
}
