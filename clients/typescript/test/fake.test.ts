import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AlreadyGrantedError,
  ClosedError,
  DeadlineExceededError,
  NotNowError,
  NotOpenError,
  UnavailableError,
} from "../src/index.js";
import { FakeTurnstile } from "../src/testing/index.js";
import { connection } from "./support/client.js";

test("time stands still until it is told to go on", async () => {
  const fake = new FakeTurnstile();
  const one = connection(2, 10);
  const runs: [number, number][] = [];
  for (const call of [1, 2, 3, 4, 5]) void fake.throttle(one, () => runs.push([call, fake.nowSeconds]));
  await fake.advance(9.999);
  assert.deepEqual(
    runs.map(([call]) => call),
    [1, 2],
  );
  assert.deepEqual(fake.waiting.length, 3);
  await fake.advance(20);
  assert.deepEqual(runs, [
    [1, 0],
    [2, 0],
    [3, 10],
    [4, 10],
    [5, 20],
  ]);
  assert.deepEqual(
    fake.grants.map((grant) => grant.atSeconds),
    [0, 0, 10, 10, 20],
  );
});

test("the urgent go first, and a large request holds back who comes after it", async () => {
  const fake = new FakeTurnstile();
  const one = connection(3, 1);
  const order: string[] = [];
  const wait = (name: string, niceness: number, cost = 1) =>
    void fake.throttle(one, () => order.push(`${name} at ${fake.nowSeconds}`), { niceness, cost });
  wait("first", 5);
  wait("large", 5, 3);
  wait("small", 5);
  wait("urgent", 0);
  await fake.advance(3);
  assert.deepEqual(order, ["first at 0", "urgent at 0", "large at 1", "small at 2"]);
});

test("work that goes on is waited for between two moments", async () => {
  const fake = new FakeTurnstile();
  const one = connection(1, 1);
  const at: number[] = [];
  const worker = (async () => {
    for (let call = 0; call < 4; call += 1) {
      await fake.throttle(one, async () => at.push(await Promise.resolve(fake.nowSeconds)));
    }
  })();
  await fake.advance(3);
  await worker;
  assert.deepEqual(at, [0, 1, 2, 3]);
});

test("a bucket lets the burst go and then one at a time", async () => {
  const fake = new FakeTurnstile();
  const { rateLimit, ...rest } = connection(4, 2);
  const bucket = { ...rest, rateLimit: { ...rateLimit, algorithm: "token_bucket" as const } };
  const at: number[] = [];
  for (let call = 0; call < 8; call += 1) void fake.throttle(bucket, () => at.push(fake.nowSeconds));
  await fake.advance(2);
  assert.deepEqual(at, [0, 0, 0, 0, 0.5, 1, 1.5, 2]);
});

test("waits end as they do at a node", async () => {
  const fake = new FakeTurnstile();
  const one = connection(1, 10);
  const requestId = "572602e937414bd46f90baad8acb6a22";
  assert.equal(await fake.throttle(one, () => "ran", { requestId }), "ran");
  await assert.rejects(fake.acquire(one, { requestId }), AlreadyGrantedError);
  await assert.rejects(fake.acquire(one, { cost: 2 }), /over the limit of 1/);
  await assert.rejects(fake.acquire(one, { maxWaitSeconds: 9 }), NotNowError);
  assert.equal(await fake.tryThrottle(one, () => "ran"), null);
  const late = assert.rejects(fake.acquire(one, { timeoutSeconds: 3 }), DeadlineExceededError);
  await fake.advance(3);
  await late;
  const leave = new AbortController();
  const left = assert.rejects(fake.acquire(one, { signal: leave.signal }), { name: "AbortError" });
  leave.abort();
  await left;
  const closed = assert.rejects(fake.acquire(one), ClosedError);
  await fake.close();
  await closed;
});

test("a slot whose caller has gone away by the time that it can start goes back", async () => {
  const fake = new FakeTurnstile();
  const one = connection(2, 10);
  const leave = new AbortController();
  const ran: string[] = [];
  const first = fake.throttle(one, () => {
    ran.push("first");
    leave.abort();
  });
  const second = fake.throttle(one, () => ran.push("second"), { signal: leave.signal });
  await Promise.all([first, assert.rejects(second, { name: "AbortError" })]);
  assert.deepEqual(ran, ["first"]);
  assert.ok(await fake.tryAcquire(one));
});

