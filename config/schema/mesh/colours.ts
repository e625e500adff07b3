// MeshConfig.colours: names of versions, lanes, tenants or environments that travel with a request through every hop.

import type { Static } from "typebox";
import { choice, exactlyOneOf, flag, formatted, list, listByKey, optional, record, text } from "../fields.ts";
import type { Immutable } from "../structural.ts";
import { trusted } from "./trusted.ts";

const isPublic = flag("Strangers may choose by it too: a preview for everybody. Else only who is `trusted`.", {
  default: false,
});

const source = record(
  "One source; exactly one of its fields is set.",
  {
    header: optional(
      record("The value of a header.", { name: formatted("headerName", "Name of the header."), public: isPublic }),
    ),
    cookie: optional(
      record("The value of a cookie.", { name: formatted("headerName", "Name of the cookie."), public: isPublic }),
    ),
    query: optional(
      record("The value of a query parameter.", {
        name: text("Name of the parameter.", { minLength: 1, maxLength: 256 }),
        public: isPublic,
      }),
    ),
    peerIdentity: optional(
      record(
        "A part of the peer's verified identity.",
        { pattern: formatted("spiffeId", "A SPIFFE id with {colour} in it once; * stands for any text without /.") },
        {
          "x-kubernetes-validations": [
            {
              rule: "self.pattern.indexOf('{colour}') >= 0 && self.pattern.indexOf('{colour}') == self.pattern.lastIndexOf('{colour}')",
              message: "pattern must have {colour} exactly once",
              fieldPath: ".pattern",
            },
          ],
        },
      ),
    ),
  },
  { "x-kubernetes-validations": [exactlyOneOf("header", "cookie", "query", "peerIdentity")] },
);

const colour = record("One kind of colour.", {
  key: formatted("labelKey", "The label of endpoints that names theirs: version, tenant, environment, lane."),
  baggageKey: optional(
    formatted("headerName", "The member of the header `baggage` in which it travels.", {
      "x-heddle-absent": "`heddle.` and the name in `key`, without its prefix",
    }),
  ),
  from: list(source, "Where a request without one gets it, at the edge; the first that has one wins.", 8, {
    default: [],
  }),
  trusted: optional(trusted),
  onUntrusted: choice(["refuse", "strip"], "A forged colour: answer 403, or take it off and go on.", {
    default: "refuse",
  }),
  onMissing: choice(
    ["fallback", "refuse"],
    "A request whose colour has no usable instance goes to the base, never to another colour; or 503.",
    { default: "fallback" },
  ),
  base: optional(
    formatted("labelValue", "The label's value on base instances.", {
      minLength: 1,
      "x-heddle-absent": "base instances have no such label",
    }),
  ),
  withoutColour: choice(
    ["base", "any"],
    "Where a request without a colour goes in a service that has instances with the label.",
    { default: "base" },
  ),
});

export const colours = listByKey(
  colour,
  ["key"],
  "Colours of requests: set at the edge, carried in `baggage`, and choosing instances at every hop.",
  8,
);

export type ColourSettings = Immutable<Static<typeof colour>>;
