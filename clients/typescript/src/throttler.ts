import { parseAsk, parseFunction, parseTry, parseTryThrottle, type Ask } from "./ask.js";
import type { AcquireOptions, Connection, OnUnreachable, TryOptions } from "./connection.js";
import type { Permit } from "./permit.js";

/** What a try may say beyond its connection. */
export interface TryThrottleOptions extends TryOptions {
  /** What becomes of the call when no node answers within a second: `"closed"` (the default) skips it, `"open"` runs it unthrottled. */
  onUnreachable?: OnUnreachable | undefined;
}

/** How a try ended that got no slot. */
export type NoSlot = "not-now" | "unreachable";

/** Waiting for turns: a client of real nodes (`Turnstile`), or a fake for tests. */
export abstract class Throttler implements AsyncDisposable {
  /** Waits for a slot and calls `start` with it, in the same step in which the grant was found fresh. */
  protected abstract enter<T>(ask: Ask, start: (permit: Permit) => T): Promise<Awaited<T>>;

  /** Calls `start` with a slot if there is one now. */
  protected abstract tryEnter<T>(
    ask: Ask,
    start: (permit: Permit) => T,
  ): Promise<{ started: Awaited<T> } | { noSlot: NoSlot }>;

  /**
   * Ends what waits with `ClosedError`. Permits that are held stay as they are: their slots are used. Resolves when the nodes have heard what was
   * said before, such as that a slot is given back, and after a second at the latest: a process may end behind it.
   */
  abstract close(): Promise<void>;

  /**
   * Waits its turn, runs `fn` once, and returns what `fn` returns. An error of `fn` is the caller's, and does not give the slot back: the call
   * may have reached the platform. `fn` is given the permit, to `reconcile` tokens or to `giveBack` a slot that it does not use.
   *
   * @throws TypeError or RangeError, naming the field, when an argument breaks its rule: nothing was sent then.
   * @throws ThrottleError when there is no slot to be had; `fn` was not run then.
   */
  async throttle<T>(
    connection: Connection,
    fn: (permit: Permit) => T,
    options: AcquireOptions = {},
  ): Promise<Awaited<T>> {
    parseFunction(fn);
    return await this.enter(parseAsk(connection, options), (permit) => run(permit, fn));
  }

  /**
   * Runs `fn` if there is a slot now, and returns `null` at once if there is none. It never waits in the queue. Where `fn` may return `null`,
   * use `tryAcquire`. `fn` is given the permit, or `null` where it runs unthrottled.
   *
   * @throws TypeError, RangeError or ThrottleError as `throttle` does.
   */
  async tryThrottle<T>(
    connection: Connection,
    fn: (permit: Permit | null) => T,
    options: TryThrottleOptions = {},
  ): Promise<Awaited<T> | null> {
    parseFunction(fn);
    const { ask, onUnreachable } = parseTryThrottle(connection, options);
    const tried = await this.tryEnter(ask, (permit) => run(permit, fn));
    if (!("noSlot" in tried)) return tried.started;
    return tried.noSlot === "unreachable" && onUnreachable === "open" ? await fn(null) : null;
  }

  /**
   * The same function, or method, throttled: each call waits its turn. `connection` may be a function of the arguments.
   *
   * @throws TypeError when `fn` is no function. Calls reject as `throttle` does.
   */
  wrap<This, A extends unknown[], T>(
    connection: Connection | ((...args: A) => Connection),
    fn: (this: This, ...args: A) => T,
    options: AcquireOptions = {},
  ): (this: This, ...args: A) => Promise<Awaited<T>> {
    parseFunction(fn);
    const throttle = async (one: Connection, call: () => T) => await this.throttle(one, call, options);
    return async function (this: This, ...args: A): Promise<Awaited<T>> {
      const one = typeof connection === "function" ? connection(...args) : connection;
      return await throttle(one, () => fn.apply(this, args));
    };
  }

  /**
   * Waits for a slot. Start the request while you hold the permit, at the latest after its `startWithinSeconds`, and then `release` it: best by
   * `await using permit = await turnstile.acquire(connection)`.
   *
   * @throws TypeError, RangeError or ThrottleError as `throttle` does.
   */
  async acquire(connection: Connection, options: AcquireOptions = {}): Promise<Permit> {
    return await this.enter(parseAsk(connection, options), (permit) => permit);
  }

  /**
   * Takes a slot if there is one now; `null` if there is none, or no node answers within a second.
   *
   * @throws TypeError, RangeError or ThrottleError as `throttle` does.
   */
  async tryAcquire(connection: Connection, options: TryOptions = {}): Promise<Permit | null> {
    const tried = await this.tryEnter(parseTry(connection, options), (permit) => permit);
    return "noSlot" in tried ? null : tried.started;
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function run<T>(permit: Permit, fn: (permit: Permit) => T): Promise<Awaited<T>> {
  try {
    return await fn(permit);
  } finally {
    permit.release();
  }
}
