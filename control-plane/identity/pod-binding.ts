// Which pod a certificate is of. Its SPIFFE id is the same for all pods of an account; the subject tells them apart:
// UID (RFC 4519 §2.39) is the pod's name, serialNumber (§2.31) its uid. A second URI or another name would break the rules of SPIFFE.

export interface PodBinding {
  /** In the namespace of the SPIFFE id. */
  readonly name: string;
  readonly uid: string;
}

const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const UID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** OIDs of the two attributes. */
const USER_ID = "0.9.2342.19200300.100.1.1";
const SERIAL_NUMBER = "2.5.4.5";

/** True for names and uids as Kubernetes makes them: no other text gets into a subject. */
export function isPodBinding({ name, uid }: PodBinding): boolean {
  return NAME.test(name) && UID.test(uid);
}

/** The subject of the certificate of a pod, as @peculiar/x509 takes it. */
export function toSubject({ name, uid }: PodBinding): Record<string, string[]>[] {
  return [{ [SERIAL_NUMBER]: [uid] }, { [USER_ID]: [name] }];
}

/** Reads `X509Certificate.subject` of node:crypto, an attribute a line. undefined: it is of no pod. */
export function tryPodBinding(subject: string | undefined): PodBinding | undefined {
  const lines = (subject ?? "").split("\n");
  const valueOf = (name: string): string | undefined => {
    const found = lines.filter((line) => line.startsWith(`${name}=`));
    return found.length === 1 ? found[0]?.slice(name.length + 1) : undefined;
  };
  const name = valueOf("UID");
  const uid = valueOf("serialNumber");
  if (name === undefined || uid === undefined || lines.length !== 2) return undefined;
  return isPodBinding({ name, uid }) ? { name, uid } : undefined;
}
