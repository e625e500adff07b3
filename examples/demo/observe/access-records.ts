// The proxies' access logs as the demo reads them: one JSON object a line on standard output.

import { textOf } from "../json.ts";

/** What the demo looks at in one record. */
export interface AccessRecord {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Envoy's response flags, `-` when there is none. */
  readonly flags: string;
  /** The verified SPIFFE id of who called us, empty or `-` when there is none. */
  readonly peerIdentity: string;
  /** Everything in the record. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Records kept for each proxy. */
const KEPT = 20_000;

/** The last access records of one proxy. */
export class AccessLogReader {
  #records: AccessRecord[] = [];

  /** Takes one line of output; what is no access record is left out. */
  push(line: string): void {
    const record = tryParse(line);
    if (record === undefined) return;
    if (this.#records.length >= KEPT) this.#records = this.#records.slice(KEPT / 2);
    this.#records.push(record);
  }

  get records(): readonly AccessRecord[] {
    return this.#records;
  }

  byRequestId(requestId: string): AccessRecord | undefined {
    return this.#records.findLast((record) => record.requestId === requestId);
  }
}

function tryParse(line: string): AccessRecord | undefined {
  if (!line.startsWith("{") || !line.includes("response_flags")) return undefined;
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>; // a line that begins with "{" and parses is an object
  } catch {
    return undefined;
  }
  return {
    requestId: textOf(fields, "request_id"),
    method: textOf(fields, "method"),
    path: textOf(fields, "path"),
    status: Number(textOf(fields, "status")),
    flags: textOf(fields, "response_flags"),
    peerIdentity: textOf(fields, "peer_identity"),
    fields,
  };
}
