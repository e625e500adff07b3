// Why the proxy cannot be put into a pod: a mistake of whoever wrote the pod, with its field and what would be right.
import { HeddleError } from "#lib/errors.ts";

/** `path` is the field as `metadata.annotations["heddle.dev/inject"]`; it begins the message. */
export class InjectionError extends HeddleError {
  readonly path: string;
  readonly #problem: string;

  constructor(path: string, problem: string, hint?: string) {
    const whole = hint === undefined ? problem : `${problem} (${hint})`;
    super("HDL_INJECTION", `${path} ${whole}`);
    this.path = path;
    this.#problem = whole;
  }

  /** The same of a pod template inside an object. */
  within(object: string, template: readonly string[]): InjectionError {
    return new InjectionError(`${object}: ${[...template, this.path].join(".")}`, this.#problem);
  }
}

export function annotationPath(name: string): string {
  return `metadata.annotations["${name}"]`;
}
