// The settings of an HTTP/1 server connection, each with its default.
import type { HeadLimits } from "./field-scan.ts";

export interface Http1ServerOptions extends HeadLimits {
  /** What `:scheme` says for targets that are not absolute. */
  readonly scheme: "http" | "https";
  /** HTTP/1.0 clients are served; else 426. */
  readonly acceptHttp10: boolean;
  /** `:authority` of HTTP/1.0 requests without Host; "" = none. */
  readonly defaultHost: string;
  readonly enableTrailers: boolean;
  readonly allowAbsoluteUrl: boolean;
  /** Content-Length beside `Transfer-Encoding: chunked` is dropped instead of refused (not safe behind other proxies). */
  readonly allowChunkedLength: boolean;
  /** Bytes pending for the client above which `sendData` answers false. */
  readonly bufferLimitBytes: number;
  /** The connection closes after so many requests; 0 = never. */
  readonly maxRequests: number;
  /** What answers say in Keep-Alive of the time that the connection is kept idle: `timeout=5`; "" = nothing. */
  readonly keepAlive: string;
}

/** Envoy's limits (60 KiB, 100 fields); HTTP/1.0, trailers and the letters of names pass (expectations.md, pains 11 and 12). */
export const HTTP1_SERVER_DEFAULTS: Http1ServerOptions = {
  scheme: "http",
  maxHeadBytes: 60 * 1024,
  maxHeadCount: 100,
  preserveCase: true,
  acceptHttp10: true,
  defaultHost: "",
  enableTrailers: true,
  allowAbsoluteUrl: true,
  allowChunkedLength: false,
  bufferLimitBytes: 256 * 1024,
  maxRequests: 0,
  keepAlive: "",
};
