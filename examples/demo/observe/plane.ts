// What the control plane tells about itself on its metrics port.
import { Load } from "../../shop/load.ts";
import { listOf, textOf } from "../json.ts";

/** One problem of the last configuration that was read. */
export interface ConfigState {
  /** Version in force. */
  readonly version: string;
  /** Messages with file:line:column; empty when the last edit was accepted. */
  readonly errors: readonly string[];
}

export interface Receipts {
  readonly applied: number;
  readonly total: number;
}

export class PlaneView {
  readonly #base: string;
  readonly #load = new Load({ connections: 4, timeoutMs: 10_000 });

  constructor(address: string) {
    this.#base = `http://${address}`;
  }

  async isReady(): Promise<boolean> {
    return (await this.#load.call({ url: `${this.#base}/ready` })).status === 200;
  }

  async config(): Promise<ConfigState> {
    const body = await this.#json("/debug/config");
    const errors = listOf(body, "errors").map((error) => `${textOf(error, "at")}: ${textOf(error, "message")}`);
    return { version: textOf(body, "version"), errors };
  }

  /** On how many of the connected proxies `version` is applied. */
  async receipts(version: string): Promise<Receipts> {
    const body = await this.#json(`/debug/receipts?version=${encodeURIComponent(version)}`);
    return { applied: Number(textOf(body, "applied")), total: Number(textOf(body, "total")) };
  }

  close(): Promise<void> {
    return this.#load.close();
  }

  async #json(path: string): Promise<unknown> {
    const outcome = await this.#load.call({ url: `${this.#base}${path}` });
    if (outcome.status !== 200)
      throw new Error(`the control plane answered ${path} with ${outcome.status}${outcome.error}`);
    return outcome.body;
  }
}
