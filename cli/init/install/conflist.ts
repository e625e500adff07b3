// A node's CNI configuration with our plugin in it, and without. Pure: text in, text out.
import { HeddleError } from "#lib/errors.ts";
import { isFields } from "../cni/protocol.ts";
import { NODE_LAYOUT } from "../node-layout.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Behind all others, since it needs the pod's addresses; undefined: it is there already. @throws {HeddleError} HDL_CNI_INSTALL. */
export function tryAddPlugin(text: string, plugin: Fields): string | undefined {
  const list = parseList(text);
  const plugins = pluginsOf(list);
  const wanted = [...plugins.filter((one) => !isOurs(one)), { type: NODE_LAYOUT.wrapper, ...plugin }];
  if (JSON.stringify(wanted) === JSON.stringify(plugins)) return undefined;
  return format({ ...list, plugins: wanted });
}

/** Undefined: it is not there. @throws {HeddleError} HDL_CNI_INSTALL. */
export function tryRemovePlugin(text: string): string | undefined {
  const list = parseList(text);
  const plugins = pluginsOf(list);
  const others = plugins.filter((one) => !isOurs(one));
  return others.length === plugins.length ? undefined : format({ ...list, plugins: others });
}

/** A file of one plugin is a list of one. */
function parseList(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HeddleError("HDL_CNI_INSTALL", "it is not JSON", { cause: error });
  }
  if (!isFields(value)) throw new HeddleError("HDL_CNI_INSTALL", "it is no object");
  if (Array.isArray(value["plugins"])) return value;
  if (typeof value["type"] !== "string") throw new HeddleError("HDL_CNI_INSTALL", "it has neither plugins nor a type");
  const { name, cniVersion, ...plugin } = value;
  return { ...(cniVersion === undefined ? {} : { cniVersion }), name, plugins: [plugin] };
}

function pluginsOf(list: Fields): readonly unknown[] {
  return Array.isArray(list["plugins"]) ? list["plugins"] : [];
}

function isOurs(plugin: unknown): boolean {
  return isFields(plugin) && plugin["type"] === NODE_LAYOUT.wrapper;
}

function format(list: Fields): string {
  return `${JSON.stringify(list, null, 2)}\n`;
}
