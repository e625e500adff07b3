// Keeps the mesh's authority in its Secret: makes it once among all replicas, follows it, and as the leader takes the steps of a
// rotation.
import { describeError } from "#lib/errors.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Watched } from "#lib/watched.ts";
import { KubernetesError, type KubernetesClient } from "../../kubernetes/client.ts";
import { Informer } from "../../kubernetes/informer.ts";
import { tryObject, type KubernetesObject } from "../../kubernetes/objects.ts";
import { pathOf, type ResourceType } from "../../kubernetes/resource-type.ts";
import type { IssuerMaterial } from "../issuer.ts";
import { IdentityError } from "../spiffe-id.ts";
import {
  isOwnCa,
  makeCaSecret,
  nextCaSecret,
  parseCaSecret,
  phaseOf,
  readCaSecret,
  type CaSecret,
} from "./ca-secret.ts";
import { IssuerHandover } from "./issuer-handover.ts";

const secrets: ResourceType = { group: "", versions: ["v1"], plural: "secrets", kind: "Secret" };

const defaultTimes: CaKeeperTimes = { retryMs: 1000, stepMs: 1000 };
/** An authority that ends within these is called out, once each. */
const WARNINGS_DAYS = [60, 30, 14, 7, 3, 1];
const DAY_MS = 86_400_000;

interface CaKeeperTimes {
  /** Between two looks for a Secret that is not there, or an API server that does not answer. */
  readonly retryMs: number;
  /** How often the leader looks whether a step of a rotation is due. */
  readonly stepMs: number;
}

export interface CaKeeperOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  readonly name: string;
  /** False: the Secret is handed in by somebody else, and awaited. */
  readonly mayCreate: boolean;
  readonly trustDomain: string;
  readonly leafLifeMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Ends the wait for the Secret. */
  readonly signal?: AbortSignal;
  readonly times?: CaKeeperTimes;
}

export class CaKeeper {
  readonly #options: CaKeeperOptions;
  readonly #handover: IssuerHandover;
  readonly #informer: Informer<KubernetesObject>;
  /** The last good one. */
  #object: KubernetesObject;
  #isLeader = false;
  #isStepping = false;
  #timer: Timer | undefined;
  #warned = Infinity;
  /** Of the Secret as it is now. */
  #problem: string | undefined;
  #stepProblem: string | undefined;

  private constructor(options: CaKeeperOptions, object: KubernetesObject, material: IssuerMaterial) {
    const { client, namespace, name, clock, random, log, leafLifeMs } = options;
    this.#options = options;
    this.#object = object;
    this.#handover = new IssuerHandover(material, { clock, leafLifeMs, isGradual: !isOwnCa(readCaSecret(object)) });
    this.#informer = new Informer(
      {
        client,
        type: secrets,
        namespace,
        fieldSelector: `metadata.name=${name}`,
        keep: (found) => (found.metadata.name === name ? found : undefined),
        clock,
        random,
        log,
      },
      { onReplace: () => this.#look(), onChange: () => this.#look(), onState: () => undefined },
    );
    this.#informer.start();
    this.#warn(material);
    this.#schedule();
  }

  /**
   * Reads the Secret, or makes it: of several replicas that try, the API server lets one, and the others read what that one made.
   * Waits while the API server cannot be asked, and for a Secret that others make.
   * @throws {IdentityError} when what is there is no authority: it is never replaced.
   */
  static async open(options: CaKeeperOptions): Promise<CaKeeper> {
    const { log, clock, name, namespace, signal } = options;
    let told = "";
    for (;;) {
      signal?.throwIfAborted();
      try {
        const object = await readOrCreate(options);
        return new CaKeeper(options, object, parseCaSecret(readCaSecret(object), clock.wallMs()));
      } catch (error) {
        if (error instanceof IdentityError) throw new IdentityError(`Secret ${namespace}/${name}: ${error.message}`);
        const reason = describeError(error);
        if (reason !== told) log.warn("waiting for the authority's Secret", { namespace, name, reason });
        told = reason;
      }
      await pause((options.times ?? defaultTimes).retryMs);
    }
  }

  /** Who signs now, and whom peers trust. */
  get material(): Watched<IssuerMaterial> {
    return this.#handover.material;
  }

  /** Only a leader changes the Secret. */
  setLeader(isLeader: boolean): void {
    this.#isLeader = isLeader;
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#handover.close();
    await this.#informer.close();
  }

  /** Takes what the Secret holds now; what cannot be used is said, and the old goes on. */
  #look(): void {
    const { clock, log, namespace, name } = this.#options;
    const object = this.#informer.get(`${namespace}/${name}`);
    if (object === undefined) {
      this.#complain("it is gone, the authority goes on from memory");
      return;
    }
    if (object.metadata.resourceVersion === this.#object.metadata.resourceVersion) return;
    const secret = readCaSecret(object);
    try {
      const material = parseCaSecret(secret, clock.wallMs());
      this.#object = object;
      log.info("authority changed", { namespace, name, phase: phaseOf(secret) });
      this.#problem = undefined;
      this.#handover.take(material);
      this.#warn(material);
    } catch (error) {
      this.#complain(describeError(error));
    }
  }

