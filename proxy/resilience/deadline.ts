// How long an exchange may take: the route's timeout, the caller's grpc-timeout, and what is left for one attempt.

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };
const GRPC_TIMEOUT = /^([0-9]{1,8})([HMSmun])$/;
/** gRPC allows eight digits. */
const MAX_GRPC_VALUE = 99_999_999;

/** A `grpc-timeout` value in ms, with fractions; undefined when it is not one (gRPC over HTTP/2: 1 to 8 digits and a unit). */
export function tryParseGrpcTimeoutMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = GRPC_TIMEOUT.exec(value);
  if (match === null) return undefined;
  return Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? 0);
}

/** Ms as a `grpc-timeout` value, rounded up, in the finest unit that eight digits can hold. */
export function formatGrpcTimeout(timeoutMs: number): string {
  const wanted = Math.max(0, timeoutMs);
  for (const unit of ["u", "m", "S", "M", "H"]) {
    const value = Math.ceil(wanted / (UNIT_MS[unit] ?? 1));
    if (value <= MAX_GRPC_VALUE) return `${value}${unit}`;
  }
  return `${MAX_GRPC_VALUE}H`;
}

/**
 * The time that the whole exchange has, in ms; 0 = no limit. As Envoy: without `maxGrpcTimeoutMs` the route's timeout; with it,
 * the caller's grpc-timeout instead, cut to the maximum (0 = any), and a gRPC call that names none gets the maximum.
 */
export function exchangeTimeoutMs(
  routeTimeoutMs: number,
  maxGrpcTimeoutMs: number | undefined,
  isGrpc: boolean,
  grpcTimeout: string | undefined,
  offsetMs = 0,
): number {
  if (!isGrpc || maxGrpcTimeoutMs === undefined) return routeTimeoutMs;
  let asked = tryParseGrpcTimeoutMs(grpcTimeout) ?? 0;
  // A hop answers a little before its caller gives up; a time that is no longer than that stays as it is (Envoy).
  if (asked > offsetMs) asked -= offsetMs;
  if (maxGrpcTimeoutMs === 0) return asked;
  return asked === 0 ? maxGrpcTimeoutMs : Math.min(asked, maxGrpcTimeoutMs);
}

/**
 * The time that one attempt has, in ms; 0 = no limit. `perTryTimeoutMs` 0 = none of its own; one that is not below what is
 * left of the exchange changes nothing.
 */
export function attemptTimeoutMs(perTryTimeoutMs: number, timeoutMs: number, elapsedMs: number): number {
  if (timeoutMs === 0) return perTryTimeoutMs;
  const left = Math.max(1, timeoutMs - elapsedMs);
  return perTryTimeoutMs === 0 ? left : Math.min(perTryTimeoutMs, left);
}
