// TLS contexts on both sides, message <-> model, inside the TransportSocket that carries them.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type {
  CertificateSecret,
  CommonTls,
  DownstreamTls,
  SecretSource,
  UpstreamTls,
  ValidationSource,
} from "../model/tls.ts";
import { pack, unpack } from "./any.ts";
import { adsSource, checkAdsSource } from "./config-source.ts";
import { inlineText, readText } from "./data-source.ts";
import { unless } from "./fields.ts";
import { TransportSocketSchema, type TransportSocket } from "./gen/envoy/config/core/v3/base_pb.ts";
import { RawBufferSchema } from "./gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts";
import {
  CertificateValidationContext_TrustChainVerification as TrustChain,
  SubjectAltNameMatcher_SanType as SanType,
  TlsParameters_TlsProtocol as Protocol,
  type CertificateValidationContext,
  type CertificateValidationContextSchema,
} from "./gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import {
  SdsSecretConfigSchema,
  type SdsSecretConfig,
} from "./gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import {
  CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
  type CommonTlsContext,
} from "./gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import type { Scope } from "./issues.ts";
import { stringMatcherFromWire, stringMatcherToWire } from "./matcher.ts";
import { certificateFromWire } from "./secret.ts";

const TLS_SOCKET = "envoy.transport_sockets.tls";
const RAW_SOCKET = "envoy.transport_sockets.raw_buffer";
const TYPED_CONFIG = "typed_config";

const SAN_TYPES = { dns: SanType.DNS, uri: SanType.URI, ip: SanType.IP_ADDRESS, email: SanType.EMAIL } as const;

/** `undefined`: plaintext. */
export function downstreamTlsFromWire(socket: TransportSocket | undefined, scope: Scope): DownstreamTls | undefined {
  if (socket === undefined) return undefined;
  const any = socket.configType.value;
  const at = scope.field(TYPED_CONFIG);
  const wire = unpack(any, [DownstreamTlsContextSchema, RawBufferSchema], at, socket.name);
  if (wire === undefined || wire.$typeName === RawBufferSchema.typeName) return undefined;
  const common = commonFromWire(wire.commonTlsContext, at.field("common_tls_context"));
  if (common.certificate === undefined) at.field("common_tls_context").invalid("a server must have a certificate");
  const requireClientCertificate = wire.requireClientCertificate ?? false;
  if (requireClientCertificate && common.validation === undefined) {
    at.field("common_tls_context").invalid("require_client_certificate needs a validation context");
  }
  const resumption = wire.sessionTicketKeysType;
  const sessionTickets = !(resumption.case === "disableStatelessSessionResumption" && resumption.value);
  return { ...common, requireClientCertificate, sessionTickets };
}

export function downstreamTlsToWire(model: DownstreamTls): TransportSocket {
  const context = create(DownstreamTlsContextSchema, {
    commonTlsContext: commonToWire(model),
    ...(model.requireClientCertificate ? { requireClientCertificate: true } : {}),
    ...(model.sessionTickets
      ? {}
      : { sessionTicketKeysType: { case: "disableStatelessSessionResumption", value: true } as const }),
  });
  const typedConfig = pack(DownstreamTlsContextSchema, context);
  return create(TransportSocketSchema, { name: TLS_SOCKET, configType: { case: "typedConfig", value: typedConfig } });
}

/** `undefined`: plaintext. */
export function upstreamTlsFromWire(socket: TransportSocket | undefined, scope: Scope): UpstreamTls | undefined {
  if (socket === undefined) return undefined;
  const any = socket.configType.value;
  const at = scope.field(TYPED_CONFIG);
  const wire = unpack(any, [UpstreamTlsContextSchema, RawBufferSchema], at, socket.name);
  if (wire === undefined || wire.$typeName === RawBufferSchema.typeName) return undefined;
  const common = commonFromWire(wire.commonTlsContext, at.field("common_tls_context"));
  return { ...common, sni: wire.sni, autoHostSni: wire.autoHostSni };
}

