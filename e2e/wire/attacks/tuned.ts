// Listeners and clusters of the e2e tests with some of Envoy's fields set otherwise.
import { httpListener, type CodecType, type TlsFiles } from "../proxy.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface Tuning {
  readonly codec?: CodecType;
  readonly tls?: TlsFiles;
  /** Of the listener. */
  readonly listener?: Fields;
  /** Of its filter chain. */
  readonly chain?: Fields;
  /** Of the HTTP connection manager. */
  readonly manager?: Fields;
  /** Of the TLS context. */
  readonly context?: Fields;
  /** Network filters in front of the HTTP connection manager. */
  readonly filters?: readonly unknown[];
}

interface Typed {
  readonly typed_config: Fields;
}

interface Chain {
  readonly filters: readonly Typed[];
  readonly transport_socket?: Typed;
}

/** As `httpListener`, with these fields over its own. */
export function tunedListener(name: string, target: string, tuning: Tuning): unknown {
  const made = httpListener(name, target, tuning.codec ?? "AUTO", tuning.tls) as {
    readonly filter_chains: readonly Chain[]; // as: what `httpListener` writes
  };
  const filter_chains = made.filter_chains.map((chain) => ({
    ...chain,
    ...(chain.transport_socket === undefined
      ? {}
      : { transport_socket: withConfig(chain.transport_socket, tuning.context) }),
    filters: [...(tuning.filters ?? []), ...chain.filters.map((filter) => withConfig(filter, tuning.manager))],
    ...tuning.chain,
  }));
  return { ...made, filter_chains, ...tuning.listener };
}

function withConfig(typed: Typed, fields: Fields = {}): Typed {
  return { ...typed, typed_config: { ...typed.typed_config, ...fields } };
}
