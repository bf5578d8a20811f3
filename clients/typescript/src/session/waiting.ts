import { create } from "@bufbuild/protobuf";

import { deliveryBoundOf, type Ask, type ParsedLimit } from "../ask.js";
import type { Algorithm, Dimension } from "../connection.js";
import { toDuration } from "../duration.js";
import {
  AcquireSchema,
  Algorithm as WireAlgorithm,
  Dimension as WireDimension,
  RateLimitSchema,
  type Acquire,
  type RateLimit,
} from "../gen/turnstile/v1/throttle_pb.js";
import type { ThrottleError } from "../errors.js";
import type { SessionPermit } from "./session_permit.js";

const DIMENSIONS: Readonly<Record<Dimension, WireDimension>> = {
  units: WireDimension.UNITS,
  tokens: WireDimension.TOKENS,
  input_tokens: WireDimension.INPUT_TOKENS,
  output_tokens: WireDimension.OUTPUT_TOKENS,
};

const ALGORITHMS: Readonly<Record<Algorithm, WireAlgorithm>> = {
  sliding_window: WireAlgorithm.SLIDING_WINDOW,
  token_bucket: WireAlgorithm.TOKEN_BUCKET,
  leaky_bucket: WireAlgorithm.LEAKY_BUCKET,
  gcra_virtual: WireAlgorithm.GCRA_VIRTUAL,
  gcra_continuous: WireAlgorithm.GCRA_CONTINUOUS,
};

/** The shortest timeout that is sent: what is left of one may have passed, but its own timer ends it. */
const LEAST_TIMEOUT = 1_000_000n;

/** How an acquire ends: by one of these, unless it leaves. */
export interface Answers {
  /** It has its slot. It starts in this very step, in which the grant was found fresh. */
  granted(permit: SessionPermit): void;
  /** There is no slot before so long from now, at least. */
  throttled(retryAfterNanos: bigint): void;
  failed(error: ThrottleError): void;
}

/** An acquire that has no answer yet. */
export interface Waiting {
  readonly ask: Ask;
  readonly mode: "wait" | "try";
  /** When it began to wait, by the process's monotonic clock. */
  readonly beganAt: bigint;
  readonly answers: Answers;
  /** By which the nodes know it. */
  id: Uint8Array;
  /** The tightest delivery bound of its limits, as far as it is known; 0 when they accept any jitter. */
  deliveryBound: bigint;
  /** Whether it has lost a place that it had, or a node that it was to ask: its place is by its age from then on. */
  isAged: boolean;
  /** Its slot, until its turn to start has come. */
  permit: SessionPermit | undefined;
}

/** The tightest delivery bound that its limits ask for. */
export function tightestBound(ask: Ask): bigint {
  const bounds = ask.limits.map(deliveryBoundOf).filter((bound) => bound > 0n);
  return bounds.reduce((least, bound) => (least === 0n || bound < least ? bound : least), 0n);
}

/** The acquire as it is asked at `now`. */
export function acquireAt(waiting: Waiting, now: bigint): Acquire {
  const { ask, id, mode, beganAt } = waiting;
  const waited = now > beganAt ? now - beganAt : 0n;
  const acquire = create(AcquireSchema, {
    requestId: id,
    key: { platform: ask.platform, connection: ask.connection },
    limits: ask.limits.map(toLimit),
    niceness: ask.niceness,
    cost: ask.cost.units,
    inputTokens: ask.cost.inputTokens,
    outputTokens: ask.cost.outputTokens,
  });
  if (ask.cost.tokens !== undefined) acquire.tokens = ask.cost.tokens;
  if (mode === "try") return acquire;
  if (ask.timeoutNanos !== undefined) {
    const left = ask.timeoutNanos - waited;
    acquire.timeout = toDuration(left > LEAST_TIMEOUT ? left : LEAST_TIMEOUT);
  }
  if (ask.maxWaitNanos !== undefined) {
    const left = ask.maxWaitNanos - waited;
    acquire.maxWait = toDuration(left > 0n ? left : 0n);
  }
  if (waiting.isAged && waited > 0n) acquire.waited = toDuration(waited);
  return acquire;
}

function toLimit(limit: ParsedLimit): RateLimit {
  const message = create(RateLimitSchema, {
    requestCount: limit.count,
    window: toDuration(limit.windowNanos),
    dimension: DIMENSIONS[limit.dimension],
    algorithm: ALGORITHMS[limit.algorithm],
  });
  if (limit.deliveryBoundNanos !== undefined) message.deliveryBound = toDuration(limit.deliveryBoundNanos);
  if (limit.guardNanos !== undefined) message.guard = toDuration(limit.guardNanos);
  return message;
}
