// What an API server says about an object that it does not store.
import { readFileSync } from "node:fs";
import https from "node:https";

import { kinds } from "#config/schema/kinds.ts";
import type { Json } from "./cases.ts";

/** One reason, in the words that both sides share. */
export interface Reason {
  readonly path: string;
  readonly reason: "unknown" | "missing" | "type" | "range" | "value" | "duplicate" | "rule";
  /** Of rules alone. */
  readonly message?: string;
}

interface Status {
  readonly status?: string;
  readonly message?: string;
  readonly details?: {
    readonly causes?: readonly { readonly reason: string; readonly message: string; readonly field?: string }[];
  };
}

export class Asker {
  readonly #server: URL;
  readonly #ca: string;
  readonly #token: string;
  readonly #agent = new https.Agent({ keepAlive: true });

  constructor(kubeconfig: string) {
    const { clusters, users } = JSON.parse(readFileSync(kubeconfig, "utf8")) as {
      clusters: [{ cluster: { server: string; "certificate-authority-data": string } }];
      users: [{ user: { token: string } }];
    }; // as: credentials.ts wrote it
    this.#server = new URL(clusters[0].cluster.server);
    this.#ca = Buffer.from(clusters[0].cluster["certificate-authority-data"], "base64").toString();
    this.#token = users[0].user.token;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Undefined: it would take the object; else its whole answer. */
  async refusal(object: Json): Promise<Status | undefined> {
    const kind = kinds.find((one) => one.kind === object["kind"]);
    if (kind === undefined) throw new Error(`No kind ${String(object["kind"])}`);
    const metadata = object["metadata"] as { readonly name?: string; readonly namespace?: string }; // as: cases are objects
    const within = kind.scope === "Cluster" ? "" : `/namespaces/${metadata.namespace ?? "default"}`;
    const path = `/apis/${kind.group}/${kind.version}${within}/${kind.plural}?dryRun=All&fieldValidation=Strict`;
    const { status, text } = await this.#post(path, JSON.stringify(object));
    if (status === 201) return undefined;
    return JSON.parse(text) as Status; // as: the API server's answer
  }

  #post(path: string, body: string): Promise<{ readonly status: number; readonly text: string }> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${this.#token}`, "content-type": "application/json" };
      const options = { method: "POST", ca: this.#ca, agent: this.#agent, headers };
      const request = https.request(new URL(path, this.#server), options, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      });
      request.on("error", reject);
      request.end(body);
    });
  }
}

/** The reasons of a refusal, in order. */
export function reasonsOf({ message = "", details }: Status): readonly Reason[] {
  const unknown = [...message.matchAll(/unknown field "([^"]+)"/g)].map(
    ([, path = ""]) => ({ path, reason: "unknown" }) as const,
  );
  const causes = (details?.causes ?? [])
    .filter((cause) => !/some validation rules were not checked/.test(cause.message))
    .map((cause) => {
      const path = cause.field === "<nil>" ? "" : (cause.field ?? "");
      const reason = reasonOf(cause.reason, cause.message);
      return reason === "rule" ? { path, reason, message: ruleOf(cause.message) } : { path, reason };
    });
  return [...unknown, ...causes].toSorted(byText);
}

export function byText(left: Reason, right: Reason): number {
  return JSON.stringify(left) < JSON.stringify(right) ? -1 : 1;
}

function reasonOf(reason: string, message: string): Reason["reason"] {
  switch (reason) {
    case "FieldValueRequired":
      return "missing";
    case "FieldValueTypeInvalid":
      return "type";
    case "FieldValueNotSupported":
      return "value";
    case "FieldValueDuplicate":
      return "duplicate";
    case "FieldValueTooLong":
    case "FieldValueTooMany":
      return "range";
    default:
      if (/must be of type|must validate/.test(message)) return "type";
      if (/in body should match/.test(message)) return "value";
      if (
        /should be (less|greater) than|should be at (least|most)|should have at (least|most)|must have at/.test(message)
      )
        return "range";
      return "rule";
  }
}

/** Without the value, which the server may put before it. */
function ruleOf(message: string): string {
  return message.replace(/^Invalid value: (?:(?:"(?:[^"\\]|\\.)*"|[{[].*[}\]]|[\d.]+|true|false|null): )?/s, "");
}
