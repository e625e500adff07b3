// MeshConfig.overload as settings of our filter in front of every application.
import type { JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { OverloadProtection } from "#config/schema/overload.ts";
import { filterTypes } from "../filter-types.ts";
import { meshConfigOf } from "../scope.ts";
import type { PolicyFilter } from "./policy-filters.ts";

export const overloadProtection: PolicyFilter = {
  name: filterTypes.overload.name,
  inboundOnly: true,
  settings: { typeUrl: filterTypes.overload.typeUrl, config: {} },
  forPort: (reader, { direction }) => {
    const { overload } = meshConfigOf(reader);
    if (overload === undefined || direction !== "inbound") return undefined;
    return { typeUrl: filterTypes.overload.typeUrl, config: configOf(overload) };
  },
  forRule: () => undefined,
};

function configOf({ eventLoopDelay, averageRt, retryAfter, ...numbers }: OverloadProtection): JsonValue {
  return {
    ...numbers,
    ...(eventLoopDelay === undefined ? {} : { eventLoopDelayMs: durationMs(eventLoopDelay) }),
    ...(averageRt === undefined ? {} : { averageRtMs: durationMs(averageRt) }),
    retryAfterSeconds: Math.ceil(durationMs(retryAfter) / 1000),
  };
}
