// Whether a command printed what a page shows. The page's notation stands in docs/policies/README.md.

/** A number as it stands on a page: `~50` is about so many, `{2..4}` anything from one to the other. */
const NUMBER = /~(\d+)|\{(\d+(?:\.\d+)?)\.\.(\d+(?:\.\d+)?)\}/g;
/** Of chance: one run in 16,000 lies beyond. */
const SIGMAS = 4;

/**
 * Blanks count as one, whatever their number; `...` stands for any text in a line, and alone on a line for any lines. `~N` is a
 * number within 4 sigma of N, where all the `~` of the block share out their sum by chance.
 */
export function isAsShown(printed: string, shown: string): boolean {
  const sum = [...shown.matchAll(/~(\d+)/g)].reduce((total, [, count]) => total + Number(count), 0);
  return matchLines(linesOf(printed), linesOf(shown), sum);
}

function linesOf(text: string): readonly string[] {
  const lines = text.split("\n").map((line) => line.trim().replaceAll(/[ \t\r]+/g, " "));
  while (lines.at(-1) === "") lines.pop();
  return lines;
}

function matchLines(printed: readonly string[], shown: readonly string[], sum: number): boolean {
  const [first, ...rest] = shown;
  if (first === undefined) return printed.length === 0;
  if (first !== "...") {
    const [line, ...others] = printed;
    return line !== undefined && isLineAsShown(line, first, sum) && matchLines(others, rest, sum);
  }
  return Array.from({ length: printed.length + 1 }).some((_, at) => matchLines(printed.slice(at), rest, sum));
}

function isLineAsShown(line: string, shown: string, sum: number): boolean {
  const ranges: (readonly [number, number])[] = [];
  let pattern = "";
  let end = 0;
  for (const match of shown.matchAll(NUMBER)) {
    pattern += `${textPattern(shown.slice(end, match.index))}(\\d+(?:\\.\\d+)?)`;
    end = match.index + match[0].length;
    ranges.push(match[1] === undefined ? [Number(match[2]), Number(match[3])] : about(Number(match[1]), sum));
  }
  pattern += textPattern(shown.slice(end));
  const found = new RegExp(`^${pattern}$`).exec(line);
  return found !== null && ranges.every(([least, most], at) => Number(found[at + 1]) >= least && Number(found[at + 1]) <= most);
}

function about(count: number, sum: number): readonly [number, number] {
  // Alone it is the count of something that nothing bounds: its variance is its mean.
  const share = count === sum ? 0 : count / sum;
  const off = Math.max(1, SIGMAS * Math.sqrt(count * (1 - share)));
  return [count - off, count + off];
}

function textPattern(text: string): string {
  return text.split("...").map((part) => RegExp.escape(part)).join(".*");
}
