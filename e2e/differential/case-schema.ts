// What a case is made of: the schema that case files are checked with, and the types that the runner works with.
import { Type, type Static, type TSchema } from "typebox";

import {
  choice,
  decimal,
  flag,
  list,
  mapOf,
  optional,
  record,
  text,
  whole,
  type Field,
} from "#config/schema/fields.ts";
import type { Immutable } from "#config/schema/structural.ts";

/** A value of xDS or of headers, which others check. */
function free<T>(description: string): Field<T> {
  return Type.Unsafe<T>({ description });
}

function ms(description: string): Field<number> {
  return whole(description, 0, 60_000);
}

function mapped<Value extends TSchema>(value: Value, description: string): Field<Record<string, Static<Value>>> {
  return mapOf(value, description, 200);
}

/** A field once, or several times. */
export type HeaderValues = Readonly<Record<string, string | readonly string[]>>;
/** Exactly so, absent (null), or as the pattern says. */
export type WantedHeader = string | readonly string[] | null | { readonly matches: string };
/** Exactly so many, or within bounds. */
export type WantedCount = number | { readonly min?: number; readonly max?: number };

const headers = free<HeaderValues>("Header fields; a list is the same field several times.");
const wantedHeaders = free<Readonly<Record<string, WantedHeader>>>(
  "Header fields as they must be: text, a list, null (absent), or {matches: REGEX}.",
);
const count = (description: string): Field<WantedCount> => free(`${description}: a number, or {min, max}.`);

const grpcAnswer = record("Answers as a gRPC server; `body` is the message.", {
  status: optional(whole("grpc-status; other than 0 is answered with trailers only.", 0, 16)),
  message: optional(text("grpc-message.")),
});

const answer = record("One answer of an application.", {
  status: optional(whole("Status; 200 unless said.", 100, 599)),
  headers: optional(headers),
  body: optional(text("Body; the name of the application unless said.")),
  bodyBytes: optional(whole("Length of a body of x's.", 0, 16_777_216)),
  trailers: optional(headers),
  grpc: optional(grpcAnswer),
  delayMs: optional(ms("Time before the head.")),
  bodyDelayMs: optional(ms("Time between head and body.")),
  echo: optional(flag("The body is that of the request.")),
  early: optional(flag("Answers before the body of the request has come.")),
  hang: optional(flag("Never answers.")),
  reset: optional(choice(["beforeHeaders", "afterHeaders"], "Breaks the connection (h1) or resets the stream (h2).")),
  close: optional(flag("Says connection: close.")),
});

const upstream = record("An application.", {
  closed: optional(flag("Nobody listens on its port.")),
  answers: optional(list(answer, "One for each call in turn, by proxy; the last for all that follow.", 200)),
  paths: optional(
    mapped(list(answer, "As `answers`.", 200), "Answers to single paths (without their query), counted apart."),
  ),
});

const xds = record("Parts of xDS in Envoy's words; the runner adds listener, connection manager and router.", {
  routes: optional(list(free<object>("A Route."), "Of one virtual host for all domains.", 200)),
  virtual_hosts: optional(list(free<object>("A VirtualHost."), "Instead of `routes`.", 100)),
  route_config: optional(free<object>("Further fields of the RouteConfiguration.")),
  manager: optional(free<object>("Further fields of the HttpConnectionManager.")),
  http_filters: optional(list(free<object>("An HttpFilter."), "Before the router.", 50)),
  router: optional(free<object>("Fields of the Router.")),
  clusters: optional(
    mapped(free<object>("A Cluster."), "By name; with `endpoints` (see README) and `http2: true` as short forms."),
  ),
});

const input = record("What both proxies are given.", {
  xds: optional(xds),
  crds: optional(
    list(free<object>("A document of Kubernetes or Heddle."), "Translated for both by the control plane.", 200),
  ),
  proxy: optional(text("Of `crds`: NAMESPACE/NAME of the workload whose proxy is played; the first unless said.")),
});

