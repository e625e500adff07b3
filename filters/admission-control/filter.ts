// The admission control filter: the client's side refuses a growing share of requests while too many of them fail, so that a
// service that is down for overload can come back. Envoy's algorithm, after "Handling Overload" of Google's SRE book.
import type { HeaderBlock } from "#lib/http/header-block.ts";

import { ANSWERED, CONTINUE, type Exchange, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";
import { Scoped } from "../scoped.ts";

import { ADMISSION_CONTROL, parseAdmissionControl, type AdmissionControlConfig } from "./config.ts";
import { SuccessWindow, successWindowCells } from "./success-window.ts";

export const admissionControlFilter = {
  name: "envoy.filters.http.admission_control",
  typeUrls: [ADMISSION_CONTROL],
  failureMode: "open",
  perRoute: "settings",
  parse: parseAdmissionControl,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<AdmissionControlConfig>;

interface Door {
  readonly config: AdmissionControlConfig;
  readonly window: SuccessWindow;
}

/** The chance with which a request is refused. */
export function rejectionChance(
  requests: number,
  successes: number,
  config: Pick<AdmissionControlConfig, "successThreshold" | "aggression" | "maxRejection">,
): number {
  const chance = (requests - successes / config.successThreshold) / (requests + 1);
  if (!(chance > 0)) return 0;
  return Math.min(config.maxRejection, config.aggression === 1 ? chance : chance ** (1 / config.aggression));
}

function makeFilter(base: AdmissionControlConfig, context: FilterContext): Filter {
  const { clock, random } = context;
  const slot = context.slot();
  const doors = new Scoped<AdmissionControlConfig, Door>(context.name, context.listener, base, (config, scope) =>
    makeDoor(config, scope, context),
  );
  const counter = (name: string, help: string): { add(value: number): void } =>
    context.metrics.counter(`heddle_admission_control_${name}_total`, help, { listener: context.listener });
  const rejected = counter("rejected", "Requests that were refused because too many before them failed.");
  const succeeded = counter("success", "Requests that the success criteria call successful.");
  const failed = counter("failure", "Requests that they do not.");
  const record = (exchange: Exchange, door: Door, isSuccess: boolean): void => {
    exchange.slots[slot] = undefined;
    door.window.add(clock.nowMs(), isSuccess);
    (isSuccess ? succeeded : failed).add(1);
  };
  return {
    name: context.name,
    onRouted(exchange) {
      const door = doors.of(exchange);
      if (door === undefined || !door.config.isEnabled) return CONTINUE;
      const { config, window } = door;
      window.read(clock.nowMs());
      const chance =
        Math.floor(window.rps) < config.rpsThreshold ? 0 : rejectionChance(window.requests, window.successes, config);
      if (chance === 0 || random.next() >= chance) {
        exchange.slots[slot] = door;
        return CONTINUE;
      }
      rejected.add(1);
      refuse(exchange, door, chance);
      return ANSWERED;
    },
    onResponseHead(exchange, head, end) {
      const door = exchange.slots[slot] as Door | undefined; // as: only this filter writes its slot
      if (door === undefined) return CONTINUE;
      const { httpSuccess, grpcSuccess } = door.config;
      const status = Number(head.get(":status"));
      if (isGrpc(head, status, end)) {
        const code = grpcStatusOf(head);
        if (code !== undefined) record(exchange, door, grpcSuccess.has(code));
        else if (end) record(exchange, door, false);
      } else {
        let isSuccess = false;
        for (const range of httpSuccess) isSuccess ||= status >= range.start && status < range.end;
        record(exchange, door, isSuccess);
      }
      return CONTINUE;
    },
    onResponseTrailers(exchange, trailers) {
      const door = exchange.slots[slot] as Door | undefined; // as: only this filter writes its slot
      if (door === undefined) return CONTINUE;
      const code = grpcStatusOf(trailers);
      record(exchange, door, code !== undefined && door.config.grpcSuccess.has(code));
      return CONTINUE;
    },
  };
}

function makeDoor(config: AdmissionControlConfig, scope: string, context: FilterContext): Door {
  const { windowSeconds } = config;
  const cells = context.cells(`admission-control/${scope}/${config.definition}`, successWindowCells(windowSeconds));
  return { config, window: new SuccessWindow(windowSeconds, cells) };
}

/** Also an answer that is nothing but a head with a gRPC status. */
function isGrpc(head: HeaderBlock, status: number, end: boolean): boolean {
  if (end && head.has("grpc-status")) return true;
  return status === 200 && head.get("content-type")?.startsWith("application/grpc") === true;
}

function grpcStatusOf(head: HeaderBlock): number | undefined {
  const text = head.get("grpc-status");
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : undefined;
}

function refuse(exchange: Exchange, { config, window }: Door, chance: number): void {
  const succeeded = Math.round((100 * window.successes) / Math.max(1, window.requests));
  exchange.answer({
    status: 503,
    flag: "UO",
    code: "admission_denied",
    proxyStatus: "destination_unavailable",
    detail: `denied by admission control: ${succeeded} % of the requests of the last ${config.windowSeconds} s succeeded, so ${Math.round(chance * 100)} % are refused`,
  });
}
