// The gRPC service that signs proxies' certificates.
import {
  Metadata,
  status,
  type Server,
  type ServiceDefinition,
  type sendUnaryData,
  type ServerUnaryCall,
} from "@grpc/grpc-js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  CertificateService,
  type SignCertificateRequest,
  type SignCertificateResponseSchema,
} from "#config/rpc/certificate_service_pb.ts";
import { grpcMethod } from "#config/rpc/grpc-methods.ts";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { CertificateAuthority, SignedCertificate } from "./authority.ts";
import { parseSigningRequest } from "./certificates.ts";
import { peerOf } from "./peer.ts";
import type { Proof, ProofVerifier } from "./proof.ts";
import { IdentityError } from "./spiffe-id.ts";

export interface CertificateServiceOptions {
  readonly authority: CertificateAuthority;
  /** Asked in order; the first that knows the token decides. */
  readonly verifiers: readonly ProofVerifier[];
  readonly clock: Clock;
  readonly log: Log;
}

type Response = MessageInitShape<typeof SignCertificateResponseSchema>;
type Call = ServerUnaryCall<SignCertificateRequest, Response>;

/** Adds `heddle.identity.v1.CertificateService` to a server; it must be one that speaks TLS. */
export function addCertificateService(server: Server, options: CertificateServiceOptions): void {
  const definition: ServiceDefinition = { signCertificate: grpcMethod(CertificateService, "signCertificate") };
  server.addService(definition, {
    signCertificate: (call: Call, callback: sendUnaryData<Response>): void => {
      sign(call, options).then(
        (signed) => callback(null, { ...signed, notAfterMs: BigInt(signed.notAfterMs) }),
        (error: unknown) => callback(refuse(error, call, options.log)),
      );
    },
  });
}

async function sign(call: Call, options: CertificateServiceOptions): Promise<SignedCertificate> {
  const proof = await prove(call, options);
  const request = await parseSigningRequest(call.request.csrPem);
  const other = request.uris.find((uri) => uri !== proof.spiffeId);
  if (other !== undefined) throw new IdentityError(`The signing request asks for ${other}, not for ${proof.spiffeId}`);
  if (!proof.use(request.publicKey)) throw new IdentityError("The join token was used before");
  const signed = await options.authority.signWorkload(request, proof.spiffeId, proof.pod);
  options.log.info("certificate signed", {
    spiffeId: proof.spiffeId,
    pod: proof.pod?.name,
    notAfter: new Date(signed.notAfterMs),
  });
  return signed;
}

async function prove(call: Call, options: CertificateServiceOptions): Promise<Proof> {
  const bearer = bearerOf(call.metadata);
  if (bearer === undefined) {
    const peer = peerOf(call, options.clock.wallMs());
    if (peer === undefined) throw new IdentityError("Neither a token nor a client certificate of the mesh was shown");
    // A pod that was deleted keeps its certificate, but not its token: that is what says that it still lives.
    if (peer.pod !== undefined) throw new IdentityError("The certificate of a pod is renewed with its token alone");
    return { spiffeId: peer.spiffeId, use: () => true };
  }
  for (const verifier of options.verifiers) {
    const proof = await verifier.verify(bearer);
    if (proof !== undefined) return proof;
  }
  throw new IdentityError("The token is of no kind that this control plane accepts");
}

function bearerOf(metadata: Metadata): string | undefined {
  const value = metadata.get("authorization")[0];
  const found = typeof value === "string" ? /^Bearer (\S+)$/i.exec(value) : null;
  return found?.[1];
}

/** grpc-js takes no lone surrogates (it would throw, out of anybody's reach), and the text is a header of HTTP/2. */
const LONGEST_DETAILS = 1000;

/** What the caller is told: the reason for what it did wrong, nothing of our own troubles. */
function refuse(error: unknown, call: Call, log: Log): { code: status; details: string } {
  const peer = call.getPeer();
  if (error instanceof IdentityError) {
    // The request may have been quoted: whatever is in it.
    const details = error.message.slice(0, LONGEST_DETAILS).toWellFormed();
    log.warn("certificate refused", { peer, reason: details });
    return { code: status.UNAUTHENTICATED, details };
  }
  log.error("certificate not signed", { peer, error });
  return { code: status.INTERNAL, details: "The certificate could not be signed; the control plane's log says why" };
}
