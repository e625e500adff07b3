// Which virtual host serves a name.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";

import { HostTable } from "./host-table.ts";

describe("a host table", () => {
  const table = new HostTable([
    [["reviews", "reviews:9080", "Reviews.Shop"], "exact"],
    [["*.shop"], "suffix"],
    [["*.eu.shop"], "longer suffix"],
    [["reviews.*"], "prefix"],
    [["*"], "any"],
  ]);

  it("prefers the exact name, then the longest suffix, then a prefix, then any", () => {
    for (const [authority, expected] of [
      ["reviews", "exact"],
      ["REVIEWS:9080", "exact"],
      ["reviews.shop", "exact"],
      ["orders.shop", "suffix"],
      ["orders.eu.shop", "longer suffix"],
      ["ORDERS.EU.SHOP", "longer suffix"],
      ["reviews.other", "prefix"],
      [".shop", "any"],
      ["reviews.", "any"],
      ["", "any"],
    ] as const)
      assert.equal(table.find(authority), expected, authority);
  });

  it("finds nothing without a host for any", () => {
    assert.equal(new HostTable([[["a"], 1]]).find("b"), undefined);
  });

  it("refuses a domain that stands twice, whatever its letters", () => {
    assert.throws(
      () =>
        new HostTable([
          [["a"], 1],
          [["A"], 2],
        ]),
      /domain "A" in two virtual hosts/,
    );
  });

  it("never throws, and answers the same for any letters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), (authority) => {
        assert.equal(table.find(authority), table.find(authority.toLowerCase()));
      }),
    );
  });
});
