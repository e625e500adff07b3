import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultInjectionSettings, InjectionSettingsError, parseInjectionSettings, revisionOf } from "./settings.ts";

const parse = (text: string) => parseInjectionSettings(text, "settings.yaml", "1.2.3");

test("settings of injection that say nothing are the defaults, with the images of this version", () => {
  assert.deepEqual(parse(""), defaultInjectionSettings("1.2.3"));
  assert.equal(parse("{}").proxyImage, "heddle/proxy:1.2.3");
});

test("lists may be lists or text with commas", () => {
  const settings = parse(
    "excludeOutboundPorts: [3306, 8000-8100]\nexcludeInboundPorts: '22'\nimagePullSecrets: [a, b]\n",
  );
  assert.equal(settings.excludeOutboundPorts, "3306,8000-8100");
  assert.equal(settings.excludeInboundPorts, "22");
  assert.deepEqual(settings.imagePullSecrets, ["a", "b"]);
});

test("the revision is another one for other settings and another version", () => {
  const settings = parse("");
  const revisions = [
    revisionOf(settings, "1"),
    revisionOf(settings, "2"),
    revisionOf(parse("proxy: { concurrency: 2 }"), "1"),
  ];
  assert.equal(new Set(revisions).size, 3);
});

for (const [text, message] of [
  ["proxy: { logLevel: loud }", /proxy\.logLevel must be "debug" or .*: got "loud"/],
  ["proxy: { cpuLimit: lots }", /proxy\.cpuLimit must be a quantity: got "lots"/],
  ["proxy: { concurency: 2 }", /there is no setting proxy\.concurency \(did you mean concurrency\?\)/],
  ["proxy: { drainTime: 5 }", /proxy\.drainTime must be a duration/],
  ["proxy: []", /proxy must be a mapping/],
  ["nativeSidecar: sometimes", /nativeSidecar must be true or false: got "sometimes"/],
  ["controlPlane: here", /controlPlane must be HOST:PORT: got "here"/],
  ["interception: [", /settings\.yaml:1:/],
  ["excludeOutboundCidrs: [10.0.0.0/40]", /excludeOutboundCidrs must list networks/],
] as const)
  test(`settings of injection are refused: ${text}`, () => {
    assert.throws(
      () => parse(text),
      (error) => error instanceof InjectionSettingsError && message.test(error.message),
    );
  });
