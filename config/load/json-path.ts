// Paths into a document: `spec.rules[2].timeouts.request` as text, `["spec", "rules", 2, ...]` as steps.

/** A key of a mapping or an index of a list. */
export type PathStep = string | number;
export type JsonPath = readonly PathStep[];

const plainKey = /^[A-Za-z_$][A-Za-z0-9_$-]*$/;
const nextStep = /\.?([A-Za-z_$][A-Za-z0-9_$-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y;

/** Writes steps as text; a key that is not a plain word is quoted: `metadata.labels["app.kubernetes.io/name"]`. */
export function formatPath(path: JsonPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!plainKey.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}

/** The steps of a path that `formatPath` wrote, or undefined where the text is not such a path. */
export function tryParsePath(text: string): JsonPath | undefined {
  const steps: PathStep[] = [];
  nextStep.lastIndex = 0;
  while (nextStep.lastIndex < text.length) {
    const match = nextStep.exec(text);
    if (match === null) return undefined;
    const [, key, index, quoted] = match;
    if (key !== undefined) steps.push(key);
    else if (index !== undefined) steps.push(Number(index));
    else if (quoted !== undefined) {
      const unquoted = tryUnquote(quoted);
      if (unquoted === undefined) return undefined;
      steps.push(unquoted);
    }
  }
  return steps;
}

function tryUnquote(quoted: string): string | undefined {
  try {
    const value: unknown = JSON.parse(quoted);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
