// The application behind the proxies: the bench's own (bench/go), which counts what reaches it, or grpc-go's.
import { LOAD_CORE, startPinned } from "./processes.ts";
import { getPrograms } from "./get-programs.ts";
import { freePorts, waitForPort } from "./ports.ts";

export interface App {
  readonly pid: number;
  readonly port: number;
  /** Requests so far; undefined where it does not count. */
  requests(): Promise<number | undefined>;
  stop(): Promise<void>;
}

export type AppKind = "h1" | "h2" | "tcp" | "grpc" | "otlp";

/** `bodyBytes`: of each answer; for TCP what it takes before it sends as much. */
export async function startApp(kind: AppKind, folder: string, bodyBytes = 2): Promise<App> {
  const [port = 0, control = 0] = await freePorts(2);
  const at = ["-address", `127.0.0.1:${port}`];
  const command =
    kind === "grpc"
      ? [getPrograms(), "grpc-server", ...at]
      : [
          getPrograms(),
          "app",
          "-protocol",
          kind,
          ...at,
          "-control",
          `127.0.0.1:${control}`,
          "-body",
          String(bodyBytes),
        ];
  const running = startPinned(LOAD_CORE, command, `${folder}/app-${kind}-${port}.log`);
  for (const awaited of kind === "grpc" ? [port] : [port, control])
    await waitForPort(awaited, 10_000, `the application (${kind})`);
  return {
    pid: running.pid,
    port,
    async requests() {
      if (kind === "grpc") return undefined;
      const counts: unknown = await (await fetch(`http://127.0.0.1:${control}/`)).json();
      return (counts as { requests: number }).requests; // as: bench/go/internal/app writes it
    },
    stop: () => running.stop(),
  };
}
