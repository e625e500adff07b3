// Which EndpointSlices a service has, and which services a pod serves.
import type { SliceRecord } from "./service.ts";

interface Slices {
  get(key: string): SliceRecord | undefined;
  keys(): Iterable<string>;
}

/** Keys are `namespace/name`. */
export class SliceIndex {
  readonly #slicesByService = new Map<string, Set<string>>();
  readonly #servicesByPod = new Map<string, Map<string, number>>();
  readonly #known = new Map<string, SliceRecord>();

  /** Everything anew. */
  replace(slices: Slices): void {
    this.#slicesByService.clear();
    this.#servicesByPod.clear();
    this.#known.clear();
    for (const key of slices.keys()) this.update(key, slices.get(key));
  }

  /** Takes a slice's new state over (undefined: it is gone); gives the services that it is, or was, of. */
  update(key: string, slice: SliceRecord | undefined): ReadonlySet<string> {
    const touched = new Set<string>();
    const before = this.#known.get(key);
    if (before !== undefined) this.#count(key, before, -1, touched);
    if (slice === undefined) this.#known.delete(key);
    else {
      this.#known.set(key, slice);
      this.#count(key, slice, 1, touched);
    }
    return touched;
  }

  servicesOf(pod: string): Iterable<string> {
    return this.#servicesByPod.get(pod)?.keys() ?? [];
  }

  slicesOf(service: string, slices: Slices): readonly SliceRecord[] {
    return [...(this.#slicesByService.get(service) ?? [])].flatMap((key) => slices.get(key) ?? []);
  }

  #count(key: string, slice: SliceRecord, step: 1 | -1, touched: Set<string>): void {
    if (slice.service === "") return;
    const service = `${slice.namespace}/${slice.service}`;
    touched.add(service);
    const keys = this.#slicesByService.get(service) ?? new Set();
    if (step === 1) this.#slicesByService.set(service, keys.add(key));
    else if (keys.delete(key) && keys.size === 0) this.#slicesByService.delete(service);
    for (const { pod } of slice.endpoints) {
      if (pod === undefined) continue;
      const id = `${slice.namespace}/${pod.name}`;
      const services = this.#servicesByPod.get(id) ?? new Map<string, number>();
      const count = (services.get(service) ?? 0) + step;
      if (count > 0) services.set(service, count);
      else services.delete(service);
      if (services.size > 0) this.#servicesByPod.set(id, services);
      else this.#servicesByPod.delete(id);
    }
  }
}
