// Reads the Prometheus text format.

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
