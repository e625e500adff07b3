import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { startControlPlane, type ControlPlane } from "./app.ts";
import { parseSettings } from "./settings.ts";

const root = mkdtempSync(join(tmpdir(), "heddle-app-"));
const folder = join(root, "mesh");
let running: ControlPlane;

const service = (weight: number): string => `
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: cart, namespace: shop }
spec:
  ports: [{ name: http, port: 8080 }]
  endpoints: [{ name: cart-1, address: 127.0.0.1, weight: ${weight}, sidecar: { inbound: { http: 18080 } } }]
`;

before(async () => {
  writeFileSync(join(root, "first.yaml"), service(1));
  mkdirSync(folder);
  renameSync(join(root, "first.yaml"), join(folder, "cart.yaml"));
  const anyPort = ["--xds-address", "--secure-address", "--metrics-address"].flatMap((name) => [name, "127.0.0.1:0"]);
  const settings = parseSettings(["--config", folder, "--state", join(root, "state"), ...anyPort]);
  running = await startControlPlane({
    settings,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    version: "0.1.0",
  });
});

after(async () => {
  await running.stop();
  rmSync(root, { recursive: true, force: true });
});

async function debug<T>(page: string): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${running.metricsPort}/${page}`);
  return (await response.json()) as T; // the test checks what it uses
}

interface ConfigPage {
  readonly version: string;
  readonly refusedEdits: number;
  readonly errors: readonly { readonly at: string; readonly message: string }[];
}

async function until(holds: (page: ConfigPage) => boolean): Promise<ConfigPage> {
  for (;;) {
    const page = await debug<ConfigPage>("debug/config");
    if (holds(page)) return page;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("an edit makes a new version; a broken one is refused with its position and the last good version stays", async () => {
  const first = await until(() => true);
  writeFileSync(join(folder, "cart.yaml"), service(2));
  const second = await until(({ version }) => version !== first.version);
  writeFileSync(join(folder, "cart.yaml"), `${service(3)}  prots: []\n`);
  const refused = await until(({ refusedEdits }) => refusedEdits === 1);
  assert.equal(refused.version, second.version);
  assert.match(refused.errors[0]?.at ?? "", /cart\.yaml:8:3$/);
  assert.match(refused.errors[0]?.message ?? "", /prots/);
  writeFileSync(join(folder, "cart.yaml"), service(2));
  const healed = await until(({ errors }) => errors.length === 0);
  assert.equal(healed.version, second.version);
});

test("metrics, readiness, mesh and receipts are told over HTTP", async () => {
  const ready = await debug<{ readonly ready: boolean }>("ready");
  assert.equal(ready.ready, true);
  assert.deepEqual(await debug("live"), { live: true });
  const mesh = await debug<{ readonly workloads: readonly { readonly id: string }[] }>("debug/mesh");
  assert.deepEqual(
    mesh.workloads.map(({ id }) => id),
    ["shop/cart-1"],
  );
  const receipt = await debug<{ readonly total: number }>("debug/receipts");
  assert.equal(receipt.total, 0);
  const metrics = await fetch(`http://127.0.0.1:${running.metricsPort}/metrics`);
  assert.match(await metrics.text(), /heddle_registry_services\{registry="file"\} 1\n/);
});

test("a setting that cannot be used names itself", () => {
  assert.throws(
    () => parseSettings(["--config", folder, "--state", root, "--xds-address", "10.0.0.1:1"]),
    /--xds-address/,
  );
  assert.throws(() => parseSettings(["--state", root]), /--config must be given/);
});
