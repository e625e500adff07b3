// The gRPC-Web filter: browsers cannot read trailers, so gRPC-Web has them in the body; to the service it is plain gRPC.
import { CONTINUE, type Exchange, type Filter, type FilterContext, type FilterFactory } from "../filter.ts";
import { ConfigReader } from "../parse.ts";

import { decodeText, describeForeign, packTrailers } from "./bodies.ts";

export const grpcWebFilter = {
  name: "envoy.filters.http.grpc_web",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"],
  failureMode: "closed",
  perRoute: "off",
  parse(value) {
    new ConfigReader(value, "").done();
    return {};
  },
  make(_config, context) {
    return makeFilter(context);
  },
} satisfies FilterFactory<object>;

/** `application/grpc-web`, `application/grpc-web-text`, each with the messages' format behind a plus, and parameters. */
const GRPC_WEB = /^application\/grpc-web(-text)?(\+[a-z0-9.-]+)?[ \t]*(?:;|$)/i;
const GRPC = /^application\/grpc(?:$|[+; \t])/i;

interface Call {
  readonly isTextRequest: boolean;
  readonly isTextResponse: boolean;
  /** `+json`; "" for protobuf. */
  readonly format: string;
}

function makeFilter(context: FilterContext): Filter {
  const slot = context.slot();
  const callOf = (exchange: Exchange): Call | undefined => exchange.slots[slot] as Call | undefined; // as: only this filter writes its slot
  return {
    name: context.name,
    onRequestHead(exchange, head) {
      const type = GRPC_WEB.exec(head.get("content-type") ?? "");
      if (type === null) return CONTINUE;
      const format = type[2]?.toLowerCase() ?? "";
      exchange.slots[slot] = {
        isTextRequest: type[1] !== undefined,
        isTextResponse: GRPC_WEB.exec(head.get("accept") ?? "")?.[1] !== undefined,
        format: format === "+proto" ? "" : format,
      } satisfies Call;
      return CONTINUE;
    },
    // The route is chosen by what the client sent, as in Envoy, and may turn the filter off.
    onRouted(exchange, head) {
      const call = callOf(exchange);
      if (call === undefined) return CONTINUE;
      if (exchange.override(context.name)?.isDisabled === true) {
        exchange.slots[slot] = undefined;
        return CONTINUE;
      }
      head.delete("content-length");
      head.set("content-type", `application/grpc${call.format}`);
      head.set("te", "trailers");
      // Clients of gRPC-Web leave decompression to the browser, which knows nothing of gRPC's own.
      if (!head.has("grpc-accept-encoding")) head.set("grpc-accept-encoding", "identity");
      if (call.isTextRequest) exchange.transformRequest(decodeText(exchange));
      return CONTINUE;
    },
    onResponseHead(exchange, head, end) {
      const call = callOf(exchange);
      if (call === undefined) return CONTINUE;
      const isGrpc = head.get(":status") === "200" && GRPC.test(head.get("content-type") ?? "");
      head.delete("content-length");
      head.set("content-type", `application/grpc-web${call.isTextResponse ? "-text" : ""}${call.format || "+proto"}`);
      // An answer of trailers alone has them in its head, where clients look for them too.
      if (!isGrpc) exchange.transformResponse(describeForeign(head));
      else if (!end) exchange.transformResponse(packTrailers(call.isTextResponse));
      return CONTINUE;
    },
  };
}
