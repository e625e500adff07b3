// The one way to say something: JSON lines with stable names.

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds these fields to each line. */
  with(fields: LogFields): Log;
}

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** The threshold is shared by all logs made from it with `with`, and can change while running (`/logging`). */
export interface LogThreshold {
  level: LogLevel;
}

/** Writes one JSON object a line through `write`; an `Error` among the fields becomes its message, code and cause. */
export function makeJsonLog(write: (line: string) => void, threshold: LogThreshold, base: LogFields = {}): Log {
  const emit = (level: LogLevel, message: string, fields: LogFields | undefined): void => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(threshold.level)) return;
    const line = { time: new Date().toISOString(), level, message, ...base, ...fields };
    write(`${JSON.stringify(line, replaceErrors)}\n`);
  };
  return {
    debug: (message, fields) => emit("debug", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    error: (message, fields) => emit("error", message, fields),
    with: (fields) => makeJsonLog(write, threshold, { ...base, ...fields }),
  };
}

/** Says nothing. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => silentLog,
};

function replaceErrors(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const code = "code" in value ? value.code : undefined;
  return { name: value.name, message: value.message, code, cause: value.cause };
}
