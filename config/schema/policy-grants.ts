// Which targets a policy may act on: those of its own namespace, and in others what a ReferenceGrant there opens to it.

import { heddleGroup } from "./kind.ts";
import type { Resource } from "./kinds.ts";
import { grantable, isGranted, type ReferenceGrant } from "./reference-grant.ts";

interface TargetRef {
  readonly group?: string | undefined;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string | undefined;
}

export interface PolicyHead {
  readonly kind: string;
  readonly metadata: { readonly namespace: string };
}

/** Where grants and subsets are looked up. */
export interface GrantSource {
  /** The grants of a namespace. */
  readonly grantsIn: (namespace: string) => readonly ReferenceGrant[];
  /** The name of the Service that the subset `namespace/name` is a part of. */
  readonly serviceOfSubset: (key: string) => string | undefined;
}

/** Whether the policy may act on one of its targets. What it may not act on it is not told to be there or not. */
export function isTargetPermitted({ kind, metadata }: PolicyHead, target: TargetRef, source: GrantSource): boolean {
  const { namespace = metadata.namespace, name } = target;
  if (namespace === metadata.namespace) return true;
  const service = target.kind === "ServiceSubset" ? (source.serviceOfSubset(`${namespace}/${name}`) ?? "") : name;
  const from = { group: heddleGroup, kind, namespace: metadata.namespace };
  return isGranted(source.grantsIn(namespace), { from, to: grantable(target.group ?? "", target.kind, name, service) });
}

/** What a policy is told of a target that it may not act on. */
export function notPermitted({ kind, metadata }: PolicyHead, { kind: targetKind, name, namespace }: TargetRef): string {
  const there = namespace ?? metadata.namespace;
  return `no ReferenceGrant in "${there}" lets ${pluralOf(kind)} of "${metadata.namespace}" act on ${targetKind} "${there}/${name}"`;
}

function pluralOf(kind: string): string {
  return kind.endsWith("y") ? `${kind.slice(0, -1)}ies` : `${kind}s`;
}

/** Of documents in force. */
export function grantSourceOf(resources: readonly Resource[]): GrantSource {
  const grants = new Map<string, ReferenceGrant[]>();
  const services = new Map<string, string>();
  for (const resource of resources) {
    const { namespace, name } = resource.metadata;
    if (resource.kind === "ReferenceGrant") grants.set(namespace, [...(grants.get(namespace) ?? []), resource]);
    else if (resource.kind === "ServiceSubset") services.set(`${namespace}/${name}`, resource.spec.service);
  }
  return { grantsIn: (namespace) => grants.get(namespace) ?? [], serviceOfSubset: (key) => services.get(key) };
}
