import type { TestContext } from "node:test";

import { Turnstile, type ConnectionWithLimit } from "../../src/index.js";

let connections = 0;

/** A connection that no other test has. */
export function connection(requestCount: number, windowSeconds: number, niceness = 0): ConnectionWithLimit {
  connections += 1;
  return { platform: "slack", connection: `acme-${connections}`, niceness, rateLimit: { requestCount, windowSeconds } };
}

/** The same with grants that may be late: one that is too late goes to the next, and a busy machine would change the order. */
export function unhurried(of: ConnectionWithLimit): ConnectionWithLimit {
  return { ...of, rateLimit: { ...of.rateLimit, deliveryBoundSeconds: 0.4 } };
}

/** A client that is closed after the test. */
export function client(t: TestContext, ...nodes: string[]): Turnstile {
  const turnstile = new Turnstile({ nodes });
  t.after(async () => {
    await turnstile.close();
  });
  return turnstile;
}
