// HTTPRoute of Gateway API v1: where a Service's HTTP requests go.

import type { Static } from "typebox";
import { choice, duration, formatted, list, listByKey, optional, port, record, text, whole } from "./fields.ts";
import {
  backendObject,
  backendObjectFields,
  backendPortRule,
  backendWeight,
  cors,
  extensionRef,
  filterFieldRules,
  filterOnceRules,
  headerModifier,
  hostnames,
  matchLimitRule,
  parentRefs,
  requestMirror,
  ruleName,
  sessionPersistence,
  uniqueRuleNames,
  useDefaultGateways,
} from "./gateway-fields.ts";
import { gatewayKind, type ResourceOf } from "./kind.ts";
import type { CelRule, Immutable } from "./structural.ts";

const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] as const;
const plainPath = "self.type in ['Exact','PathPrefix']";
const pathCharacters = "^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$";

const forbiddenInPath: readonly CelRule[] = [
  ...["//", "/./", "/../", "%2f", "%2F", "#"].map((part) => ({
    message: `must not contain '${part}' when type one of ['Exact', 'PathPrefix']`,
    rule: `(${plainPath}) ? !self.value.contains('${part}') : true`,
  })),
  ...["/..", "/."].map((end) => ({
    message: `must not end with '${end}' when type one of ['Exact', 'PathPrefix']`,
    rule: `(${plainPath}) ? !self.value.endsWith('${end}') : true`,
  })),
];

const pathMatch = record(
  "Matches the path of the request, without its query.",
  {
    type: choice(["Exact", "PathPrefix", "RegularExpression"], "How the path is compared; a prefix ends at a `/`.", {
      default: "PathPrefix",
    }),
    value: text("The path to compare with.", { default: "/" }),
  },
  {
    default: { type: "PathPrefix", value: "/" },
    "x-kubernetes-validations": [
      {
        message: "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
        rule: `(${plainPath}) ? self.value.startsWith('/') : true`,
      },
      ...forbiddenInPath,
      {
        message: `must only contain valid characters (matching ${pathCharacters}) for types ['Exact', 'PathPrefix']`,
        rule: `(${plainPath}) ? self.value.matches(r"""${pathCharacters}""") : true`,
      },
    ],
  },
);

const valueMatchType = choice(["Exact", "RegularExpression"], "How the value is compared.", { default: "Exact" });

const match = record("All conditions of one match must hold.", {
  path: pathMatch,
  headers: optional(
    listByKey(
      record("Matches a header.", {
        type: valueMatchType,
        name: formatted("headerName", "Name of the header, in any case."),
        value: formatted("headerValue", "The value to compare with."),
      }),
      ["name"],
      "Headers that must match.",
      16,
    ),
  ),
  queryParams: optional(
    listByKey(
      record("Matches a query parameter.", {
        type: valueMatchType,
        name: formatted("headerName", "Name of the parameter."),
        value: text("The value to compare with.", { minLength: 1 }),
      }),
      ["name"],
      "Query parameters that must match.",
      16,
    ),
  ),
  method: optional(choice(methods, "The method that must be used.")),
});

const pathModifier = record(
  "Changes the path.",
  {
    type: choice(["ReplaceFullPath", "ReplacePrefixMatch"], "What is replaced."),
    replaceFullPath: optional(text("The new path.")),
    replacePrefixMatch: optional(text("What takes the place of the matched prefix.")),
  },
  {
    "x-kubernetes-validations": [
      ["ReplaceFullPath", "replaceFullPath"],
      ["ReplacePrefixMatch", "replacePrefixMatch"],
    ].flatMap(([type, field]) => [
      {
        message: `${field} must be specified when type is set to '${type}'`,
        rule: `self.type == '${type}' ? has(self.${field}) : true`,
      },
      {
        message: `type must be '${type}' when ${field} is set`,
        rule: `has(self.${field}) ? self.type == '${type}' : true`,
      },
    ]),
  },
);

const requestRedirect = record("Answers with a redirect.", {
  scheme: optional(choice(["http", "https"], "The new scheme.")),
  hostname: optional(formatted("preciseHostname", "The new host.")),
  path: optional(pathModifier),
  port: optional(port("The new port.")),
  statusCode: whole("Status of the answer.", 300, 399, { default: 302, enum: [301, 302, 303, 307, 308] }),
});

const urlRewrite = record("Changes host and path on the way to the backend.", {
  hostname: optional(formatted("preciseHostname", "The new Host.")),
  path: optional(pathModifier),
});

const headerNames = (description: string) =>
  list(text("A header."), description, 64, { "x-kubernetes-list-type": "set" });

const externalAuth = record(
  "Asks an authorization service about each request.",
  {
    protocol: choice(["HTTP", "GRPC"], "How the service is asked."),
    backendRef: backendObject,
    grpc: optional(record("Settings for GRPC.", { allowedHeaders: optional(headerNames("Headers to send.")) })),
    http: optional(
      record("Settings for HTTP.", {
        path: optional(text("Prefix of the path.", { pattern: pathCharacters })),
        allowedHeaders: optional(headerNames("Headers to send.")),
        allowedResponseHeaders: optional(headerNames("Headers of the answer to pass on.")),
      }),
    ),
    forwardBody: optional(
      record("Sends the body too.", { maxSize: optional(whole("Bytes of the body to send.", 0, 65535)) }),
    ),
  },
  {
    "x-kubernetes-validations": [
      ["GRPC", "grpc"],
      ["HTTP", "http"],
    ].flatMap(([type, field]) => [
      {
        message: `${field} must be specified when protocol is set to '${type}'`,
        rule: `self.protocol == '${type}' ? has(self.${field}) : true`,
      },
      {
        message: `protocol must be '${type}' when ${field} is set`,
        rule: `has(self.${field}) ? self.protocol == '${type}' : true`,
      },
    ]),
  },
);

