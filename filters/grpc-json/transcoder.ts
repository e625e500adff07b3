// The transcoder itself, loaded only where a chain names it: finds the method for a request and puts JSON in gRPC's place.
import type { HeaderBlock } from "#lib/http/header-block.ts";

import {
  ANSWERED,
  CONTINUE,
  type Exchange,
  type Filter,
  type FilterContext,
  type LocalReply,
  type Verdict,
} from "../filter.ts";

import { readBindings, UnknownQueryError, type FieldValue } from "./bindings.ts";
import type { GrpcJsonConfig } from "./config.ts";
import { compileMethods, type Binding } from "./methods.ts";
import { BadEscapeError } from "./path-matcher.ts";
import { replyBadRequest, replyUnknownMethod } from "./replies.ts";
import { RequestBodyTransform } from "./request.ts";
import { ResponseBodyTransform } from "./response.ts";

interface Found {
  readonly binding: Binding;
  readonly values: readonly FieldValue[];
}

const GRPC = /^application\/grpc(?:$|[-+; \t])/i;

/** Throws when the descriptor set cannot be read, or does not have what the configuration names. */
export function checkTranscoder(config: GrpcJsonConfig): void {
  compileMethods(config);
}

/** Throws as `checkTranscoder` does. */
export function makeTranscoder(config: GrpcJsonConfig, context: FilterContext): Filter {
  const slot = context.slot();
  const methods = compileMethods(config);
  const find = (method: string, path: string, query: string): Found | undefined => {
    const match = methods.matcher.match(method, path);
    return match && { binding: match.value, values: readBindings(match.value, match.values, query, config) };
  };
  const transcode = (exchange: Exchange, head: HeaderBlock): Verdict => {
    // A gRPC client needs no help.
    if (GRPC.test(head.get("content-type") ?? "")) return CONTINUE;
    const method = head.get(":method") ?? "";
    const target = head.get(":path") ?? "";
    const mark = target.indexOf("?");
    const path = mark < 0 ? target : target.slice(0, mark);
    let found: Found | undefined;
    try {
      found = find(method, path, mark < 0 ? "" : target.slice(mark + 1));
    } catch (error) {
      const isUnknown = error instanceof UnknownQueryError;
      if (!isUnknown && !(error instanceof BadEscapeError)) throw error;
      return isUnknown && !config.rejectsUnknownQuery ? CONTINUE : refuse(exchange, replyBadRequest(error.message));
    }
    if (found === undefined)
      return config.rejectsUnknownMethod ? refuse(exchange, replyUnknownMethod(method, path)) : CONTINUE;
    const { binding, values } = found;
    exchange.slots[slot] = binding;
    exchange.transformRequest(new RequestBodyTransform(exchange, binding, values, methods, config));
    head.delete("content-length");
    head.set("content-type", "application/grpc");
    head.set("te", "trailers");
    head.set("x-envoy-original-path", target);
    head.set("x-envoy-original-method", method);
    head.set(":method", "POST");
    head.set(":path", binding.path);
    return CONTINUE;
  };
  return {
    name: context.name,
    ...(config.keepsRoute ? { onRouted: transcode } : { onRequestHead: transcode }),
    onResponseHead(exchange, head) {
      const binding = exchange.slots[slot] as Binding | undefined; // as: only this filter writes its slot
      // An answer of the mesh, or of somebody who speaks no gRPC, is for the client as it is.
      const isGrpc = head.get(":status") === "200" && GRPC.test(head.get("content-type") ?? "");
      if (binding !== undefined && isGrpc)
        exchange.transformResponse(new ResponseBodyTransform(exchange, head, binding, methods, config));
      return CONTINUE;
    },
  };
}

function refuse(exchange: Exchange, reply: LocalReply): Verdict {
  exchange.answer(reply);
  return ANSWERED;
}
