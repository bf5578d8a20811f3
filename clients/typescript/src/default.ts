/** The plain functions: a client of the process's own, which is made by the first call. */
import { parseFunction } from "./ask.js";
import type { AcquireOptions, Connection, TryOptions } from "./connection.js";
import type { Permit } from "./permit.js";
import { parseAddresses } from "./session/nodes.js";
import type { TryThrottleOptions } from "./throttler.js";
import { Turnstile } from "./turnstile.js";

const DEFAULT_NODES = "127.0.0.1:7878";

let client: Turnstile | undefined;

/**
 * The client behind the plain functions. Its nodes are those of the environment's `TURNSTILE_NODES`, `host:port` separated by commas; without
 * it `127.0.0.1:7878`.
 *
 * @throws RangeError when `TURNSTILE_NODES` is no such list.
 */
export function defaultTurnstile(): Turnstile {
  if (client === undefined) {
    const said = process.env["TURNSTILE_NODES"] ?? DEFAULT_NODES;
    client = new Turnstile({ nodes: parseAddresses("TURNSTILE_NODES", said.split(",")) });
  }
  return client;
}

/** `Turnstile.throttle` of the process's own client. */
export async function throttle<T>(
  connection: Connection,
  fn: (permit: Permit) => T,
  options?: AcquireOptions,
): Promise<Awaited<T>> {
  return await defaultTurnstile().throttle(connection, fn, options);
}

/** `Turnstile.tryThrottle` of the process's own client. */
export async function tryThrottle<T>(
  connection: Connection,
  fn: (permit: Permit | null) => T,
  options?: TryThrottleOptions,
): Promise<Awaited<T> | null> {
  return await defaultTurnstile().tryThrottle(connection, fn, options);
}

/**
 * `Turnstile.wrap` with the process's own client: the one that there is when the function is called, so that a module may wrap before its program
 * has said where the nodes are.
 */
export function wrap<This, A extends unknown[], T>(
  connection: Connection | ((...args: A) => Connection),
  fn: (this: This, ...args: A) => T,
  options?: AcquireOptions,
): (this: This, ...args: A) => Promise<Awaited<T>> {
  parseFunction(fn);
  return async function (this: This, ...args: A): Promise<Awaited<T>> {
    return await defaultTurnstile().wrap(connection, fn, options).apply(this, args);
  };
}

/** `Turnstile.acquire` of the process's own client. */
export async function acquire(connection: Connection, options?: AcquireOptions): Promise<Permit> {
  return await defaultTurnstile().acquire(connection, options);
}

/** `Turnstile.tryAcquire` of the process's own client. */
export async function tryAcquire(connection: Connection, options?: TryOptions): Promise<Permit | null> {
  return await defaultTurnstile().tryAcquire(connection, options);
}

/** Closes the process's own client. The next call makes another. */
export async function close(): Promise<void> {
  const closing = client;
  client = undefined;
  await closing?.close();
}
