// A sidecar under siege: normal clients all through, an attack in the middle, and what must hold of each attack.
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";

import { cluster, httpListener, Proxy, type ProxyConfig } from "../proxy.ts";
import { until } from "../until.ts";
import type { AttackReport, AttackTarget } from "./attacker.ts";
import type { NormalTarget, TrafficOrder, TrafficReport } from "./traffic.ts";

/** How long an attack lasts in ms; `HEDDLE_ATTACK_MS` makes it a longer run. */
export const ATTACK_MS = Number(process.env["HEDDLE_ATTACK_MS"] ?? "1500");
/** A share of a core is one of at least so many ms. */
const SHARE_MS = 1000;
/** Normal clients send one request to each target in so many ms. */
const EVERY_MS = 10;
const UNDISTURBED_MS = 2000;
/** The p99 bound of the issue: both must be broken, in two of three runs. */
const MAX_P99_FACTOR = 10;
const MAX_P99_MS = 250;
/** What stays allocated after an attack, while the heap settles. */
const MAX_KEPT_MIB = 48;

export interface SiegeOptions {
  /** Given the ports of two applications, so that what an attack makes of one does not slow the other; the default has one listener `in` (HTTP/1 and HTTP/2) and one cluster `app` (HTTP/1). */
  readonly config?: (appPort: number, otherPort: number, otherPorts: Readonly<Record<string, number>>) => ProxyConfig;
  /** The file of the other application, where it is not the same again; it may say several ports by name. */
  readonly other?: string;
  /** Where normal clients go; the default is both versions at `in`. */
  readonly normal?: (port: (listener: string) => number) => readonly NormalTarget[];
}

export interface Plan {
  /** `import.meta.resolve` of the file with the attack, and its export. */
  readonly module: string;
  readonly attack: string;
  /** The listener under attack; default `in`. */
  readonly listener?: string;
  readonly ms?: number;
  readonly args?: Readonly<Record<string, string | number>>;
  /** The most that resident memory may grow meanwhile. */
  readonly maxExtraMib: number;
  /**
   * The most that the sidecar may use for it: share of one core (1 = all of it), above what normal traffic takes, over the time of
   * the attack or a second, whichever is longer: what is cut off at once is over in a third of that.
   */
  readonly maxCpuShare: number;
  /** And, where the attack is made of many units: microseconds for each. */
  readonly maxCpuMicrosPerUnit?: number;
  /** What may stay allocated afterwards, where it is not the usual. */
  readonly maxKeptMib?: number;
  /** How the attacker was cut off or limited: asserts on its report. */
  readonly check: (report: AttackReport) => void | Promise<void>;
}

/** What an application says when it listens. */
interface Ports {
  readonly port: number;
  readonly ports?: Readonly<Record<string, number>>;
}

/** One sidecar, its application and its normal clients, for all attacks of a file. */
export class Siege {
  readonly proxy: Proxy;
  readonly #children: readonly ChildProcess[];
  readonly #traffic: ChildProcess;
  #undisturbed: TrafficReport | undefined = undefined;
  /** CPU ms of the sidecar per ms of normal traffic. */
  #normalShare = 0;

  private constructor(proxy: Proxy, traffic: ChildProcess, upstreams: readonly ChildProcess[]) {
    this.proxy = proxy;
    this.#traffic = traffic;
    this.#children = [traffic, ...upstreams];
  }

  static async start({ config, normal, other: file }: SiegeOptions = {}): Promise<Siege> {
    const upstreams = [forkFile("upstream.ts"), forkFile(file ?? "upstream.ts")];
    const [app, other] = await Promise.all(upstreams.map((upstream) => nextMessage<Ports>(upstream)));
    if (app === undefined || other === undefined) throw new Error("no upstream");
    const proxy = await Proxy.start(config?.(app.port, other.port, other.ports ?? {}) ?? defaultConfig(app.port));
    const targets = normal?.((name) => proxy.port(name)) ?? [
      { version: "h1", port: proxy.port("in") },
      { version: "h2", port: proxy.port("in") },
    ];
    const traffic = forkFile("traffic.ts");
    const siege = new Siege(proxy, traffic, upstreams);
    order(traffic, { kind: "start", targets, everyMs: EVERY_MS });
    // The first time is for warming up: compilers, connections.
    await sleep(1500);
    await siege.#measureUndisturbed();
    return siege;
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.disconnect();
    await this.proxy.stop();
  }

  /** Runs the attack and asserts all that holds of every attack, and what `plan` says of this one. */
  async run(t: TestContext, plan: Plan): Promise<void> {
    for (let slow = 0, round = 1; ; round++) {
      const before = this.#undisturbed?.p99 ?? 0;
      const p99 = await this.#runOnce(t, plan);
      let isSlow = p99 > MAX_P99_MS && p99 > before * MAX_P99_FACTOR;
      if (isSlow) {
        // What others do on the machine at this time is not the attack's doing.
        await this.#measureUndisturbed();
        isSlow = p99 > (this.#undisturbed?.p99 ?? 0) * MAX_P99_FACTOR;
      }
      const problem = `p99 ${p99.toFixed(0)} ms, undisturbed ${before.toFixed(1)} before and ${this.#undisturbed?.p99.toFixed(1)} ms after`;
      if (isSlow) slow++;
      assert.ok(slow < 2, `normal clients in two of ${round} runs: ${problem}`);
      if (!isSlow && slow === 0) return;
      if (round === 3) return;
    }
  }

  /** Gives the p99 of normal clients in ms. */
  async #runOnce(t: TestContext, plan: Plan): Promise<number> {
    const undisturbed = this.#undisturbed;
    assert.ok(undisturbed !== undefined);
    const ms = plan.ms ?? ATTACK_MS;
    const attacker = forkFile("attacker.ts", plan.module, plan.attack);
    await nextMessage(attacker);
    const deathsBefore = await this.metric("heddle_worker_deaths");
    const connectionsBefore = await this.metric('heddle_downstream_connections{kind="http"}');
    await this.#mark();
    const rssBefore = this.proxy.rssMib;
    let rssPeak = rssBefore;
    const sampler = setInterval(() => (rssPeak = Math.max(rssPeak, this.proxy.rssMib)), 20);
    const began = performance.now();
    const cpuBefore = this.#cpuMs();
    const target: AttackTarget = { port: this.proxy.port(plan.listener ?? "in"), ms, args: plan.args ?? {} };
    attacker.send(target);
    let report: AttackReport;
    try {
      report = await nextMessage<AttackReport>(attacker, ms + 60_000);
    } finally {
      clearInterval(sampler);
      if (attacker.connected) attacker.disconnect();
    }
    const tookMs = performance.now() - began;
    const cpuMs = Math.max(0, this.#cpuMs() - cpuBefore - this.#normalShare * tookMs);
    const normal = await this.#mark();
    const share = cpuMs / Math.max(tookMs, SHARE_MS);
    const micros = (cpuMs * 1000) / Math.max(1, report.units);
    const extra = rssPeak - rssBefore;
    t.diagnostic(
      `normal p99 ${normal.p99.toFixed(1)} ms (undisturbed ${undisturbed.p99.toFixed(1)}), ${normal.requests} requests; ` +
        `${report.units} units on ${report.connections} connections, ${(report.bytes / 2 ** 20).toFixed(1)} MiB; ` +
        `CPU ${(share * 100).toFixed(0)} % of a core, ${micros.toFixed(1)} us a unit; RSS ${extra.toFixed(0)} MiB more; saw ${JSON.stringify(report.saw)}`,
    );
    assert.deepEqual(normal.failures, [], "normal requests fail");
    assert.ok(normal.requests > 0, "no normal request was sent");
    assert.ok(extra <= plan.maxExtraMib, `${extra.toFixed(1)} MiB more, above ${plan.maxExtraMib}`);
    assert.ok(share <= plan.maxCpuShare, `${(share * 100).toFixed(0)} % of a core, above ${plan.maxCpuShare * 100} %`);
    if (plan.maxCpuMicrosPerUnit !== undefined)
      assert.ok(
        micros <= plan.maxCpuMicrosPerUnit,
        `${micros.toFixed(1)} us a unit, above ${plan.maxCpuMicrosPerUnit}`,
      );
    await plan.check(report);
    await this.#assertRecovered(rssBefore + (plan.maxKeptMib ?? MAX_KEPT_MIB), deathsBefore, connectionsBefore);
    return normal.p99;
  }

  /** The sum of the admin port's lines that begin with `name`. */
  async metric(name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.proxy.adminPort}/metrics`);
    assert.equal(response.status, 200);
    const text = await response.text();
    const lines = text
      .split("\n")
      .filter((line) => line.startsWith(name) && /[ {}]/.test(line.slice(name.length - 1, name.length + 1)));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  /** No worker died, the attacker's connections are gone, memory came back, normal clients are served. */
  async #assertRecovered(rssLimit: number, deathsBefore: number, connectionsBefore: number): Promise<void> {
    assert.equal(await this.metric("heddle_worker_deaths"), deathsBefore, "a worker died");
    await until(
      "the attacker's connections are gone",
      async () => (await this.metric('heddle_downstream_connections{kind="http"}')) <= connectionsBefore + 2,
    );
    await until(`memory comes back below ${rssLimit.toFixed(0)} MiB`, () => this.proxy.rssMib <= rssLimit);
    await sleep(100);
    const after = await this.#mark();
    assert.deepEqual(after.failures, [], "normal requests fail after the attack");
    assert.ok(after.requests > 0, "the sidecar serves no more");
  }

  async #measureUndisturbed(): Promise<void> {
    await this.#mark();
    const cpuBefore = this.#cpuMs();
    await sleep(UNDISTURBED_MS);
    this.#normalShare = (this.#cpuMs() - cpuBefore) / UNDISTURBED_MS;
    this.#undisturbed = await this.#mark();
    assert.deepEqual(this.#undisturbed.failures, [], "normal requests fail without an attack");
  }

  async #mark(): Promise<TrafficReport> {
    const report = nextMessage<TrafficReport>(this.#traffic);
    order(this.#traffic, { kind: "mark" });
    return report;
  }

  /** What the kernel says that all threads have run, in ms. */
  #cpuMs(): number {
    const tasks = `/proc/${this.proxy.pid}/task`;
    let nanoseconds = 0;
    for (const task of fs.readdirSync(tasks)) {
      try {
        nanoseconds += Number(fs.readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]);
      } catch {
        // A thread that has ended meanwhile.
      }
    }
    return nanoseconds / 1e6;
  }
}

function defaultConfig(appPort: number): ProxyConfig {
  return { listeners: [httpListener("in", "app")], clusters: [cluster("app", appPort)] };
}

function forkFile(file: string, ...args: readonly string[]): ChildProcess {
  // Without the test runner's own options.
  return fork(path.join(import.meta.dirname, file), args, {
    execArgv: [],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

function order(child: ChildProcess, what: TrafficOrder): void {
  child.send(what);
}

function nextMessage<T>(child: ChildProcess, limitMs = 60_000): Promise<T> {
  return new Promise((resolve, reject) => {
    const onEnd = (): void => finish(() => reject(new Error(`${child.spawnargs.slice(1).join(" ")} ended early`)));
    const onMessage = (message: T): void => finish(() => resolve(message));
    const timer = setTimeout(
      () => finish(() => reject(new Error(`${child.spawnargs.slice(1).join(" ")} said nothing for ${limitMs} ms`))),
      limitMs,
    );
    const finish = (then: () => void): void => {
      clearTimeout(timer);
      child.off("message", onMessage).off("exit", onEnd);
      then();
    };
    child.once("message", onMessage).once("exit", onEnd);
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