/** Plaintext must be said where a cluster chooses between sockets. */
export function upstreamTlsToWire(model: UpstreamTls | undefined): TransportSocket {
  if (model === undefined) {
    const raw = pack(RawBufferSchema, create(RawBufferSchema));
    return create(TransportSocketSchema, { name: RAW_SOCKET, configType: { case: "typedConfig", value: raw } });
  }
  const context = create(UpstreamTlsContextSchema, {
    commonTlsContext: commonToWire(model),
    sni: model.sni,
    autoHostSni: model.autoHostSni,
  });
  const typedConfig = pack(UpstreamTlsContextSchema, context);
  return create(TransportSocketSchema, { name: TLS_SOCKET, configType: { case: "typedConfig", value: typedConfig } });
}

function commonFromWire(wire: CommonTlsContext | undefined, scope: Scope): CommonTls {
  const params = wire?.tlsParams;
  const at = scope.field("tls_params");
  return {
    certificate: wire === undefined ? undefined : ownCertificate(wire, scope),
    validation: wire === undefined ? undefined : validationFromWire(wire, scope),
    alpn: wire?.alpnProtocols ?? [],
    minVersion: versionFromWire(params?.tlsMinimumProtocolVersion, at.field("tls_minimum_protocol_version")),
    maxVersion: versionFromWire(params?.tlsMaximumProtocolVersion, at.field("tls_maximum_protocol_version")),
    cipherSuites: params?.cipherSuites ?? [],
    curves: params?.ecdhCurves ?? [],
  };
}

function ownCertificate(wire: CommonTlsContext, scope: Scope): SecretSource<CertificateSecret> | undefined {
  const inline = wire.tlsCertificates;
  const sds = wire.tlsCertificateSdsSecretConfigs;
  if (inline.length + sds.length > 1)
    scope.field("tls_certificates").unsupported("one certificate is supported, not several");
  if (sds[0] !== undefined) return sdsFromWire(sds[0], scope.field("tls_certificate_sds_secret_configs").at(0));
  if (inline[0] === undefined) return undefined;
  return { kind: "inline", secret: certificateFromWire(inline[0], scope.field("tls_certificates").at(0)) };
}

function sdsFromWire(wire: SdsSecretConfig, scope: Scope): { readonly kind: "sds"; readonly name: string } {
  if (wire.name === "") scope.field("name").invalid("must not be empty");
  // Without a source the name is that of a static secret of the bootstrap.
  if (wire.sdsConfig !== undefined) checkAdsSource(wire.sdsConfig, scope.field("sds_config"));
  return { kind: "sds", name: wire.name };
}

function validationFromWire(wire: CommonTlsContext, scope: Scope): ValidationSource | undefined {
  const type = wire.validationContextType;
  switch (type.case) {
    case "validationContext":
      return contextFromWire(type.value, undefined, scope.field("validation_context"));
    case "validationContextSdsSecretConfig": {
      const roots = sdsFromWire(type.value, scope.field("validation_context_sds_secret_config"));
      return { roots, subjectAltNames: [], acceptUntrusted: false };
    }
    case "combinedValidationContext": {
      const at = scope.field("combined_validation_context");
      const sds = type.value.validationContextSdsSecretConfig;
      const roots = sds && sdsFromWire(sds, at.field("validation_context_sds_secret_config"));
      return contextFromWire(type.value.defaultValidationContext, roots, at.field("default_validation_context"));
    }
    case "validationContextCertificateProvider":
    case "validationContextCertificateProviderInstance":
    case undefined:
      // Nothing, or a provider that was reported already.
      return undefined;
  }
}

function contextFromWire(
  wire: CertificateValidationContext | undefined,
  sds: { readonly kind: "sds"; readonly name: string } | undefined,
  scope: Scope,
): ValidationSource | undefined {
  const names = subjectAltNames(wire, scope);
  const inline = wire?.trustedCa;
  if (sds === undefined && inline === undefined) {
    if (names.length > 0) scope.invalid("names cannot be verified without trusted_ca");
    return undefined;
  }
  if (sds !== undefined && inline !== undefined)
    scope.field("trusted_ca").unsupported("roots come from SDS here, not from both");
  const roots = sds ?? { kind: "inline", secret: { bundlePem: readText(inline, scope.field("trusted_ca")) } };
  const acceptUntrusted = wire?.trustChainVerification === TrustChain.ACCEPT_UNTRUSTED;
  return { roots, subjectAltNames: names, acceptUntrusted };
}

