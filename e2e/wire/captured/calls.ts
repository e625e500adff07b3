// A connection that says something and tells everything that came back.
import net from "node:net";

import type { Call } from "./mesh-plan.ts";

/** For an answer that never comes. */
const LIMIT_MS = 20_000;

/** One after the other. */
export async function callAll(calls: readonly Call[]): Promise<readonly string[]> {
  const answers: string[] = [];
  for (const one of calls) answers.push(await call(one));
  return answers;
}

/** Everything until the connection ends, an error by its code. */
async function call({ host, port, text }: Call): Promise<string> {
  const socket = net.connect({ host, port });
  let answer = "";
  socket.on("data", (bytes: Buffer) => (answer += bytes.toString("latin1")));
  socket.on("error", (error: NodeJS.ErrnoException) => (answer += `error ${error.code ?? error.message}`));
  socket.setTimeout(LIMIT_MS, () => {
    answer += "timeout";
    socket.destroy();
  });
  if (text !== undefined) socket.write(text);
  await new Promise((resolve) => socket.once("close", resolve));
  return answer;
}

/** A request that ends its connection. */
export function get(path: string, host: string, fields = ""): string {
  return `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${fields}connection: close\r\n\r\n`;
}
