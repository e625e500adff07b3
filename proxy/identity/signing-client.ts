// The call to the control plane's signing service.
import dns from "node:dns/promises";
import type { ServiceError } from "@grpc/grpc-js";
import { CONTROL_PLANE_NAME } from "#config/bootstrap/sidecar-bootstrap.ts";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import type { CertificateSecret } from "#config/model/tls.ts";
import { CertificateService, type SignCertificateResponse } from "#config/rpc/certificate_service_pb.ts";
import { grpcMethod } from "#config/rpc/grpc-methods.ts";
import { describeError, HeddleError } from "#lib/errors.ts";

/** A token of the bearer, or the certificate that is to be renewed. */
export type SigningProof =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "certificate"; readonly certificate: CertificateSecret };

interface SigningRequest {
  readonly csrPem: string;
  readonly proof: SigningProof;
  /** The roots that the control plane's certificate is checked against, PEM. */
  readonly rootsPem: string;
}

interface SigningAnswer {
  readonly chainPem: string;
  readonly bundlePem: string;
}

/** Has a key certified. @throws {SigningError} */
export type Sign = (request: SigningRequest) => Promise<SigningAnswer>;

/** Resolves when DNS knows the name (an address always). */
type LookUp = (host: string) => Promise<unknown>;

/** The control plane did not sign. Code `HDL_SIGNING`. `isRefused`: it said no, and will again for the same proof. */
export class SigningError extends HeddleError {
  readonly isRefused: boolean;

  constructor(message: string, isRefused: boolean, options?: ErrorOptions) {
    super("HDL_SIGNING", message, options);
    this.isRefused = isRefused;
  }
}

/** For the call alone, not for the look-up of the control plane's name before it. */
const DEADLINE_MS = 10_000;

/** gRPC's code for a proof that was not accepted. */
const UNAUTHENTICATED = 16;

/**
 * Signs through `heddle.identity.v1.CertificateService`, with a connection of its own for each call, which begins when DNS knows
 * the control plane's name. getaddrinfo takes a thread for up to a minute when DNS is silent, and asks again every five seconds:
 * whoever gave it up and asked anew would soon have no thread left, and learn last that DNS is back.
 */
export function makeGrpcSigner(address: SocketAddress, lookUp: LookUp = dns.lookup): Sign {
  const method = grpcMethod(CertificateService, "signCertificate");
  return async ({ csrPem, proof, rootsPem }) => {
    // Loaded when needed: a proxy without an identity does without its 20 MB.
    const { Client, credentials, Metadata } = await import("@grpc/grpc-js");
    try {
      await lookUp(address.address);
    } catch (error) {
      const message = `Cannot get a certificate from ${formatAddress(address)}: ${describeError(error)}`;
      throw new SigningError(message, false, { cause: error });
    }
    const own = proof.kind === "certificate" ? proof.certificate : undefined;
    const channel = credentials.createSsl(
      Buffer.from(rootsPem),
      own === undefined ? null : Buffer.from(own.keyPem),
      own === undefined ? null : Buffer.from(own.chainPem),
    );
    const client = new Client(formatAddress(address), channel, {
      "grpc.ssl_target_name_override": CONTROL_PLANE_NAME,
      "grpc.default_authority": CONTROL_PLANE_NAME,
      "grpc.enable_http_proxy": 0,
      "grpc.use_local_subchannel_pool": 1,
    });
    const metadata = new Metadata();
    if (proof.kind === "token") metadata.set("authorization", `Bearer ${proof.token}`);
    try {
      return await new Promise<SignCertificateResponse>((resolve, reject) => {
        const onAnswer = (error: ServiceError | null, answer?: SignCertificateResponse): void => {
          if (error === null && answer !== undefined) resolve(answer);
          else reject(toSigningError(address, error));
        };
        const { path, requestSerialize, responseDeserialize } = method;
        const options = { deadline: Date.now() + DEADLINE_MS };
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { csrPem }, metadata, options, onAnswer);
      });
    } finally {
      client.close();
    }
  };
}

function toSigningError(address: SocketAddress, error: ServiceError | null): SigningError {
  const reason = error?.details ?? "no answer";
  const message = `Cannot get a certificate from ${formatAddress(address)}: ${reason}`;
  return new SigningError(message, error?.code === UNAUTHENTICATED, { cause: error });
}
