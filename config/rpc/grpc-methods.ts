// A protobuf-es service as gRPC method definitions, in the plain shape that @grpc/grpc-js takes at both ends.
import {
  create,
  fromBinary,
  toBinary,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";

/** `path` and how messages become bytes and back. */
interface GrpcMethod<Request, Response, RequestInit = Request, ResponseInit = Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: RequestInit) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: ResponseInit) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** What a method's generated descriptor says about its two messages. */
type MethodOf<Method extends DescMethod> = GrpcMethod<
  MessageShape<Method["input"]>,
  MessageShape<Method["output"]>,
  MessageInitShape<Method["input"]>,
  MessageInitShape<Method["output"]>
>;

/** The definition of one method of a generated service. */
export function grpcMethod<Service extends DescService, Name extends keyof Service["method"] & string>(
  service: Service,
  name: Name,
): MethodOf<Service["method"][Name]> {
  const method: DescMethod | undefined = service.method[name];
  if (method === undefined) throw new Error(`Service ${service.typeName} has no method ${name}`);
  const definition: MethodOf<DescMethod> = {
    path: `/${service.typeName}/${method.name}`,
    requestStream: method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming",
    responseStream: method.methodKind === "bidi_streaming" || method.methodKind === "server_streaming",
    requestSerialize: (message) => Buffer.from(toBinary(method.input, create(method.input, message))),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(method.output, create(method.output, message))),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
  // The descriptor found at run time is the one of `Name`: protobuf-es keys `method` by its local names.
  return definition as unknown as MethodOf<Service["method"][Name]>;
}
