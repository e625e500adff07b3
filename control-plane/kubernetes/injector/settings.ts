// The settings of injection, one file for the control plane's webhook and for `heddle inject`, so that both give the same result.
import { createHash } from "node:crypto";
import type { Interception } from "#config/kubernetes/sidecar-annotation.ts";
import { describeValue, isObject } from "#config/load/values.ts";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { tryDurationMs } from "#config/schema/duration.ts";
import { suggest } from "#config/schema/suggest.ts";
import { HeddleError } from "#lib/errors.ts";
import * as check from "./fields.ts";

export interface InjectionSettings {
  readonly proxyImage: string;
  readonly initImage: string;
  readonly imagePullPolicy: string;
  readonly imagePullSecrets: readonly string[];
  readonly interception: Interception;
  readonly nativeSidecar: boolean;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  /** `host:port` of certificates and xDS. */
  readonly controlPlane: string;
  readonly proxy: ProxySettings;
  /** As the annotations of the same names; "" = none. */
  readonly excludeOutboundPorts: string;
  readonly excludeInboundPorts: string;
  readonly excludeOutboundCidrs: string;
}

interface ProxySettings {
  /** Quantities; "" = none. */
  readonly cpuRequest: string;
  readonly cpuLimit: string;
  readonly memoryRequest: string;
  readonly memoryLimit: string;
  readonly logLevel: string;
  readonly concurrency: number;
  /** A duration: `5s`. */
  readonly drainTime: string;
  readonly rewriteProbes: boolean;
}

/** The settings of injection cannot be used; the message names the file and the field. Code `HDL_INJECTION_SETTINGS`. */
export class InjectionSettingsError extends HeddleError {
  constructor(message: string, options?: ErrorOptions) {
    super("HDL_INJECTION_SETTINGS", message, options);
  }
}

/** What holds where the file says nothing. `version` is the package's, and the images' tag. */
export function defaultInjectionSettings(version: string): InjectionSettings {
  return {
    proxyImage: `heddle/proxy:${version}`,
    initImage: `heddle/init:${version}`,
    imagePullPolicy: "IfNotPresent",
    imagePullSecrets: [],
    interception: "iptables",
    nativeSidecar: true,
    trustDomain: "cluster.local",
    clusterDomain: "cluster.local",
    controlPlane: "heddle-control-plane.heddle-system.svc:15012",
    proxy: {
      cpuRequest: "50m",
      cpuLimit: "",
      memoryRequest: "96Mi",
      memoryLimit: "512Mi",
      logLevel: "info",
      concurrency: 1,
      drainTime: "5s",
      rewriteProbes: true,
    },
    excludeOutboundPorts: "",
    excludeInboundPorts: "",
    excludeOutboundCidrs: "",
  };
}

/** Two pods with the same revision were injected with the same settings. */
export function revisionOf(settings: InjectionSettings, version: string): string {
  return createHash("sha256")
    .update(JSON.stringify([version, settings]))
    .digest("hex")
    .slice(0, 12);
}

/** Reads the file's text. @throws {InjectionSettingsError} */
export function parseInjectionSettings(text: string, file: string, version: string): InjectionSettings {
  const { documents, errors } = parseYaml(text, file);
  const [error] = errors;
  if (error !== undefined) throw new InjectionSettingsError(error.format(), { cause: error });
  const value = documents[0]?.value ?? {};
  try {
    return readSettings(value, defaultInjectionSettings(version));
  } catch (cause) {
    if (!(cause instanceof HeddleError)) throw cause;
    throw new InjectionSettingsError(`Cannot use the settings of injection in ${file}: ${cause.message}`, { cause });
  }
}

