// The Secret that holds the mesh's authority, in cert-manager's layout, and how one root of our own takes over from another in it.
//
//   steady --asked for, or the root's last year--> announced --overlap--> switched --overlap--> steady
//   ca.crt:   old           old + new                     old + new                 new
//   tls.*:    old           old                           new                       new
//   next.*:   -             new                           -                         -
import { X509Certificate } from "node:crypto";
import { tryDurationMs } from "#config/schema/duration.ts";
import { textsOf, type KubernetesObject } from "../../kubernetes/objects.ts";
import { backdateMs } from "../authority.ts";
import { makeRoot, type KeyAndCertificate } from "../certificates.ts";
import { joinBundles, parseIssuer, type IssuerMaterial } from "../issuer.ts";
import { IdentityError } from "../spiffe-id.ts";

const DAY_MS = 86_400_000;
const ROOT_LIFE_MS = 3652 * DAY_MS;
const LAST_YEAR_MS = 365 * DAY_MS;

/** Annotations of the Secret. */
export const caAnnotations = {
  /** `heddle`: we made it, and rotate it. Absent: it was handed in, and is only read. */
  keptBy: "heddle.dev/ca-kept-by",
  /** Any value: begin a rotation. Taken away when it began. */
  rotate: "heddle.dev/rotate",
  /** When the last step was taken, RFC 3339. */
  stepAt: "heddle.dev/ca-step-at",
  /** How long the next two steps are waited for, as `30s`; instead of the life of a leaf and five minutes. */
  overlap: "heddle.dev/ca-overlap",
} as const;

type RotationPhase = "steady" | "announced" | "switched";

/** What matters of the Secret. */
export interface CaSecret {
  readonly data: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Reads a Secret as the API gives it: its data is base64. */
export function readCaSecret(object: KubernetesObject): CaSecret {
  const data: Record<string, string> = {};
  for (const [key, value] of Object.entries(textsOf(object["data"])))
    data[key] = Buffer.from(value, "base64").toString();
  return { data, annotations: object.metadata.annotations };
}

/** @throws {IdentityError} when it is no issuer that can sign now. */
export function parseCaSecret({ data }: CaSecret, nowMs: number): IssuerMaterial {
  for (const key of ["tls.crt", "tls.key"] as const)
    if (data[key] === undefined || data[key] === "") throw new IdentityError(`The authority's Secret has no ${key}`);
  const { "tls.crt": chainPem = "", "tls.key": keyPem = "", "ca.crt": rootsPem = "" } = data;
  return parseIssuer({ chainPem, keyPem, rootsPem }, nowMs);
}

/** True for a Secret that we made and may change. */
export function isOwnCa({ annotations }: CaSecret): boolean {
  return annotations[caAnnotations.keptBy] === "heddle";
}

/** A first root of our own. */
export async function makeCaSecret(trustDomain: string, nowMs: number): Promise<CaSecret> {
  const root = await makeOwnRoot(trustDomain, nowMs);
  return {
    data: { "tls.crt": root.certificatePem, "tls.key": root.keyPem, "ca.crt": root.certificatePem },
    annotations: { [caAnnotations.keptBy]: "heddle", [caAnnotations.stepAt]: new Date(nowMs).toISOString() },
  };
}

export function phaseOf({ data }: CaSecret): RotationPhase {
  if (data["next.crt"] !== undefined) return "announced";
  return countCertificates(data["ca.crt"] ?? "") > 1 ? "switched" : "steady";
}

interface StepOptions {
  readonly trustDomain: string;
  readonly nowMs: number;
  readonly leafLifeMs: number;
}

/**
 * The Secret after the next step of a rotation, or undefined while none is due. The overlap before a new root signs is how long
 * every proxy has to learn of it, and the one before the old is dropped how long what it signed may be in use: both the life of a
 * leaf, unless the annotation says otherwise.
 */
export async function nextCaSecret(secret: CaSecret, options: StepOptions): Promise<CaSecret | undefined> {
  if (!isOwnCa(secret)) return undefined;
  const { data, annotations } = secret;
  const { nowMs } = options;
  const overlapMs = tryDurationMs(annotations[caAnnotations.overlap] ?? "") ?? options.leafLifeMs + backdateMs;
  const sinceMs = Date.parse(annotations[caAnnotations.stepAt] ?? "");
  // A time that cannot be read counts as now: too late is safe, too early is not.
  const isLongEnough = nowMs - (Number.isNaN(sinceMs) ? nowMs : sinceMs) >= overlapMs;
  const stepped: Readonly<Record<string, string>> = {
    ...annotations,
    [caAnnotations.stepAt]: new Date(nowMs).toISOString(),
  };
  const current = data["tls.crt"] ?? "";
  const { "next.crt": nextCertificate = "", "next.key": nextKey = "", ...rest } = data;
  switch (phaseOf(secret)) {
    case "steady": {
      const { [caAnnotations.rotate]: request, ...others } = stepped;
      const endMs = new X509Certificate(current).validToDate.getTime();
      if (request === undefined && endMs - nowMs > LAST_YEAR_MS) return undefined;
      const root = await makeOwnRoot(options.trustDomain, nowMs);
      const bundle = joinBundles(data["ca.crt"] ?? "", root.certificatePem);
      const next = { "next.crt": root.certificatePem, "next.key": root.keyPem };
      return { data: { ...data, ...next, "ca.crt": bundle }, annotations: others };
    }
    case "announced":
      if (!isLongEnough) return undefined;
      return { data: { ...rest, "tls.crt": nextCertificate, "tls.key": nextKey }, annotations: stepped };
    case "switched": {
      if (!isLongEnough) return undefined;
      const { [caAnnotations.overlap]: _, ...others } = stepped;
      return { data: { ...data, "ca.crt": current }, annotations: others };
    }
  }
}

/** Each root has a name of its own, so that people can tell them apart. */
async function makeOwnRoot(trustDomain: string, nowMs: number): Promise<KeyAndCertificate> {
  const day = new Date(nowMs).toISOString().slice(0, 19);
  const validity = { notBeforeMs: nowMs - backdateMs, notAfterMs: nowMs + ROOT_LIFE_MS };
  const root = await makeRoot(`Heddle root of ${trustDomain}, ${day}`, validity);
  return { keyPem: root.keyPem, certificatePem: `${root.certificatePem.trimEnd()}\n` };
}

function countCertificates(pem: string): number {
  return pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
}
