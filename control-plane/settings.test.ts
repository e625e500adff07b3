import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { parseSettings } from "./settings.ts";

const state = ["--state", tmpdir()];

test("settings come from the environment where no flag says otherwise", () => {
  const environment = { HEDDLE_KUBERNETES: "true", HEDDLE_LOG_LEVEL: "debug", HEDDLE_METRICS_ADDRESS: "[::]:15014" };
  const settings = parseSettings([...state, "--log-level", "warn"], environment);
  assert.equal(settings.logLevel, "warn");
  assert.deepEqual(settings.metricsAddress, { address: "::", port: 15014 });
  assert.equal(settings.configFolder, undefined);
});

test("in Kubernetes the pod says who we are and where our own objects lie", () => {
  const environment = { POD_NAME: "heddle-control-plane-x", POD_NAMESPACE: "mesh" };
  assert.deepEqual(parseSettings([...state, "--kubernetes"], environment).kubernetes, {
    namespace: "mesh",
    replica: "heddle-control-plane-x",
    caSecret: undefined,
    clusterDomain: undefined,
    webhookAddress: undefined,
    injectorSettings: undefined,
  });
  const flags = ["--ca-secret", "company-ca", "--trust-domain", "mesh.local", "--webhook-address", "[::]:15017"];
  const { kubernetes, trustDomain } = parseSettings([...state, "--kubernetes", ...flags], environment);
  assert.equal(trustDomain, "mesh.local");
  assert.equal(kubernetes?.caSecret, "company-ca");
  assert.deepEqual(kubernetes.webhookAddress, { address: "::", port: 15_017 });
  assert.throws(
    () => parseSettings([...state, "--kubernetes", "--ca-secret", "a/b"]),
    /--ca-secret must be lower-case/,
  );
  const elsewhere = parseSettings([...state, "--kubernetes", "--system-namespace", "other"], environment);
  assert.equal(elsewhere.kubernetes?.namespace, "other");
  assert.equal(parseSettings([...state, "--config", tmpdir()], environment).kubernetes, undefined);
});

test("a variable that cannot be used names itself, and without any source there is nothing to serve", () => {
  assert.throws(() => parseSettings(state, { HEDDLE_KUBERNETES: "maybe" }), /HEDDLE_KUBERNETES must be true or false/);
  assert.throws(() => parseSettings(state), /--config must be given, or --kubernetes, or both/);
});
