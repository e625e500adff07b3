// ServiceEntry: a service that no registry knows, with its endpoints and, where they have one, their sidecars.

import type { Static } from "typebox";
import type { JsonPath } from "#config/load/json-path.ts";
import { APP_PROTOCOLS, PORT_PROTOCOLS } from "#config/model/port-protocol.ts";
import {
  choice,
  formatted,
  labels,
  list,
  listByKey,
  mapOf,
  optional,
  port,
  portReference,
  record,
  whole,
} from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import type { Immutable } from "./structural.ts";
import { suggest } from "./suggest.ts";

const servicePort = record("A port of the service.", {
  name: formatted("dnsLabel", "Name of the port."),
  port: port("Number of the port, as clients know it."),
  protocol: optional(
    choice(
      PORT_PROTOCOLS,
      "What the application speaks there: HTTP/1.1, HTTP/2, gRPC, anything else over TCP, also the application's own TLS (TLS, HTTPS); AUTO: the first bytes of each connection tell. UDP is left alone.",
      { "x-heddle-absent": "by appProtocol, else by the name, else by the number, else AUTO" },
    ),
  ),
  appProtocol: optional(
    choice(
      APP_PROTOCOLS,
      "The same in Kubernetes' words; `https` and `tls` are the application's own TLS, which is passed on.",
      {
        "x-heddle-absent": "by the name of the port",
      },
    ),
  ),
});

const outbound = record("A localhost listener of the sidecar.", {
  service: formatted("serviceRef", 'The service that it leads to, "name" or "namespace/name".'),
  port: portReference("Name or number of the service's port."),
  listen: port("The port on 127.0.0.1 that the application calls."),
});

const sidecar = record("Where the sidecar of the endpoint listens; without it the endpoint is called in plaintext.", {
  inbound: optional(
    mapOf(
      port("Port of the sidecar's listener on the endpoint's address."),
      "Mesh listeners, by the name of the service's port.",
      16,
    ),
  ),
  outbound: optional(list(outbound, "Listeners for the services that the application calls.", 128)),
  httpProxyPort: optional(port("Port on 127.0.0.1 for applications that use HTTP_PROXY.")),
  adminPort: optional(port("Port on 127.0.0.1 of the admin interface.", { "x-heddle-absent": "15000" })),
  metricsPort: optional(port("Port of metrics and health.", { "x-heddle-absent": "15020" })),
});

const endpoint = record("One instance of the application.", {
  name: formatted("objectName", "Name of the workload; the node id of its sidecar is <namespace>/<name>."),
  address: formatted("ipAddress", "IP address of the instance.", {
    "x-kubernetes-validations": [{ rule: "isIP(self)", message: "it must be an IP address, IPv4 or IPv6" }],
  }),
  ports: optional(
    mapOf(
      port("Port of the application."),
      "Ports of the application, by the name of the service's port. A port that is not named here has the service's number.",
      16,
    ),
  ),
  labels: labels("Labels: version, tenant, environment, zone, region, and free ones.", { default: {} }),
  weight: whole("Share of the requests, in proportion to the weights of the other endpoints.", 1, 65_535, {
    default: 1,
  }),
  serviceAccount: formatted(
    "objectName",
    "Account of the workload: its identity is spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>.",
    { default: "default" },
  ),
  sidecar: optional(sidecar),
});

const namesPort = "self.ports.exists(p, p.name == name)";

const spec = record(
  "What the user wants.",
  {
    hosts: optional(
      list(
        formatted("hostname", "A host name, or one with a wildcard as its first label."),
        "Names beside <name>, <name>.<namespace>, <name>.<namespace>.svc and <name>.<namespace>.svc.cluster.local.",
        32,
        {
          "x-kubernetes-list-type": "set",
        },
      ),
    ),
    ports: listByKey(servicePort, ["name"], "Ports of the service.", 16, {
      minItems: 1,
      "x-kubernetes-validations": [
        { rule: "self.all(p, self.exists_one(q, q.port == p.port))", message: "each port number may stand only once" },
      ],
    }),
    endpoints: listByKey(endpoint, ["name"], "Instances of the service.", 256, { default: [] }),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: `self.endpoints.all(e, !has(e.ports) || e.ports.all(name, ${namesPort}))`,
        message: "every name in ports of an endpoint must be the name of a port of the service",
        fieldPath: ".endpoints",
        find: (value) => findUnknownPort(value, ["ports"]),
      },
      {
        rule: `self.endpoints.all(e, !has(e.sidecar) || !has(e.sidecar.inbound) || e.sidecar.inbound.all(name, ${namesPort}))`,
        message: "every name in sidecar.inbound of an endpoint must be the name of a port of the service",
        fieldPath: ".endpoints",
        find: (value) => findUnknownPort(value, ["sidecar", "inbound"]),
      },
    ],
  },
);

/** The part of a spec that port names stand in. */
interface PortNames {
  readonly ports: readonly { readonly name: string }[];
  readonly endpoints: readonly { readonly ports?: object; readonly sidecar?: { readonly inbound?: object } }[];
}

/** The first endpoint with a key at `below` that is no port of the service; `value` has passed the schema, so it is a spec. */
function findUnknownPort(
  value: unknown,
  below: readonly ["ports"] | readonly ["sidecar", "inbound"],
): { readonly path: JsonPath; readonly hint: string } | undefined {
  const { ports, endpoints } = value as PortNames;
  const known = ports.map(({ name }) => name);
  for (const [at, one] of endpoints.entries()) {
    const named = below[0] === "ports" ? one.ports : one.sidecar?.inbound;
    const wrong = Object.keys(named ?? {}).find((name) => !known.includes(name));
    if (wrong === undefined) continue;
    const near = suggest(wrong, known);
    const hint = near === undefined ? `its ports: ${known.join(", ")}` : `did you mean \`${near}\`?`;
    return { path: ["endpoints", at, ...below, wrong], hint };
  }
  return undefined;
}

export type ServiceEntrySpec = Immutable<Static<typeof spec>>;
export type ServiceEntryPort = ServiceEntrySpec["ports"][number];
export type ServiceEntryEndpoint = ServiceEntrySpec["endpoints"][number];
export type ServiceEntrySidecar = Immutable<Static<typeof sidecar>>;
export type ServiceEntry = ResourceOf<"ServiceEntry", ServiceEntrySpec>;

export const serviceEntryKind = heddleKind({
  kind: "ServiceEntry",
  plural: "serviceentries",
  shortNames: ["se"],
  description:
    "A service that no registry knows: its ports, its endpoints with labels, weight and account, and where their sidecars listen.",
  spec,
  columns: [{ name: "Ports", type: "string", jsonPath: ".spec.ports[*].port" }, columns.accepted, columns.age],
});
