// A row of the report: what is measured, of whom, in which figures, and which ratios the project promises.
import type { ContenderName } from "./contenders/contender.ts";
import type { Certificates } from "./tools/certificates.ts";

/** One round's figures of one contender, by column. */
export type Sample = Readonly<Record<string, number>>;

export interface Column {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
}

/** `least`: the more the better. `most`: the less the better. */
export type Target = { readonly least: number; readonly stretch?: number } | { readonly most: number };

/** One line of the summary: Heddle's figure beside Envoy's, or that of `of` beside that of `against`. */
export interface Comparison {
  readonly work: string;
  readonly figure: string;
  /** `theirs/ours` for costs (CPU); `ours/theirs` for rates, and for what the issue states as Heddle's over Envoy's. */
  readonly ratio: "theirs/ours" | "ours/theirs";
  readonly target: Target;
  readonly haproxy?: Target;
  readonly of?: string;
  readonly against?: string;
}

/** What every row gets. */
export interface Room {
  /** For files of this row; gone after a good end. */
  readonly folder: string;
  readonly certificates: Certificates;
  /** A port that takes spans. */
  readonly collector: number;
  readonly contenders: readonly string[];
}

export interface OpenRow {
  /** Until just-in-time compilers have done their work. */
  warmUp(contender: string): Promise<void>;
  measure(contender: string, seconds: number): Promise<Sample>;
  /** What only the run showed, for the report. */
  notes(): readonly string[];
  close(): Promise<void>;
}

export interface Row {
  readonly name: string;
  readonly title: string;
  readonly contenders: readonly string[];
  readonly tools: readonly string[];
  readonly columns: readonly Column[];
  readonly comparisons: readonly Comparison[];
  readonly notes: readonly string[];
  open(room: Room): Promise<OpenRow>;
}

/** Programs to install, for these contenders. */
export function toolsOf(names: readonly ContenderName[]): readonly string[] {
  return names.filter((name) => name === "haproxy" || name === "nginx");
}
