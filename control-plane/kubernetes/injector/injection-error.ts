// Why the proxy cannot be put into a pod: a mistake of whoever wrote the pod, with its field and what would be right.
import { HeddleError } from "#lib/errors.ts";

/** `path` is the field as `metadata.annotations["heddle.dev/inject"]`; it begins the message. */
export class InjectionError extends HeddleError {
  readonly path: string;

  constructor(path: string, problem: string, hint?: string) {
    super("HDL_INJECTION", `${path} ${problem}${hint === undefined ? "" : ` (${hint})`}`);
    this.path = path;
  }
}

export function annotationPath(name: string): string {
  return `metadata.annotations["${name}"]`;
}
