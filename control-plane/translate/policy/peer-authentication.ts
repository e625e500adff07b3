// Whether a port of a workload takes mutual TLS only, both, or plaintext only: port, then service or selector, namespace, mesh.
import type { Labels } from "#config/model/route.ts";
import type { MtlsMode, PeerAuthentication } from "#config/schema/peer-authentication.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { targetKey } from "../../mesh/snapshot.ts";
import type { ServicePort } from "../../registry/registry.ts";
import { meshConfigOf } from "../scope.ts";

/** `service` is `namespace/name`; `labels` are those of the instance. */
export function mtlsMode(reader: MeshReader, service: string, port: ServicePort, labels: Labels): MtlsMode {
  const [namespace = "", name = ""] = service.split("/");
  const wide = reader.get("peerAuthentications", targetKey("Namespace", namespace, "")) ?? [];
  const targeted = reader.get("peerAuthentications", targetKey("Service", namespace, name)) ?? [];
  const selected = wide.filter(
    ({ spec }) => spec.selector !== undefined && hasLabels(labels, spec.selector.matchLabels),
  );
  const specific = [...targeted.filter((policy) => isForPort(policy, name, port)), ...selected];
  for (const { spec } of specific) {
    const own = spec.ports?.find((one) => one.port === port.name || String(one.port) === String(port.port));
    if (own !== undefined) return own.mode;
  }
  const [first] = specific;
  if (first !== undefined) return first.spec.mode;
  const namespaceWide = wide.find(({ spec }) => spec.selector === undefined);
  return namespaceWide?.spec.mode ?? meshConfigOf(reader).mtls.mode;
}

/**
 * Of one port of a workload to which several services lead: that of the first, but what a policy written for another one of them
 * demands cannot be passed by under the first one's name.
 */
export function sharedMtlsMode(
  reader: MeshReader,
  first: ServedPort,
  others: readonly ServedPort[],
  labels: Labels,
): MtlsMode {
  const isStrict = others.some(({ service, port }) => {
    const [namespace = "", name = ""] = service.split("/");
    const targeted = reader.get("peerAuthentications", targetKey("Service", namespace, name)) ?? [];
    return (
      targeted.some((policy) => isForPort(policy, name, port)) && mtlsMode(reader, service, port, labels) === "STRICT"
    );
  });
  return isStrict ? "STRICT" : mtlsMode(reader, first.service, first.port, labels);
}

interface ServedPort {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: ServicePort;
}

function isForPort(policy: PeerAuthentication, service: string, port: ServicePort): boolean {
  const refs = policy.spec.targetRefs ?? [];
  return refs.some((ref) => ref.name === service && (ref.sectionName === undefined || ref.sectionName === port.name));
}

/** All of `wanted` are among `labels`. */
export function hasLabels(labels: Labels, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}
