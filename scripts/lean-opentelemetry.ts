// For the bundler: OpenTelemetry's NodeSDK without the exporters, readers and files that it could set up for others. We hand it what it
// uses (proxy/telemetry/span-exporter.ts); the rest brings gRPC, YAML and 2 MB of code to the first span of every proxy.
import { pathToFileURL } from "node:url";
import type { Plugin } from "rolldown";

const SDK = /[/\\]@opentelemetry[/\\]sdk-node[/\\]/;
const ABSENT =
  /^@opentelemetry\/(?:configuration|exporter-.*|instrumentation|otlp-(?:grpc-)?exporter-base|propagator-.*|sdk-metrics)$/;
const PREFIX = "\0absent:";

export const leanOpentelemetry: Plugin = {
  name: "lean-opentelemetry",
  async resolveId(source, importer) {
    if (importer === undefined || !SDK.test(importer) || !ABSENT.test(source)) return undefined;
    const found = await this.resolve(source, importer, { skipSelf: true });
    return found === null ? undefined : PREFIX + found.id;
  },
  async load(id) {
    if (!id.startsWith(PREFIX)) return undefined;
    const exported: unknown = await import(pathToFileURL(id.slice(PREFIX.length)).href);
    return absent(Object.keys(exported as object)); // as: a module's namespace
  },
};

/** Its classes and functions are there, and say so when one is used after all; instrumentations are none. */
function absent(names: readonly string[]): string {
  const lines = names
    .filter((name) => name !== "default")
    .map((name) =>
      name === "registerInstrumentations"
        ? `export const ${name} = () => {};`
        : `export const ${name} = /*@__PURE__*/ absent(${JSON.stringify(name)});`,
    );
  return [
    "const absent = (name) => function () { throw new Error(`Heddle has no ${name} of OpenTelemetry`); };",
    ...lines,
  ].join("\n");
}
