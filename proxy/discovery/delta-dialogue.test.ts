import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Cluster_DiscoveryType, ClusterSchema } from "#config/xds/gen/envoy/config/cluster/v3/cluster_pb.ts";
import {
  DeltaDiscoveryResponseSchema,
  type DeltaDiscoveryResponse,
} from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { CLUSTER_TYPE_URL } from "#config/xds/type-urls.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { DeltaDialogue } from "./delta-dialogue.ts";

const refusal = { kind: "cluster", name: "c", reason: "no worker takes it" } as const;

/** A cluster that is told apart by its timeout. */
function version(seconds: number): DeltaDiscoveryResponse {
  const message = create(ClusterSchema, {
    name: "c",
    connectTimeout: { seconds: BigInt(seconds) },
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.STATIC },
  });
  const resource = { typeUrl: CLUSTER_TYPE_URL, value: toBinary(ClusterSchema, message) };
  return create(DeltaDiscoveryResponseSchema, {
    typeUrl: CLUSTER_TYPE_URL,
    nonce: `n${seconds}`,
    resources: [{ name: "c", version: String(seconds), resource }],
  });
}

function makeDialogue() {
  const dialogue = new DeltaDialogue({
    node: { id: "a" },
    listeners: false,
    clusters: true,
    decode: { knownFilters: new Set() },
    validate: () => undefined,
    ownSecrets: new Set(),
    clock: new FakeClock(),
  });
  dialogue.begin();
  const held = (): number | undefined => dialogue.config("ads").clusters.get("c")?.connectTimeoutMs;
  dialogue.receive(version(1));
  dialogue.answer(dialogue.takeUnanswered(), []);
  return { dialogue, held };
}

test("a version that comes while the one before it is applied in vain stays, and what worked is put back when it fails too", () => {
  const { dialogue, held } = makeDialogue();
  dialogue.receive(version(2));
  const second = dialogue.takeUnanswered();
  dialogue.receive(version(3));
  const [nack] = dialogue.answer(second, [refusal]);
  assert.match(nack?.errorDetail?.message ?? "", /no worker takes it/);
  assert.equal(held(), 3000);
  dialogue.answer(dialogue.takeUnanswered(), [refusal]);
  assert.equal(held(), 1000);
});

test("of two versions that came together, and of which the last failed, what was held before both is put back", () => {
  const { dialogue, held } = makeDialogue();
  dialogue.receive(version(2));
  dialogue.receive(version(3));
  const answers = dialogue.answer(dialogue.takeUnanswered(), [refusal]);
  assert.deepEqual(
    answers.map(({ responseNonce, errorDetail }) => [responseNonce, errorDetail?.code]),
    [
      ["n2", 3],
      ["n3", 3],
    ],
  );
  assert.equal(held(), 1000);
});
