import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { test } from "node:test";

import {
  AlreadyGrantedError,
  ClosedError,
  DeadlineExceededError,
  InvalidRequestError,
  NotNowError,
  NotOpenError,
  RequestIdReusedError,
  UnavailableError,
} from "../src/index.js";
import { client, connection, unhurried } from "./support/client.js";
import { freePorts, kill, sessionsOf, startNode, until, waitersOf } from "./support/processes.js";

test("a single node", async (t) => {
  const node = await startNode(t);
  const turnstile = client(t, node.address);

  await t.test("what the function returns or throws is the caller's, and it runs once", async () => {
    const one = connection(10, 60);
    assert.equal(await turnstile.throttle(one, () => 42), 42);
    assert.equal(await turnstile.throttle(one, async () => await Promise.resolve("later")), "later");
    assert.equal(await turnstile.throttle<unknown>(one, () => undefined), undefined);
    let runs = 0;
    const failing = () => {
      runs += 1;
      throw new Error("the platform said no");
    };
    await assert.rejects(turnstile.throttle(one, failing), /^Error: the platform said no$/);
    await assert.rejects(
      turnstile.throttle(one, () => Promise.reject(new Error("later no"))),
      /^Error: later no$/,
    );
    assert.equal(runs, 1);
  });

  await t.test("an error of the function does not give the slot back", async () => {
    const one = connection(1, 60);
    await assert.rejects(
      turnstile.throttle(one, () => {
        throw new Error("no");
      }),
    );
    assert.equal(await turnstile.tryAcquire(one), null);
  });

  await t.test("a try takes a slot that is there, and null says that there is none", async () => {
    const one = connection(1, 60);
    assert.equal(await turnstile.tryThrottle(one, () => "ran"), "ran");
    assert.equal(await turnstile.tryThrottle(one, () => "ran again"), null);
  });

  await t.test("the limit holds and the urgent go first", async () => {
    const order: string[] = [];
    const urgent = unhurried(connection(2, 0.5));
    const nice = { ...urgent, niceness: 7 };
    await Promise.all([turnstile.throttle(urgent, () => 0), turnstile.throttle(urgent, () => 0)]);
    const began = process.hrtime.bigint();
    await Promise.all([
      turnstile.throttle(nice, () => order.push("nice 1")),
      turnstile.throttle(nice, () => order.push("nice 2")),
      turnstile.throttle(urgent, () => order.push("urgent 1")),
      turnstile.throttle(nice, () => order.push("urgent 2"), { niceness: 0 }),
    ]);
    assert.deepEqual(order, ["urgent 1", "urgent 2", "nice 1", "nice 2"]);
    // The slots of before were taken within some milliseconds of `began`.
    assert.ok(process.hrtime.bigint() - began > 900_000_000n);
  });

  await t.test("wrap keeps arguments and results, and may choose the connection by them", async () => {
    const one = connection(1, 60);
    const add = turnstile.wrap(
      (a: number, b: number) => ({ ...one, connection: `${one.connection}-${a}-${b}` }),
      (a, b) => a + b,
    );
    assert.deepEqual(await Promise.all([add(1, 2), add(3, 4)]), [3, 7]);
  });

  await t.test("a method that is wrapped knows its object", async () => {
    class Reader {
      readonly name = "the reader";
      readonly read = turnstile.wrap(connection(1, 60), async function (this: Reader, page: number) {
        return await Promise.resolve(`${this.name} has page ${page}`);
      });
    }
    assert.equal(await new Reader().read(7), "the reader has page 7");
  });

  await t.test("a permit is given back, released or disposed of", async () => {
    const one = connection(1, 60);
    const permit = await turnstile.acquire(one);
    assert.ok(permit.startWithinSeconds > 0 && permit.startWithinSeconds <= 0.1);
    assert.match(permit.requestId, /^[0-9a-f]{32}$/);
    await permit.giveBack();
    await permit.giveBack();
    await assert.rejects(permit.reconcile({ tokens: 1 }), NotOpenError);
    const second = await turnstile.acquire(one, { timeoutSeconds: 5 });
    second.release();
    second.release();
    await assert.rejects(second.giveBack(), NotOpenError);
    const other = connection(1, 60);
    {
      await using held = await turnstile.acquire(other);
      assert.equal(held.order.tenure.length, 16);
    }
    assert.equal(await turnstile.tryAcquire(other), null);
  });

  await t.test("a permit that has outlived its session is given back by name", async () => {
    const one = connection(1, 60);
    const [permit, passed] = await Promise.all([turnstile.acquire(one), turnstile.acquire(connection(1, 0.001))]);
    // Nobody waits, so the session ends soon; another one begins with the try.
    await until("the session has ended", () => sessionsOf(node.address).then((sessions) => sessions === 0));
    assert.equal(await turnstile.tryAcquire(one), null);
    await permit.giveBack();
    assert.ok(await turnstile.acquire(one, { timeoutSeconds: 5 }));
    // Its window has taken its slot away long ago: there is nothing to be given back.
    await passed.giveBack();
  });

  await t.test("tokens are estimated and reconciled", async () => {
    const { platform, connection: name } = connection(1, 1);
    const rateLimits = [
      { requestCount: 500, windowSeconds: 60 },
      { requestCount: 3000, windowSeconds: 60, dimension: "tokens" as const },
    ];
    const model = { platform, connection: name, niceness: 0, rateLimits };
    const permit = await turnstile.acquire(model, { tokens: 2000 });
    const { refunded, owed } = await permit.reconcile({ tokens: 500 });
    assert.deepEqual([refunded.tokens, owed.tokens], [1500, 0]);
    assert.equal(await turnstile.tryAcquire(model, { tokens: 2501 }), null);
    const more = await turnstile.throttle(model, async (held) => await held.reconcile({ tokens: 2500 }), {
      tokens: 2000,
    });
    assert.equal(more.owed.tokens, 500);
    const plain = await turnstile.acquire(connection(1, 60));
    // The fake says the same.
    const isNotOpen = { name: NotOpenError.name, code: "NOT_FOUND", reason: "NOT_OPEN" };
    await assert.rejects(plain.reconcile({ tokens: 1 }), isNotOpen);
    const brief = { ...model, rateLimits: [{ requestCount: 10, windowSeconds: 0.05, dimension: "tokens" as const }] };
    const late = await turnstile.acquire({ ...brief, connection: `${name}-brief` });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await assert.rejects(late.reconcile({ tokens: 1 }), isNotOpen);
  });

  await t.test("errors say code, reason, field and when to come back", async () => {
    const one = connection(1, 60);
    await assert.rejects(
      turnstile.acquire(one, { cost: 2 }),
      (error) => error instanceof InvalidRequestError && error.reason === "COST_OVER_LIMIT" && error.field === "cost",
    );
    const requestId = "572602e937414bd46f90baad8acb6a22";
    await turnstile.throttle(one, () => 0, { requestId });
    await assert.rejects(turnstile.acquire(one, { requestId }), AlreadyGrantedError);
    // Also while its call is under way.
    const held = { requestId: "572602e937414bd46f90baad8acb6a24" };
    const two = connection(2, 60);
    const again = async () => await turnstile.throttle(two, () => "ran twice", held);
    await assert.rejects(turnstile.throttle(two, again, held), AlreadyGrantedError);
    await assert.rejects(
      turnstile.acquire(one, { maxWaitSeconds: 1 }),
      (error) => error instanceof NotNowError && (error.retryAfterSeconds ?? 0) > 50,
    );
    await assert.rejects(
      turnstile.acquire(one, { timeoutSeconds: 0.05 }),
      (error) => error instanceof DeadlineExceededError && error.code === "DEADLINE_EXCEEDED",
    );
    const leave = new AbortController();
    const other = { requestId: "572602e937414bd46f90baad8acb6a23", signal: leave.signal };
    const waiting = turnstile.acquire(one, other);
    await assert.rejects(turnstile.acquire(one, { requestId: other.requestId }), RequestIdReusedError);
    leave.abort();
    await assert.rejects(waiting, { name: "AbortError" });
  });

  await t.test("1,000 wait on one stream; 999 leave, and the one is served", async () => {
    const one = connection(1, 1);
    await turnstile.throttle(one, () => 0);
    const leave = new AbortController();
    const runs: number[] = [];
    const waits = Array.from({ length: 1000 }, (_, place) =>
      turnstile.throttle(one, () => runs.push(place), place === 500 ? {} : { signal: leave.signal }),
    );
    const all = Promise.allSettled(waits);
    await until("they wait at the node", async () => (await waitersOf(node.address, one)) === 1000);
    assert.equal(await sessionsOf(node.address), 1);
    assert.equal(getEventListeners(leave.signal, "abort").length, 1);
    const reason = new Error("no longer wanted");
    leave.abort(reason);
    const ended = await all;
    assert.deepEqual(runs, [500]);
    assert.equal(ended.filter((end) => end.status === "rejected" && end.reason === reason).length, 999);
    assert.equal(await waitersOf(node.address, one), 0);
    assert.equal(getEventListeners(leave.signal, "abort").length, 0);
  });

  await t.test("an aborted signal ends the wait, and does nothing once the function runs", async () => {
    const one = connection(1, 1);
    await assert.rejects(turnstile.acquire(one, { signal: AbortSignal.abort() }), { name: "AbortError" });
    const late = new AbortController();
    const result = await turnstile.throttle(
      one,
      () => {
        late.abort();
        return "ran to its end";
      },
      { signal: late.signal },
    );
    assert.equal(result, "ran to its end");
    assert.equal(await turnstile.tryAcquire(one), null);
  });

  await t.test("a grant that crosses an abort goes back", async () => {
    const one = connection(1, 60);
    const leave = new AbortController();
    const waiting = turnstile.acquire(one, { signal: leave.signal });
    // It has left for the node, and there is a slot: the cancel follows it.
    leave.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    assert.ok(await turnstile.acquire(one, { timeoutSeconds: 5 }));
  });

  await t.test("closing ends those who wait", async () => {
    const closing = client(t, node.address);
    const one = connection(1, 60);
    await closing.throttle(one, () => 0);
    const waiting = closing.acquire(one);
    await until("it waits at the node", async () => (await waitersOf(node.address, one)) === 1);
    await Promise.all([assert.rejects(waiting, ClosedError), closing.close()]);
    await assert.rejects(closing.acquire(one), ClosedError);
    await until("it has left", async () => (await waitersOf(node.address, one)) === 0);
  });
});

