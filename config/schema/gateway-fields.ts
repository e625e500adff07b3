// Fields that HTTPRoute and GRPCRoute share. Names, limits, defaults and rules are those of Gateway API v1.6 (experimental channel).

import { choice, duration, flag, formatted, list, listByKey, optional, port, record, text, whole } from "./fields.ts";
import type { CelRule } from "./structural.ts";

const sameParent =
  "p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && " +
  "(((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || " +
  "(has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__))";

const parentRef = record("The object that the route attaches to. In a mesh: a Service.", {
  group: formatted("group", 'Group of the parent; "" for a Service.', { default: "gateway.networking.k8s.io" }),
  kind: formatted("kind", "Kind of the parent.", { default: "Gateway" }),
  namespace: optional(formatted("dnsLabel", "Namespace of the parent; the route's own where absent.")),
  name: text("Name of the parent.", { minLength: 1, maxLength: 253 }),
  sectionName: optional(formatted("objectName", "A section of the parent: for a Service the name of a port.")),
  port: optional(port("The port of the parent that the route is for; all of them where absent.")),
});

export const parentRefs = list(parentRef, "What the route attaches to: for a mesh, Services.", 32, {
  "x-kubernetes-validations": [
    {
      message: "sectionName or port must be specified when parentRefs includes 2 or more references to the same parent",
      rule: `self.all(p1, self.all(p2, ${sameParent} ? ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '') && (!has(p1.port) || p1.port == 0) == (!has(p2.port) || p2.port == 0)) : true))`,
    },
    {
      message: "sectionName or port must be unique when parentRefs includes 2 or more references to the same parent",
      rule: `self.all(p1, self.exists_one(p2, ${sameParent} && (((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || (has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName)) && (((!has(p1.port) || p1.port == 0) && (!has(p2.port) || p2.port == 0)) || (has(p1.port) && has(p2.port) && p1.port == p2.port))))`,
    },
  ],
});

export const hostnames = list(
  formatted("hostname", "A host name, or one with a wildcard as its first label."),
  "Host names that the route is for. Has no meaning for a route attached to a Service.",
  16,
);

export const useDefaultGateways = choice(
  ["All", "None"],
  "Attach to the cluster's default Gateways. Has no meaning in a mesh.",
);

export const backendObjectFields = {
  group: formatted("group", 'Group of the backend; "" for a Service, heddle.dev for a ServiceSubset.', { default: "" }),
  kind: formatted("kind", "Kind of the backend.", { default: "Service" }),
  name: text("Name of the backend.", { minLength: 1, maxLength: 253 }),
  namespace: optional(formatted("dnsLabel", "Namespace of the backend; the route's own where absent.")),
  port: optional(port("Port of the backend. Required for a Service.")),
};

export const backendPortRule: CelRule = {
  message: "Must have port for Service reference",
  rule: "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
};

export const backendObject = record("A backend.", backendObjectFields, {
  "x-kubernetes-validations": [backendPortRule],
});

export const backendWeight = whole(
  "Share of the requests, in proportion to the weights of the other backends. 0 sends none.",
  0,
  1_000_000,
  { default: 1 },
);

const headers = (description: string) =>
  listByKey(
    record("A header.", {
      name: formatted("headerName", "Name of the header, in any case."),
      value: formatted("headerValue", "Value of the header."),
    }),
    ["name"],
    description,
    16,
  );

export const headerModifier = record("Changes headers.", {
  set: optional(headers("Headers to replace or add.")),
  add: optional(headers("Headers to add beside what is there.")),
  remove: optional(
    list(text("Name of a header."), "Names of headers to remove.", 16, { "x-kubernetes-list-type": "set" }),
  ),
});

export const requestMirror = record(
  "Sends a copy of the requests to another backend, and drops its answers.",
  {
    backendRef: backendObject,
    percent: optional(whole("Share of the requests to copy, in percent; all where absent.", 0, 100)),
    fraction: optional(
      record(
        "Share of the requests to copy, as a fraction.",
        {
          numerator: whole("Part.", 0, 2 ** 31 - 1),
          denominator: whole("Whole.", 1, 2 ** 31 - 1, { default: 100 }),
        },
        {
          "x-kubernetes-validations": [
            {
              message: "numerator must be less than or equal to denominator",
              rule: "self.numerator <= self.denominator",
            },
          ],
        },
      ),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        message: "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
        rule: "!(has(self.percent) && has(self.fraction))",
      },
    ],
  },
);

