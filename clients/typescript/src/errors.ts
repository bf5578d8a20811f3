/** The names of gRPC's status codes that a request can end with. */
export type ThrottleErrorCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** What an error says beside its message. */
export interface ThrottleErrorDetails {
  /** The line of the table of errors. */
  code: ThrottleErrorCode;
  /** Why, for programs: such as `"COST_OVER_LIMIT"`. */
  reason: string;
  /** When to come back, in seconds; a lower bound. */
  retryAfterSeconds?: number;
  /** The field that breaks a rule. */
  field?: string;
  /** The rule. */
  rule?: string;
  /** The name of a bound that is reached. */
  bound?: string;
  /** Its value. */
  max?: number;
}

/** Why a request got no slot, or a permit could not be told of. */
export class ThrottleError extends Error {
  /** The line of the table of errors. */
  readonly code: ThrottleErrorCode;
  /** Why, for programs: such as `"COST_OVER_LIMIT"`. */
  readonly reason: string;
  /** When to come back, in seconds; a lower bound. Set where that is known. */
  readonly retryAfterSeconds: number | undefined;
  /** The field that breaks a rule, where there is one. */
  readonly field: string | undefined;
  /** The rule that it breaks. */
  readonly rule: string | undefined;

  constructor(message: string, details: ThrottleErrorDetails) {
    super(message);
    this.name = new.target.name;
    this.code = details.code;
    this.reason = details.reason;
    this.retryAfterSeconds = details.retryAfterSeconds;
    this.field = details.field;
    this.rule = details.rule;
  }
}

/** A node found a field that breaks its rule (`BAD_INPUT`), or the request takes more than a whole window (`COST_OVER_LIMIT`: split it). */
export class InvalidRequestError extends ThrottleError {}

/** The wait is, or has become, longer than `maxWaitSeconds`: come back after `retryAfterSeconds`. */
export class NotNowError extends ThrottleError {}

/** `timeoutSeconds` have passed in the queue; nothing was charged. */
export class DeadlineExceededError extends ThrottleError {}

/** A bound of the node or of the connection is reached: shed load, or raise the bound. */
export class BoundReachedError extends ThrottleError {
  /** Its name, such as `max_waiters_per_connection`. */
  readonly bound: string | undefined;
  /** Its value. */
  readonly max: number | undefined;

  constructor(message: string, details: ThrottleErrorDetails) {
    super(message, details);
    this.bound = details.bound;
    this.max = details.max;
  }
}

/** The nodes are strict about limits, and other limits are in force for this connection. */
export class LimitsDifferError extends ThrottleError {}

/** A request of this `requestId` has its slot already: don't call again unless you know that it never started. */
export class AlreadyGrantedError extends ThrottleError {}

/** The `requestId` belongs to another request: one with another niceness, cost or limits, or one of this process that still waits. */
export class RequestIdReusedError extends ThrottleError {}

/** A retry under the same `requestId` took this request's place, and gets the answer. */
export class SupersededError extends ThrottleError {}

/** The permit can't be given back or reconciled any more: its window has passed, it has ended, or nothing was estimated. */
export class NotOpenError extends ThrottleError {}

/** No node could answer in time, or the owner of this connection did not (`OWNER_UNAVAILABLE`). */
export class UnavailableError extends ThrottleError {}

/** The client was closed. */
export class ClosedError extends ThrottleError {
  constructor() {
    super("the client is closed", { code: "CANCELLED", reason: "CLIENT_CLOSED" });
  }
}

/** The error of this line of the table. */
export function throttleError(message: string, details: ThrottleErrorDetails): ThrottleError {
  return new (classOf(details))(message, details);
}

function classOf({ code, reason }: ThrottleErrorDetails): typeof ThrottleError {
  switch (code) {
    case "INVALID_ARGUMENT":
      return InvalidRequestError;
    case "RESOURCE_EXHAUSTED":
      return reason === "NOT_NOW" ? NotNowError : BoundReachedError;
    case "DEADLINE_EXCEEDED":
      return DeadlineExceededError;
    case "FAILED_PRECONDITION":
      return LimitsDifferError;
    case "ALREADY_EXISTS":
      return reason === "ALREADY_GRANTED" ? AlreadyGrantedError : RequestIdReusedError;
    case "ABORTED":
      return SupersededError;
    case "NOT_FOUND":
      return NotOpenError;
    case "UNAVAILABLE":
      return UnavailableError;
    default:
      return ThrottleError;
  }
}