const fieldOfFilter = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  ExtensionRef: "extensionRef",
  CORS: "cors",
  ExternalAuth: "externalAuth",
} as const;

const filter = record(
  "One step of processing; `type` says which of the other fields is set.",
  {
    type: choice(
      [
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "ExtensionRef",
        "CORS",
        "ExternalAuth",
      ],
      "What the filter does.",
    ),
    requestHeaderModifier: optional(headerModifier),
    responseHeaderModifier: optional(headerModifier),
    requestMirror: optional(requestMirror),
    requestRedirect: optional(requestRedirect),
    urlRewrite: optional(urlRewrite),
    cors: optional(cors),
    externalAuth: optional(externalAuth),
    extensionRef: optional(extensionRef),
  },
  { "x-kubernetes-validations": filterFieldRules(fieldOfFilter) },
);

const filters = list(filter, "Steps of processing, in this order.", 16, {
  "x-kubernetes-validations": [
    {
      message: "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
      rule: "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
    },
    ...filterOnceRules("CORS", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"),
  ],
});

const backendRef = record(
  "A backend and its share.",
  { ...backendObjectFields, weight: backendWeight, filters: optional(filters) },
  { "x-kubernetes-validations": [backendPortRule] },
);

const replacesPrefix = (field: string) =>
  `has(f.${field}) && has(f.${field}.path) && f.${field}.path.type == 'ReplacePrefixMatch' && has(f.${field}.path.replacePrefixMatch)`;
const onePrefixMatch =
  "((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true)";

const prefixRules: readonly CelRule[] = (
  [
    ["RequestRedirect", "requestRedirect"],
    ["URLRewrite", "urlRewrite"],
  ] as const
).flatMap(([type, field]) => [
  {
    message: `When using ${type} filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified`,
    rule: `(has(self.filters) && self.filters.exists_one(f, ${replacesPrefix(field)})) ? ${onePrefixMatch} : true`,
  },
  {
    message: `Within backendRefs, when using ${type} filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified`,
    rule: `(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, ${replacesPrefix(field)})))) ? ${onePrefixMatch} : true`,
  },
]);

const rule = record(
  "Requests that match go to these backends.",
  {
    name: optional(ruleName),
    matches: list(match, "One of these must match.", 64, { default: [{ path: { type: "PathPrefix", value: "/" } }] }),
    filters: optional(filters),
    backendRefs: optional(list(backendRef, "Backends; none answers 500.", 16)),
    timeouts: optional(
      record(
        "Limits of time; 0s is none.",
        {
          request: optional(duration("For the whole request, all attempts together.")),
          backendRequest: optional(duration("For one attempt.")),
        },
        {
          "x-kubernetes-validations": [
            {
              message: "backendRequest timeout cannot be longer than request timeout",
              rule: "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
            },
          ],
        },
      ),
    ),
    retry: optional(
      record("When and how often to try again.", {
        codes: optional(
          list(whole("A status code.", 400, 599), "Statuses of the backend to try again after.", 200, {
            "x-kubernetes-list-type": "set",
          }),
        ),
        attempts: optional(whole("How often to try again at most.", 1, 2 ** 31 - 1)),
        backoff: optional(duration("The least time between two attempts.")),
      }),
    ),
    sessionPersistence: optional(sessionPersistence),
  },
  {
    "x-kubernetes-validations": [
      {
        message: "RequestRedirect filter must not be used together with backendRefs",
        rule: "(has(self.backendRefs) && size(self.backendRefs) > 0) ? (!has(self.filters) || self.filters.all(f, !has(f.requestRedirect))) : true",
      },
      ...prefixRules,
    ],
  },
);

const spec = record("What the user wants.", {
  parentRefs: optional(parentRefs),
  hostnames: optional(hostnames),
  useDefaultGateways: optional(useDefaultGateways),
  rules: list(rule, "Rules, of which the most specific match wins.", 16, {
    minItems: 1,
    default: [{ matches: [{ path: { type: "PathPrefix", value: "/" } }] }],
    "x-kubernetes-validations": [matchLimitRule((index) => `self[${index}].matches.size()`), uniqueRuleNames],
  }),
});

export type HTTPRouteSpec = Immutable<Static<typeof spec>>;
export type HTTPRouteRule = HTTPRouteSpec["rules"][number];
export type HTTPRouteMatch = HTTPRouteRule["matches"][number];
export type HTTPRouteFilter = Immutable<Static<typeof filter>>;
export type HTTPBackendRef = Immutable<Static<typeof backendRef>>;
export type HTTPRoute = ResourceOf<"HTTPRoute", HTTPRouteSpec>;

export const httpRouteKind = gatewayKind({
  kind: "HTTPRoute",
  plural: "httproutes",
  description:
    "Routes HTTP requests of a Service by path, headers, query and method to weighted backends (Gateway API v1).",
  spec,
});
