// RetryPolicy in its plain form.
import type { HeaderMatcher } from "../../model/matcher.ts";
import type { RateLimitedBackoff, RetryPolicy } from "../../model/route.ts";
import { BACKOFF_CAP, BASE_BACKOFF_MS, RETRY_CONDITIONS, splitConditions } from "../retry-conditions.ts";
import { readHeaderMatcher } from "./plain-matcher.ts";
import { NONE, NOT_PLAIN, once, type PlainReader } from "./plain-reader.ts";

const PREVIOUS_HOSTS = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";

/** envoy.config.route.v3.RetryPolicy. */
export function readRetry(reader: PlainReader, end: number): RetryPolicy {
  const stop = reader.stop(end);
  let retryOn: readonly string[] = NONE;
  let numRetries = 1;
  let perTryTimeoutMs = 0;
  let perTryIdleTimeoutMs = 0;
  let retriableStatusCodes: readonly number[] = NONE;
  let retriableHeaders: HeaderMatcher[] | undefined;
  let backoff = { baseMs: BASE_BACKOFF_MS, maxMs: BASE_BACKOFF_MS * BACKOFF_CAP };
  let avoidPreviousHosts = false;
  let hostSelectionAttempts = 1;
  let rateLimitedBackoff: RateLimitedBackoff | undefined;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    if (tag !== 0x2a && tag !== 0x4a) seen = once(seen, tag);
    switch (tag) {
      case 0x0a:
        retryOn = readConditions(reader.text(stop));
        break;
      case 0x12:
        numRetries = reader.numberValue(stop);
        break;
      case 0x1a:
        perTryTimeoutMs = reader.durationMs(stop);
        break;
      case 0x6a:
        perTryIdleTimeoutMs = reader.durationMs(stop);
        break;
      case 0x2a:
        readPreviousHosts(reader, stop);
        avoidPreviousHosts = true;
        break;
      case 0x30:
        hostSelectionAttempts = Math.max(1, reader.varint());
        break;
      case 0x3a:
        retriableStatusCodes = readNumbers(reader, stop);
        break;
      case 0x42:
        backoff = readBackoff(reader, stop);
        break;
      case 0x5a:
        rateLimitedBackoff = readRateLimited(reader, stop);
        break;
      case 0x4a:
        (retriableHeaders ??= []).push(readHeaderMatcher(reader, stop));
        break;
      default:
        throw NOT_PLAIN;
    }
  }
  reader.close(stop);
  return {
    retryOn,
    numRetries,
    perTryTimeoutMs,
    perTryIdleTimeoutMs,
    retriableStatusCodes,
    retriableHeaders: retriableHeaders ?? NONE,
    retriableRequestHeaders: NONE,
    backoff,
    avoidPreviousHosts,
    hostSelectionAttempts,
    omitHosts: NONE,
    rateLimitedBackoff,
  };
}

function readConditions(text: string): readonly string[] {
  const conditions = splitConditions(text);
  for (const condition of conditions) if (!RETRY_CONDITIONS.has(condition)) throw NOT_PLAIN;
  return conditions;
}

function readNumbers(reader: PlainReader, end: number): readonly number[] {
  const stop = reader.stop(end);
  const numbers: number[] = [];
  while (reader.at < stop) numbers.push(reader.varint());
  reader.close(stop);
  return numbers;
}

function readBackoff(reader: PlainReader, end: number): RetryPolicy["backoff"] {
  const stop = reader.stop(end);
  let baseMs = 0;
  let maxMs: number | undefined;
  let seen = 0;
  while (reader.at < stop) {
    const tag = reader.varint();
    seen = once(seen, tag);
    if (tag === 0x0a) baseMs = reader.durationMs(stop);
    else if (tag === 0x12) maxMs = reader.durationMs(stop);
    else throw NOT_PLAIN;
  }
  reader.close(stop);
  // Both must be more than nothing; what is less than 1 ms is rounded, which is nothing that is written plainly.
  if (baseMs < 1) throw NOT_PLAIN;
  const most = maxMs ?? baseMs * BACKOFF_CAP;
  if (most < baseMs) throw NOT_PLAIN;
  return { baseMs, maxMs: most };
}

/** RateLimitedRetryBackOff, as our control plane writes it: seconds alone, with a maximum. */
function readRateLimited(reader: PlainReader, end: number): RateLimitedBackoff {
  const stop = reader.stop(end);
  const resetHeaders: RateLimitedBackoff["resetHeaders"][number][] = [];
  let maxMs: number | undefined;
  while (reader.at < stop) {
    const tag = reader.varint();
    if (tag === 0x12 && maxMs === undefined) {
      maxMs = reader.durationMs(stop);
      continue;
    }
    if (tag !== 0x0a) throw NOT_PLAIN;
    const inner = reader.stop(stop);
    if (reader.varint() !== 0x0a) throw NOT_PLAIN;
    const name = reader.someText(inner);
    // Nothing but a name that the whole decoder would take too.
    if (!/^[a-z0-9-]+$/.test(name)) throw NOT_PLAIN;
    reader.close(inner);
    resetHeaders.push({ name, format: "seconds" });
  }
  reader.close(stop);
  if (resetHeaders.length === 0 || maxMs === undefined || maxMs <= 0) throw NOT_PLAIN;
  return { resetHeaders, maxMs };
}

/** A RetryHostPredicate, of which there is one that we know: it has a name, and its message is empty. */
function readPreviousHosts(reader: PlainReader, end: number): void {
  const stop = reader.stop(end);
  if (reader.varint() !== 0x0a) throw NOT_PLAIN;
  reader.someText(stop);
  if (reader.varint() !== 0x1a) throw NOT_PLAIN;
  const anyStop = reader.stop(stop);
  if (reader.varint() !== 0x0a || reader.text(anyStop) !== PREVIOUS_HOSTS) throw NOT_PLAIN;
  reader.close(anyStop);
  reader.close(stop);
}
