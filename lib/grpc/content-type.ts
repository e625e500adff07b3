// What says that a request or an answer is gRPC.

/** `application/grpc`, alone or with a format behind a plus; gRPC-Web, which begins like it, is something else. Envoy takes the same. */
export function isGrpcType(contentType: string | undefined): boolean {
  if (contentType?.startsWith("application/grpc") !== true) return false;
  return contentType.length === 16 || contentType[16] === "+";
}
