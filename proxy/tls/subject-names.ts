// The subject alternative names of a certificate, and whether they are the ones expected.
import type { X509Certificate } from "node:crypto";
import type { ValidationSource } from "#config/model/tls.ts";
import { compileString, type StringTest } from "#config/model/string-test.ts";

export interface SubjectNames {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
}

const NO_NAMES: SubjectNames = { uris: [], dns: [], ips: [], emails: [] };

/**
 * Reads what `X509Certificate.subjectAltName` prints: `URI:a, DNS:b`, where a value that could be taken for several is a JSON
 * string (CVE-2021-44532). A text that is not of this form names nobody.
 */
export function parseSubjectNames(text: string | undefined): SubjectNames {
  if (text === undefined || text === "") return NO_NAMES;
  const names = { uris: [] as string[], dns: [] as string[], ips: [] as string[], emails: [] as string[] };
  // A map: a type that is called as what every object has (`constructor`) is as any other that we do not know.
  const lists: ReadonlyMap<string | undefined, string[]> = new Map([
    ["URI", names.uris],
    ["DNS", names.dns],
    ["IP Address", names.ips],
    ["email", names.emails],
  ]);
  for (let at = 0; at < text.length;) {
    // Sticky, so that the time grows with the text: what Node does not print ends the reading.
    oneName.lastIndex = at;
    const found = oneName.exec(text);
    if (found === null) return NO_NAMES;
    const [, type, quoted, plain] = found;
    const value = quoted === undefined ? plain : tryUnquote(quoted);
    if (value !== undefined) lists.get(type)?.push(value);
    at = oneName.lastIndex;
  }
  return names;
}

const oneName = /([^:,]+):(?:("(?:[^"\\]|\\.)*")|([^,]*))(?:, |$)/y;

/** A string that is no JSON names nobody. */
function tryUnquote(quoted: string): string | undefined {
  try {
    const value: unknown = JSON.parse(quoted);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}

export function subjectNamesOf(certificate: X509Certificate): SubjectNames {
  return parseSubjectNames(certificate.subjectAltName);
}

/** The SPIFFE id: the one URI (the SPIFFE X.509-SVID document, §2: exactly one URI SAN). */
export function spiffeIdOf(names: SubjectNames): string | undefined {
  const id = names.uris[0];
  return names.uris.length === 1 && id?.startsWith("spiffe://") === true ? id : undefined;
}

/** Undefined, or which names were seen and which expected. */
export type NameCheck = (names: SubjectNames) => string | undefined;

/** At least one matcher must match a name of its type; none = any name. */
export function compileNameCheck(matchers: ValidationSource["subjectAltNames"]): NameCheck {
  if (matchers.length === 0) return () => undefined;
  const tests: readonly { readonly type: string; readonly test: StringTest }[] = matchers.map(({ type, matcher }) => ({
    type,
    test: compileString(matcher),
  }));
  const expected = matchers.map(({ type, matcher }) => `${type} ${matcher.kind} ${matcher.value}`).join(" or ");
  return (names) => {
    for (const { type, test } of tests) if (listOf(names, type).some(test)) return undefined;
    return `expected ${expected}, the certificate is for ${formatNames(names)}`;
  };
}

/** Exactly this SPIFFE id. */
export function requireIdentity(identity: string): NameCheck {
  return (names) =>
    spiffeIdOf(names) === identity
      ? undefined
      : `expected the identity ${identity}, the certificate is for ${formatNames(names)}`;
}

function formatNames(names: SubjectNames): string {
  const all = [...names.uris, ...names.dns, ...names.ips, ...names.emails];
  return all.length === 0 ? "no name" : all.join(", ");
}

function listOf(names: SubjectNames, type: string): readonly string[] {
  switch (type) {
    case "uri":
      return names.uris;
    case "dns":
      return names.dns;
    case "ip":
      return names.ips;
    default:
      return names.emails;
  }
}
