import assert from "node:assert/strict";
import { test } from "node:test";

import { parseAsk, parseUsage } from "../src/ask.js";
import {
  Turnstile,
  throttle,
  tryAcquire,
  tryThrottle,
  wrap,
  close,
  type AcquireOptions,
  type Connection,
} from "../src/index.js";

const rateLimit = { requestCount: 3, windowSeconds: 1.5 };
const good: Connection = { platform: "slack", connection: "acme", niceness: 5, rateLimit };

test("a connection is taken as it is written", () => {
  const ask = parseAsk(good);
  assert.deepEqual([ask.platform, ask.connection, ask.niceness], ["slack", "acme", 5]);
  assert.equal(ask.limits[0]?.windowNanos, 1_500_000_000n);
  assert.equal(ask.requestId.length, 16);
  assert.equal(parseAsk(good, { niceness: 0 }).niceness, 0);
  const id = "572602e9-3741-4bd4-6f90-baad8acb6a22";
  assert.deepEqual(
    parseAsk(good, { requestId: id }).requestId,
    parseAsk(good, { requestId: id.replaceAll("-", "") }).requestId,
  );
});

const wrongShapes: [string, unknown, unknown, typeof TypeError | typeof RangeError][] = [
  ["connection", undefined, {}, TypeError],
  ["platform", { ...good, platform: undefined }, {}, TypeError],
  ["platform", { ...good, platform: "" }, {}, RangeError],
  ["platform", { ...good, platform: "ü".repeat(129) }, {}, RangeError],
  ["connection", { ...good, connection: "a\0b" }, {}, RangeError],
  ["connection", { ...good, connection: "\ud800" }, {}, RangeError],
  ["niceness", { ...good, niceness: undefined }, {}, TypeError],
  ["niceness", { ...good, niceness: -1 }, {}, RangeError],
  ["niceness", { ...good, niceness: 1.5 }, {}, RangeError],
  ["rateLimit", { ...good, rateLimit: undefined }, {}, TypeError],
  ["rateLimit.requestCount", { ...good, rateLimit: { ...rateLimit, requestCount: 0 } }, {}, RangeError],
  ["rateLimit.requestCount", { ...good, rateLimit: { ...rateLimit, requestCount: "3" } }, {}, TypeError],
  ["rateLimit.windowSeconds", { ...good, rateLimit: { ...rateLimit, windowSeconds: NaN } }, {}, RangeError],
  ["rateLimit.windowSeconds", { ...good, rateLimit: { ...rateLimit, windowSeconds: 604_801 } }, {}, RangeError],
  ["rateLimit.algorithm", { ...good, rateLimit: { ...rateLimit, algorithm: "bucket" } }, {}, RangeError],
  ["rateLimits", { ...good, rateLimits: [rateLimit] }, {}, TypeError],
  ["rateLimits", { ...good, rateLimit: undefined, rateLimits: [] }, {}, RangeError],
  ["rateLimits[1].requestCount", { ...good, rateLimit: undefined, rateLimits: [rateLimit, {}] }, {}, TypeError],
  ["cost", good, { cost: 0 }, RangeError],
  ["tokens", good, { tokens: 2 ** 32 }, RangeError],
  ["timeoutSeconds", good, { timeoutSeconds: 0 }, RangeError],
  ["maxWaitSeconds", good, { maxWaitSeconds: -1 }, RangeError],
  ["requestId", good, { requestId: "42" }, RangeError],
  ["signal", good, { signal: {} }, TypeError],
  ["options", good, null, TypeError],
  ["options.timeout", good, { timeout: 5 }, TypeError],
  ["rateLimit.guard", { ...good, rateLimit: { ...rateLimit, guard: 1 } }, {}, TypeError],
];

for (const [field, connection, options, kind] of wrongShapes) {
  test(`a wrong ${field} is named: ${JSON.stringify([connection, options])}`, async () => {
    const calls: string[] = [];
    const call = throttle(connection as Connection, () => calls.push("ran"), options as AcquireOptions);
    await assert.rejects(call, (error: Error) => error instanceof kind && error.message.startsWith(field));
    assert.deepEqual(calls, []);
  });
}

test("a function may be wrapped before it is said where the nodes are", async (t) => {
  const said = process.env["TURNSTILE_NODES"];
  t.after(async () => {
    await close();
    if (said === undefined) delete process.env["TURNSTILE_NODES"];
    else process.env["TURNSTILE_NODES"] = said;
  });
  await close();
  process.env["TURNSTILE_NODES"] = "not said yet";
  const wrapped = wrap(good, () => 1);
  await assert.rejects(wrapped(), /TURNSTILE_NODES/);
});

test("what is no function, no usage and no address is refused", async () => {
  await assert.rejects(throttle(good, undefined as never), TypeError);
  assert.throws(() => wrap(good, 1 as never), TypeError);
  assert.throws(() => parseUsage({}), TypeError);
  await assert.rejects(
    tryThrottle(good, () => 1, { onUnreachable: "ajar" as never }),
    /onUnreachable is "ajar"/,
  );
  for (const nodes of [[], ["localhost"], ["localhost:0"], ["http://localhost:7878"], ["a:1,b:2"]]) {
    assert.throws(() => new Turnstile({ nodes }), RangeError);
  }
  assert.throws(() => new Turnstile({ nodes: "127.0.0.1:7878" as never }), TypeError);
  assert.throws(() => new Turnstile(undefined as never), /^TypeError: options is undefined/);
});

test("a try refuses what is for those who wait", async () => {
  const wrong = /^TypeError: options.timeoutSeconds is unknown here: it must be one of signal, niceness, cost,/;
  await assert.rejects(
    tryThrottle(good, () => 1, { timeoutSeconds: 1 } as never),
    wrong,
  );
  await assert.rejects(tryAcquire(good, { timeoutSeconds: 1 } as never), wrong);
  await assert.rejects(
    tryThrottle(good, () => 1, null as never),
    /^TypeError: options is null/,
  );
});
