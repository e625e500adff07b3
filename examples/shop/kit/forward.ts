// Which headers of an incoming request an application passes on with the requests that it makes for it.

/** Header fields as node:http and gRPC metadata give them: names in lower case. */
export type IncomingFields = Readonly<Record<string, unknown>>;

/** What any OpenTelemetry instrumentation propagates (W3C and B3), and the request id. */
const TRACE = ["traceparent", "tracestate", "baggage", "b3", "x-request-id"] as const;
const B3_PREFIX = "x-b3-";

/** Headers of the shop's own business that its developers pass on by hand. */
const BUSINESS = ["version", "x-tenant"] as const;

/** The trace headers of `headers`, to be sent with every request made on its behalf. */
export function traceHeaders(headers: IncomingFields): Record<string, string> {
  const forwarded = pick(headers, TRACE);
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(B3_PREFIX) && typeof value === "string") forwarded[name] = value;
  }
  return forwarded;
}

/** The shop's own headers of `headers` (`version`, `x-tenant`). */
export function businessHeaders(headers: IncomingFields): Record<string, string> {
  return pick(headers, BUSINESS);
}

function pick(headers: IncomingFields, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === "string") picked[name] = value;
  }
  return picked;
}
