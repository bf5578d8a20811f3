/** What a fake connection has been charged, and when something more fits: exactly, in nanoseconds, without the margins of a cluster. */
import type { ParsedCost, ParsedLimit } from "../ask.js";
import type { Dimension } from "../connection.js";

/** What was taken at a moment. */
export interface Charge {
  readonly at: bigint;
  amounts: Record<Dimension, number>;
}

/** What a request takes of each dimension, where limits count tokens at least 1. */
export function amountsOf(cost: ParsedCost): Record<Dimension, number> {
  return {
    units: cost.units,
    tokens: Math.max(1, cost.tokens ?? cost.inputTokens + cost.outputTokens),
    input_tokens: Math.max(1, cost.inputTokens),
    output_tokens: Math.max(1, cost.outputTokens),
  };
}

/** How long an estimate may be reconciled: for the longest window of the limits that count tokens; 0 when none does. */
export function estimatesLast(limits: readonly ParsedLimit[]): bigint {
  const windows = limits.filter(({ dimension }) => dimension !== "units").map((limit) => limit.windowNanos);
  return windows.reduce((a, b) => (a > b ? a : b), 0n);
}

/** From when on, at the earliest `now`, all limits have room. `charges` are in order of time. */
export function readyAt(
  limits: readonly ParsedLimit[],
  charges: readonly Charge[],
  amounts: Record<Dimension, number>,
  now: bigint,
): bigint {
  // Once a limit has room it keeps it while nothing is charged: the latest moment suits all.
  return limits
    .map((limit) => readyBy(limit, charges, amounts[limit.dimension], now))
    .reduce((a, b) => (a > b ? a : b));
}

function readyBy(limit: ParsedLimit, charges: readonly Charge[], amount: number, now: bigint): bigint {
  return limit.algorithm === "sliding_window"
    ? readyByWindow(limit, charges, amount, now)
    : readyByBucket(limit, charges, amount, now);
}

/** The window is half open: a charge that is exactly one window old has left. */
function readyByWindow(limit: ParsedLimit, charges: readonly Charge[], amount: number, now: bigint): bigint {
  const inside = charges.filter((charge) => charge.at + limit.windowNanos > now);
  let sum = inside.reduce((total, charge) => total + charge.amounts[limit.dimension], 0);
  let ready = now;
  for (const charge of inside) {
    if (sum + amount <= limit.count) break;
    sum -= charge.amounts[limit.dimension];
    ready = charge.at + limit.windowNanos;
  }
  return ready;
}

/** A level that leaks `count` in each window; counted in units times the window, so that nothing is rounded. */
function readyByBucket(limit: ParsedLimit, charges: readonly Charge[], amount: number, now: bigint): bigint {
  const { windowNanos } = limit;
  const rate = BigInt(limit.count);
  let level = 0n;
  let at = 0n;
  const leak = (until: bigint) => {
    const leaked = (until - at) * rate;
    level = level > leaked ? level - leaked : 0n;
    at = until;
  };
  for (const charge of charges) {
    leak(charge.at);
    level += BigInt(charge.amounts[limit.dimension]) * windowNanos;
  }
  leak(now);
  const over = level + BigInt(amount) * windowNanos - rate * windowNanos;
  return over <= 0n ? now : now + (over + rate - 1n) / rate;
}
