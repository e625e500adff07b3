// Asks the planes' own HTTP ports, and reads what they answer without trusting its shape.
import { HeddleError } from "#lib/errors.ts";

/** Something that must answer did not. Code `HDL_CLI_UNREACHABLE`, exit code 3. */
export class UnreachableError extends HeddleError {
  constructor(message: string, options?: ErrorOptions) {
    super("HDL_CLI_UNREACHABLE", message, options);
  }
}

const TIMEOUT_MS = 10_000;

/** @throws {UnreachableError} when nobody answers, or with another status than 200. */
export async function getText(address: string, path: string): Promise<string> {
  const url = `http://${address}${path}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    text = await response.text();
  } catch (error) {
    throw new UnreachableError(`Cannot get ${url}: ${reasonOf(error)}`, { cause: error });
  }
  if (response.status !== 200) {
    throw new UnreachableError(`Cannot get ${url}: it answered ${response.status}: ${text.split("\n")[0] ?? ""}`);
  }
  return text;
}

/** @throws {UnreachableError} also when the answer is not JSON. */
export async function getJson(address: string, path: string): Promise<unknown> {
  const text = await getText(address, path);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UnreachableError(`Cannot read http://${address}${path}: it is not JSON`, { cause: error });
  }
}

/** fetch says "fetch failed" and keeps the reason below. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (error.name === "TimeoutError") return `no answer within ${TIMEOUT_MS / 1000} s`;
  if (cause instanceof Error && cause.message !== "") return cause.message;
  return cause instanceof Error && "code" in cause ? String(cause.code) : error.message;
}

/** A field of something that may be an object. */
export function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && name in value
    ? (value as Record<string, unknown>)[name] // an object that has the name
    : undefined;
}

/** A text, a number or a flag as text; "" for anything else. */
export function textOf(value: unknown, name: string): string {
  const field = fieldOf(value, name);
  return typeof field === "string" || typeof field === "number" || typeof field === "boolean" ? String(field) : "";
}

/** NaN where there is no number. */
export function numberOf(value: unknown, name: string): number {
  const field = fieldOf(value, name);
  return typeof field === "number" ? field : Number.NaN;
}

/** A list, or the values of an object, or nothing. */
export function listOf(value: unknown, name?: string): readonly unknown[] {
  const field = name === undefined ? value : fieldOf(value, name);
  if (Array.isArray(field)) return field as readonly unknown[];
  return typeof field === "object" && field !== null ? Object.values(field) : [];
}
