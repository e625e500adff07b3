// The list of balancers: from a cluster's policy to how one is made.
import type { LbPolicy } from "#config/model/cluster.ts";
import type { MakeBalancer } from "./balancer.ts";
import { maglev, ringHash } from "./hashing.ts";
import { leastRequest } from "./least-request.ts";
import { peakEwmaBalancer } from "./peak-ewma.ts";
import { makeRandomBalancer } from "./random.ts";
import { makeRoundRobin } from "./round-robin.ts";
import { weightedByLoad } from "./weighted-by-load.ts";

/** Original-destination clusters name the endpoint themselves (original-destination.ts); among several they take turns. */
export function balancerOf(policy: LbPolicy): MakeBalancer {
  let make: MakeBalancer;
  switch (policy.kind) {
    case "roundRobin":
    case "originalDst":
    case "originalEndpoint":
      make = makeRoundRobin;
      break;
    case "leastRequest":
      make = leastRequest(policy.isFullScan === true ? Infinity : policy.choiceCount, policy.activeRequestBias);
      break;
    case "random":
      make = makeRandomBalancer;
      break;
    case "ringHash":
      make = ringHash(policy.minimumRingSize, policy.maximumRingSize, policy.hashing);
      break;
    case "maglev":
      make = maglev(policy.tableSize, policy.hashing);
      break;
    case "weightedByLoad":
      make = weightedByLoad(policy);
      break;
    case "peakEwma":
      make = peakEwmaBalancer(policy.decayMs, policy.initialRttMs);
      break;
  }
  return make;
}
