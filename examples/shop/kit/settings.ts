// What every shop application reads from its environment: its name, its port and the localhost ports of what it calls.

/** Settings of one application instance. */
export interface Settings {
  /** Name of this instance, unique in the shop, for example `reviews-v2-1`. */
  readonly instance: string;
  /** Address to listen on; loopback unless said otherwise. */
  readonly host: string;
  /** Port to listen on; 0 lets the system choose, and the ready line says which. */
  readonly port: number;
  /** Version of the code that runs here, for example `v1`. */
  readonly version: string;
  /** The tenant whose data this instance holds; empty for shared services. */
  readonly tenant: string;
  /** Fail every Nth request from the start (0: never). */
  readonly failEvery: number;
  /** Base URLs (`http://127.0.0.1:4001`) or `host:port` pairs by service name. */
  readonly upstreams: Readonly<Record<string, string>>;
}

/** Settings for tests and embedding: everything has a default but what is given. */
export function makeSettings(given: Partial<Settings> = {}): Settings {
  return {
    instance: "local",
    host: "127.0.0.1",
    port: 0,
    version: "v1",
    tenant: "",
    failEvery: 0,
    upstreams: {},
    ...given,
  };
}

/**
 * Reads `INSTANCE`, `HOST`, `PORT`, `VERSION`, `TENANT`, `FAIL_EVERY` and every `<SERVICE>_URL`.
 * Throws when a number is not one.
 */
export function readSettings(service: string, environment: NodeJS.ProcessEnv): Settings {
  const upstreams: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (name.endsWith("_URL") && value !== undefined) upstreams[name.slice(0, -4).toLowerCase()] = value;
  }
  return makeSettings({
    instance: environment["INSTANCE"] ?? service,
    host: environment["HOST"] ?? "127.0.0.1",
    port: readNumber("PORT", environment["PORT"]),
    version: environment["VERSION"] ?? "v1",
    tenant: environment["TENANT"] ?? "",
    failEvery: readNumber("FAIL_EVERY", environment["FAIL_EVERY"]),
    upstreams,
  });
}

/** The address of a service this application needs. Throws when the environment did not name it. */
export function upstreamOf(settings: Settings, service: string): string {
  const url = settings.upstreams[service];
  if (url === undefined) {
    throw new Error(`${settings.instance} needs the address of ${service}: set ${service.toUpperCase()}_URL`);
  }
  return url;
}

function readNumber(name: string, text: string | undefined): number {
  const value = Number(text ?? "0");
  if (!Number.isInteger(value) || value < 0) throw new Error(`${name} must be a whole number: got "${text}"`);
  return value;
}