export const extensionRef = record("A filter of another group.", {
  group: formatted("group", "Group of the filter."),
  kind: formatted("kind", "Kind of the filter."),
  name: text("Name of the filter.", { minLength: 1, maxLength: 253 }),
});

/** The rules of a filter whose `type` says which one field is set. */
export function filterFieldRules(fieldOfType: { readonly [type: string]: string }): CelRule[] {
  return Object.entries(fieldOfType).flatMap(([type, name]) => [
    {
      message: `filter.${name} must be nil if the filter.type is not ${type}`,
      rule: `!(has(self.${name}) && self.type != '${type}')`,
    },
    {
      message: `filter.${name} must be specified for ${type} filter.type`,
      rule: `!(!has(self.${name}) && self.type == '${type}')`,
    },
  ]);
}

/** The rules of a list of filters: none of these types twice. */
export function filterOnceRules(...types: readonly string[]): CelRule[] {
  return types.map((type) => ({
    message: `${type} filter cannot be repeated`,
    rule: `self.filter(f, f.type == '${type}').size() <= 1`,
  }));
}

export const ruleName = formatted(
  "objectName",
  "Name of the rule, unique in the route; policies attach to it by `sectionName`.",
);

export const uniqueRuleNames: CelRule = {
  message: "Rule name must be unique within the route",
  rule: "self.all(l1, !has(l1.name) || self.exists_one(l2, has(l2.name) && l1.name == l2.name))",
};

/** At most 128 matches in all rules together, written out for each rule as CEL of Kubernetes has no sum over a map. */
export function matchLimitRule(countOf: (index: number) => string): CelRule {
  const counts = Array.from({ length: 16 }, (_, index) => `(self.size() > ${index} ? ${countOf(index)} : 0)`);
  return {
    message:
      "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128",
    rule: `${counts.join(" + ")} <= 128`,
  };
}

export const sessionPersistence = record(
  "Keeps the requests of one session on one backend.",
  {
    sessionName: optional(text("Name of the cookie or header.", { maxLength: 128 })),
    type: choice(["Cookie", "Header"], "How the session is carried.", { default: "Cookie" }),
    absoluteTimeout: optional(duration("How long a session may last in all.")),
    cookieConfig: optional(
      record("Settings of the cookie.", {
        lifetimeType: choice(["Permanent", "Session"], "Whether the cookie outlives the browser's session.", {
          default: "Session",
        }),
      }),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        message: "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent",
        rule: "!has(self.cookieConfig) || !has(self.cookieConfig.lifetimeType) || self.cookieConfig.lifetimeType != 'Permanent' || has(self.absoluteTimeout)",
      },
      {
        message: "cookieConfig can only be set with type Cookie",
        rule: "!has(self.cookieConfig) || self.type == 'Cookie'",
      },
    ],
  },
);

const corsWildcard = (field: string, others: string): CelRule => ({
  message: `${field} cannot contain '*' alongside other ${others}`,
  rule: "!('*' in self && self.size() > 1)",
});

export const cors = record("Answers cross-origin questions of browsers.", {
  allowOrigins: optional(
    list(
      text("An origin.", {
        minLength: 1,
        maxLength: 253,
        pattern: "(^\\*$)|(^(http(s)?):\\/\\/(((\\*\\.)?([a-zA-Z0-9\\-]+\\.)*[a-zA-Z0-9-]+|\\*)(:([0-9]{1,5}))?)$)",
      }),
      "Origins that may call.",
      64,
      { "x-kubernetes-list-type": "set", "x-kubernetes-validations": [corsWildcard("AllowOrigins", "origins")] },
    ),
  ),
  allowCredentials: optional(flag("Cookies and authorization may be sent.")),
  allowMethods: optional(
    list(
      choice(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"], "A method."),
      "Methods that may be used.",
      9,
      { "x-kubernetes-list-type": "set", "x-kubernetes-validations": [corsWildcard("AllowMethods", "methods")] },
    ),
  ),
  allowHeaders: optional(
    list(formatted("headerName", "A header."), "Headers that may be sent.", 64, {
      "x-kubernetes-list-type": "set",
      "x-kubernetes-validations": [corsWildcard("AllowHeaders", "methods")],
    }),
  ),
  exposeHeaders: optional(
    list(formatted("headerName", "A header."), "Headers of the answer that scripts may read.", 64, {
      "x-kubernetes-list-type": "set",
    }),
  ),
  maxAge: whole("Seconds for which a browser may keep the answer.", 1, 2 ** 31 - 1, { default: 5 }),
});
