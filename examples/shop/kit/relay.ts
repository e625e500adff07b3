// How an application of the shop hands on an upstream's failure to its own caller.
import type { Reply } from "./http-client.ts";
import type { Answer } from "./http-service.ts";

/** Headers of a refused answer that the caller needs: when to come again, and who refused. */
const KEPT = ["retry-after", "proxy-status", "x-request-id"] as const;

/** The upstream's answer as ours: success as it is, failure with the service's name and the same status. */
export function relay(service: string, reply: Reply): Answer {
  const headers: Record<string, string> = {};
  for (const name of KEPT) {
    const value = reply.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  if (reply.status < 400) return { status: reply.status, body: reply.body, headers };
  return {
    status: reply.status,
    body: { error: `${service} answered ${reply.status}`, upstream: reply.body },
    headers,
  };
}
