// Traffic that iptables redirects: the original destination chooses the service, and what nobody knows goes where it was going.
import assert from "node:assert/strict";
import path from "node:path";
import { before, it } from "node:test";

import { FAMILIES, type Findings } from "./captured/findings.ts";
import { runInNamespace } from "./captured/run-in-namespace.ts";

const INSIDE = path.join(import.meta.dirname, "captured", "inside.ts");

let findings: Findings;

before(async () => {
  findings = (await runInNamespace(INSIDE)) as Findings; // as: inside.ts writes it
});

for (const family of FAMILIES) {
  it(`an ${family} connection to a service's address reaches the service, told by its first bytes`, () => {
    const { service } = findings[family];
    assert.match(service, /^HTTP\/1\.1 200/);
    assert.match(service, /^server: heddle/im);
    assert.match(service, /GET \/to-the-service 0\n$/);
  });

  it(`an ${family} connection to a service whose server speaks first is greeted at once`, () => {
    assert.equal(findings[family].greeted, "220 service\r\n");
  });

  it(`an ${family} connection to an address that nobody knows goes to that address, unchanged`, () => {
    assert.match(findings[family].unknown, /^raw GET \/ HTTP\/1\.1/);
    assert.equal(findings[family].unknownGreeted, "220 stranger\r\n");
  });

  it(`an ${family} connection to an unknown address on which nobody listens is refused, not answered`, () => {
    assert.equal(findings[family].nobody, "");
  });
}

it("datagrams are left alone", () => {
  assert.equal(findings.datagram, "datagram to 10.98.0.1");
});
