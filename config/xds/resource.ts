// The doorway to xDS: a resource's bytes to the model and back, and its version.
import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { createHash } from "node:crypto";
import type { Cluster } from "../model/cluster.ts";
import type { ClusterLoadAssignment } from "../model/endpoint.ts";
import type { Listener } from "../model/listener.ts";
import type { RouteTable, VirtualHost } from "../model/route.ts";
import type { Secret } from "../model/tls.ts";
import { pack } from "./any.ts";
import { checkMessage } from "./check.ts";
import { clusterFromWire, clusterToWire } from "./cluster.ts";
import { assignmentFromWire, assignmentToWire } from "./endpoint.ts";
import { ClusterSchema } from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "./gen/envoy/config/route/v3/route_pb.ts";
import { VirtualHostSchema } from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { SecretSchema } from "./gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import { ResourceError, Scope, type ConfigIssue, type DecodeOptions } from "./issues.ts";
import { listenerFromWire, listenerToWire } from "./listener.ts";
import { routeTableFromWire, routeTableToWire, virtualHostFromWire, virtualHostToWire } from "./route.ts";
import { secretFromWire, secretToWire } from "./secret.ts";
import { tryResourceKind } from "./type-urls.ts";

/** A resource in the model's words, with its kind. */
export type ResourceModel =
  | { readonly kind: "listener"; readonly model: Listener }
  | { readonly kind: "route"; readonly model: RouteTable }
  | { readonly kind: "virtualHost"; readonly model: VirtualHost }
  | { readonly kind: "cluster"; readonly model: Cluster }
  | { readonly kind: "endpoints"; readonly model: ClusterLoadAssignment }
  | { readonly kind: "secret"; readonly model: Secret };

/** `name` is what the message itself says: EDS `cluster_name`, otherwise `name`. */
export type DecodedResource = ResourceModel & { readonly name: string };

/** The name under which a resource is subscribed to. VHDS puts `<route table>/` before it. */
export function resourceName(resource: ResourceModel): string {
  return resource.kind === "endpoints" ? resource.model.cluster : resource.model.name;
}

/**
 * Reads a resource as it came in a discovery response: strictly, every field that is set is understood or refused.
 * @throws {ResourceError} with all its issues; nothing of the resource may be used then.
 */
export function decodeResource(typeUrl: string, value: Uint8Array | Any, options: DecodeOptions): DecodedResource {
  const bytes = value instanceof Uint8Array ? value : value.value;
  const kind = tryResourceKind(typeUrl);
  const issues: ConfigIssue[] = [];
  const scope = Scope.root(options, issues);
  if (kind === undefined) {
    scope.invalid(`no resource has the type URL ${typeUrl}`);
    throw new ResourceError("a resource", issues);
  }
  const resource = decode(kind, bytes, scope);
  const name = resource === undefined ? "" : resourceName(resource);
  if (resource === undefined || issues.length > 0) throw new ResourceError(`${kind} "${name}"`, issues);
  return { ...resource, name };
}

function decode(kind: ResourceModel["kind"], bytes: Uint8Array, scope: Scope): ResourceModel | undefined {
  const read = <Desc extends DescMessage>(schema: Desc): MessageShape<Desc> | undefined => {
    try {
      const message = fromBinary(schema, bytes);
      checkMessage(schema, message, scope);
      return message;
    } catch (error) {
      scope.invalid(`cannot be read as ${schema.typeName}: ${String(error)}`);
      return undefined;
    }
  };
  switch (kind) {
    case "listener": {
      const message = read(ListenerSchema);
      return message && { kind, model: listenerFromWire(message, scope) };
    }
    case "route": {
      const message = read(RouteConfigurationSchema);
      return message && { kind, model: routeTableFromWire(message, scope) };
    }
    case "virtualHost": {
      const message = read(VirtualHostSchema);
      return message && { kind, model: virtualHostFromWire(message, scope) };
    }
    case "cluster": {
      const message = read(ClusterSchema);
      return message && { kind, model: clusterFromWire(message, scope) };
    }
    case "endpoints": {
      const message = read(ClusterLoadAssignmentSchema);
      return message && { kind, model: assignmentFromWire(message, scope, "ip") };
    }
    case "secret": {
      const message = read(SecretSchema);
      return message && { kind, model: secretFromWire(message, scope) };
    }
  }
}

/**
 * Writes a resource as it goes into a discovery response, in the same bytes whenever it is the same.
 * @throws {EncodeError} for a model that xDS cannot say.
 */
export function encodeResource(resource: ResourceModel): Any {
  switch (resource.kind) {
    case "listener":
      return pack(ListenerSchema, listenerToWire(resource.model));
    case "route":
      return pack(RouteConfigurationSchema, routeTableToWire(resource.model));
    case "virtualHost":
      return pack(VirtualHostSchema, virtualHostToWire(resource.model));
    case "cluster":
      return pack(ClusterSchema, clusterToWire(resource.model));
    case "endpoints":
      return pack(ClusterLoadAssignmentSchema, assignmentToWire(resource.model));
    case "secret":
      return pack(SecretSchema, secretToWire(resource.model));
  }
}

/** A resource's version: 16 characters (96 bits) of the SHA-256 of its bytes, so equal content has an equal version everywhere. */
export function versionOf(resource: Any): string {
  return createHash("sha256").update(resource.value).digest("base64url").slice(0, 16);
}
