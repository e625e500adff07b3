import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseAnnotations, parseInterception } from "./settings.ts";

describe("settings of interception", () => {
  it("redirect everything when nothing is said", () => {
    assert.deepEqual(parseInterception({}, {}), {
      outboundPort: 15_001,
      inboundPort: 15_006,
      excludeOutboundPorts: [],
      excludeInboundPorts: [],
      includeInboundPorts: "all",
      excludeOutboundCidrs: [],
      includeOutboundCidrs: "all",
      excludeUids: [],
      excludeGids: [],
      proxyUid: 1337,
      proxyGid: 1337,
    });
  });

  it("come from the environment where no flag says otherwise", () => {
    const env = { HEDDLE_EXCLUDE_UIDS: "1, 2", HEDDLE_EXCLUDE_OUTBOUND_PORTS: "5432,8000-8100" };
    const found = parseInterception({ "exclude-uids": "3" }, env);
    assert.deepEqual(found.excludeUids, [3]);
    assert.deepEqual(found.excludeOutboundPorts, [
      { first: 5432, last: 5432 },
      { first: 8000, last: 8100 },
    ]);
  });

  it("come from a pod's annotations over the node's presets, and only those that a pod may set", () => {
    const annotations = {
      "heddle.dev/exclude-outbound-ports": "6379",
      "heddle.dev/include-inbound-ports": "none",
      "heddle.dev/proxy-uid": "5",
    };
    const found = parseAnnotations(annotations, {
      "exclude-outbound-ports": "1",
      "exclude-uids": "7",
      "proxy-uid": "99",
    });
    // As the injector's flags, by which the control plane knows what is not redirected.
    assert.deepEqual(found.excludeOutboundPorts, [
      { first: 1, last: 1 },
      { first: 6379, last: 6379 },
    ]);
    assert.deepEqual(found.includeInboundPorts, []);
    assert.deepEqual(found.excludeUids, [7]);
    assert.equal(found.proxyUid, 99);
  });

  for (const [name, text, message] of [
    ["outbound-port", "0", /^--outbound-port must be a port from 1 to 65535: got "0"$/],
    ["outbound-port", "15020", /must not be 15020/],
    ["inbound-port", "15001", /--inbound-port must not be the outbound port too: both are 15001/],
    ["exclude-outbound-ports", "80,,81", /^--exclude-outbound-ports must be ports .*: got ""$/],
    ["exclude-outbound-ports", "90-80", /got "90-80"/],
    ["exclude-inbound-ports", "1-2-3", /got "1-2-3"/],
    ["include-inbound-ports", "http", /^--include-inbound-ports must be ports .*: got "http"$/],
    ["exclude-outbound-cidrs", "10.0.0.0/33", /^--exclude-outbound-cidrs must be CIDRs.*: got "10.0.0.0\/33"$/],
    ["include-outbound-cidrs", "0.0.0.0/0 -j ACCEPT", /^--include-outbound-cidrs must be CIDRs/],
    ["exclude-uids", "root", /^--exclude-uids must be numbers .*: got "root"$/],
    ["exclude-gids", "4294967295", /^--exclude-gids must be numbers/],
    ["proxy-uid", "0", /^--proxy-uid must be numbers from 1 /],
  ] as const)
    it(`refuse --${name} "${text}" and name it`, () => {
      assert.throws(() => parseInterception({ [name]: text }, {}), { code: "HDL_CLI_USAGE", message });
    });

  it("name the variable or the annotation that is wrong", () => {
    assert.throws(() => parseInterception({}, { HEDDLE_EXCLUDE_GIDS: "x" }), /^UsageError: HEDDLE_EXCLUDE_GIDS must/);
    assert.throws(() => parseAnnotations({ "heddle.dev/exclude-uids": "x" }, {}), /heddle\.dev\/exclude-uids must/);
  });
});
