// Secret: what SDS delivers, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { CertificateSecret, Secret } from "../model/tls.ts";
import { inlineText, readText } from "./data-source.ts";
import { SecretSchema, type Secret as WireSecret } from "./gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import type { TlsCertificate } from "./gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import type { Scope } from "./issues.ts";

export function certificateFromWire(wire: TlsCertificate, scope: Scope): CertificateSecret {
  return {
    chainPem: readText(wire.certificateChain, scope.field("certificate_chain")),
    keyPem: readText(wire.privateKey, scope.field("private_key")),
  };
}

export function secretFromWire(wire: WireSecret, scope: Scope): Secret {
  const { name, type } = wire;
  if (name === "") scope.field("name").invalid("must not be empty");
  if (type.case === "tlsCertificate") {
    return { kind: "certificate", name, certificate: certificateFromWire(type.value, scope.field("tls_certificate")) };
  }
  if (type.case !== "validationContext") {
    if (type.case === undefined) scope.invalid("one of tls_certificate, validation_context must be set");
    return { kind: "validation", name, bundlePem: "" };
  }
  const at = scope.field("validation_context");
  // Names and modes belong to the reference (combined_validation_context): a bundle is shared by many of them.
  if (type.value.matchTypedSubjectAltNames.length > 0)
    at.field("match_typed_subject_alt_names").unsupported("is not supported in a secret");
  if (type.value.matchSubjectAltNames.length > 0)
    at.field("match_subject_alt_names").unsupported("is not supported in a secret");
  if (type.value.trustChainVerification !== 0)
    at.field("trust_chain_verification").unsupported("is not supported in a secret");
  return { kind: "validation", name, bundlePem: readText(type.value.trustedCa, at.field("trusted_ca")) };
}

export function secretToWire(model: Secret): WireSecret {
  if (model.kind === "validation") {
    return create(SecretSchema, {
      name: model.name,
      type: { case: "validationContext", value: { trustedCa: inlineText(model.bundlePem) } },
    });
  }
  const { chainPem, keyPem } = model.certificate;
  return create(SecretSchema, {
    name: model.name,
    type: {
      case: "tlsCertificate",
      value: { certificateChain: inlineText(chainPem), privateKey: inlineText(keyPem) },
    },
  });
}
