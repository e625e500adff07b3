import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseAddress, parseArguments, parseChoice, parseWhole, parseWorkloadId, UsageError } from "./arguments.ts";

const grammar = {
  name: "weave",
  usage: "FOLDER [--state DIR]",
  positionals: { least: 1, most: 1 },
  options: {
    state: { type: "string", default: ".heddle", help: "" },
    config: { type: "string", short: "c", help: "" },
    admin: { type: "string", multiple: true, help: "" },
    strict: { type: "boolean", help: "" },
  },
} as const;

function refusal(...args: readonly string[]): string {
  try {
    parseArguments(args, grammar);
  } catch (error) {
    assert.ok(error instanceof UsageError);
    assert.equal(error.code, "HDL_CLI_USAGE");
    return error.message;
  }
  return assert.fail("it was accepted");
}

describe("arguments", () => {
  it("gives options, defaults, lists and arguments", () => {
    const { values, positionals, rest } = parseArguments(
      ["mesh", "-c", "x.yaml", "--admin=a:1", "--admin", "b:2"],
      grammar,
    );
    assert.deepEqual({ ...values }, { config: "x.yaml", admin: ["a:1", "b:2"], state: ".heddle", strict: false });
    assert.deepEqual(positionals, ["mesh"]);
    assert.equal(rest, undefined);
  });

  it("leaves what stands behind -- alone", () => {
    const { rest, positionals } = parseArguments(["mesh", "--", "npm", "--state", "x"], grammar);
    assert.deepEqual(rest, ["npm", "--state", "x"]);
    assert.deepEqual(positionals, ["mesh"]);
  });

  it("says of an unknown option what was meant", () => {
    assert.match(refusal("mesh", "--stat", "x"), /Unknown option --stat \(did you mean --state\?\)/);
    assert.match(refusal("mesh", "--stirct"), /did you mean --strict\?/);
  });

  it("proposes nothing where nothing is near", () => {
    assert.equal(refusal("mesh", "--xylophone"), "Unknown option --xylophone. heddle weave --help lists them all");
    assert.equal(refusal("mesh", "-q"), "Unknown option -q. heddle weave --help lists them all");
  });

  it("refuses an option without its value", () => {
    assert.match(refusal("mesh", "--config"), /--config/);
  });

  it("refuses too few and too many arguments with the usage", () => {
    assert.equal(refusal(), "Too few arguments. Usage: heddle weave FOLDER [--state DIR]");
    assert.match(refusal("mesh", "more"), /Unexpected argument "more"\. Usage: heddle weave/);
  });
});

describe("values of options", () => {
  it("reads addresses of both families, and a port alone", () => {
    assert.deepEqual(parseAddress("127.0.0.1:15012", "--x"), { address: "127.0.0.1", port: 15_012 });
    assert.deepEqual(parseAddress("[::1]:15012", "--x"), { address: "::1", port: 15_012 });
    assert.deepEqual(parseAddress("15000", "--x"), { address: "127.0.0.1", port: 15_000 });
  });

  for (const wrong of ["", "localhost", "::1:80", "127.0.0.1:65536", "a:b", "127.0.0.1:"]) {
    it(`refuses the address "${wrong}"`, () => {
      assert.throws(() => parseAddress(wrong, "--admin"), /--admin must be ADDRESS:PORT/);
    });
  }

  it("reads whole numbers within limits", () => {
    assert.equal(parseWhole("4", "--concurrency", 1, 8), 4);
    for (const wrong of ["0", "9", "1.5", "-1", "4x", ""]) {
      assert.throws(() => parseWhole(wrong, "--concurrency", 1, 8), /--concurrency must be a whole number from 1 to 8/);
    }
  });

  it("reads one of a few words, and says which was meant", () => {
    assert.equal(parseChoice("json", "--format", ["text", "json"]), "json");
    assert.throws(() => parseChoice("jsn", "--format", ["text", "json"]), /got "jsn" \(did you mean json\?\)/);
  });

  it("reads workloads, which become paths, strictly", () => {
    assert.deepEqual(parseWorkloadId("shop/orders-1"), { namespace: "shop", name: "orders-1" });
    for (const wrong of [undefined, "orders", "shop/a/b", "../x", "shop/..", "/x", "shop/"]) {
      assert.throws(() => parseWorkloadId(wrong), /--workload must be NAMESPACE\/NAME/);
    }
  });
});
