/** What a node says when something fails, as the error that its caller gets. */
import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { status, type ServiceError } from "@grpc/grpc-js";

import { fromDuration, secondsOf } from "../duration.js";
import { throttleError, type ThrottleError, type ThrottleErrorCode, type ThrottleErrorDetails } from "../errors.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  RetryInfoSchema,
  StatusSchema,
} from "../gen/error_details_pb.js";

/** The names of fields in messages, where those of options are others. */
const FIELD_NAMES: Readonly<Record<string, string>> = {
  limits: "rateLimits",
  request_count: "requestCount",
  window: "windowSeconds",
  delivery_bound: "deliveryBoundSeconds",
  guard: "guardSeconds",
  timeout: "timeoutSeconds",
  max_wait: "maxWaitSeconds",
  request_id: "requestId",
  input_tokens: "inputTokens",
  output_tokens: "outputTokens",
};

/** The error for a code, a message and a serialized google.rpc.Status. */
export function problemOf(code: number, message: string, statusDetails: Uint8Array): ThrottleError {
  const name = codeName(code);
  const details: ThrottleErrorDetails = { code: name, reason: name };
  for (const detail of detailsOf(statusDetails)) read(detail, details);
  return throttleError(message, details);
}

/** The error that a unary call ended with. */
export function problemOfCall(error: unknown): ThrottleError {
  if (!isServiceError(error)) throw error;
  const [details] = error.metadata.get("grpc-status-details-bin");
  const bytes = Buffer.isBuffer(details) ? details : new Uint8Array();
  return problemOf(error.code, error.details, bytes);
}

function read(detail: Any, details: ThrottleErrorDetails): void {
  const info = unpack(detail, "google.rpc.ErrorInfo", ErrorInfoSchema);
  if (info !== undefined) {
    details.reason = info.reason;
    const { bound, max } = info.metadata;
    if (bound !== undefined) details.bound = bound;
    if (max !== undefined) details.max = Number(max);
  }
  const retry = unpack(detail, "google.rpc.RetryInfo", RetryInfoSchema)?.retryDelay;
  if (retry !== undefined) details.retryAfterSeconds = secondsOf(fromDuration(retry));
  const [violation] = unpack(detail, "google.rpc.BadRequest", BadRequestSchema)?.fieldViolations ?? [];
  if (violation !== undefined) {
    details.field = fieldName(violation.field);
    details.rule = violation.description;
  }
  const [failure] = unpack(detail, "google.rpc.PreconditionFailure", PreconditionFailureSchema)?.violations ?? [];
  if (failure !== undefined) {
    details.field = fieldName(failure.subject);
    details.rule = failure.description;
  }
}

/** `acquire.limits[0].window` is `rateLimits[0].windowSeconds` to callers. */
function fieldName(path: string): string {
  const parts = path
    .replace(/^(try_)?(acquire|reconcile\.usage|usage)\./, "")
    .replace(/^key\./, "")
    .split(".");
  return parts.map((part) => part.replace(/^\w+/, (name) => FIELD_NAMES[name] ?? name)).join(".");
}

function detailsOf(bytes: Uint8Array): Any[] {
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    // Details are an extra: the code and the message hold without them.
    return [];
  }
}

function unpack<T extends DescMessage>(detail: Any, name: string, schema: T): MessageShape<T> | undefined {
  return detail.typeUrl.endsWith(`/${name}`) ? fromBinary(schema, detail.value) : undefined;
}

function codeName(code: number): ThrottleErrorCode {
  const name = status[code];
  return name === undefined || name === "OK" ? "UNKNOWN" : (name as ThrottleErrorCode);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error && "details" in error;
}
