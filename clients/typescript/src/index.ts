export type {
  AcquireOptions,
  Algorithm,
  Connection,
  ConnectionWithLimit,
  ConnectionWithLimits,
  Dimension,
  OnUnreachable,
  RateLimit,
  TryOptions,
  Usage,
} from "./connection.js";
export { acquire, close, defaultTurnstile, throttle, tryAcquire, tryThrottle, wrap } from "./default.js";
export {
  AlreadyGrantedError,
  BoundReachedError,
  ClosedError,
  DeadlineExceededError,
  InvalidRequestError,
  LimitsDifferError,
  NotNowError,
  NotOpenError,
  RequestIdReusedError,
  SupersededError,
  ThrottleError,
  UnavailableError,
  type ThrottleErrorCode,
  type ThrottleErrorDetails,
} from "./errors.js";
export type { Permit, PermitOrder, Reconciled, TokenCount } from "./permit.js";
export { Throttler, type TryThrottleOptions } from "./throttler.js";
export { Turnstile, type TurnstileOptions } from "./turnstile.js";
