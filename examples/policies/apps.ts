// The applications of docs/policies, all in this one process: `node examples/policies/apps.ts [FOLDER]`, until Ctrl-C.
import { fileURLToPath } from "node:url";
import { readWorkloads } from "../demo/layout.ts";
import { startGrpcInstance } from "./grpc-instance.ts";
import { startInstance, type Counts } from "./instance.ts";

const folder = process.argv[2] ?? fileURLToPath(new URL("mesh", import.meta.url));
const counts = new Map<string, Counts>();
const servers = await Promise.all(
  (await readWorkloads(folder)).map(async ({ service, name, appPort }) => {
    if (service === "prices") {
      const calls = await startGrpcInstance(name, appPort);
      return { close: () => calls.close(), end: () => calls.close() };
    }
    const shared = counts.get(service) ?? new Map<string, number>();
    counts.set(service, shared);
    const server = await startInstance(name, appPort, shared);
    return { close: () => server.close(), end: () => server.closeAllConnections() };
  }),
);
const stop = (): void => {
  for (const server of servers) {
    server.close();
    server.end();
  }
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
console.log(JSON.stringify({ ready: true, instances: servers.length }));
