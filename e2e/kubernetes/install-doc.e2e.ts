// docs/install.md, followed literally: each of its commands in one shell, in the page's order, against the cluster.
// Time limit: 600 s.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Shell } from "../shell.ts";
import { Cluster } from "./cluster/cluster.ts";
import { getGatewayApiFolder } from "./cluster/parts.ts";
import { isAsShown, type Step, stepsOf } from "./install-page.ts";

const root = path.join(import.meta.dirname, "../..");
const cluster = Cluster.join();
/** What a reader fetches from the internet lies here already. Of the experimental channel, as other tests of this cluster want: it holds the same kinds. */
const gatewayApi = await getGatewayApiFolder();
const here: readonly (readonly [string, string])[] = [
  [
    "-f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.3/standard-install.yaml",
    `-k ${gatewayApi}`,
  ],
];

// The page begins where no mesh is.
await cluster.helm("uninstall", "heddle", "-n", "heddle-system", "--ignore-not-found", "--wait");

const shell = new Shell(root, cluster.env);

/** A reader would look again: what the cluster has still to hear of takes a moment. */
async function untilAsShown({ command, output = "" }: Step): Promise<void> {
  const until = performance.now() + 60_000;
  for (;;) {
    const { printed } = await shell.run(command);
    if (isAsShown(printed, output)) return;
    if (performance.now() > until) assert.equal(printed, output);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

await test("docs/install.md", async (page) => {
  let isBroken = false;
  for (const step of stepsOf(readFileSync(path.join(root, "docs/install.md"), "utf8"))) {
    const [title = ""] = step.command.split("\n");
    const name = `${step.section}, line ${step.line}: ${title}`;
    await page.test(name, { skip: isBroken ? "a step before failed" : false }, async () => {
      isBroken = true;
      const command = here.reduce((text, [theirs, ours]) => text.replaceAll(theirs, ours), step.command);
      if (step.output === undefined) {
        const { printed, code } = await shell.run(command);
        assert.equal(code, 0, printed);
      } else await untilAsShown({ ...step, command });
      isBroken = false;
    });
  }
  shell.end();
});
