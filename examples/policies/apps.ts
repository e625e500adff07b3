// The applications of docs/policies, all in this one process: `node examples/policies/apps.ts [FOLDER]`, until Ctrl-C.
import { fileURLToPath } from "node:url";
import { readWorkloads } from "../demo/layout.ts";
import { startInstance, type Counts } from "./instance.ts";

const folder = process.argv[2] ?? fileURLToPath(new URL("mesh", import.meta.url));
const counts = new Map<string, Counts>();
const servers = await Promise.all(
  (await readWorkloads(folder)).map(({ service, name, appPort }) => {
    const shared = counts.get(service) ?? new Map<string, number>();
    counts.set(service, shared);
    return startInstance(name, appPort, shared);
  }),
);
const stop = (): void => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
console.log(JSON.stringify({ ready: true, instances: servers.length }));
