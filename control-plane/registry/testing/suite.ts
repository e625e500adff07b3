// The suite that every registry runs: what the contract of registry.ts promises, on the real source.
import assert from "node:assert/strict";
import { test } from "node:test";
import { serviceKey, type Registry, type RegistryService, type RegistrySink } from "../registry.ts";

/** A source that the suite changes from outside, as its users do. */
export interface RegistryHarness {
  /** Makes a registry on the source, which holds whatever was put before. */
  makeRegistry(): Registry;
  put(service: SourceService): Promise<void>;
  remove(key: string): Promise<void>;
  /** Makes the source unreachable, and reachable again. */
  breakSource(): Promise<void>;
  healSource(): Promise<void>;
  close(): Promise<void>;
}

/** What every source can hold. */
export interface SourceService {
  readonly namespace: string;
  readonly name: string;
  readonly weights: Readonly<Record<string, number>>;
}

/** Remembers what a registry tells. */
export class RecordingSink implements RegistrySink {
  readonly services = new Map<string, RegistryService>();
  readonly failures: Error[] = [];
  isLive = false;
  /** The smallest number of services at any time after the first word. */
  fewest = Infinity;

  replace(services: readonly RegistryService[]): void {
    this.services.clear();
    for (const service of services) this.services.set(serviceKey(service), service);
    this.#told();
  }

  change(changed: readonly RegistryService[], removed: readonly string[]): void {
    for (const service of changed) this.services.set(serviceKey(service), service);
    for (const key of removed) this.services.delete(key);
    this.#told();
  }

  fail(error: Error): void {
    this.failures.push(error);
    this.isLive = false;
  }

  #told(): void {
    this.isLive = true;
    this.fewest = Math.min(this.fewest, this.services.size);
  }

  /** `service: endpoint=weight ...`, sorted. */
  get summary(): readonly string[] {
    return [...this.services]
      .map(([key, { endpoints }]) => `${key}: ${endpoints.map(({ name, weight }) => `${name}=${weight}`).join(" ")}`)
      .toSorted();
  }
}

/** Waits until it holds; the runner's own limit of time ends a wait in vain. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Runs the suite; each test has a source of its own. */
export function registrySuite(name: string, makeHarness: () => Promise<RegistryHarness>): void {
  const run = (title: string, body: (harness: RegistryHarness, watch: () => RecordingSink) => Promise<void>): void => {
    test(`${name}: ${title}`, { timeout: 10_000 }, async () => {
      const harness = await makeHarness();
      const watches: { close(): Promise<void> }[] = [];
      try {
        await body(harness, () => {
          const sink = new RecordingSink();
          watches.push(harness.makeRegistry().watch(sink));
          return sink;
        });
      } finally {
        await Promise.all(watches.map(async (watch) => watch.close()));
        await harness.close();
      }
    });
  };

  run("tells everything that is there at the start", async (harness, watch) => {
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 1, "a-2": 2 } });
    await harness.put({ namespace: "shop", name: "b", weights: { "b-1": 1 } });
    const sink = watch();
    await until(() => sink.services.size === 2);
    assert.deepEqual(sink.summary, ["shop/a: a-1=1 a-2=2", "shop/b: b-1=1"]);
  });

  run("tells what is added, changed and removed", async (harness, watch) => {
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 1 } });
    const sink = watch();
    await until(() => sink.services.size === 1);
    await harness.put({ namespace: "shop", name: "b", weights: { "b-1": 1 } });
    await until(() => sink.services.size === 2);
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 5, "a-2": 1 } });
    await until(() => sink.summary[0] === "shop/a: a-1=5 a-2=1");
    await harness.remove("shop/b");
    await until(() => sink.services.size === 1);
    assert.deepEqual(sink.summary, ["shop/a: a-1=5 a-2=1"]);
  });

  run("ends in the last state after a burst of changes", async (harness, watch) => {
    const sink = watch();
    for (let weight = 1; weight <= 40; weight++)
      await harness.put({ namespace: "shop", name: "a", weights: { "a-1": weight } });
    await until(() => sink.summary[0] === "shop/a: a-1=40");
  });

  run("says that its source is unreachable, and never empties the mesh", async (harness, watch) => {
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 1 } });
    const sink = watch();
    await until(() => sink.services.size === 1);
    await harness.breakSource();
    await until(() => sink.failures.length > 0);
    assert.deepEqual(sink.summary, ["shop/a: a-1=1"]);
    await harness.healSource();
    await until(() => sink.isLive);
    assert.equal(sink.fewest, 1);
  });

  run("resumes without losing a change that was made while it could not look", async (harness, watch) => {
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 1 } });
    const sink = watch();
    await until(() => sink.services.size === 1);
    await harness.breakSource();
    await until(() => sink.failures.length > 0);
    await harness.healSource();
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 9 } });
    await until(() => sink.summary[0] === "shop/a: a-1=9");
  });

  run("says nothing after it was closed", async (harness) => {
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 1 } });
    const sink = new RecordingSink();
    const watch = harness.makeRegistry().watch(sink);
    await until(() => sink.services.size === 1);
    await watch.close();
    await harness.put({ namespace: "shop", name: "a", weights: { "a-1": 2 } });
    // Another one sees the change, so the closed one could have.
    const other = new RecordingSink();
    const again = harness.makeRegistry().watch(other);
    await until(() => other.summary[0] === "shop/a: a-1=2");
    await again.close();
    assert.deepEqual(sink.summary, ["shop/a: a-1=1"]);
  });
}
