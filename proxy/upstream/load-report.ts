// What an instance says of its own load with an answer: ORCA reports in their three spellings, read without trust.
// xds.data.orca.v3.OrcaLoadReport; the headers are those of Envoy and gRPC (gRFC A51).
import type { HeaderBlock } from "#lib/http/header-block.ts";

/** Fields are 0 where the report does not have them. */
export interface LoadReport {
  applicationUtilization: number;
  cpuUtilization: number;
  memoryUtilization: number;
  requestsPerSecond: number;
  errorsPerSecond: number;
  /** `named_metrics.NAME`, `utilization.NAME`, `request_cost.NAME`. */
  readonly named: Map<string, number>;
}

/** What the sidecar of an instance tells of it, as TEXT; never leaves the mesh. */
export const PEER_LOAD_REPORT = "heddle-load-report";

const HEADER = "endpoint-load-metrics";
const BINARY_HEADER = "endpoint-load-metrics-bin";
/** More than this is no load report. */
const MAX_REPORT_BYTES = 16_384;
const MAX_NAMED = 64;

/**
 * The report of a head or of trailers, that of the application before that of its sidecar, field by field; undefined where there is
 * none that can be read. Takes the sidecar's field away.
 */
export function takeLoadReport(fields: HeaderBlock): LoadReport | undefined {
  const peer = fields.get(PEER_LOAD_REPORT);
  if (peer !== undefined) fields.delete(PEER_LOAD_REPORT);
  const own = readOwn(fields);
  const told = peer === undefined ? undefined : parseLoadReport(peer);
  if (own === undefined || told === undefined) return own ?? told;
  // A sidecar guesses how busy the application is; whoever knows is believed.
  const knowsItself = own.applicationUtilization > 0 || own.cpuUtilization > 0 || own.named.size > 0;
  if (!knowsItself) own.applicationUtilization = told.applicationUtilization;
  if (own.requestsPerSecond === 0) own.requestsPerSecond = told.requestsPerSecond;
  if (own.errorsPerSecond === 0) own.errorsPerSecond = told.errorsPerSecond;
  return own;
}

function readOwn(fields: HeaderBlock): LoadReport | undefined {
  const binary = fields.get(BINARY_HEADER);
  if (binary !== undefined)
    return tryParse(() => parseBinary(Buffer.from(binary.slice(0, MAX_REPORT_BYTES), "base64")));
  const text = fields.get(HEADER);
  return text === undefined ? undefined : parseLoadReport(text);
}

/** `TEXT k=v,...`, `JSON {...}` or `BIN base64`; undefined: it is none of these, or a value is no finite number from 0 on. */
export function parseLoadReport(text: string): LoadReport | undefined {
  if (text.length > MAX_REPORT_BYTES) return undefined;
  const space = text.indexOf(" ");
  const rest = text.slice(space + 1);
  switch (text.slice(0, space)) {
    case "TEXT":
      return tryParse(() => parseText(rest));
    case "JSON":
      return tryParse(() => parseJson(JSON.parse(rest) as unknown));
    case "BIN":
      return tryParse(() => parseBinary(Buffer.from(rest, "base64")));
    default:
      return undefined;
  }
}

function tryParse(parse: () => LoadReport): LoadReport | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

function makeReport(): LoadReport {
  return {
    applicationUtilization: 0,
    cpuUtilization: 0,
    memoryUtilization: 0,
    requestsPerSecond: 0,
    errorsPerSecond: 0,
    named: new Map(),
  };
}

/** A name of ORCA's own, or of one of its maps; any other is an error, as in Envoy. */
function set(report: LoadReport, name: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) throw new RangeError(`Cannot read a load report: ${name} is ${value}`);
  switch (name) {
    case "application_utilization":
      report.applicationUtilization = value;
      break;
    case "cpu_utilization":
      report.cpuUtilization = value;
      break;
    case "mem_utilization":
      report.memoryUtilization = value;
      break;
    case "rps_fractional":
      report.requestsPerSecond = value;
      break;
    case "eps":
      report.errorsPerSecond = value;
      break;
    default:
      if (!/^(?:named_metrics|utilization|request_cost)\../.test(name) || report.named.size >= MAX_NAMED)
        throw new RangeError(`Cannot read a load report: ${name} is no metric of ORCA`);
      report.named.set(name, value);
  }
}

function parseText(text: string): LoadReport {
  const report = makeReport();
  const seen = new Set<string>();
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(0, equals)).trim();
    const value = part.slice(equals + 1).trim();
    if (name === "" || value === "" || seen.has(name)) throw new RangeError(`Cannot read a load report: "${part}"`);
    seen.add(name);
    set(report, name, Number(value));
  }
  return report;
}

const MAP_NAMES: Readonly<Record<string, string>> = {
  named_metrics: "named_metrics",
  namedMetrics: "named_metrics",
  utilization: "utilization",
  request_cost: "request_cost",
  requestCost: "request_cost",
};

function parseJson(json: unknown): LoadReport {
  const report = makeReport();
  if (typeof json !== "object" || json === null) throw new TypeError("Cannot read a load report: it is no object");
  for (const [key, value] of Object.entries(json)) {
    const map = MAP_NAMES[key];
    if (map !== undefined && typeof value === "object" && value !== null)
      for (const [name, one] of Object.entries(value)) set(report, `${map}.${name}`, Number(one));
    // `rps` is the old whole number, which gave way to `rps_fractional`.
    else if (key !== "rps")
      set(
        report,
        key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        Number(value),
      );
  }
  return report;
}

/** Numbers of the fields of OrcaLoadReport. */
const SCALARS = new Map([
  [1, "cpu_utilization"],
  [2, "mem_utilization"],
  [6, "rps_fractional"],
  [7, "eps"],
  [9, "application_utilization"],
]);
const MAPS = new Map([
  [4, "request_cost"],
  [5, "utilization"],
  [8, "named_metrics"],
]);

/** Protobuf: no message is longer than what was checked before, and what is cut off throws a RangeError. */
function parseBinary(bytes: Buffer): LoadReport {
  const report = makeReport();
  eachField(bytes, (field, value) => {
    const scalar = SCALARS.get(field);
    if (scalar !== undefined && typeof value === "number") set(report, scalar, value);
    const map = MAPS.get(field);
    if (map === undefined || typeof value === "number") return;
    let name = "";
    let number = 0;
    eachField(value, (inner, part) => {
      if (inner === 1 && typeof part !== "number") name = part.toString();
      if (inner === 2 && typeof part === "number") number = part;
    });
    set(report, `${map}.${name}`, number);
  });
  return report;
}

/** Calls with doubles and with bytes; varints and 32-bit values are passed over. */
function eachField(bytes: Buffer, onField: (field: number, value: number | Buffer) => void): void {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 127) * shift;
      if (byte < 128) return value;
      if (shift > 2 ** 63) throw new RangeError("Cannot read a load report: a number is too long");
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        varint();
        break;
      case 1:
        onField(field, bytes.readDoubleLE(at));
        at += 8;
        break;
      case 2: {
        const length = varint();
        if (at + length > bytes.length) throw new RangeError("Cannot read a load report: it is cut off");
        onField(field, bytes.subarray(at, at + length));
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new RangeError(`Cannot read a load report: wire type ${tag % 8}`);
    }
  }
}
