// The forms that text fields have: what each is called in a sentence, its pattern, and what to say when it is not met.

import { durationHint, durationPattern } from "./duration.ts";
import { quantityHint, quantityPattern } from "./quantity.ts";

export interface TextFormat {
  /** As in "must be a duration". */
  readonly noun: string;
  readonly pattern: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly hint?: (value: unknown) => string;
}

const name = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const label = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?";
const token = "[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]";

/** Names and patterns are those of Kubernetes (RFC 1123) and of the official Gateway API CRDs. */
export const formats = {
  duration: { noun: "a duration", pattern: durationPattern, hint: durationHint },
  quantity: { noun: "a quantity", pattern: quantityPattern, maxLength: 32, hint: quantityHint },
  objectName: {
    noun: "the name of an object",
    pattern: `^${name}(\\.${name})*$`,
    minLength: 1,
    maxLength: 253,
    hint: lowerCaseHint,
  },
  dnsLabel: { noun: "a DNS label", pattern: `^${name}$`, minLength: 1, maxLength: 63, hint: lowerCaseHint },
  hostname: {
    noun: "a host name",
    pattern: `^(\\*\\.)?${name}(\\.${name})*$`,
    minLength: 1,
    maxLength: 253,
    hint: lowerCaseHint,
  },
  preciseHostname: {
    noun: "a host name without wildcard",
    pattern: `^${name}(\\.${name})*$`,
    minLength: 1,
    maxLength: 253,
    hint: lowerCaseHint,
  },
  group: {
    noun: "an API group",
    pattern: `^$|^${name}(\\.${name})*$`,
    maxLength: 253,
    hint: () => 'for example "" for core kinds, or "heddle.dev"',
  },
  kind: { noun: "a kind", pattern: "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", minLength: 1, maxLength: 63 },
  labelKey: { noun: "a label key", pattern: `^(${name}(\\.${name})*/)?${label}$`, minLength: 1, maxLength: 316 },
  labelValue: {
    noun: "a label value",
    pattern: `^(${label})?$`,
    maxLength: 63,
    hint: () => "at most 63 letters, digits, - _ . , a letter or digit at both ends",
  },
  method: {
    noun: "a method of HTTP",
    pattern: `^${token}+$`,
    minLength: 1,
    maxLength: 32,
    hint: () => 'one word, for example "GET"',
  },
  headerName: { noun: "a header name", pattern: `^${token}+$`, minLength: 1, maxLength: 256 },
  // The official CRD says `[\t ]?` and means the same, but a machine that backtracks tries every way to cut a long word.
  headerValue: { noun: "a header value", pattern: "^[!-~]+([\\t ][!-~]+)*$", minLength: 1, maxLength: 4096 },
  ipAddress: {
    noun: "an IP address",
    pattern: "^[0-9a-fA-F.:]{2,45}$",
    maxLength: 45,
    hint: (value) => (value === "localhost" ? 'write "127.0.0.1"' : "IPv4 or IPv6, without a port"),
  },
  spiffeId: {
    noun: "a SPIFFE id",
    pattern: "^spiffe://[-a-z0-9._*]+(/[-A-Za-z0-9._*{}]+)+$",
    maxLength: 2048,
    hint: () => 'for example "spiffe://cluster.local/ns/shop/sa/cart"',
  },
  trustDomain: {
    noun: "a trust domain",
    pattern: "^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$",
    minLength: 1,
    maxLength: 255,
    hint: lowerCaseHint,
  },
  url: {
    noun: "an http or https URL",
    pattern: "^https?://[^/?#\\s]+[^\\s]*$",
    maxLength: 2048,
    hint: () => 'for example "http://127.0.0.1:4318"',
  },
  absolutePath: { noun: "a path that begins with /", pattern: "^/[^\\s]*$", minLength: 1, maxLength: 1024 },
  portReference: { noun: "a port number (1 to 65535) or the name of a port", pattern: `^${name}$`, maxLength: 63 },
  serviceRef: {
    noun: 'a service, "name" or "namespace/name"',
    pattern: `^(${name}/)?${name}(\\.${name})*$`,
    minLength: 1,
    maxLength: 317,
    hint: lowerCaseHint,
  },
  listenerRef: {
    noun: 'a listener, "namespace/endpoint:port"',
    pattern: `^${name}/${name}(\\.${name})*:[0-9]{1,5}$`,
    minLength: 5,
    maxLength: 323,
  },
} as const satisfies { readonly [format: string]: TextFormat };

export type FormatName = keyof typeof formats;

function lowerCaseHint(value: unknown): string {
  const usual = "lower-case letters, digits and -, a letter or digit at both ends";
  if (typeof value !== "string") return usual;
  const meant = value.toLowerCase().replaceAll(/[_ ]/g, "-");
  return meant !== value && new RegExp(`^${name}(\\.${name})*$`).test(meant) ? `did you mean "${meant}"?` : usual;
}
