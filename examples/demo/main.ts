// `npm run demo`: starts the governed shop and shows it live. `npm run demo -- --once` checks every claim from outside, prints
// one line for each, and leaves with 1 if any is false.
import { parseArgs } from "node:util";
import { proveAll, type Claim } from "./claim.ts";
import { mutualTls } from "./claims/01-mutual-tls.ts";
import { versions } from "./claims/02-versions.ts";
import { tenants } from "./claims/03-tenants.ts";
import { retries } from "./claims/04-retries.ts";
import { tokenBucket } from "./claims/05-token-bucket.ts";
import { circuitBreaking } from "./claims/06-circuit-breaking.ts";
import { traces } from "./claims/07-traces.ts";
import { liveChange } from "./claims/08-live-change.ts";
import { explained } from "./claims/09-explained.ts";
import { killedInstance } from "./claims/10-killed-instance.ts";
import { showLive } from "./live.ts";
import { Shop } from "./shop.ts";

const CLAIMS: readonly Claim[] = [
  mutualTls,
  versions,
  tenants,
  retries,
  tokenBucket,
  circuitBreaking,
  traces,
  liveChange,
  explained,
  killedInstance,
];

const HELP = `npm run demo [-- OPTIONS]

Starts a small shop and the mesh that governs it, all on this machine, and shows its traffic until you press Ctrl-C.

  --once          check the ten claims from outside, print a line for each, and end: 0 when all are true, 1 when one is
                  false, 2 when the shop could not be started
  --only 2,4      check these claims only (with --once)
  --shuffle       check them in random order; the order is printed
  --keep          leave logs, state and YAML behind, and say where
  --heddle FILE   run this file as Heddle instead of the sources (a bundle, for example)
  --help          this text

Examples:
  npm run demo
  npm run demo -- --once
  npm run demo -- --once --only 8 --keep
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      once: { type: "boolean", default: false },
      only: { type: "string" },
      shuffle: { type: "boolean", default: false },
      heddle: { type: "string" },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const chosen = choose(values.only, values.shuffle);
  const interrupted = Promise.withResolvers<void>();
  process.once("SIGINT", () => interrupted.resolve());
  process.once("SIGTERM", () => interrupted.resolve());
  const begin = performance.now();
  let shop: Shop;
  try {
    shop = await Shop.start(values.heddle);
  } catch (error) {
    console.error(`The shop could not be started: ${error instanceof Error ? error.message : String(error)}`);
    return 2;
  }
  console.log(
    `# ${shop.runningSidecars.length} sidecars, ready after ${((performance.now() - begin) / 1000).toFixed(1)} s`,
  );
  let code = 0;
  try {
    if (values.once) {
      const order = chosen.map(({ number }) => number).join(", ");
      if (values.shuffle) console.log(`# order: ${order}`);
      const result = await Promise.race([proveAll(chosen, shop, (line) => console.log(line)), interrupted.promise]);
      code = result === true ? 0 : 1;
    } else {
      await showLive(shop, interrupted.promise, process.stdout);
    }
  } finally {
    const folder = await shop.stop({ keep: values.keep });
    if (values.keep) console.log(`# kept in ${folder}`);
  }
  return code;
}

function choose(only: string | undefined, isShuffled: boolean): readonly Claim[] {
  const wanted = only?.split(",").map(Number);
  const chosen = CLAIMS.filter(({ number }) => wanted === undefined || wanted.includes(number));
  if (chosen.length === 0)
    throw new Error(`--only ${only} names no claim: they have the numbers 1 to ${CLAIMS.length}`);
  if (!isShuffled) return chosen;
  return chosen
    .map((claim) => ({ claim, key: Math.random() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ claim }) => claim);
}

// A claim that was interrupted would go on waiting for a shop that is gone.
process.exit(await main());
