// A filter in a chain as configuration names it; its own schema gives the meaning of `config`.

/** `config` is the canonical JSON of the message `typeUrl` (protobuf JSON for Envoy's messages, the value of a TypedStruct for ours). */
export interface FilterConfig {
  readonly name: string;
  readonly typeUrl: string;
  readonly config: JsonValue;
  /** In the chain but off, until a route turns it on. */
  readonly disabled: boolean;
  /** A proxy that does not know it goes on without it. */
  readonly isOptional: boolean;
}

/** What a route, a virtual host or a weighted cluster says to one filter of the chain, by the filter's name there. */
export interface FilterOverride {
  readonly filter: string;
  readonly typeUrl: string;
  readonly config: JsonValue;
  readonly disabled: boolean;
}

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };
