import { fromDuration } from "../duration.js";
import type { Granted } from "../gen/turnstile/v1/throttle_pb.js";
import type { PermitOrder } from "../permit.js";

/** A grant as it came. */
export interface ParsedGrant {
  /** What releases and reconciles it at any node. */
  readonly token: Uint8Array;
  readonly order: PermitOrder;
  readonly waitedNanos: bigint;
  /** The delivery bound that it was charged with; 0 accepts any jitter. */
  readonly deliveryBound: bigint;
  /** Until when it may be started, by the process's monotonic clock. `undefined` when any jitter is accepted. */
  readonly startBy: bigint | undefined;
}

/**
 * Reads a grant. The grant's age is at most the age that it was sent with and what our clock has counted since the stamp that goes with it.
 * `undefined` when the message lacks what it must have.
 */
export function parseGranted(message: Granted): ParsedGrant | undefined {
  const { grant, age, stampNanos } = message;
  const delivery = grant?.margin?.delivery;
  if (grant === undefined || delivery === undefined || age === undefined || stampNanos === undefined) return undefined;
  const deliveryBound = fromDuration(delivery);
  return {
    token: grant.permit,
    order: {
      tenure: grant.tenure.toString(16).padStart(16, "0"),
      arrival: grant.arrival,
      waitsSince: grant.waitsSince,
      release: grant.release,
    },
    waitedNanos: grant.waited === undefined ? 0n : fromDuration(grant.waited),
    deliveryBound,
    startBy: deliveryBound === 0n ? undefined : stampNanos + deliveryBound - fromDuration(age),
  };
}

/** Whether a grant may be too old to be started at `now`. */
export function isStale(grant: ParsedGrant, now: bigint): boolean {
  return grant.startBy !== undefined && now > grant.startBy;
}
