// A data thread: one data plane that does what the main thread says.
import fs from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

import { systemClock } from "#lib/clock.ts";
import { makeJsonLog, type LogThreshold } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { recordCpuProfile, takeHeapSnapshot } from "#proxy/admin/profile.ts";
import { collectGarbage } from "#proxy/app/collect-garbage.ts";
import { DataPlane } from "#proxy/app/data-plane.ts";
import { loadOriginalDestination } from "#proxy/listener/original-destination.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";
import type { SpanRecord } from "#proxy/telemetry/records.ts";
import { chooseAcceptMode } from "#proxy/wire/accept.ts";
import { prepareAddressCheck } from "#proxy/wire/address-check.ts";

import { HostLookups } from "./host-lookups.ts";
import type { FromWorker, Query, ToWorker, WorkerData } from "./protocol.ts";

/** Spans leave together, at the latest after this, ms. */
const SPAN_DELAY_MS = 200;

const port = parentPort;
if (port === null) throw new Error("This file is a worker thread's; start it with `heddle proxy`");
const data = workerData as WorkerData; // as: the pool gave it
const threshold: LogThreshold = { level: data.logLevel };
const log = makeJsonLog((line) => void fs.writeSync(2, line), threshold, { thread: data.index });

const say = (message: FromWorker): void => port.postMessage(message);
const lookups = new HostLookups(systemClock, say);
let spans: SpanRecord[] = [];
prepareAddressCheck();
const plane = new DataPlane({
  clock: systemClock,
  random: systemRandom,
  log,
  cells: new SharedCells(data.cells, data.index),
  acceptMode: await chooseAcceptMode(),
  proxyName: data.proxyName,
  localCluster: data.localCluster,
  reusePort: data.reusePort,
  loadOriginalDestination,
  drainTimeMs: data.drainTimeMs,
  ticketSecret: data.ticketSecret,
  lookUpHost: lookups.lookUp,
  onSpan(span) {
    spans.push(span);
    if (spans.length === 1) systemClock.setTimer(SPAN_DELAY_MS, sendSpans);
  },
});

function sendSpans(): void {
  if (spans.length > 0) say({ kind: "spans", spans });
  spans = [];
}

// One change after the other: a later one must not overtake an earlier one that still opens a socket.
let applying: Promise<void> = Promise.resolve();

port.on("message", (message: ToWorker) => {
  switch (message.kind) {
    case "apply":
      applying = applying.then(async () => {
        const failures = await plane.apply(message.delta);
        say({ kind: "applied", id: message.id, version: message.delta.version, failures, ports: [...plane.ports] });
      });
      break;
    case "health":
      plane.setHealth(message.cluster, message.endpoint, message.health);
      break;
    case "query":
      void answer(message.id, message.query);
      break;
    case "looked-up":
      lookups.answer(message.table, message.host, message.failure);
      break;
    case "log":
      threshold.level = message.level;
      break;
    case "overload":
      plane.setOverload(message.level);
      break;
    case "collect":
      if (message.who === "all" || plane.hasNoConnections) collectGarbage();
      break;
    case "drain":
      void plane.drain(message.timeoutMs).then(() => {
        sendSpans();
        say({ kind: "drained" });
      });
      break;
    default:
      message satisfies never;
  }
});

async function answer(id: number, query: Query): Promise<void> {
  if (query.kind === "cpu-profile") say({ kind: "answer", id, value: await recordCpuProfile(query.seconds) });
  else if (query.kind === "heap-snapshot") say({ kind: "answer", id, value: await takeHeapSnapshot() });
  else say({ kind: "answer", id, value: plane.answer(query) });
}

say({ kind: "ready" });
