// The control plane's process: settings, the stack, one line when it is ready, and a clean end on a signal.
import { systemClock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import { makeJsonLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { startControlPlane } from "./app.ts";
import { parseSettings, SettingsError, type Environment } from "./settings.ts";

export interface MainOptions {
  /** Without the command's own name. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Of this program. */
  readonly version: string;
  readonly write: (line: string) => void;
  readonly writeError: (line: string) => void;
  /** Aborted by SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
}

/** Runs until the signal; gives the exit code: 0 stopped, 1 failed, 2 a setting is wrong. */
export async function runControlPlane({
  argv,
  env,
  version: ownVersion,
  write,
  writeError,
  signal,
}: MainOptions): Promise<number> {
  try {
    const settings = parseSettings(argv, env);
    const log = makeJsonLog(write, { level: settings.logLevel });
    const running = await startControlPlane({
      settings,
      clock: systemClock,
      random: systemRandom,
      log,
      version: ownVersion,
    });
    // Process managers and tests wait for this line, whatever the level.
    const { xdsPort, securePort, metricsPort, version } = running;
    makeJsonLog(write, { level: "info" }).info("ready", { xdsPort, securePort, metricsPort, version });
    await aborted(signal);
    log.info("draining");
    await running.stop();
    return 0;
  } catch (error) {
    writeError(`heddle control-plane: ${describeError(error)}\n`);
    return error instanceof SettingsError ? 2 : 1;
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    // The stack's timers do not keep a process alive; its ports do.
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
