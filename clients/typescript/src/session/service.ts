/** The calls of `turnstile.v1.ThrottleService` that a client makes, over one HTTP/2 connection to one node. */
import { create, fromBinary, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";

import {
  ReconcileRequestSchema,
  ReconcileResponseSchema,
  ReleaseRequestSchema,
  ReleaseResponseSchema,
  SessionRequestSchema,
  SessionResponseSchema,
  type ReconcileResponse,
  type SessionRequest,
  type SessionResponse,
  type Usage,
} from "../gen/turnstile/v1/throttle_pb.js";

const SERVICE = "/turnstile.v1.ThrottleService";

/** A silent node is left after a second: the pause before a ping, and how long its answer may take. */
const PING_AFTER_MS = 400;
const PING_ANSWERED_WITHIN_MS = 600;

export type SessionStream = ClientDuplexStream<SessionRequest, SessionResponse>;

/** The way to one node. It connects with its first call, and holds the process only while there is one. */
export class NodeChannel {
  readonly #client: Client;

  constructor(readonly address: string) {
    this.#client = new Client(`dns:${address}`, credentials.createInsecure(), {
      "grpc.keepalive_time_ms": PING_AFTER_MS,
      "grpc.keepalive_timeout_ms": PING_ANSWERED_WITHIN_MS,
      // A connection is this channel's own: another client of the process may have other ideas of patience.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.enable_retries": 0,
    });
  }

  session(): SessionStream {
    return this.#client.makeBidiStreamRequest(
      `${SERVICE}/Session`,
      writer(SessionRequestSchema),
      reader(SessionResponseSchema),
      new Metadata(),
    );
  }

  async release(permit: Uint8Array, withinMs: number): Promise<void> {
    const request = create(ReleaseRequestSchema, { permit });
    await this.#unary("Release", ReleaseRequestSchema, ReleaseResponseSchema, request, withinMs);
  }

  async reconcile(permit: Uint8Array, usage: Usage, withinMs: number): Promise<ReconcileResponse> {
    const request = create(ReconcileRequestSchema, { permit, usage });
    return await this.#unary("Reconcile", ReconcileRequestSchema, ReconcileResponseSchema, request, withinMs);
  }

  close(): void {
    this.#client.close();
  }

  async #unary<I extends DescMessage, O extends DescMessage>(
    method: string,
    input: I,
    output: O,
    request: MessageShape<I>,
    withinMs: number,
  ): Promise<MessageShape<O>> {
    return await new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `${SERVICE}/${method}`,
        writer(input),
        reader(output),
        request,
        new Metadata(),
        { deadline: Date.now() + withinMs },
        (error: ServiceError | null, response?: MessageShape<O>) => {
          if (response === undefined) reject(error ?? new Error(`${method} ended without an answer`));
          else resolve(response);
        },
      );
    });
  }
}

function writer<T extends DescMessage>(schema: T): (message: MessageShape<T>) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function reader<T extends DescMessage>(schema: T): (bytes: Buffer) => MessageShape<T> {
  return (bytes) => fromBinary(schema, bytes);
}
