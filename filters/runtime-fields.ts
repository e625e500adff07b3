// Envoy's fields that its runtime may override. There is no runtime here, so the default is the value, and the key says nothing.
import type { ConfigReader } from "./parse.ts";

/** RuntimeFeatureFlag `enabled`: absent = on, as in Envoy. */
export function readEnabled(reader: ConfigReader): boolean {
  const flag = reader.object("enabled");
  if (flag === undefined) return true;
  flag.string("runtimeKey", "");
  const isEnabled = flag.boolean("defaultValue", true);
  flag.done();
  return isEnabled;
}

/** RuntimeDouble and RuntimeUInt32; `fallback` where absent. */
export function readRuntimeNumber(reader: ConfigReader, name: string, fallback: number): number {
  const runtime = reader.object(name);
  if (runtime === undefined) return fallback;
  runtime.string("runtimeKey", "");
  const value = runtime.number("defaultValue", 0, 0);
  runtime.done();
  return value;
}

/** RuntimePercent as a share of 1; `fallback` is in percent. */
export function readRuntimeShare(reader: ConfigReader, name: string, fallback: number): number {
  const runtime = reader.object(name);
  if (runtime === undefined) return fallback / 100;
  runtime.string("runtimeKey", "");
  const share = readShare(runtime, "defaultValue", 0);
  runtime.done();
  return share;
}

/** `envoy.type.v3.Percent` as a share of 1; `fallback` is in percent. */
export function readShare(reader: ConfigReader, name: string, fallback: number): number {
  const percent = reader.object(name);
  const value = percent === undefined ? fallback : percent.number("value", 0, 0, 100);
  percent?.done();
  return value / 100;
}