test("a node that isn't there", async (t) => {
  const [port = 0] = await freePorts(1);
  const address = `127.0.0.1:${port}`;
  const turnstile = client(t, address);
  const one = connection(1, 60);
  const isRefused = (error: Error) => error.message.includes(`${address}: `) && error.message.includes("ECONNREFUSED");
  await assert.rejects(
    turnstile.acquire(one, { timeoutSeconds: 0.3 }),
    (error) => error instanceof DeadlineExceededError && isRefused(error),
  );
  await assert.rejects(
    turnstile.acquire(one, { maxWaitSeconds: 0 }),
    (error) => error instanceof UnavailableError && isRefused(error),
  );
  const began = Date.now();
  assert.equal(await turnstile.tryThrottle(one, () => "ran"), null);
  assert.ok(Date.now() - began < 1500);
  assert.equal(await turnstile.tryThrottle(one, () => "ran", { onUnreachable: "open" }), "ran");
  const warned = once(process, "warning") as Promise<[Error & { code?: string }]>;
  const waiting = turnstile.throttle(one, () => "at last");
  const [warning] = await warned;
  assert.equal(warning.code, "TURNSTILE_UNREACHABLE");
  assert.ok(isRefused(warning));
  await startNode(t, address);
  assert.equal(await waiting, "at last");
});

