// A health probe by HTTP, through undici: application traffic uses our codecs, the planes' own calls need not.
import { type buildConnector, Client } from "undici";
import { formatAddress } from "#config/model/address.ts";
import type { Probe, ProbeResult, ProbeTarget } from "./probe.ts";
import { connectSocket } from "./tcp-probe.ts";

type HttpCheck = Extract<ProbeTarget["check"]["check"], { kind: "http" }>;

/** Keeps one connection, as Envoy's `reuse_connection`; a failed check gives it up. */
export class HttpProbe implements Probe {
  readonly #target: ProbeTarget;
  readonly #check: HttpCheck;
  #client: Client | undefined = undefined;

  constructor(target: ProbeTarget, check: HttpCheck) {
    this.#target = target;
    this.#check = check;
  }

  async check(): Promise<ProbeResult> {
    const { path, host, method, expectedStatuses } = this.#check;
    this.#client ??= this.#makeClient();
    try {
      const { statusCode, body } = await this.#client.request({
        method: method === "" ? "GET" : method,
        path,
        headers: { host: host === "" ? this.#target.cluster.name : host, "user-agent": "heddle-health" },
        signal: AbortSignal.timeout(this.#target.check.timeoutMs),
      });
      await body.dump();
      const isExpected =
        expectedStatuses.length === 0
          ? statusCode === 200
          : expectedStatuses.some(({ start, end }) => statusCode >= start && statusCode < end);
      return isExpected ? "healthy" : "refused";
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.destroy().catch(() => undefined);
  }

  #makeClient(): Client {
    const target = this.#target;
    const origin = `${target.tls === undefined ? "http" : "https"}://${formatAddress(target)}`;
    // A mesh peer speaks nothing but HTTP/2.
    const allowH2 = this.#check.http2 || target.endpoint.mesh.kind === "peer";
    if (target.tls === undefined) return new Client(origin, { allowH2 });
    // Our own TLS: undici must not send a request to a peer whose identity was not checked.
    const connect: buildConnector.connector = (_options, callback) => {
      connectSocket(target).then(
        (socket) => callback(null, socket),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
      );
    };
    return new Client(origin, { allowH2, connect });
  }
}
