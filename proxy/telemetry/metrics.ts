// Counters, gauges and histograms of one thread. Plain numbers: each worker has its own, and a scrape adds them up.

export type Labels = Readonly<Record<string, string>>;

/** A value that only grows. */
export class Counter {
  value = 0;

  add(by: number): void {
    this.value += by;
  }
}

/** Counts by upper bound, cumulated only when written out. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] ?? 0)) i++;
    counts[i] = (counts[i] ?? 0) + 1;
    this.sum += value;
    this.count++;
  }
}

/** One series as it crosses to the main thread. */
export type Sample =
  | {
      readonly kind: "counter" | "gauge";
      readonly name: string;
      readonly labels: string;
      readonly value: number;
      /** What threads share is the same on all of them: the largest is shown, not the sum. */
      readonly isShared: boolean;
    }
  | {
      readonly kind: "histogram";
      readonly name: string;
      readonly labels: string;
      readonly bounds: readonly number[];
      readonly counts: readonly number[];
      readonly sum: number;
      readonly count: number;
    };

export interface MetricsSnapshot {
  readonly help: Readonly<Record<string, string>>;
  readonly samples: readonly Sample[];
}

/** Seconds, as OpenTelemetry's `http.server.request.duration` advises. */
export const LATENCY_BOUNDS_S: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** At most so many series of one name; beyond it they are counted together under `overflow="true"`. */
const MAX_SERIES = 2000;

export class Metrics {
  readonly #help: Record<string, string> = {};
  readonly #counters = new Map<string, Map<string, Counter>>();
  readonly #histograms = new Map<string, Map<string, Histogram>>();
  readonly #gauges: {
    readonly name: string;
    readonly isShared: boolean;
    readonly read: () => readonly (readonly [labels: Labels, value: number])[];
  }[] = [];

  /** The same name and labels give the same counter. Names end in `_total`. */
  counter(name: string, help: string, labels: Labels): Counter {
    return find(this.#seriesOf(this.#counters, name, help), formatLabels(labels), () => new Counter());
  }

  histogram(name: string, help: string, labels: Labels, bounds: readonly number[] = LATENCY_BOUNDS_S): Histogram {
    return find(this.#seriesOf(this.#histograms, name, help), formatLabels(labels), () => new Histogram(bounds));
  }

  /** Read at each scrape. `isShared`: all threads read the same state, so that the largest is shown and not the sum. */
  gauge(
    name: string,
    help: string,
    read: () => readonly (readonly [labels: Labels, value: number])[],
    isShared = false,
  ): void {
    this.#help[name] = help;
    this.#gauges.push({ name, isShared, read });
  }

  snapshot(): MetricsSnapshot {
    const samples: Sample[] = [];
    for (const [name, series] of this.#counters)
      for (const [labels, counter] of series)
        samples.push({ kind: "counter", name, labels, value: counter.value, isShared: false });
    for (const { name, isShared, read } of this.#gauges)
      for (const [labels, value] of read())
        samples.push({ kind: "gauge", name, labels: formatLabels(labels), value, isShared });
    for (const [name, series] of this.#histograms) {
      for (const [labels, { bounds, counts, sum, count }] of series)
        samples.push({ kind: "histogram", name, labels, bounds, counts: [...counts], sum, count });
    }
    return { help: { ...this.#help }, samples };
  }

  #seriesOf<T>(all: Map<string, Map<string, T>>, name: string, help: string): Map<string, T> {
    this.#help[name] = help;
    let series = all.get(name);
    if (series === undefined) all.set(name, (series = new Map()));
    return series;
  }
}

function find<T>(series: Map<string, T>, labels: string, make: () => T): T {
  const known = series.get(labels);
  if (known !== undefined) return known;
  const key = series.size < MAX_SERIES ? labels : 'overflow="true"';
  const existing = series.get(key);
  if (existing !== undefined) return existing;
  const made = make();
  series.set(key, made);
  return made;
}

/** `code="200",method="GET"`, escaped as the Prometheus text format asks. */
export function formatLabels(labels: Labels): string {
  let text = "";
  for (const name in labels) {
    const value = (labels[name] ?? "").replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    text += `${text === "" ? "" : ","}${name}="${value}"`;
  }
  return text;
}

/** Adds the snapshots of several threads: counters, gauges and histograms of the same name and labels are summed. */
export function mergeSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const help: Record<string, string> = {};
  const merged = new Map<string, Sample>();
  for (const snapshot of snapshots) {
    Object.assign(help, snapshot.help);
    for (const sample of snapshot.samples) {
      const key = `${sample.name}{${sample.labels}}`;
      const known = merged.get(key);
      merged.set(key, known === undefined ? sample : addSamples(known, sample));
    }
  }
  return { help, samples: [...merged.values()] };
}

function addSamples(left: Sample, right: Sample): Sample {
  if (left.kind === "histogram") {
    if (right.kind !== "histogram") return left;
    return {
      ...left,
      counts: left.counts.map((count, i) => count + (right.counts[i] ?? 0)),
      sum: left.sum + right.sum,
      count: left.count + right.count,
    };
  }
  if (right.kind === "histogram") return left;
  return { ...left, value: left.isShared ? Math.max(left.value, right.value) : left.value + right.value };
}

/** Prometheus' text exposition format 0.0.4, or OpenMetrics 1.0 without its last line (`# EOF`). */
export type MetricsFormat = "text" | "openmetrics";

export const METRICS_TYPES: Readonly<Record<MetricsFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** One text of all series. OpenMetrics names the family of a counter without `_total`. */
export function renderPrometheus({ help, samples }: MetricsSnapshot, format: MetricsFormat = "text"): string {
  const byName = new Map<string, Sample[]>();
  for (const sample of samples) {
    const list = byName.get(sample.name);
    if (list === undefined) byName.set(sample.name, [sample]);
    else list.push(sample);
  }
  let text = "";
  for (const [name, list] of [...byName].sort(([left], [right]) => (left < right ? -1 : 1))) {
    const kind = list[0]?.kind ?? "gauge";
    const family = format === "openmetrics" && kind === "counter" ? name.replace(/_total$/, "") : name;
    text += `# HELP ${family} ${(help[name] ?? "").replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${family} ${kind}\n`;
    for (const sample of list) text += renderSample(sample);
  }
  return text;
}

function renderSample(sample: Sample): string {
  const { name, labels } = sample;
  if (sample.kind !== "histogram") return `${name}${labels === "" ? "" : `{${labels}}`} ${sample.value}\n`;
  const comma = labels === "" ? "" : `${labels},`;
  let text = "";
  let cumulated = 0;
  for (let i = 0; i <= sample.bounds.length; i++) {
    cumulated += sample.counts[i] ?? 0;
    text += `${name}_bucket{${comma}le="${sample.bounds[i] ?? "+Inf"}"} ${cumulated}\n`;
  }
  const braces = labels === "" ? "" : `{${labels}}`;
  return `${text}${name}_sum${braces} ${sample.sum}\n${name}_count${braces} ${sample.count}\n`;
}