test("slots and tokens come back", async () => {
  const fake = new FakeTurnstile();
  const { platform, connection: name } = connection(1, 1);
  const rateLimits = [{ requestCount: 100, windowSeconds: 60, dimension: "tokens" as const }];
  const model = { platform, connection: name, niceness: 0, rateLimits };
  const permit = await fake.acquire(model, { tokens: 90 });
  const waiting = fake.acquire(model, { tokens: 50 });
  assert.deepEqual((await permit.reconcile({ tokens: 40 })).refunded.tokens, 50);
  await (await waiting).giveBack();
  assert.ok(await fake.tryAcquire(model, { tokens: 60 }));
  assert.equal(await fake.tryAcquire(model), null);
});

test("an estimate is reconciled once, and only while its window is open, as at a node", async () => {
  const fake = new FakeTurnstile();
  const { platform, connection: name } = connection(1, 1);
  const rateLimits = [
    { requestCount: 10, windowSeconds: 300 },
    { requestCount: 100, windowSeconds: 10, dimension: "tokens" as const },
    { requestCount: 50, windowSeconds: 60, dimension: "output_tokens" as const },
  ];
  const model = { platform, connection: name, niceness: 0, rateLimits };
  const isNotOpen = { name: NotOpenError.name, code: "NOT_FOUND", reason: "NOT_OPEN" };
  const permit = await fake.acquire(model, { tokens: 90 });
  assert.equal((await permit.reconcile({ tokens: 40 })).refunded.tokens, 50);
  assert.equal((await permit.reconcile({ tokens: 100 })).refunded.tokens, 50);
  assert.equal(await fake.tryAcquire(model, { tokens: 61 }), null);
  const late = await fake.acquire(model, { tokens: 60 });
  late.release();
  // The longest window of those that count tokens; the one that counts requests is as long as it likes.
  await fake.advance(59.999);
  assert.equal((await late.reconcile({ tokens: 70 })).owed.tokens, 10);
  await fake.advance(0.001);
  await assert.rejects(permit.reconcile({ tokens: 40 }), isNotOpen);
  await assert.rejects(late.reconcile({ tokens: 70 }), isNotOpen);
  const other = await fake.acquire(model, { tokens: 1 });
  await fake.advance(60);
  await assert.rejects(other.reconcile({ tokens: 1 }), isNotOpen);
});

test("who was held back by a request that gives up is served at once", async () => {
  const fake = new FakeTurnstile();
  const { platform, connection: name } = connection(1, 1);
  const rateLimits = [{ requestCount: 100, windowSeconds: 10, dimension: "tokens" as const }];
  const model = { platform, connection: name, niceness: 0, rateLimits };
  const first = await fake.acquire(model, { tokens: 30 });
  const gaveUp = assert.rejects(fake.acquire(model, { tokens: 80, maxWaitSeconds: 11 }), NotNowError);
  const small = fake.acquire(model, { tokens: 10 });
  await fake.advance(5);
  // With what is owed from now on the large one would fit in 10 s, and not in 6.
  await first.reconcile({ tokens: 60 });
  await gaveUp;
  assert.equal(fake.waiting.length, 0);
  await small;
});

test("what was not estimated is not reconciled, and is over all the same", async () => {
  const fake = new FakeTurnstile();
  const permit = await fake.acquire(connection(1, 60), { tokens: 5 });
  await assert.rejects(permit.reconcile({}), TypeError);
  await assert.rejects(permit.reconcile({ tokens: 1 }), NotOpenError);
  await assert.rejects(permit.giveBack(), NotOpenError);
});

test("out of reach, requests wait and tries find nobody", async () => {
  const fake = new FakeTurnstile();
  const one = connection(1, 10);
  fake.setReachable(false);
  assert.equal(await fake.tryThrottle(one, () => "ran"), null);
  assert.equal(await fake.tryThrottle(one, () => "ran", { onUnreachable: "open" }), "ran");
  await assert.rejects(fake.acquire(one, { maxWaitSeconds: 0 }), UnavailableError);
  const waiting = fake.throttle(one, () => "at last");
  await fake.advance(5);
  fake.setReachable(true);
  assert.equal(await waiting, "at last");
});
