// Which refusal of a proxy is about an object.
import type { ProxyStatus } from "../discovery/proxy-record.ts";
import type { ObjectStatus } from "../translate/status.ts";

/** `shop/cart-1 refused <resource>: <reason>`; undefined: no proxy refuses anything that comes from the object. */
export function rejectionOf(object: ObjectStatus, proxies: readonly ProxyStatus[]): string | undefined {
  const rejection = proxies
    .flatMap((proxy) => proxy.rejections.map(({ name, reason }) => ({ id: proxy.id, name, reason })))
    .find(({ name, reason }) => names(object, name) || names(object, reason));
  return rejection === undefined ? undefined : `${rejection.id} refused ${rejection.name}: ${rejection.reason}`;
}

/** Names of generated resources hold `namespace/name` of the service; messages that of the route. */
function names({ namespace, name }: ObjectStatus, text: string): boolean {
  return namespace !== "" && new RegExp(`(^|[/ "])${namespace}/${name.replaceAll(".", "\\.")}($|[/ ":])`).test(text);
}
