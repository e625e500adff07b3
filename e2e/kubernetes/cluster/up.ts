// A cluster to work with: `node e2e/kubernetes/cluster/up.ts [IMAGE.tar...]` starts one and holds it until Ctrl-C;
// `node e2e/kubernetes/cluster/up.ts --in FOLDER COMMAND...` runs a command in it (kubectl, helm, ctr, node ...).
import { spawn } from "node:child_process";
import { once } from "node:events";

import { Cluster } from "./cluster.ts";
import { startCluster } from "./start.ts";

const args = process.argv.slice(2);
if (args[0] === "--in") {
  const cluster = Cluster.join(args[1]);
  const [file = "", ...rest] = cluster.command(args.slice(2));
  const [code] = (await once(spawn(file, rest, { env: cluster.env, stdio: "inherit" }), "exit")) as [number | null]; // as: what the event carries
  process.exitCode = code ?? 1;
} else {
  const cluster = await startCluster({ images: args, print: (line) => console.log(line) });
  const here = process.argv[1] ?? "";
  console.log(
    `\nHEDDLE_CLUSTER=${cluster.folder} npm run e2e -- kubernetes FILE\nnode ${here} --in ${cluster.folder} kubectl get pods -A`,
  );
  const stay = setInterval(() => undefined, 60_000);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  clearInterval(stay);
  await cluster.stop();
}
