// What one pod's annotations make of the settings of injection.
import { names } from "#config/kubernetes/names.ts";
import type { Interception, LocalUpstream } from "#config/kubernetes/sidecar-annotation.ts";
import { quantityValue } from "#config/schema/quantity.ts";
import { suggest } from "#config/schema/suggest.ts";
import * as check from "./fields.ts";
import { annotationPath, InjectionError } from "./injection-error.ts";
import type { Texts } from "./pod.ts";
import { LOG_LEVELS, MAX_CONCURRENCY, type InjectionSettings } from "./settings.ts";

export interface PodOptions {
  readonly interception: Interception;
  readonly isNative: boolean;
  readonly proxyImage: string;
  readonly logLevel: string;
  readonly concurrency: number;
  readonly rewritesProbes: boolean;
  readonly imagePullSecrets: readonly string[];
  readonly upstreams: readonly LocalUpstream[];
  readonly resources: Resources;
  /** Flags of `heddle-init redirect` and `verify`. */
  readonly filterFlags: readonly string[];
}

interface Resources {
  readonly requests?: Texts;
  readonly limits?: Texts;
}

/** @throws {InjectionError} naming the annotation. */
export function readOptions(annotations: Texts, settings: InjectionSettings): PodOptions {
  const read = <T>(name: string, parse: (text: string, path: string) => T, fallback: T): T => {
    const text = annotations[name];
    return text === undefined ? fallback : parse(text.trim(), annotationPath(name));
  };
  const interception = read(
    names.interception,
    (text, path) => check.checkChoice(text, path, ["iptables", "cni", "none"]),
    settings.interception,
  );
  const upstreams = read(names.upstreams, check.checkUpstreams, []);
  if (upstreams.length > 0 && interception !== "none")
    throw new InjectionError(
      annotationPath(names.upstreams),
      `needs ${names.interception}: none`,
      "with interception the application calls services by their own names",
    );
  return {
    interception,
    isNative: read(names.nativeSidecar, check.checkFlag, settings.nativeSidecar),
    proxyImage: read(names.proxyImage, check.checkImage, settings.proxyImage),
    logLevel: read(names.logLevel, (text, path) => check.checkChoice(text, path, LOG_LEVELS), settings.proxy.logLevel),
    concurrency: read(
      names.concurrency,
      (text, path) => check.checkWhole(text, path, 1, MAX_CONCURRENCY),
      settings.proxy.concurrency,
    ),
    // Without interception nothing stands between the kubelet and the application.
    rewritesProbes: read(names.rewriteProbes, check.checkFlag, settings.proxy.rewriteProbes) && interception !== "none",
    imagePullSecrets: [
      ...new Set([...settings.imagePullSecrets, ...read(names.imagePullSecrets, check.checkNames, [])]),
    ],
    upstreams,
    resources: readResources(annotations, settings),
    filterFlags: filterFlags(annotations, settings),
  };
}

function readResources(annotations: Texts, { proxy }: InjectionSettings): Resources {
  const quantity = (name: string, fallback: string): string => {
    const text = annotations[name];
    return text === undefined ? fallback : check.checkQuantity(text.trim(), annotationPath(name));
  };
  const requests: Record<string, string> = {};
  const limits: Record<string, string> = {};
  for (const [resource, requestName, limitName, defaultRequest, defaultLimit] of [
    ["cpu", names.cpuRequest, names.cpuLimit, proxy.cpuRequest, proxy.cpuLimit],
    ["memory", names.memoryRequest, names.memoryLimit, proxy.memoryRequest, proxy.memoryLimit],
  ] as const) {
    const request = quantity(requestName, defaultRequest);
    const limit = quantity(limitName, defaultLimit);
    if (request !== "") requests[resource] = request;
    if (limit !== "") limits[resource] = limit;
    if (request === "" || limit === "" || quantityValue(request) <= quantityValue(limit)) continue;
    // The one that is not the user's own is to be set too.
    const [wrong, other] = annotations[limitName] === undefined ? [requestName, limitName] : [limitName, requestName];
    throw new InjectionError(
      annotationPath(wrong),
      `leaves the request of ${resource} (${request}) above its limit (${limit})`,
      `set ${other} too`,
    );
  }
  return {
    ...(Object.keys(requests).length === 0 ? {} : { requests }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}

/** The annotations' own texts, checked; settings and annotations that exclude add up. */
function filterFlags(annotations: Texts, settings: InjectionSettings): readonly string[] {
  const flags: string[] = [];
  const add = (
    flag: string,
    name: string,
    parse: (text: string, path: string) => string,
    always: string | undefined,
  ): void => {
    const text = annotations[name];
    const own = text === undefined ? "" : parse(text, annotationPath(name));
    const all = [always ?? "", own].filter((part) => part !== "").join(",");
    if (all !== "") flags.push(flag, all);
  };
  add("--exclude-outbound-ports", names.excludeOutboundPorts, check.checkPorts, settings.excludeOutboundPorts);
  add("--exclude-inbound-ports", names.excludeInboundPorts, check.checkPorts, settings.excludeInboundPorts);
  add("--include-inbound-ports", names.includeInboundPorts, check.checkPortsOrAll, undefined);
  add("--exclude-outbound-cidrs", names.excludeOutboundCidrs, check.checkCidrs, settings.excludeOutboundCidrs);
  add("--include-outbound-cidrs", names.includeOutboundCidrs, check.checkCidrsOrAll, undefined);
  add("--exclude-uids", names.excludeUids, check.checkIds, undefined);
  add("--exclude-gids", names.excludeGids, check.checkIds, undefined);
  return flags;
}

/** Nobody reads more, and each costs time in which the control plane does nothing else; anybody can ask the webhook. */
const MOST_MISSPELT = 20;

/** One sentence for each annotation of ours that is probably misspelt: it would be without effect. */
export function misspeltAnnotations(annotations: Texts): readonly string[] {
  const known: readonly string[] = Object.values(names);
  const unknown = Object.keys(annotations).filter((name) => name.startsWith("heddle.dev/") && !known.includes(name));
  return unknown.slice(0, MOST_MISSPELT).flatMap((name) => {
    const near = suggest(name, known);
    return near === undefined ? [] : [`${annotationPath(name)} has no effect: did you mean ${near}?`];
  });
}
