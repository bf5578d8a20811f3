import { create } from "@bufbuild/protobuf";
import { DurationSchema, type Duration } from "@bufbuild/protobuf/wkt";

const NANOS_PER_SECOND = 1_000_000_000n;

/** Seconds as nanoseconds, to the nearest. Split first: the whole seconds of a long span leave too few bits for its nanoseconds. */
export function nanosOf(seconds: number): bigint {
  const whole = Math.floor(seconds);
  return BigInt(whole) * NANOS_PER_SECOND + BigInt(Math.round((seconds - whole) * 1e9));
}

export function secondsOf(nanos: bigint): number {
  return Number(nanos) / 1e9;
}

export function toDuration(nanos: bigint): Duration {
  return create(DurationSchema, { seconds: nanos / NANOS_PER_SECOND, nanos: Number(nanos % NANOS_PER_SECOND) });
}

export function fromDuration(duration: Duration): bigint {
  return duration.seconds * NANOS_PER_SECOND + BigInt(duration.nanos);
}
