// A client of the catalog: unary calls as promises, the quote stream as an exchange of arrays.
import { Client, credentials, Metadata, type MethodDefinition, type ServiceError } from "@grpc/grpc-js";
import {
  catalogService,
  type GetRequest,
  type Product,
  type ProductList,
  type QuoteReply,
  type QuoteRequest,
  type WatchRequest,
} from "./definition.ts";

/** Headers to send with a call, as gRPC metadata. */
export type CallHeaders = Readonly<Record<string, string>>;

/** A call that has not ended in this time fails with DEADLINE_EXCEEDED. */
const DEADLINE_MS = 10_000;

export class CatalogClient {
  readonly #client: Client;

  /** `address` is `host:port`, or an `http://host:port` URL. */
  constructor(address: string) {
    this.#client = new Client(address.replace(/^http:\/\//u, ""), credentials.createInsecure(), {
      // Each client has its own connection: two clients of one process must not share one by accident.
      "grpc.use_local_subchannel_pool": 1,
      // The mesh decides about retries; the client does not hide what it does.
      "grpc.enable_retries": 0,
    });
  }

  get(request: GetRequest, headers: CallHeaders = {}): Promise<Product> {
    return this.#unary(catalogService.Get, request, headers);
  }

  async list(headers: CallHeaders = {}): Promise<readonly Product[]> {
    const list: ProductList = await this.#unary(catalogService.List, {}, headers);
    return list.products;
  }

  /** Opens the bidirectional stream, sends each request only after the quote for the one before came, and ends it. */
  quote(requests: readonly QuoteRequest[], headers: CallHeaders = {}): Promise<readonly QuoteReply[]> {
    const method = catalogService.Quote;
    const { promise, resolve, reject } = Promise.withResolvers<readonly QuoteReply[]>();
    const call = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadataOf(headers),
      { deadline: Date.now() + DEADLINE_MS },
    );
    const replies: QuoteReply[] = [];
    const sendNext = (): void => {
      const next = requests[replies.length];
      if (next === undefined) call.end();
      else call.write(next);
    };
    call.on("data", (reply: QuoteReply) => {
      replies.push(reply);
      sendNext();
    });
    call.on("error", reject);
    call.on("end", () => resolve(replies));
    sendNext();
    return promise;
  }

  watch(request: WatchRequest, headers: CallHeaders = {}): Promise<readonly QuoteReply[]> {
    const method = catalogService.Watch;
    const { promise, resolve, reject } = Promise.withResolvers<readonly QuoteReply[]>();
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataOf(headers),
      { deadline: Date.now() + DEADLINE_MS },
    );
    const replies: QuoteReply[] = [];
    call.on("data", (reply: QuoteReply) => replies.push(reply));
    call.on("error", reject);
    call.on("end", () => resolve(replies));
    return promise;
  }

  close(): void {
    this.#client.close();
  }

  #unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    headers: CallHeaders,
  ): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataOf(headers),
      { deadline: Date.now() + DEADLINE_MS },
      (error: ServiceError | null, response?: Response) => {
        if (error !== null) reject(error);
        else if (response === undefined) reject(new Error(`${method.path} ended without a message`));
        else resolve(response);
      },
    );
    return promise;
  }
}

function metadataOf(headers: CallHeaders): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}
