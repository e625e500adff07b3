// The proxies' access logs as the demo reads them: one JSON object a line on standard output.

/** What the demo looks at in one record. */
export interface AccessRecord {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Envoy's response flags, `-` when there is none. */
  readonly flags: string;
  /** The verified SPIFFE id of who called us, empty when there is none. */
  readonly downstreamPeer: string;
  /** The verified SPIFFE id of whom we called. */
  readonly upstreamPeer: string;
  readonly upstreamHost: string;
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
  if (!line.startsWith("{") || !line.includes("response_code")) return undefined;
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>; // a line that begins with "{" and parses is an object
  } catch {
    return undefined;
  }
  const text = (...names: readonly string[]): string => {
    for (const name of names) {
      const value = fields[name];
      if (typeof value === "string") return value;
      if (typeof value === "number") return String(value);
    }
    return "";
  };
  return {
    requestId: text("request_id", "x_request_id"),
    method: text("method"),
    path: text("path"),
    status: Number(text("response_code")),
    flags: text("response_flags"),
    downstreamPeer: text("downstream_peer_uri_san", "downstream_peer", "source_principal"),
    upstreamPeer: text("upstream_peer_uri_san", "upstream_peer", "destination_principal"),
    upstreamHost: text("upstream_host"),
    fields,
  };
}
