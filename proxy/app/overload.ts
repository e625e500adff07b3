// What a worker does when the process's memory runs out: first no new streams, then no idle connections.
import type { LocalReply } from "#filters/filter.ts";

/** `refuse`: 85 % of the memory limit; `shed`: 95 % (contracts.md: memory). */
export type OverloadLevel = "normal" | "refuse" | "shed";

const REFUSE_SHARE = 0.85;
const SHED_SHARE = 0.95;
/** So far below its threshold a level ends, that it does not flutter. */
const HYSTERESIS = 0.03;

const REFUSAL: LocalReply = {
  status: 503,
  flag: "OM",
  code: "memory_exhausted",
  proxyStatus: "connection_limit_reached",
  detail: "the proxy's memory is nearly used up: no new requests are taken",
  headers: [["retry-after", "1"]],
  isUnprocessed: true,
};

/** The level at this share of the memory limit (0 to 1), coming from another. */
export function nextLevel(current: OverloadLevel, share: number): OverloadLevel {
  const shed = current === "shed" ? SHED_SHARE - HYSTERESIS : SHED_SHARE;
  if (share >= shed) return "shed";
  const refuse = current === "normal" ? REFUSE_SHARE : REFUSE_SHARE - HYSTERESIS;
  return share >= refuse ? "refuse" : "normal";
}

/** The worker's side: main says the level. */
export class Overload {
  level: OverloadLevel = "normal";
  refused = 0;

  /** What a new stream is answered, if anything. */
  refusal(): LocalReply | undefined {
    if (this.level === "normal") return undefined;
    this.refused++;
    return REFUSAL;
  }
}
