import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isWithin, secondAddress, tryCidr } from "./cidr.ts";

describe("tryCidr", () => {
  for (const [text, canonical] of [
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["10.1.2.3", "10.1.2.3/32"],
    ["255.255.255.255/0", "0.0.0.0/0"],
    ["FD00:0:0::1:2/64", "fd00::/64"],
    ["::1", "::1/128"],
    ["::/0", "::/0"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1/128"],
  ] as const)
    it(`writes ${text} as iptables prints it`, () => assert.equal(tryCidr(text)?.text, canonical));

  for (const text of [
    "",
    "10.0.0.0/33",
    "::/129",
    "10.0.0/8",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "a/8",
    "10.0.0.0/08",
    "1/2/3",
    "10.0.0.0/",
  ])
    it(`refuses "${text}"`, () => assert.equal(tryCidr(text), undefined));

  it("takes what it wrote for the same", () => {
    const address = fc.oneof(
      fc.ipV4(),
      fc.ipV6().filter((six) => !six.includes(".")),
    );
    fc.assert(
      fc.property(address, fc.nat(128), (text, bits) => {
        const cidr = tryCidr(`${text}/${text.includes(":") ? bits : bits % 33}`);
        assert.ok(cidr !== undefined);
        assert.deepEqual(tryCidr(cidr.text), cidr);
        assert.ok(isWithin(text, cidr));
        assert.ok(isWithin(secondAddress(cidr), cidr));
      }),
    );
  });
});
