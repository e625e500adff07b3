import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CONTROLLER_NAME, nextPolicyStatus, nextRouteStatus, type StatusCondition } from "./merge.ts";

const early = "2026-01-01T00:00:00Z";
const late = "2026-01-02T00:00:00Z";
const good: StatusCondition = { type: "Accepted", status: "True", reason: "Accepted", message: "" };
const bad: StatusCondition = { type: "Accepted", status: "False", reason: "NoMatchingParent", message: "no service" };
const cart = { group: "", kind: "Service", name: "cart", port: 80 };
const other = {
  parentRef: { name: "gateway" },
  controllerName: "example.org/other",
  conditions: [{ type: "Accepted", status: "True", somethingOfTheirs: 1 }],
};

test("the first finding is written with its parent as the route has it, beside those of other controllers", () => {
  const found = [{ ref: { ...cart, sectionName: undefined }, conditions: [good] }];
  assert.deepEqual(nextRouteStatus({ parents: [other] }, found, { generation: 3, now: early }), {
    parents: [
      other,
      {
        parentRef: cart,
        controllerName: CONTROLLER_NAME,
        conditions: [{ ...good, observedGeneration: 3, lastTransitionTime: early }],
      },
    ],
  });
});

test("what says the same is not written again; a new generation is, with the time of the last change", () => {
  const found = [{ ref: cart, conditions: [good] }];
  const first = nextRouteStatus(undefined, found, { generation: 1, now: early });
  assert.equal(nextRouteStatus(first, found, { generation: 1, now: late }), undefined);
  const second = nextRouteStatus(first, found, { generation: 2, now: late });
  assert.match(JSON.stringify(second), /"observedGeneration":2,"lastTransitionTime":"2026-01-01/);
  const third = nextRouteStatus(second, [{ ref: cart, conditions: [bad] }], { generation: 2, now: late });
  assert.match(JSON.stringify(third), /"lastTransitionTime":"2026-01-02/);
});

test("a parent that the route does not name any more loses our entry, and only ours", () => {
  const first = nextRouteStatus({ parents: [other] }, [{ ref: cart, conditions: [good] }], {
    generation: 1,
    now: early,
  });
  assert.deepEqual(nextRouteStatus(first, [], { generation: 2, now: late }), { parents: [other] });
  assert.equal(nextRouteStatus({ parents: [other] }, [], { generation: 2, now: late }), undefined);
  assert.equal(nextRouteStatus(undefined, [], { generation: 1, now: early }), undefined);
});

test("a policy's status carries the generation, and is not written twice", () => {
  const first = nextPolicyStatus(undefined, [good], { generation: 1, now: early });
  assert.deepEqual(first, {
    observedGeneration: 1,
    conditions: [{ ...good, observedGeneration: 1, lastTransitionTime: early }],
  });
  assert.equal(nextPolicyStatus(first, [good], { generation: 1, now: late }), undefined);
});

test("whatever is there, what was written is never written again, and others' entries stay as they are", () => {
  const condition = fc.record({
    type: fc.constantFrom("Accepted", "ResolvedRefs", "Programmed"),
    status: fc.constantFrom("True" as const, "False" as const, "Unknown" as const),
    reason: fc.constantFrom("A", "B"),
    message: fc.string(),
  });
  const ref = fc.record({ name: fc.constantFrom("a", "b", "c"), port: fc.option(fc.nat(), { nil: undefined }) });
  const conditions = fc.uniqueArray(condition, { selector: ({ type }) => type });
  const finding = fc.record({ ref, conditions });
  const entry = fc.record({
    parentRef: ref,
    controllerName: fc.constantFrom(CONTROLLER_NAME, "example.org/other"),
    conditions,
  });
  const isTheirs = (one: unknown): boolean => !JSON.stringify(one).includes(CONTROLLER_NAME);
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 6 }),
      fc.uniqueArray(finding, { maxLength: 5, selector: (one) => JSON.stringify(one.ref) }),
      (parents, found) => {
        const at = { generation: 2, now: late };
        const next = nextRouteStatus({ parents }, found, at) ?? { parents };
        assert.equal(nextRouteStatus(next, found, { generation: 2, now: early }), undefined);
        assert.deepEqual((next["parents"] as unknown[]).filter(isTheirs), parents.filter(isTheirs));
      },
    ),
  );
});
