// A context whose output tests read.
import type { Context } from "../command.ts";

export class RecordingContext implements Context {
  output = "";
  errors = "";
  readonly entry = "heddle";
  readonly env: Readonly<Record<string, string>> = {};
  readonly folder: string;

  constructor(folder: string = process.cwd()) {
    this.folder = folder;
  }

  write(text: string): void {
    this.output += text;
  }

  writeError(text: string): void {
    this.errors += text;
  }
}
