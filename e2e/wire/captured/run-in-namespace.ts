// Runs a program in a network namespace of its own and gives what it found: the JSON that it prints last, on a line of its own.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";

import { getIptables } from "./iptables.ts";

/** @throws {Error} where there can be no namespace, and where the program fails: with what it printed. */
export async function runInNamespace(program: string): Promise<unknown> {
  try {
    execFileSync("unshare", ["-n", "true"], { stdio: "ignore" });
  } catch (cause) {
    throw new Error("Cannot make a network namespace: these tests need Linux, root (CAP_SYS_ADMIN) and unshare", {
      cause,
    });
  }
  // Nothing can be fetched from inside.
  getIptables();
  const child = spawn("unshare", ["-n", process.execPath, "--no-warnings", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  const exited = once(child, "exit");
  for await (const bytes of child.stdout) text += String(bytes);
  const [code, signal] = (await exited) as [number | null, string | null]; // as: what the event carries
  if (code !== 0)
    throw new Error(`The run in the network namespace ended with ${signal ?? `code ${code}`}; it printed: ${text}`);
  return JSON.parse(text.slice(text.lastIndexOf("\n{") + 1));
}
