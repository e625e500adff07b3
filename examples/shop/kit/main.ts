// The life of an application process: start, say ready, end cleanly on SIGTERM.
import { readSettings, type Settings } from "./settings.ts";

/** A service that listens. */
export interface Running {
  readonly port: number;
  /** Stops accepting, lets what runs finish (5 s at most), frees the port. */
  close(): Promise<void>;
}

/** Starts one application of the shop. */
export type Start = (settings: Settings) => Promise<Running>;

/**
 * Runs an application as this process: prints one JSON line when it listens
 * (`{"ready":true,"service":...,"instance":...,"port":...}`), and leaves with code 0 after SIGTERM or SIGINT.
 */
export async function runMain(service: string, start: Start): Promise<void> {
  const settings = readSettings(service, process.env);
  const running = await start(settings);
  const stop = (): void => {
    void running.close();
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  console.log(JSON.stringify({ ready: true, service, instance: settings.instance, port: running.port }));
}
