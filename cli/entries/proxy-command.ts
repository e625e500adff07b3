// What dist/heddle-proxy.mjs runs when it is the program: in one chunk with the proxy itself.
export { runProxy } from "#proxy/main.ts";
export { runProcess } from "../process.ts";
export { proxyCommand } from "../proxy.ts";
