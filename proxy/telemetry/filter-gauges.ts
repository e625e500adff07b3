// Gauges of filters, which are made anew with each change of their listener and go with it.
import { formatLabels, type Labels, type Metrics } from "./metrics.ts";

interface Reading {
  readonly listener: string;
  readonly labels: Labels;
  readonly read: () => number;
}

export class FilterGauges {
  readonly #metrics: Metrics;
  readonly #byName = new Map<string, Map<string, Reading>>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** All threads read the same state; the one of the same name and labels is replaced. */
  set(listener: string, name: string, help: string, labels: Labels, read: () => number): void {
    let readings = this.#byName.get(name);
    if (readings === undefined) {
      const made = new Map<string, Reading>();
      this.#byName.set(name, (readings = made));
      this.#metrics.gauge(name, help, () => [...made.values()].map((one) => [one.labels, one.read()] as const), true);
    }
    readings.set(formatLabels(labels), { listener, labels, read });
  }

  forget(listener: string): void {
    for (const readings of this.#byName.values())
      for (const [key, reading] of readings) if (reading.listener === listener) readings.delete(key);
  }
}
