// Host against the original destination of a captured request.
import assert from "node:assert/strict";
import { it } from "node:test";
import { namesAnotherHost } from "./captured-host.ts";

const hosts = ["reviews", "reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local"];
const destination = { address: "10.96.0.2", port: 80 };
const isOther = (authority: string): boolean => namesAnotherHost(authority, hosts, destination);

it("a name of the service, of a pod of it, and the address itself are no other host", () => {
  const same = ["reviews", "Reviews.Shop:9080", "reviews.shop.svc.cluster.local.", "reviews-0.reviews.shop", ""];
  assert.deepEqual([...same, "10.96.0.2", "10.96.0.2:80"].filter(isOther), []);
  assert.equal(namesAnotherHost("[fd96::2]:80", hosts, { address: "fd96::2", port: 80 }), false);
});

it("other names and addresses are, also those that only end like one", () => {
  const other = ["ratings", "xreviews", "reviews.other", "10.96.0.3", "[fd96::2]:80"];
  assert.deepEqual(other.filter(isOther), other);
});
