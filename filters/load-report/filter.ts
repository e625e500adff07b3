// The load-report filter: a sidecar tells the proxies of its callers how busy its application is, with each answer.
import type { JsonValue } from "#config/model/filter-config.ts";

import { CONTINUE, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";
import { ConfigReader } from "../parse.ts";
import { ApplicationLoad, LOAD_CELLS } from "./load.ts";

const LOAD_REPORT = "type.googleapis.com/heddle.filters.load_report.v1.LoadReport";
/** Mesh peers alone have it: fields of this name are removed at every other edge (contracts.md: the mesh hop). */
const HEADER = "heddle-load-report";

export const loadReportFilter = {
  name: "heddle.load_report",
  typeUrls: [LOAD_REPORT],
  failureMode: "open",
  perRoute: "off",
  parse: parseLoadReportConfig,
  make(_config, context) {
    return makeFilter(context);
  },
} satisfies FilterFactory<Record<string, never>>;

function parseLoadReportConfig(value: JsonValue): Record<string, never> {
  new ConfigReader(value, "").done();
  return {};
}

/** Requests count from when they go to the application, so that those that the mesh answers itself do not. */
function makeFilter(context: FilterContext): Filter {
  const slot = context.slot();
  const key = `load-report/${context.listener}`;
  const load = context.keep(key, "", () => new ApplicationLoad(context.clock, context.cells(key, LOAD_CELLS)));
  return {
    name: context.name,
    onAttemptStart(exchange) {
      if (exchange.slots[slot] !== undefined) return;
      exchange.slots[slot] = load;
      load.began();
    },
    onResponseHead(exchange, head) {
      if (exchange.slots[slot] === undefined || exchange.connection.peerIdentity === undefined) return CONTINUE;
      const report = load.report();
      if (report !== "") head.set(HEADER, report);
      return CONTINUE;
    },
    onDone(exchange) {
      if (exchange.slots[slot] !== undefined) load.ended(exchange.status === 0 || exchange.status >= 500);
    },
  };
}
