// Opens connections as one user and prints what answered each, as JSON: run by the pod with a uid and a gid.
import { callAll, type Call } from "./call.ts";

const calls = JSON.parse(process.argv[2] ?? "[]") as readonly Call[]; // as: the pod wrote it
process.stdout.write(JSON.stringify(await callAll(calls)));