function subjectAltNames(
  wire: CertificateValidationContext | undefined,
  scope: Scope,
): ValidationSource["subjectAltNames"] {
  const typed = (wire?.matchTypedSubjectAltNames ?? []).map((item, index) => {
    const at = scope.field("match_typed_subject_alt_names").at(index);
    const type = Object.entries(SAN_TYPES).find(([, code]) => code === item.sanType)?.[0] as
      | keyof typeof SAN_TYPES
      | undefined;
    if (type === undefined) at.field("san_type").unsupported("is not supported");
    return { type: type ?? "uri", matcher: stringMatcherFromWire(item.matcher, at.field("matcher")) };
  });
  // The older field does not say a type and means all of them; Envoy expands it in this way too.
  const untyped = (wire?.matchSubjectAltNames ?? []).flatMap((item, index) => {
    const matcher = stringMatcherFromWire(item, scope.field("match_subject_alt_names").at(index));
    return (["dns", "uri", "email", "ip"] as const).map((type) => ({ type, matcher }));
  });
  return [...typed, ...untyped];
}

function versionFromWire(version: Protocol | undefined, scope: Scope): "TLSv1.2" | "TLSv1.3" | undefined {
  if (version === undefined || version === Protocol.TLS_AUTO) return undefined;
  if (version === Protocol.TLSv1_2) return "TLSv1.2";
  if (version === Protocol.TLSv1_3) return "TLSv1.3";
  scope.unsupported("TLS 1.0 and 1.1 are not supported (RFC 8996)");
  return undefined;
}

function commonToWire(model: CommonTls): CommonTlsContext {
  const { certificate, validation } = model;
  const params = {
    ...unless("tlsMinimumProtocolVersion", versionToWire(model.minVersion), Protocol.TLS_AUTO),
    ...unless("tlsMaximumProtocolVersion", versionToWire(model.maxVersion), Protocol.TLS_AUTO),
    ...(model.cipherSuites.length > 0 ? { cipherSuites: [...model.cipherSuites] } : {}),
    ...(model.curves.length > 0 ? { ecdhCurves: [...model.curves] } : {}),
  };
  return create(CommonTlsContextSchema, {
    ...(Object.keys(params).length > 0 ? { tlsParams: params } : {}),
    alpnProtocols: [...model.alpn],
    ...(certificate?.kind === "sds" ? { tlsCertificateSdsSecretConfigs: [sdsToWire(certificate.name)] } : {}),
    ...(certificate?.kind === "inline"
      ? {
          tlsCertificates: [
            {
              certificateChain: inlineText(certificate.secret.chainPem),
              privateKey: inlineText(certificate.secret.keyPem),
            },
          ],
        }
      : {}),
    ...(validation === undefined ? {} : { validationContextType: validationToWire(validation) }),
  });
}

type ValidationContextType = NonNullable<MessageInitShape<typeof CommonTlsContextSchema>["validationContextType"]>;

function validationToWire(model: ValidationSource): ValidationContextType {
  const context: MessageInitShape<typeof CertificateValidationContextSchema> = {
    matchTypedSubjectAltNames: model.subjectAltNames.map((name) => ({
      sanType: SAN_TYPES[name.type],
      matcher: stringMatcherToWire(name.matcher),
    })),
    ...(model.acceptUntrusted ? { trustChainVerification: TrustChain.ACCEPT_UNTRUSTED } : {}),
  };
  const { roots } = model;
  if (roots.kind === "inline") {
    return { case: "validationContext", value: { ...context, trustedCa: inlineText(roots.secret.bundlePem) } };
  }
  const isPlain = model.subjectAltNames.length === 0 && !model.acceptUntrusted;
  if (isPlain) return { case: "validationContextSdsSecretConfig", value: sdsToWire(roots.name) };
  return {
    case: "combinedValidationContext",
    value: { defaultValidationContext: context, validationContextSdsSecretConfig: sdsToWire(roots.name) },
  };
}

function versionToWire(version: "TLSv1.2" | "TLSv1.3" | undefined): Protocol {
  if (version === undefined) return Protocol.TLS_AUTO;
  return version === "TLSv1.2" ? Protocol.TLSv1_2 : Protocol.TLSv1_3;
}

function sdsToWire(name: string): SdsSecretConfig {
  return create(SdsSecretConfigSchema, { name, sdsConfig: adsSource() });
}
