// What a claim is: a sentence, a way to show it from outside, and an error for when it is false.
import type { Heddle } from "./heddle.ts";
import type { Shop } from "./shop.ts";

/** What a claim needs of a shop that may run anywhere: as processes beside the demo, or in a cluster (e2e/kubernetes/shop/). */
export interface ShopView extends Pick<
  Shop,
  | "killApplication"
  | "startApplication"
  | "load"
  | "otlp"
  | "url"
  | "setFault"
  | "resetStats"
  | "stats"
  | "nameOf"
  | "accessLog"
  | "admin"
  | "runningSidecars"
> {
  readonly heddle: Pick<Heddle, "explain">;
}

export interface Claim {
  readonly number: number;
  /** Short name, printed before the figure. */
  readonly title: string;
  /** Shows the claim on the running shop; gives the measured figures as one line. Throws a ClaimFailed when it is false. */
  prove(shop: Shop): Promise<string>;
}

/** A claim that was checked and is false. */
export class ClaimFailed extends Error {}

/** Throws a ClaimFailed with `message` unless `condition` holds. */
export function claim(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ClaimFailed(message);
}

/** Runs claims one after the other and prints a line for each; true when all hold. */
export async function proveAll(claims: readonly Claim[], shop: Shop, print: (line: string) => void): Promise<boolean> {
  let areAllTrue = true;
  for (const shown of claims) {
    const { number, title } = shown;
    const begin = performance.now();
    try {
      const figures = await shown.prove(shop);
      print(`ok ${number} ${title}: ${figures} (${seconds(begin)})`);
    } catch (error) {
      areAllTrue = false;
      const message = error instanceof ClaimFailed ? error.message : `could not be shown: ${describe(error)}`;
      print(`not ok ${number} ${title}: ${message} (${seconds(begin)})`);
    }
  }
  return areAllTrue;
}

function seconds(begin: number): string {
  return `${((performance.now() - begin) / 1000).toFixed(1)} s`;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
