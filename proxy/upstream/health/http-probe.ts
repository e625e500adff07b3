// A health probe by plaintext HTTP, through undici: application traffic uses our codecs, the planes' own calls need not.
import { Client, H2CClient } from "undici";
import { formatAddress } from "#config/model/address.ts";
import { judgeAnswer, type HttpCheck, requestOf } from "./http-check.ts";
import type { Probe, ProbeResult, ProbeTarget } from "./probe.ts";

/** Keeps one connection, as Envoy's `reuse_connection`; a failed check gives it up. */
export class HttpProbe implements Probe {
  readonly #target: ProbeTarget;
  readonly #check: HttpCheck;
  #client: Client | H2CClient | undefined = undefined;

  constructor(target: ProbeTarget, check: HttpCheck) {
    this.#target = target;
    this.#check = check;
  }

  async check(): Promise<ProbeResult> {
    this.#client ??= this.#makeClient();
    try {
      const { statusCode, headers, body } = await this.#client.request({
        ...requestOf(this.#target, this.#check),
        signal: AbortSignal.timeout(this.#target.check.timeoutMs),
      });
      await body.dump();
      return judgeAnswer(this.#check, { status: statusCode, headers });
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

  #makeClient(): Client | H2CClient {
    const origin = `http://${formatAddress(this.#target)}`;
    return this.#check.http2 ? new H2CClient(origin) : new Client(origin);
  }
}
