// What the run inside of the network namespace tells the test outside.

export const FAMILIES = ["IPv4", "IPv6"] as const;
export type Family = (typeof FAMILIES)[number];

/** What each connection got. */
interface FamilyFindings {
  readonly service: string;
  readonly greeted: string;
  readonly unknown: string;
  readonly unknownGreeted: string;
  readonly nobody: string;
}

export type Findings = Readonly<Record<Family, FamilyFindings>> & { readonly datagram: string };
