// Access logs to a file or to the process's own output, message <-> model.
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { AccessLog } from "../model/telemetry.ts";
import { pack, unpack } from "./any.ts";
import { inlineText, readText } from "./data-source.ts";
import { AccessLogSchema, type AccessLog as WireAccessLog } from "./gen/envoy/config/accesslog/v3/accesslog_pb.ts";
import {
  SubstitutionFormatStringSchema,
  type SubstitutionFormatString,
} from "./gen/envoy/config/core/v3/substitution_format_string_pb.ts";
import { FileAccessLogSchema, type FileAccessLog } from "./gen/envoy/extensions/access_loggers/file/v3/file_pb.ts";
import {
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
} from "./gen/envoy/extensions/access_loggers/stream/v3/stream_pb.ts";
import type { Scope } from "./issues.ts";

/** Envoy's own format, for a log that names none. */
const DEFAULT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% " +
  '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

export function accessLogsFromWire(logs: readonly WireAccessLog[], scope: Scope): readonly AccessLog[] {
  return logs.flatMap((log, index) => accessLogFromWire(log, scope.at(index)) ?? []);
}

function accessLogFromWire(wire: WireAccessLog, scope: Scope): AccessLog | undefined {
  const at = scope.field("typed_config");
  const schemas = [FileAccessLogSchema, StdoutAccessLogSchema, StderrAccessLogSchema] as const;
  const log = unpack(wire.configType.value, schemas, at, wire.name);
  switch (log?.$typeName) {
    case undefined:
      return undefined;
    case FileAccessLogSchema.typeName:
      return { path: log.path, format: fileFormat(log, at) };
    case StdoutAccessLogSchema.typeName:
    case StderrAccessLogSchema.typeName: {
      const path = log.$typeName === StdoutAccessLogSchema.typeName ? "/dev/stdout" : "/dev/stderr";
      const format = log.accessLogFormat.value;
      return {
        path,
        format: format === undefined ? text(DEFAULT_FORMAT) : formatFromWire(format, at.field("log_format")),
      };
    }
  }
}

function fileFormat(log: FileAccessLog, scope: Scope): AccessLog["format"] {
  const format = log.accessLogFormat;
  switch (format.case) {
    case "format":
      return text(format.value === "" ? DEFAULT_FORMAT : format.value);
    case "jsonFormat":
    case "typedJsonFormat":
      return { kind: "json", fields: format.value };
    case "logFormat":
      return formatFromWire(format.value, scope.field("log_format"));
    case undefined:
      return text(DEFAULT_FORMAT);
  }
}

function formatFromWire(wire: SubstitutionFormatString, scope: Scope): AccessLog["format"] {
  const { format } = wire;
  switch (format.case) {
    case "textFormat":
      return text(format.value === "" ? DEFAULT_FORMAT : format.value);
    case "textFormatSource":
      return text(readText(format.value, scope.field("text_format_source")));
    case "jsonFormat":
      return { kind: "json", fields: format.value };
    case undefined:
      return text(DEFAULT_FORMAT);
  }
}

function text(format: string): AccessLog["format"] {
  return { kind: "text", format };
}

export function accessLogToWire(model: AccessLog): WireAccessLog {
  const { format } = model;
  const value: SubstitutionFormatString =
    format.kind === "json"
      ? // The model's JSON is protobuf-es's, readonly; it is only read.
        create(SubstitutionFormatStringSchema, { format: { case: "jsonFormat", value: format.fields as JsonObject } })
      : create(SubstitutionFormatStringSchema, {
          format: { case: "textFormatSource", value: inlineText(format.format) },
        });
  const log = create(FileAccessLogSchema, { path: model.path, accessLogFormat: { case: "logFormat", value } });
  return create(AccessLogSchema, {
    name: "envoy.access_loggers.file",
    configType: { case: "typedConfig", value: pack(FileAccessLogSchema, log) },
  });
}
