// What the codec itself answers to a request that it refuses: there is no stream yet that anybody else could answer.
import { writeBytes } from "#lib/http/outbox.ts";
import type { Outbox } from "#lib/http/stream.ts";
import { reasonOf } from "./status-line.ts";
import type { Violation } from "./violation.ts";

/** A problem document with its cause (contracts.md: local replies), and the end of the connection. */
export function writeRefusal(out: Outbox, violation: Violation): void {
  const detail = violation.detail.replaceAll(/[^\x20-\x7e]/g, "?");
  const body = JSON.stringify({
    type: "about:blank",
    status: violation.status,
    title: reasonOf(violation.status),
    code: "http1_request_refused",
    detail,
  });
  const upgrade =
    violation.status === 426 ? "Upgrade: HTTP/1.1\r\nConnection: Upgrade, close\r\n" : "Connection: close\r\n";
  const quoted = detail.replaceAll(/["\\]/g, (character) => `\\${character}`);
  const text = Buffer.from(
    `HTTP/1.1 ${violation.status} ${reasonOf(violation.status)}\r\n` +
      `Content-Type: application/problem+json\r\nContent-Length: ${body.length}\r\n` +
      `Proxy-Status: heddle; error=http_request_error; details="${quoted}"\r\n${upgrade}\r\n${body}`,
  );
  writeBytes(out, text, 0, text.length);
}
