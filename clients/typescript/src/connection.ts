/** What a limit counts. */
export type Dimension = "units" | "tokens" | "input_tokens" | "output_tokens";

/** How a limit counts; README.md of Turnstile says when to choose which. */
export type Algorithm = "sliding_window" | "token_bucket" | "leaky_bucket" | "gcra_virtual" | "gcra_continuous";

/** So many requests in any rolling window. */
export interface RateLimit {
  /** Units or tokens per window: 1 to 4,294,967,295. The capacity of a bucket. */
  requestCount: number;
  /** The window's length in seconds, fractions allowed: 0.001 to 604,800 (7 days). */
  windowSeconds: number;
  /** What is counted: `"units"` if it is not set. */
  dimension?: Dimension | undefined;
  /** How it is counted: `"sliding_window"` if it is not set. */
  algorithm?: Algorithm | undefined;
  /** How late a grant may reach this process, in seconds: 0 to 60; 0 accepts any jitter. Not set: 1 % of the window, 0.02 to 0.1. */
  deliveryBoundSeconds?: number | undefined;
  /** What the way to the platform may take, in seconds: 0 to 60. Not set: 0.5 % of the window, 0.01 to 0.1, plus 1/2000 of it. */
  guardSeconds?: number | undefined;
}

interface ConnectionBase {
  /** The platform, such as `"slack"`: 1 to 256 bytes of UTF-8 without NUL. */
  platform: string;
  /** The connection within its platform, such as a workspace: 1 to 256 bytes of UTF-8 without NUL. */
  connection: string;
  /** How far the request steps back for others: an integer from 0, which is served first, to 4,294,967,295. */
  niceness: number;
}

/** A connection with the one limit that it has. */
export interface ConnectionWithLimit extends ConnectionBase {
  /** What the connection may take. */
  rateLimit: RateLimit;
  /** Either this or `rateLimit`. */
  rateLimits?: undefined;
}

/** A connection with several limits: all must have room, and all are charged together or not at all. */
export interface ConnectionWithLimits extends ConnectionBase {
  /** 1 to 8 limits. */
  rateLimits: readonly RateLimit[];
  /** Either this or `rateLimits`. */
  rateLimit?: undefined;
}

/** Whose limits, what they are, and how urgent its requests are. */
export type Connection = ConnectionWithLimit | ConnectionWithLimits;

/** What a single try may say beyond its connection. */
export interface TryOptions {
  /** Ends the wait for an answer: the call rejects with the signal's reason. A slot that had been granted goes back. */
  signal?: AbortSignal | undefined;
  /** In place of the connection's niceness. */
  niceness?: number | undefined;
  /** Units that the request takes: 1 (the default) to 4,294,967,295, and at most the count of each limit on units. */
  cost?: number | undefined;
  /** Tokens that it is estimated to take, for limits that count them: 0 to 4,294,967,295. Not set: the sum of the next two, at least 1. */
  tokens?: number | undefined;
  /** Those of them that go in, for limits that count them apart. */
  inputTokens?: number | undefined;
  /** Those of them that come out, at most. */
  outputTokens?: number | undefined;
  /**
   * What makes a retry the same request: a UUID or 32 hexadecimal digits. A request whose id has a slot already rejects with
   * `AlreadyGrantedError` instead of being charged again. Not set: every call is a request of its own.
   */
  requestId?: string | undefined;
}

/** What becomes of a call when no node answers: it is skipped, or runs unthrottled. */
export type OnUnreachable = "closed" | "open";

/** What a request that waits may say beyond its connection. */
export interface AcquireOptions extends TryOptions {
  /** How long it may wait, in seconds: above 0, at most 2,592,000 (30 days). Then it rejects with `DeadlineExceededError`. Not set: for ever. */
  timeoutSeconds?: number | undefined;
  /**
   * How long it is willing to wait, in seconds: 0 to 2,592,000 (30 days). It rejects with `NotNowError` as soon as the wait is known to be
   * longer. Not set: for ever.
   */
  maxWaitSeconds?: number | undefined;
}

/** The tokens that a call has taken. At least one of the three, each 0 to 4,294,967,295. */
export interface Usage {
  /** All of them. Not set: the sum of the other two, if both are set; else what was estimated. */
  tokens?: number | undefined;
  /** Those that went in. */
  inputTokens?: number | undefined;
  /** Those that came out. */
  outputTokens?: number | undefined;
}
