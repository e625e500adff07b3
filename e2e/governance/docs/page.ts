// Reads a page of the manual whose examples are run: sections of YAML to apply, and of commands with what they print.

/** YAML that the reader puts into the mesh. */
export interface Apply {
  readonly kind: "apply";
  readonly line: number;
  readonly yaml: string;
  /** Reasons that some condition is not True for, of `<!-- status: REASON ... -->`; without any all must be True. */
  readonly reasons: readonly string[];
  /** After `<!-- refused -->`: the control plane must not take it. */
  readonly isRefused: boolean;
}

/** Commands that must succeed, or one command with what it prints. */
export interface Command {
  readonly kind: "command";
  readonly line: number;
  readonly command: string;
  /** As on the page; undefined: anything. */
  readonly output: string | undefined;
}

/** What stands under one heading `##`; each begins with the bare mesh. */
export interface Section {
  readonly title: string;
  readonly steps: readonly (Apply | Command)[];
}

/** Sections that have an example. @throws on a block that is never closed, or of a comment that asks for something unknown. */
export function sectionsOf(page: string): readonly Section[] {
  const sections: { title: string; steps: (Apply | Command)[] }[] = [{ title: "", steps: [] }];
  const lines = page.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const title = /^##? (.*)/.exec(line)?.[1];
    if (title !== undefined) sections.push({ title, steps: [] });
    const language = /^```(\w*)/.exec(line)?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf("```", at + 1);
    if (end === -1) throw new Error(`The block of line ${at + 1} is never closed`);
    const body = lines.slice(at + 1, end);
    const comment = /^<!-- (.*) -->$/.exec(lines[at - 1] ?? "")?.[1];
    sections.at(-1)?.steps.push(...stepsOf(language, body, at + 2, comment));
    at = end;
  }
  return sections.filter(({ steps }) => steps.length > 0);
}

function stepsOf(
  language: string,
  body: readonly string[],
  line: number,
  comment: string | undefined,
): readonly (Apply | Command)[] {
  if (comment?.startsWith("not run: ") === true) return [];
  switch (language) {
    case "yaml": {
      const [, asked = ""] = /^status: (.*)$/.exec(comment ?? "") ?? [];
      const isRefused = comment === "refused";
      if (comment !== undefined && asked === "" && !isRefused)
        throw new Error(`Line ${line - 2}: a comment above YAML is "status: REASON ...", "refused" or "not run: why"`);
      const reasons = asked.split(/[ ,]+/).filter((reason) => reason !== "");
      return [{ kind: "apply", line, yaml: `${body.join("\n")}\n`, reasons, isRefused }];
    }
    case "sh":
      return [{ kind: "command", line, command: body.join("\n"), output: undefined }];
    case "console":
      return dialogue(line, body);
    default:
      return [];
  }
}

/** `$ command`, going on after `\` at the end of a line, then what it prints. */
function dialogue(first: number, lines: readonly string[]): readonly Command[] {
  const commands: Command[] = [];
  let isOpen = false;
  for (const [index, line] of lines.entries()) {
    const last = commands.at(-1);
    if (!isOpen && line.startsWith("$ "))
      commands.push({ kind: "command", line: first + index, command: line.slice(2), output: "" });
    else if (last === undefined) throw new Error(`Line ${first + index}: a console begins with "$ command"`);
    else if (isOpen) commands[commands.length - 1] = { ...last, command: `${last.command}\n${line.replace(/^> /, "")}` };
    else commands[commands.length - 1] = { ...last, output: `${last.output ?? ""}${line}\n` };
    isOpen = line.endsWith("\\") && (isOpen || line.startsWith("$ "));
  }
  return commands;
}
