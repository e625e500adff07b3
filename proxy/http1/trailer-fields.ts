// Which fields are no trailers: those that would change what the head said, authorize, or concern the hop (RFC 9110 §6.5.1).
import type { HeaderBlock } from "#lib/http/header-block.ts";

const NOT_IN_TRAILERS: ReadonlySet<string> = new Set(
  (
    "content-length host authorization proxy-authorization content-encoding content-type content-range trailer cookie set-cookie " +
    "cache-control max-forwards expect te"
  ).split(" "),
);

/** Takes them out of trailers that are read or written in HTTP/1. */
export function dropForbiddenTrailers(trailers: HeaderBlock): void {
  if (trailers.length > 0) trailers.deleteWhere((name) => NOT_IN_TRAILERS.has(name));
}
