import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { OrcaLoadReportSchema } from "#config/xds/gen/xds/data/orca/v3/orca_load_report_pb.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { parseLoadReport, takeLoadReport } from "./load-report.ts";

const value = fc.double({ min: 0, max: 1e9, noNaN: true });
const name = fc.stringMatching(/^[a-z_]{1,12}$/);

test("the three spellings of a report say the same", () => {
  fc.assert(
    fc.property(value, value, value, value, fc.dictionary(name, value, { maxKeys: 5 }), (...parts) => {
      const [cpu, application, rate, errors, metrics] = parts;
      const text = [
        `cpu_utilization=${cpu}`,
        `application_utilization=${application}`,
        `rps_fractional=${rate}`,
        `eps=${errors}`,
        ...Object.entries(metrics).map(([key, metric]) => `named_metrics.${key}=${metric}`),
      ].join(",");
      const init = {
        cpuUtilization: cpu,
        applicationUtilization: application,
        rpsFractional: rate,
        eps: errors,
        namedMetrics: metrics,
      };
      const binary = Buffer.from(toBinary(OrcaLoadReportSchema, create(OrcaLoadReportSchema, init))).toString("base64");
      const expected = parseLoadReport(`TEXT ${text}`);
      assert.equal(expected?.requestsPerSecond, rate);
      assert.deepEqual(parseLoadReport(`JSON ${JSON.stringify(init)}`), expected);
      assert.deepEqual(parseLoadReport(`BIN ${binary}`), expected);
      assert.deepEqual(takeLoadReport(HeaderBlock.of(["endpoint-load-metrics-bin", binary])), expected);
    }),
    { numRuns: 50 },
  );
});

test("what is no report is none, and never throws", () => {
  for (const text of [
    "",
    "cpu_utilization=0.5",
    "TEXT cpu_utilization=-1",
    "TEXT cpu_utilization=NaN",
    "TEXT cpu_utilization=1,cpu_utilization=1",
    "TEXT speed=3",
    "JSON [",
    'JSON {"cpu_utilization": "fast"}',
    "BIN CQ==",
  ])
    assert.equal(parseLoadReport(text), undefined, text);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      parseLoadReport(`BIN ${Buffer.from(bytes).toString("base64")}`);
    }),
  );
});

test("what an application says of itself holds over what its sidecar guesses, which does not go on", () => {
  const peer = ["heddle-load-report", "TEXT rps_fractional=50,eps=2,application_utilization=3"] as const;
  const head = HeaderBlock.of(peer, ["endpoint-load-metrics", "TEXT cpu_utilization=0.5"]);
  const report = takeLoadReport(head);
  assert.deepEqual(
    [report?.applicationUtilization, report?.cpuUtilization, report?.requestsPerSecond, report?.errorsPerSecond],
    [0, 0.5, 50, 2],
  );
  assert.equal(head.has("heddle-load-report"), false);
  assert.equal(takeLoadReport(HeaderBlock.of(peer))?.applicationUtilization, 3);
  assert.equal(takeLoadReport(HeaderBlock.of(["x", "y"])), undefined);
});
