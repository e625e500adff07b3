// Programs pinned to a core: started, measured, stopped by their own id.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";

/** The proxies have one core to themselves; load generators, applications and control planes share the other. */
export const PROXY_CORE = 0;
export const LOAD_CORE = 1;

export interface Running {
  readonly pid: number;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** Starts a program on one core, or on several; what it says goes to a file. */
export function startPinned(core: number | string, command: readonly string[], logFile: string): Running {
  const log = fs.openSync(logFile, "w");
  const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["ignore", log, log] });
  fs.closeSync(log);
  const pid = child.pid;
  if (pid === undefined) throw new Error(`Cannot start ${command[0]}: see ${logFile}`);
  const killWithUs = (): void => void child.kill("SIGKILL");
  process.on("exit", killWithUs);
  return {
    pid,
    child,
    async stop() {
      process.off("exit", killWithUs);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 3000);
      await gone;
      clearTimeout(timer);
    },
  };
}

/** Runs a load generator on one core to its end; gives what it printed. */
export async function runPinned(core: number, command: readonly string[]): Promise<string> {
  const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code] = (await once(child, "close")) as [number | null]; // as: what "close" carries
  if (code !== 0) throw new Error(`${command.slice(0, 2).join(" ")} ended with ${code}: ${said}`);
  return said;
}

/** A load generator that is spoken with while it runs. */
export interface Conversation {
  /** Resolves when it says this line; rejects when it ends before. */
  hear(line: string): Promise<void>;
  /** Ends its standard input; gives all that it said. Rejects when it fails. */
  finish(): Promise<string>;
}

export function converse(core: number, command: readonly string[]): Conversation {
  const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["pipe", "pipe", "pipe"] });
  let [said, complaints] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  const ended = once(child, "close");
  return {
    async hear(line) {
      while (!said.split("\n").includes(line)) {
        const more = await Promise.race([once(child.stdout, "data").then(() => true), ended.then(() => false)]);
        if (!more) throw new Error(`${command.slice(0, 2).join(" ")} ended: ${complaints}`);
      }
    },
    async finish() {
      child.stdin.end();
      const [code] = (await ended) as [number | null]; // as: what "close" carries
      if (code !== 0) throw new Error(`${command.slice(0, 2).join(" ")} ended with ${code}: ${complaints}`);
      return said;
    },
  };
}

/** CPU time of all threads of the processes, user and system, in microseconds (from the scheduler, not from 10 ms ticks). */
export function cpuMicros(pids: readonly number[]): number {
  let nanos = 0;
  for (const pid of pids)
    for (const task of fs.readdirSync(`/proc/${pid}/task`))
      nanos += Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ", 1)[0]);
  return nanos / 1000;
}

/** Resident memory of the processes together, in MiB. */
export function rssMib(pids: readonly number[]): number {
  const kib = (pid: number): number =>
    Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0");
  return pids.reduce((sum, pid) => sum + kib(pid), 0) / 1024;
}

/** Memory that the processes have written and share with nobody, in MiB: RSS without the pages of programs and libraries. */
export function ownMib(pids: readonly number[]): number {
  const kib = (pid: number): number =>
    Number(/Private_Dirty:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? "0");
  return pids.reduce((sum, pid) => sum + kib(pid), 0) / 1024;
}

interface CoreTimes {
  readonly busy: number;
  readonly all: number;
}

/** Busy share of a core between two readings, in percent. */
export function busyPercent(before: CoreTimes, after: CoreTimes): number {
  return (100 * (after.busy - before.busy)) / Math.max(1, after.all - before.all);
}

/** What a core has done since the machine began, in ticks. */
export function readCore(core: number): CoreTimes {
  const line =
    fs
      .readFileSync("/proc/stat", "utf8")
      .split("\n")
      .find((text) => text.startsWith(`cpu${core} `)) ?? "";
  const ticks = line.split(" ").slice(1).map(Number);
  const all = ticks.slice(0, 8).reduce((sum, tick) => sum + tick, 0);
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all };
}
