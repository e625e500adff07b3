// The settings of interception: flags, environment variables and pod annotations with one table, and what a wrong value is told.
import { UsageError } from "../arguments.ts";
import { tryCidr, type Cidr } from "./cidr.ts";
import { ADMIN_PORT, HEALTH_PORT, type Interception, type PortRange } from "./interception.ts";

interface Setting {
  readonly value: string;
  readonly help: string;
  /** Users may set it for a pod by the annotation `heddle.dev/NAME`. */
  readonly isAnnotation: boolean;
}

const setting = (value: string, help: string, isAnnotation = false): Setting => ({ value, help, isAnnotation });

const SETTINGS = {
  "outbound-port": setting("PORT", "where the proxy takes the application's connections (default: 15001)"),
  "inbound-port": setting("PORT", "where the proxy takes connections to the application (default: 15006)"),
  "exclude-outbound-ports": setting("PORTS", "connections to these ports go out as they are: 5432,8000-8100", true),
  "exclude-inbound-ports": setting("PORTS", "connections to these ports reach the application as they are", true),
  "include-inbound-ports": setting("PORTS", "only these are redirected: a list, * or none (default: *)", true),
  "exclude-outbound-cidrs": setting("CIDRS", "connections to these addresses go out as they are", true),
  "include-outbound-cidrs": setting("CIDRS", "only these are redirected: a list, * or none (default: *)", true),
  "exclude-uids": setting("UIDS", "connections of these users go out as they are", true),
  "exclude-gids": setting("GIDS", "connections of these groups go out as they are", true),
  "proxy-uid": setting("UID", "the proxy's user (default: 1337)"),
  "proxy-gid": setting("GID", "the proxy's group, which is enough where users are random (default: 1337)"),
} satisfies Record<string, Setting>;

type SettingName = keyof typeof SETTINGS;

const NAMES = Object.keys(SETTINGS) as readonly SettingName[]; // as: its own keys

/** `HEDDLE_EXCLUDE_UIDS` */
export function variableOf(name: string): string {
  return `HEDDLE_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** For the command line; each flag has an environment variable. */
export const interceptionOptions = Object.fromEntries(
  Object.entries(SETTINGS).map(([name, { value, help }]) => [
    name,
    { type: "string", value, help: `${help}; ${variableOf(name)}` },
  ]),
) as Readonly<Record<SettingName, { readonly type: "string"; readonly value: string; readonly help: string }>>; // as: the same keys

type Values = Readonly<Record<string, string | undefined>>;
type Flags = { readonly [name in SettingName]?: string | undefined };

/** From flags, else from the environment. @throws {UsageError} that names the flag or variable. */
export function parseInterception(flags: Flags, env: Values): Interception {
  return parse((name) => {
    const flag = flags[name];
    if (flag !== undefined) return { text: flag, label: `--${name}` };
    return { text: env[variableOf(name)] ?? "", label: variableOf(name) };
  });
}

const ANNOTATION = "heddle.dev/";

/** From a pod's annotations, over `presets`; what excludes adds up, as in the injector's flags. @throws {UsageError} that names the annotation. */
export function parseAnnotations(annotations: Values, presets: Values): Interception {
  return parse((name) => {
    const own = SETTINGS[name].isAnnotation ? annotations[ANNOTATION + name] : undefined;
    const preset = presets[name] ?? "";
    if (own === undefined) return { text: preset, label: name };
    const addsUp = name.startsWith("exclude-") && preset !== "" && own.trim() !== "";
    return { text: addsUp ? `${preset},${own}` : own.trim() === "" ? preset : own, label: ANNOTATION + name };
  });
}

/** What was said, and who said it; empty: nothing. */
interface Said {
  readonly text: string;
  readonly label: string;
}

function parse(find: (name: SettingName) => Said): Interception {
  const said = Object.fromEntries(NAMES.map((name) => [name, trimmed(find(name))])) as Record<SettingName, Said>; // as: the same keys
  const outboundPort = parsePort(said["outbound-port"], 15_001);
  const inboundPort = parsePort(said["inbound-port"], 15_006);
  if (outboundPort === inboundPort)
    throw new UsageError(`${said["inbound-port"].label} must not be the outbound port too: both are ${inboundPort}`);
  return {
    outboundPort,
    inboundPort,
    excludeOutboundPorts: parseList(said["exclude-outbound-ports"], parseRange),
    excludeInboundPorts: parseList(said["exclude-inbound-ports"], parseRange),
    includeInboundPorts: parseChoice(said["include-inbound-ports"], parseRange),
    excludeOutboundCidrs: parseList(said["exclude-outbound-cidrs"], parseCidr),
    includeOutboundCidrs: parseChoice(said["include-outbound-cidrs"], parseCidr),
    excludeUids: parseList(said["exclude-uids"], (item, label) => parseId(item, label, 0)),
    excludeGids: parseList(said["exclude-gids"], (item, label) => parseId(item, label, 0)),
    proxyUid: parseProxyId(said["proxy-uid"]),
    proxyGid: parseProxyId(said["proxy-gid"]),
  };
}

function trimmed({ text, label }: Said): Said {
  return { text: text.trim(), label };
}

function parseList<T>({ text, label }: Said, parseItem: (item: string, label: string) => T): readonly T[] {
  if (text === "") return [];
  return text.split(",").map((item) => parseItem(item.trim(), label));
}

function parseChoice<T>(said: Said, parseItem: (item: string, label: string) => T): "all" | readonly T[] {
  if (said.text === "" || said.text === "*") return "all";
  return said.text === "none" ? [] : parseList(said, parseItem);
}

function parsePort({ text, label }: Said, preset: number): number {
  if (text === "") return preset;
  const port = tryPort(text);
  if (port === undefined) throw new UsageError(`${label} must be a port from 1 to 65535: got "${text}"`);
  if (port === ADMIN_PORT || port === HEALTH_PORT)
    throw new UsageError(`${label} must not be ${port}, which is the proxy's own for other things`);
  return port;
}

function parseRange(item: string, label: string): PortRange {
  const [first, last, ...more] = item.split("-").map(tryPort);
  const range = { first, last: item.includes("-") ? last : first };
  if (more.length > 0 || range.first === undefined || range.last === undefined || range.first > range.last)
    throw new UsageError(`${label} must be ports from 1 to 65535, as 5432,8000-8100: got "${item}"`);
  return { first: range.first, last: range.last };
}

function tryPort(text: string): number | undefined {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function parseCidr(item: string, label: string): Cidr {
  const cidr = tryCidr(item);
  if (cidr === undefined) throw new UsageError(`${label} must be CIDRs, as 10.0.0.0/8,fd00::/64: got "${item}"`);
  return cidr;
}

/** 2^32 - 1 means "no user" to the kernel. */
const MOST_ID = 2 ** 32 - 2;

function parseId(item: string, label: string, least: number): number {
  const id = /^(0|[1-9]\d{0,9})$/.test(item) ? Number(item) : -1;
  if (id < least || id > MOST_ID)
    throw new UsageError(`${label} must be numbers from ${least} to ${MOST_ID}: got "${item}"`);
  return id;
}

/** Root's connections are the application's as often as not. */
function parseProxyId({ text, label }: Said): number {
  return text === "" ? 1337 : parseId(text, label, 1);
}
