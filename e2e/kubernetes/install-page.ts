// Reads the commands of a page of the manual: what it tells its readers to run, and what they are told that they will see.

/** A block of commands, or one command with what it prints. */
export interface Step {
  /** The heading that it stands under. */
  readonly section: string;
  readonly line: number;
  readonly command: string;
  /** As on the page; undefined: only that it succeeds. */
  readonly output?: string;
}

/** Blocks of `sh` and `console` in their order, without those after a comment `<!-- not run: why -->`. @throws on a block that is never closed. */
export function stepsOf(page: string): readonly Step[] {
  const steps: Step[] = [];
  const lines = page.split("\n");
  let section = "";
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    section = /^#+ (.*)/.exec(line)?.[1] ?? section;
    const language = /^```(\w+)$/.exec(line)?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf("```", at);
    if (end === -1) throw new Error(`The block of line ${at + 1} is never closed`);
    const isRun = !(lines[at - 1] ?? "").startsWith("<!-- not run:");
    const body = lines.slice(at + 1, end);
    if (isRun && language === "sh") steps.push({ section, line: at + 2, command: body.join("\n") });
    if (isRun && language === "console") steps.push(...dialogue(section, at + 2, body));
    at = end;
  }
  return steps;
}

/** `$ command`, then what it prints. */
function dialogue(section: string, first: number, lines: readonly string[]): readonly Step[] {
  const steps: Step[] = [];
  for (const [index, line] of lines.entries()) {
    const last = steps.at(-1);
    if (line.startsWith("$ ")) steps.push({ section, line: first + index, command: line.slice(2), output: "" });
    else if (last !== undefined) steps[steps.length - 1] = { ...last, output: `${last.output ?? ""}${line}\n` };
  }
  return steps;
}

/** Whether a command printed what the page shows: `...` stands for anything, blanks for any number of them. */
export function isAsShown(printed: string, shown: string): boolean {
  const normal = (text: string): string => text.trim().replaceAll(/[ \t]+/g, " ");
  const parts = normal(shown).split("...");
  const pattern = parts.map((part) => RegExp.escape(part)).join(".*");
  return new RegExp(`^${pattern}$`).test(normal(printed));
}