test("a node that goes away while somebody waits, and comes back without its memory", async (t) => {
  const node = await startNode(t);
  const turnstile = client(t, node.address);
  const one = connection(1, 3600);
  await turnstile.throttle(one, () => 0);
  let runs = 0;
  const waiting = turnstile.throttle(one, () => (runs += 1));
  await until("it waits at the node", async () => (await waitersOf(node.address, one)) === 1);
  await kill(node.child, "SIGKILL");
  await startNode(t, node.address);
  await waiting;
  assert.equal(runs, 1);
});

test("a node that is silent is left after a second", async (t) => {
  const [silent, other] = await Promise.all([startNode(t), startNode(t)]);
  const turnstile = client(t, silent.address, other.address);
  const one = connection(1, 3600);
  await turnstile.throttle(one, () => 0);
  const waiting = turnstile.throttle(one, () => "served by the other");
  await until("it waits at the node", async () => (await waitersOf(silent.address, one)) === 1);
  const began = Date.now();
  silent.child.kill("SIGSTOP");
  assert.equal(await waiting, "served by the other");
  const tookMs = Date.now() - began;
  assert.ok(tookMs < 1500, `it took ${tookMs} ms`);
});

test("a process that was busy for longer than a try waits does not take its node for one that is silent", async (t) => {
  const node = await startNode(t);
  const turnstile = client(t, node.address);
  const one = connection(1, 60);
  await turnstile.throttle(one, () => 0);
  const tried = turnstile.tryThrottle(one, () => "ran unthrottled", { onUnreachable: "open" });
  const end = Date.now() + 1200;
  while (Date.now() < end);
  assert.equal(await tried, null);
});
