import assert from "node:assert/strict";
import { mkdtemp, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { RecordingSink, registrySuite, until, type SourceService } from "../testing/suite.ts";
import { ConfigFolder } from "./config-folder.ts";
import { FileRegistry } from "./file-registry.ts";
import { FolderScanner } from "./folder-scanner.ts";

function entry({ namespace, name, weights }: SourceService): string {
  const endpoints = Object.entries(weights).map(
    ([id, weight]) => `{ name: ${id}, address: 127.0.0.1, weight: ${weight} }`,
  );
  return `apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  ports: [{ name: http, port: 8080 }]
  endpoints: [${endpoints.join(", ")}]
`;
}

registrySuite("file registry", async () => {
  const root = await mkdtemp(join(tmpdir(), "heddle-registry-"));
  const folder = join(root, "mesh");
  await rename(await mkdtemp(join(root, "new-")), folder);
  const fileOf = (key: string): string => join(folder, `${key.replace("/", ".")}.yaml`);
  const times = { quietMs: 10, longestMs: 100, pollMs: 50 };
  return {
    makeRegistry: () => new FileRegistry({ folder, clock: systemClock, random: systemRandom, log: silentLog, times }),
    // As editors do: a new file takes the old one's place.
    async put(service) {
      const next = join(folder, ".next");
      await writeFile(next, entry(service));
      await rename(next, fileOf(`${service.namespace}/${service.name}`));
    },
    remove: async (key) => rm(fileOf(key)),
    breakSource: async () => rename(folder, join(root, "away")),
    healSource: async () => rename(join(root, "away"), folder),
    close: async () => rm(root, { recursive: true, force: true }),
  };
});

test("the first word waits for files that are still being written", { timeout: 10_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "heddle-young-"));
  await writeFile(join(folder, "a.yaml"), entry({ namespace: "shop", name: "a", weights: { "a-1": 1 } }));
  await writeFile(join(folder, "b.yaml"), entry({ namespace: "shop", name: "b", weights: { "b-1": 1 } }));
  await utimes(join(folder, "a.yaml"), 1000, 1000);
  let wallMs = (await stat(join(folder, "b.yaml"))).mtimeMs + 1;
  const clock = { ...systemClock, wallMs: () => wallMs };
  const times = { quietMs: 5, longestMs: 100, pollMs: 20 };
  const registry = new FileRegistry({ folder, clock, random: systemRandom, log: silentLog, times });
  const sink = new RecordingSink();
  const watch = registry.watch(sink);
  await until(() => registry.report.resources.length === 1);
  assert.equal(sink.isLive, false);
  wallMs += 1000;
  await until(() => sink.isLive);
  assert.equal(sink.fewest, 2);
  await watch.close();
  await rm(folder, { recursive: true });
});

test("a broken edit is refused as a whole file, and its last good version stays", () => {
  const config = new ConfigFolder();
  const good = entry({ namespace: "shop", name: "a", weights: { "a-1": 1 } });
  const other = entry({ namespace: "shop", name: "b", weights: { "b-1": 1 } });
  const change = (files: Readonly<Record<string, string>>) =>
    config.apply({ changed: new Map(Object.entries(files)), removed: [], isUnsettled: false });
  assert.deepEqual(change({ "a.yaml": good, "b.yaml": other }), []);
  const [refused] = change({ "a.yaml": `${good}---\nkind: Nonsense\n`, "b.yaml": other.replace("b-1", "b-2") });
  assert.equal(refused?.file, "a.yaml");
  assert.equal(refused.line, 8);
  const { resources, files, refusedEdits } = config.report;
  assert.deepEqual(
    resources.map((one) => (one.kind === "ServiceEntry" ? one.spec.endpoints[0]?.name : "")),
    ["a-1", "b-2"],
  );
  assert.deepEqual(
    files.map(({ isRefused }) => isRefused),
    [true, false],
  );
  assert.equal(refusedEdits, 1);
});

test("an edit that takes another file's name is refused, the first one stays", () => {
  const config = new ConfigFolder();
  const first = entry({ namespace: "shop", name: "a", weights: { "a-1": 1 } });
  config.apply({ changed: new Map([["a.yaml", first]]), removed: [], isUnsettled: false });
  const second = entry({ namespace: "shop", name: "a", weights: { "a-9": 1 } });
  const refused = config.apply({ changed: new Map([["z.yaml", second]]), removed: [], isUnsettled: false });
  assert.deepEqual(
    refused.map(({ code, file }) => `${code} ${file}`),
    ["HDL_CONFIG_DUPLICATE_RESOURCE z.yaml"],
  );
  assert.equal(config.report.resources.length, 1);
});

test("a file that is still young, or was just emptied, is not read yet; a missing one is gone at the second look", async () => {
  const folder = await mkdtemp(join(tmpdir(), "heddle-scan-"));
  const file = join(folder, "a.yaml");
  let nowMs = 1_000_000;
  const scanner = new FolderScanner(folder, () => nowMs);
  const touch = async (text: string): Promise<void> => {
    await writeFile(file, text);
    await utimes(file, nowMs / 1000, nowMs / 1000);
  };
  await touch("a");
  assert.equal((await scanner.scan()).isUnsettled, true);
  nowMs += 100;
  assert.deepEqual([...(await scanner.scan()).changed.values()], ["a"]);
  await touch("");
  nowMs += 100;
  assert.deepEqual((await scanner.scan()).changed.size, 0);
  await touch("b");
  await writeFile(join(folder, "other.yaml"), "c");
  nowMs += 100;
  assert.deepEqual((await scanner.scan()).changed.get(file), "b");
  await rm(file);
  assert.deepEqual((await scanner.scan()).removed, []);
  assert.deepEqual((await scanner.scan()).removed, [file]);
  await rm(join(folder, "other.yaml"));
  await assert.rejects(scanner.scan(), /now has none/);
  await rm(folder, { recursive: true });
});
