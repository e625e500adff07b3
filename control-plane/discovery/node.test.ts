// Who asks is known by its program, never by the version of it: both planes may be a minor version apart.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { NodeSchema } from "#config/xds/gen/envoy/config/core/v3/base_pb.ts";
import { makeMesh, nodeOf } from "../translate/testing/make-mesh.ts";
import { agentOf, dialectOf } from "./node.ts";

const shop = readFileSync(new URL("../translate/testdata/captured.in.yaml", import.meta.url), "utf8");

test("a proxy that is a minor version older or newer is given what one of this version is", () => {
  const mesh = makeMesh(shop);
  const given = ["0.0.9", "0.1.0", "0.2.0"].map((value) => {
    const version = { case: "userAgentVersion", value } as const;
    const node = create(NodeSchema, { id: "shop/web-1", userAgentName: "heddle", userAgentVersionType: version });
    assert.equal(agentOf(node), `heddle ${value}`);
    const resources = mesh.source.resourcesFor(nodeOf(node.id), dialectOf(node));
    return [...(resources?.listeners.keys() ?? [])];
  });
  assert.ok((given[1]?.length ?? 0) > 0);
  assert.deepEqual(given[0], given[1]);
  assert.deepEqual(given[2], given[1]);
});