  #complain(reason: string): void {
    const { log, namespace, name } = this.#options;
    if (reason !== this.#problem) log.error("authority's Secret not taken", { namespace, name, reason });
    this.#problem = reason;
  }

  #schedule(): void {
    const { clock, times = defaultTimes } = this.#options;
    this.#timer = clock.setTimer(times.stepMs, () => {
      this.#schedule();
      this.#warn(this.material.current);
      if (this.#isLeader && !this.#isStepping) void this.#step();
    });
  }

  async #step(): Promise<void> {
    const { client, clock, trustDomain, leafLifeMs, log, namespace, name } = this.#options;
    this.#isStepping = true;
    try {
      const object = this.#object;
      if (this.#informer.state === "live" && this.#informer.get(`${namespace}/${name}`) === undefined) {
        await this.#restore(object);
        return;
      }
      // Nothing is built on what is broken, or written over it: whoever wrote it mends it, or deletes it.
      if (this.#problem !== undefined) return;
      const next = await nextCaSecret(readCaSecret(object), { trustDomain, leafLifeMs, nowMs: clock.wallMs() });
      if (next === undefined) return;
      parseCaSecret(next, clock.wallMs());
      const body = toObject(this.#options, next, object);
      await client.request({ method: "PUT", path: pathOf(secrets, { namespace, name }), body });
      log.info("authority's rotation", { namespace, name, phase: phaseOf(next) });
      this.#stepProblem = undefined;
    } catch (error) {
      // Somebody else has changed it: what they wrote comes through the watch, and is looked at anew.
      if (error instanceof KubernetesError && error.status === 409) return;
      const reason = describeError(error);
      if (reason !== this.#stepProblem) log.error("authority not rotated", { namespace, name, reason });
      this.#stepProblem = reason;
    } finally {
      this.#isStepping = false;
    }
  }

  /** A new root would cut off every proxy that lives: ours comes back as it was. What others keep is theirs to bring back. */
  async #restore(object: KubernetesObject): Promise<void> {
    const { client, log, namespace, name } = this.#options;
    const secret = readCaSecret(object);
    if (!isOwnCa(secret)) return;
    const body = toObject(this.#options, secret);
    await client.request({ method: "POST", path: pathOf(secrets, { namespace }), body });
    log.warn("authority's Secret was deleted, and is written again", { namespace, name });
  }

  #warn({ notAfterMs }: IssuerMaterial): void {
    const { clock, log, namespace, name } = this.#options;
    const daysLeft = (notAfterMs - clock.wallMs()) / DAY_MS;
    const due = WARNINGS_DAYS.filter((days) => daysLeft <= days).at(-1) ?? Infinity;
    // Another authority begins anew.
    if (due === this.#warned) return;
    const isNews = due < this.#warned;
    this.#warned = due;
    if (isNews) {
      const notAfter = new Date(notAfterMs).toISOString();
      log[due > 7 ? "warn" : "error"]("authority ends soon", { namespace, name, notAfter });
    }
  }
}

async function readOrCreate(options: CaKeeperOptions): Promise<KubernetesObject> {
  const { client, namespace, name, mayCreate, trustDomain, clock, log } = options;
  const path = pathOf(secrets, { namespace, name });
  try {
    return checked(await client.request({ path }));
  } catch (error) {
    if (!mayCreate || !(error instanceof KubernetesError) || error.status !== 404) throw error;
  }
  const body = toObject(options, await makeCaSecret(trustDomain, clock.wallMs()));
  try {
    const made = checked(await client.request({ method: "POST", path: pathOf(secrets, { namespace }), body }));
    log.info("authority made", { namespace, name });
    return made;
  } catch (error) {
    if (!(error instanceof KubernetesError) || error.status !== 409) throw error;
    // Another replica was first: its root is the mesh's.
    return checked(await client.request({ path }));
  }
}

function checked(answer: unknown): KubernetesObject {
  const object = tryObject(answer);
  if (object === undefined) throw new KubernetesError("The API server's answer is no Secret");
  return object;
}

/** `over`: the one that it replaces, if that has not changed meanwhile. */
function toObject({ namespace, name }: CaKeeperOptions, secret: CaSecret, over?: KubernetesObject): object {
  const data: Record<string, string> = {};
  for (const [key, text] of Object.entries(secret.data)) data[key] = Buffer.from(text).toString("base64");
  return {
    ...over,
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/tls",
    metadata: {
      name,
      namespace,
      labels: over?.metadata.labels ?? { "app.kubernetes.io/part-of": "heddle" },
      annotations: secret.annotations,
      ...(over === undefined ? {} : { resourceVersion: over.metadata.resourceVersion, uid: over.metadata.uid }),
    },
    data,
  };
}

/** A wait that keeps the process alive: no port is open yet. */
async function pause(ms: number): Promise<void> {
  await new Promise<void>((resolve) => void setTimeout(resolve, ms));
}