function readSettings(value: unknown, defaults: InjectionSettings): InjectionSettings {
  const all = new Fields(value, "", Object.keys(defaults));
  const proxy = new Fields(all.value("proxy") ?? {}, "proxy.", Object.keys(defaults.proxy));
  const quantity = (name: "cpuRequest" | "cpuLimit" | "memoryRequest" | "memoryLimit"): string => {
    const text = proxy.text(name, defaults.proxy[name]);
    return text === "" ? "" : check.checkQuantity(text, `proxy.${name}`);
  };
  return {
    proxyImage: check.checkImage(all.text("proxyImage", defaults.proxyImage), "proxyImage"),
    initImage: check.checkImage(all.text("initImage", defaults.initImage), "initImage"),
    imagePullPolicy: check.checkChoice(all.text("imagePullPolicy", defaults.imagePullPolicy), "imagePullPolicy", [
      "Always",
      "IfNotPresent",
      "Never",
    ]),
    imagePullSecrets: check.checkNames(all.list("imagePullSecrets"), "imagePullSecrets"),
    interception: check.checkChoice(all.text("interception", defaults.interception), "interception", [
      "iptables",
      "cni",
      "none",
    ]),
    nativeSidecar: all.flag("nativeSidecar", defaults.nativeSidecar),
    trustDomain: all.text("trustDomain", defaults.trustDomain),
    clusterDomain: all.text("clusterDomain", defaults.clusterDomain),
    controlPlane: hostAndPort(all.text("controlPlane", defaults.controlPlane)),
    proxy: {
      cpuRequest: quantity("cpuRequest"),
      cpuLimit: quantity("cpuLimit"),
      memoryRequest: quantity("memoryRequest"),
      memoryLimit: quantity("memoryLimit"),
      logLevel: check.checkChoice(proxy.text("logLevel", defaults.proxy.logLevel), "proxy.logLevel", LOG_LEVELS),
      concurrency: check.checkWhole(
        proxy.text("concurrency", String(defaults.proxy.concurrency)),
        "proxy.concurrency",
        1,
        MAX_CONCURRENCY,
      ),
      drainTime: durationText(proxy.text("drainTime", defaults.proxy.drainTime)),
      rewriteProbes: proxy.flag("rewriteProbes", defaults.proxy.rewriteProbes),
    },
    excludeOutboundPorts: check.checkPorts(all.list("excludeOutboundPorts"), "excludeOutboundPorts"),
    excludeInboundPorts: check.checkPorts(all.list("excludeInboundPorts"), "excludeInboundPorts"),
    excludeOutboundCidrs: check.checkCidrs(all.list("excludeOutboundCidrs"), "excludeOutboundCidrs"),
  };
}

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export const MAX_CONCURRENCY = 64;

/** A mapping whose keys are all known. */
class Fields {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #prefix: string;

  constructor(value: unknown, prefix: string, known: readonly string[]) {
    if (!isObject(value))
      throw new InjectionSettingsError(`${prefix === "" ? "all" : prefix.slice(0, -1)} must be a mapping`);
    this.#values = value;
    this.#prefix = prefix;
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue;
      const near = suggest(key, known);
      throw new InjectionSettingsError(
        `there is no setting ${prefix}${key}${near === undefined ? "" : ` (did you mean ${near}?)`}`,
      );
    }
  }

  value(name: string): unknown {
    return this.#values[name] ?? undefined;
  }

  text(name: string, fallback: string): string {
    const value = this.value(name) ?? fallback;
    if (typeof value === "string" || typeof value === "number") return String(value);
    throw this.#wrong(name, "text", value);
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.value(name) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.#wrong(name, "true or false", value);
  }

  /** A list, or its items between commas; given with commas. */
  list(name: string): string {
    const value = this.value(name) ?? "";
    if (typeof value === "string" || typeof value === "number") return String(value);
    if (Array.isArray(value) && value.every((item) => typeof item === "string" || typeof item === "number"))
      return value.join(",");
    throw this.#wrong(name, "a list", value);
  }

  #wrong(name: string, what: string, value: unknown): InjectionSettingsError {
    return new InjectionSettingsError(`${this.#prefix}${name} must be ${what}: got ${describeValue(value)}`);
  }
}

function hostAndPort(text: string): string {
  if (/^[^\s:]+:\d{1,5}$/.test(text) || /^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(text)) return text;
  throw new InjectionSettingsError(`controlPlane must be HOST:PORT: got "${text}"`);
}

function durationText(text: string): string {
  if (tryDurationMs(text) !== undefined) return text;
  throw new InjectionSettingsError(`proxy.drainTime must be a duration as 5s or 1m: got "${text}"`);
}
