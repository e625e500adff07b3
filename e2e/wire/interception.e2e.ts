// What `heddle-init redirect` makes of a pod's connections, with the real packet filter in network namespaces.
import assert from "node:assert/strict";
import path from "node:path";
import { before, describe, it } from "node:test";

import { runInNamespace } from "./captured/run-in-namespace.ts";
import { ADDRESSES, CASES, type Findings } from "./interception/cases.ts";

const INSIDE = path.join(import.meta.dirname, "interception", "inside.ts");

let findings: Findings;

before(async () => {
  findings = (await runInNamespace(INSIDE)) as Findings; // as: inside.ts writes it
});

for (const family of ["IPv4", "IPv6"] as const)
  describe(`an ${family} connection`, () => {
    CASES.forEach(({ caller, what, finds }, i) => {
      it(`of the ${caller} ${what} finds "${finds(ADDRESSES[family])}"`, () => {
        assert.equal(findings.redirected[family][i], finds(ADDRESSES[family]));
      });
    });

    it("goes its own way when the rules are cleaned", () => {
      assert.equal(findings.cleaned[family], `outside from ${ADDRESSES[family].pod}`);
    });
  });

it("datagrams are left alone", () => {
  assert.equal(findings.datagram, "echo of a question");
});

for (const backend of ["nft", "legacy"] as const)
  describe(`the rules (${backend})`, () => {
    it("are the same when they are written twice", () => {
      const { once: first, twice } = findings.tables[backend];
      assert.match(first, /-A OUTPUT -p tcp -j HEDDLE_OUTPUT/);
      assert.equal(twice, first);
    });

    it("are the same when others, and those of another version, were there in between", () => {
      assert.equal(findings.tables[backend].changedBack, findings.tables[backend].once);
    });

    it("are gone when they are cleaned, and somebody else's are not", () => {
      const { cleaned } = findings.tables[backend];
      assert.doesNotMatch(cleaned, /HEDDLE/);
      assert.match(cleaned, /-A OUTPUT -d 1\.2\.3\.4\/32 -j RETURN/);
    });
  });

it("a second redirect says that nothing was to be done", () => {
  assert.equal(findings.again, "IPv4: redirected already (nft)\nIPv6: redirected already (nft)\n");
});

it("the real tools take the rules of any settings", () => {
  assert.deepEqual(findings.refused, []);
});

describe("verify, without any capability,", () => {
  it("passes in a pod whose connections are redirected", () => {
    assert.deepEqual(findings.verified.redirected, { code: 0, text: "IPv4: redirected\nIPv6: redirected\n" });
  });

  it("fails in a pod whose connections are not", () => {
    const { code, text } = findings.verified.cleaned;
    assert.equal(code, 1);
    assert.match(text, /This pod's IPv4 connections are not redirected.*\[HDL_INTERCEPTION_MISSING\]/);
  });

  it("refuses to run as the proxy's user, whose connections say nothing", () => {
    assert.equal(findings.verified.proxyUser.code, 1);
    assert.match(findings.verified.proxyUser.text, /Cannot verify as user 1337/);
  });
});

describe("redirect", () => {
  it("ends with code 4 and says what to do where the capabilities are missing", () => {
    const { code, text } = findings.ended.unprivileged;
    assert.equal(code, 4);
    assert.match(text, /lacks NET_ADMIN and NET_RAW .*heddle\.dev\/interception: cni/);
  });

  it("fails where IPv6 cannot be redirected and the pod has an IPv6 address", () => {
    const { code, text } = findings.ended.noIpv6Tables;
    assert.equal(code, 1);
    assert.match(text, /Cannot redirect IPv6: .*Table does not exist/);
  });

  it("says so and goes on where IPv6 cannot be redirected and the pod has no IPv6 address", () => {
    const { code, text } = findings.ended.noIpv6TablesNoAddress;
    assert.equal(code, 0);
    assert.match(
      text,
      /^IPv4: redirected, .*\nIPv6: not redirected, and the pod has no IPv6 address: .*Table does not/,
    );
  });
});
