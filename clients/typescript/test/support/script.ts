/** A node that says what a test has it say, over a real connection. */
import type { TestContext } from "node:test";
import { promisify } from "node:util";

import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";

import {
  SessionRequestSchema,
  SessionResponseSchema,
  type SessionRequest,
  type SessionResponse,
} from "../../src/gen/turnstile/v1/throttle_pb.js";

/** What is said to a client. */
export type Say = (response: MessageInitShape<typeof SessionResponseSchema>) => void;

/** Starts it; `hears` is called with all that clients say in sessions but bare stamps. */
export async function startScript(t: TestContext, hears: (request: SessionRequest, say: Say) => void): Promise<string> {
  const server = new Server();
  const path = "/turnstile.v1.ThrottleService/Session";
  const session = {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: SessionRequest) => Buffer.from(toBinary(SessionRequestSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(SessionRequestSchema, bytes),
    responseSerialize: (message: SessionResponse) => Buffer.from(toBinary(SessionResponseSchema, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(SessionResponseSchema, bytes),
  };
  server.addService(
    { session },
    {
      session: (stream: ServerDuplexStream<SessionRequest, SessionResponse>) => {
        stream.sendMetadata(stream.metadata);
        stream.on("data", (request: SessionRequest) => {
          if (request.message.case === undefined) return;
          hears(request, (response) => stream.write(create(SessionResponseSchema, response)));
        });
        stream.on("end", () => {
          stream.end();
        });
      },
    },
  );
  const bind = promisify(server.bindAsync.bind(server));
  const port = await bind("127.0.0.1:0", ServerCredentials.createInsecure());
  t.after(() => {
    server.forceShutdown();
  });
  return `127.0.0.1:${port}`;
}
