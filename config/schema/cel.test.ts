import assert from "node:assert/strict";
import { test } from "node:test";
import type { CelInput } from "@bufbuild/cel";
import { celFieldName, compileRule, toCel } from "./cel.ts";
import { kinds } from "./kinds.ts";
import type { CelRule, StructuralSchema } from "./structural.ts";

function holds(rule: string, self: CelInput): boolean {
  return compileRule({ rule, message: "broken" })(self) === undefined;
}

function rulesOf(schema: StructuralSchema): CelRule[] {
  const children = [...Object.values(schema.properties ?? {}), schema.items ?? {}, schema.additionalProperties ?? {}];
  return [
    ...(schema["x-kubernetes-validations"] ?? []),
    ...children.flatMap((child) => (Object.keys(child).length === 0 ? [] : rulesOf(child))),
  ];
}

test("every rule of every kind is CEL, and uses only functions that exist", () => {
  for (const kind of kinds) {
    for (const rule of [...kind.rules, ...rulesOf(kind.spec)]) {
      const answer = compileRule(rule)(new Map());
      assert.doesNotMatch(answer ?? "", /unbound function/, rule.rule);
      assert.doesNotMatch(rule.message, /[.]$/, rule.message);
    }
  }
});

test("functions that Kubernetes adds for lists work", () => {
  assert.ok(holds("self.isSorted() && self.sum() == 6 && self.min() == 1 && self.max() == 3", [1n, 2n, 3n]));
  assert.ok(
    holds("!self.isSorted() && self.indexOf(1) == 1 && self.lastIndexOf(1) == 2 && self.indexOf(9) == -1", [
      2n,
      1n,
      1n,
    ]),
  );
  assert.ok(!holds("self.min() == 1", []));
});

test("functions that Kubernetes adds for text work", () => {
  assert.ok(
    holds(
      "self.find('[0-9]+') == '12' && self.findAll('[0-9]+') == ['12', '345'] && self.findAll('[0-9]+', 1) == ['12']",
      "a12b345",
    ),
  );
  assert.ok(
    holds("isIP('::1') && isIP('10.0.0.1') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0') && !isIP('a')", ""),
  );
  assert.ok(holds("isCIDR('10.0.0.0/8') && isCIDR('::/0') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0')", ""));
  assert.ok(holds("isQuantity('1Gi') && !isQuantity('1GB') && isURL('https://a.b/c') && !isURL('a')", ""));
});

test("a rule that cannot be evaluated is broken, and says why", () => {
  assert.equal(
    compileRule({ rule: "self.a > 1", message: "a must be more" })(new Map()),
    "a must be more (field not found: a)",
  );
  assert.throws(() => compileRule({ rule: "self.", message: "x" }));
});

test("field names are escaped as Kubernetes does, keys of maps are not", () => {
  assert.deepEqual(["namespace", "a-b", "a.b/c", "a__b", "plain"].map(celFieldName), [
    "__namespace__",
    "a__dash__b",
    "a__dot__b__slash__c",
    "a__underscores__b",
    "plain",
  ]);
  const schema: StructuralSchema = {
    type: "object",
    properties: { "a-b": { type: "integer" }, map: { type: "object", additionalProperties: { type: "number" } } },
  };
  assert.deepEqual(
    toCel(schema, { "a-b": 1, map: { "c-d": 1 } }),
    new Map<string, CelInput>([
      ["a__dash__b", 1n],
      ["map", new Map([["c-d", 1]])],
    ]),
  );
});