const wanted = record("What must come back, from both.", {
  status: optional(whole("Status.", 100, 599)),
  headers: optional(wantedHeaders),
  trailers: optional(wantedHeaders),
  body: optional(text("The whole body.", { maxLength: 65_536 })),
  bodyMatches: optional(text("A regular expression that the body has.")),
  bodyBytes: optional(whole("Length of the body.", 0, 16_777_216)),
  upstream: optional(free<string | null>("The application that answered; null: the proxy itself.")),
  calls: optional(count("How often applications were called for it; waited for")),
  seen: optional(
    record("What the application saw last.", {
      method: optional(text("Method.")),
      path: optional(text("Path and query.")),
      authority: optional(text("Host or :authority.")),
      headers: optional(wantedHeaders),
      body: optional(text("Body.")),
    }),
  ),
  error: optional(flag("There is no whole answer: the connection or the stream breaks.")),
  tookMs: optional(
    record("Time until the end of the answer.", { min: optional(ms("At least.")), max: optional(ms("At most.")) }),
  ),
});

const step = record("One step: requests, or a wait. Steps follow each other.", {
  waitMs: optional(ms("Only waits.")),
  method: optional(text("Method; GET unless said.")),
  path: optional(text("Path and query; / unless said. ${i} is the number of the request, from 0.")),
  headers: optional(headers),
  body: optional(text("Body.")),
  bodyBytes: optional(whole("Length of a body of x's.", 0, 16_777_216)),
  protocol: optional(choice(["h1", "h2", "grpc", "websocket"], "h1 unless said.")),
  count: optional(whole("How many.", 1, 20_000)),
  parallel: optional(flag("All at once, else one after the other.")),
  background: optional(flag("The next step does not wait for it; the last one of the case does.")),
  connection: optional(choice(["kept", "new"], "`new`: a connection for each request. kept unless said.")),
  from: optional(text("Address of the client, in 127.0.0.0/8.")),
  abortAfterMs: optional(ms("The client goes away.")),
  until: optional(flag("Repeated until `expect` holds (at most 15 s); only the last counts.")),
  expect: optional(wanted),
  statuses: optional(mapped(count("So many"), "How many requests end with which status (`error`: none).")),
  statusShares: optional(mapped(decimal("A share, 0 to 1.", 0, 1), "Shares of statuses within 4 sigma.")),
  upstreams: optional(mapped(count("So many"), "How many requests each application answers.")),
  shares: optional(mapped(decimal("A share, 0 to 1.", 0, 1), "Shares of applications within 4 sigma.")),
  sameUpstream: optional(flag("All requests of the step are answered by one application.")),
  ignore: optional(
    list(
      text("`upstream`, `body`, `status`, `calls` (and what they were), or a header field."),
      "What Envoy and Heddle need not agree on.",
      50,
    ),
  ),
  save: optional(
    mapped(
      record("Text of the answer, for later steps as ${saved.NAME}.", {
        header: text("From this header field."),
        matches: optional(text("Its part that the first group of this regular expression has.")),
      }),
      "By name.",
    ),
  ),
});

const difference = record("A known difference.", {
  what: text("Path of the value as the runner prints it; * is any one part."),
  envoy: optional(free<unknown>("What Envoy has.")),
  heddle: optional(free<unknown>("What Heddle has.")),
  reason: text("The first column of its row in docs/differences-from-envoy.md."),
});

export const caseSchema = record("A case.", {
  name: text("What is shown, as a sentence; unique in its area."),
  upstreams: optional(mapped(upstream, "Applications by name.")),
  input,
  requests: list(step, "Played at both proxies.", 100, { minItems: 1 }),
  counters: optional(
    mapped(mapped(count("The value"), "By Envoy's name (counters.ts)."), "By cluster; `listener` for the listener's."),
  ),
  differs: optional(list(difference, "What is known to differ.", 50)),
  alone: optional(flag("Not beside other cases: it measures times.")),
});

export type CaseBody = Immutable<Static<typeof caseSchema>>;
export type Answer = Immutable<Static<typeof answer>>;
export type UpstreamSpec = Immutable<Static<typeof upstream>>;
export type Step = Immutable<Static<typeof step>>;
export type Wanted = Immutable<Static<typeof wanted>>;
export type XdsInput = Immutable<Static<typeof xds>>;
export type KnownDifference = Immutable<Static<typeof difference>>;
