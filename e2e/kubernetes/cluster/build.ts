// Builds and fetches everything that a test cluster needs, so that it is there when tests ask: `node e2e/kubernetes/cluster/build.ts`.
import { getEchoImage, getNodeImages } from "./images.ts";
import { getNodePrograms } from "./node-programs.ts";
import { getGatewayApiFolder, getPart, PART_NAMES } from "./parts.ts";

const begin = performance.now();
const say = (what: string): void =>
  console.log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s ${what}`);

const programs = getNodePrograms();
say("programs of Debian");
for (const name of PART_NAMES) {
  await getPart(name);
  say(name);
}
await getGatewayApiFolder();
await getNodeImages(programs);
await getEchoImage();
say("images");
