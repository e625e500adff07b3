// Whom the mesh believes when a request says whose it is.

import { formatted, list, optional, record } from "../fields.ts";

/** Who may name a tenant or a colour. */
export const trusted = record(
  "Who is believed. From anybody else it is a forgery.",
  {
    identities: optional(
      list(
        formatted("spiffeId", "A SPIFFE id; * stands for any text without /."),
        "Verified peers that are believed.",
        64,
        { minItems: 1 },
      ),
    ),
    listeners: optional(
      list(
        formatted("listenerRef", 'A listener of a sidecar, "namespace/endpoint:port".'),
        "Listeners whose clients are believed, though they have no identity: that of the application beside an entrance, for instance.",
        64,
        { minItems: 1 },
      ),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "has(self.identities) || has(self.listeners)",
        message: "at least one of identities, listeners must be set",
      },
    ],
  },
);
