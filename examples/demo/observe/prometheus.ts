// Reads the Prometheus text format, as far as sums over labels go.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/u;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/gu;
const ESCAPES: Readonly<Record<string, string>> = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

export function parsePrometheus(text: string): readonly Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, name = "", labels = "", value = ""] = match;
    const parsed: Record<string, string> = {};
    for (const [, label = "", raw = ""] of labels.matchAll(LABEL)) {
      parsed[label] = raw.replaceAll(/\\[n"\\]/gu, (escape) => ESCAPES[escape] ?? escape);
    }
    samples.push({ name, labels: parsed, value: Number(value) });
  }
  return samples;
}

/** The sum of all samples named `name` whose labels match. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  isWanted: (labels: Readonly<Record<string, string>>) => boolean = () => true,
): number {
  let sum = 0;
  for (const sample of samples) if (sample.name === name && isWanted(sample.labels)) sum += sample.value;
  return sum;
}
