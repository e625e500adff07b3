// Runs one of the load generators of bench/go beside the proxy's own meters: CPU time, memory, busy cores, requests at the application.
import type { Contender } from "../contenders/contender.ts";
import type { App } from "./app.ts";
import { getPrograms } from "./get-programs.ts";
import { busyPercent, cpuMicros, LOAD_CORE, PROXY_CORE, readCore, rssMib, runPinned } from "./processes.ts";

/** What a generator prints (bench/go/internal/stats). */
export interface LoadReport {
  readonly requests: number;
  readonly errors: number;
  readonly error?: string;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  readonly bytes: number;
  /** CPU time of the generator itself. */
  readonly cpuUs: number;
  readonly suite?: string;
}

export interface Metered extends LoadReport {
  /** Of all the proxy's threads, user and system. */
  readonly cpuMicros: number;
  /** The most that was seen. */
  readonly rssMib: number;
  readonly proxyCore: number;
  readonly loadCore: number;
}

/** Throws when a request was answered badly, or when the application counted other requests than the generator. */
export async function meterLoad(
  contender: Contender,
  program: string,
  options: readonly string[],
  app?: App,
): Promise<Metered> {
  const seenBefore = await app?.requests();
  const [proxyBefore, loadBefore, cpuBefore] = [readCore(PROXY_CORE), readCore(LOAD_CORE), cpuMicros(contender.pids)];
  let peakMib = rssMib(contender.pids);
  const watch = setInterval(() => (peakMib = Math.max(peakMib, rssMib(contender.pids))), 100);
  const report = await runLoad(program, ["-address", `127.0.0.1:${contender.port}`, ...options]).finally(() =>
    clearInterval(watch),
  );
  const cpu = cpuMicros(contender.pids) - cpuBefore;
  const [proxyCore, loadCore] = [
    busyPercent(proxyBefore, readCore(PROXY_CORE)),
    busyPercent(loadBefore, readCore(LOAD_CORE)),
  ];
  const seenAfter = await app?.requests();
  if (seenBefore !== undefined && seenAfter !== undefined && seenAfter - seenBefore !== report.requests)
    throw new Error(`the application saw ${seenAfter - seenBefore} requests, the load generator ${report.requests}`);
  return { ...report, cpuMicros: cpu, rssMib: Math.max(peakMib, rssMib(contender.pids)), proxyCore, loadCore };
}

/** Throws on any error. */
export async function runLoad(program: string, options: readonly string[]): Promise<LoadReport> {
  const said = await runPinned(LOAD_CORE, [getPrograms(), program, ...options]);
  const report = JSON.parse(said) as LoadReport; // as: bench/go/internal/stats writes it
  if (report.errors > 0)
    throw new Error(
      `${report.errors} requests failed, ${report.requests} did not: ${(report.error ?? "").slice(0, 300)}`,
    );
  return report;
}
