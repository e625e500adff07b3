import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { injectPod } from "#control-plane/kubernetes/injector/inject.ts";
import { parsePod } from "#control-plane/kubernetes/injector/pod.ts";
import { defaultInjectionSettings } from "#control-plane/kubernetes/injector/settings.ts";
import { runCommandLine } from "../main.ts";
import { RecordingContext } from "../testing/context.ts";
import { VERSION } from "../version.ts";

const WORKLOADS = path.join(import.meta.dirname, "testing/workloads.yaml.in");

describe("heddle inject", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-inject-"));
  after(() => fs.rmSync(folder, { recursive: true }));

  const write = (name: string, text: string): string => {
    fs.writeFileSync(path.join(folder, name), text);
    return path.join(folder, name);
  };
  const run = async (...args: readonly string[]): Promise<{ code: number; output: string; errors: string }> => {
    const context = new RecordingContext(folder);
    const code = await runCommandLine(["inject", ...args], context);
    return { code, output: context.output, errors: context.errors };
  };
  const valuesOf = (text: string): readonly unknown[] => parseYaml(text, "f").documents.map(({ value }) => value);

  it("puts the proxy into every kind of workload and gives the original back", async () => {
    const original = fs.readFileSync(WORKLOADS, "utf8");
    const { code, output, errors } = await run("-f", WORKLOADS);
    assert.equal(code, 0);
    assert.equal(
      errors,
      "Pod default/node-agent: skipped: the pod uses the node's network (hostNetwork), which must not be intercepted\n",
    );
    // Deployment, CronJob and one Pod of the List.
    assert.equal(output.split("image: heddle/proxy:").length - 1, 3);
    for (const line of [
      "# The shop.",
      "metadata: {name: shop}   # stays as it is",
      "  # Two, for a start.",
      "# the application",
    ])
      assert.ok(output.includes(line), line);
    assert.match(output, /- name: cart # the application\n {8}image: "shop\/cart:1"/);
    const undone = await run("-f", write("injected.yaml", output), "--undo");
    assert.equal(undone.code, 0);
    assert.deepEqual(valuesOf(undone.output), valuesOf(original));
    assert.equal((await run("-f", write("injected.yaml", output))).output, output);
  });

  it("gives the same pod as the webhook", async () => {
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec: { containers: [{ name: "app" }] } };
    const { output } = await run("-f", write("pod.json", JSON.stringify(pod)));
    const settings = defaultInjectionSettings(VERSION);
    const result = injectPod(parsePod(pod), { namespace: "default", asked: "enabled", settings, version: VERSION });
    assert.deepEqual(valuesOf(output), [result.kind === "injected" && result.pod]);
  });

  it("uses the settings that it is given", async () => {
    const settings = write("settings.yaml", "proxyImage: mirror.example/proxy:9\n");
    assert.match((await run("-f", WORKLOADS, "--settings", settings)).output, /image: mirror\.example\/proxy:9/);
    const broken = await run("-f", WORKLOADS, "--settings", write("broken.yaml", "proxyImag: x\n"));
    assert.equal(broken.code, 1);
    assert.match(broken.errors, /there is no setting proxyImag \(did you mean proxyImage\?\)/);
  });

  it("prints nothing of a file with a pod that is refused, and says which field of what", async () => {
    const text = fs
      .readFileSync(WORKLOADS, "utf8")
      .replace("labels: {app: cart}\n    spec:", "annotations: {heddle.dev/inject: maybe}\n    spec:");
    const { code, output, errors } = await run("-f", write("refused.yaml", text));
    assert.equal(code, 1);
    assert.equal(output, "");
    assert.match(
      errors,
      /^Deployment shop\/cart: spec\.template\.metadata\.annotations\["heddle\.dev\/inject"\] must be "enabled"/,
    );
  });

  it("says of a file that is not there, or no YAML, what is wrong", async () => {
    assert.equal((await run("-f", "none.yaml")).code, 3);
    const { code, errors } = await run("-f", write("bad.yaml", "a: [\n"));
    assert.equal(code, 1);
    assert.match(errors, /bad\.yaml:\d+:\d+: error: Cannot parse/);
  });
});
