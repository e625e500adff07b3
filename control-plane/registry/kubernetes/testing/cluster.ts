// Objects of a cluster for the registry's tests, as its controllers write them.
import type { SourceService } from "../../testing/suite.ts";

type Fields = Record<string, unknown>;

export interface Placed {
  /** The collection's path, without a namespace. */
  readonly collection: string;
  readonly object: Fields & { readonly metadata: Fields & { readonly namespace: string; readonly name: string } };
}

const paths = { service: "/api/v1/services", slice: "/apis/discovery.k8s.io/v1/endpointslices", pod: "/api/v1/pods" };

/** A Service, its slice, and a running pod for each endpoint; weights are annotations of the pods. */
export function clusterObjects({ namespace, name, weights }: SourceService): readonly Placed[] {
  const pods = Object.entries(weights).map(([pod, weight], index) => ({
    pod,
    weight,
    address: `10.88.0.${index + 2}`,
  }));
  return [
    ...pods.map(({ pod, weight, address }): Placed => ({
      collection: paths.pod,
      object: {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { namespace, name: pod, labels: { app: name }, annotations: { "heddle.dev/weight": String(weight) } },
        spec: { containers: [{ name: "app", image: "app" }] },
        status: { phase: "Running", podIP: address, podIPs: [{ ip: address }] },
      },
    })),
    {
      collection: paths.service,
      object: {
        apiVersion: "v1",
        kind: "Service",
        metadata: { namespace, name },
        spec: { selector: { app: name }, ports: [{ name: "http", port: 8080 }] },
      },
    },
    {
      collection: paths.slice,
      object: {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { namespace, name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        ports: [{ name: "http", port: 8080, protocol: "TCP" }],
        endpoints: pods.map(({ pod, address }) => ({
          addresses: [address],
          conditions: { ready: true, serving: true, terminating: false },
          targetRef: { kind: "Pod", namespace, name: pod },
        })),
      },
    },
  ];
}
