import assert from "node:assert/strict";
import { test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";

import {
  ClosedError,
  DeadlineExceededError,
  RequestIdReusedError,
  SupersededError,
  UnavailableError,
  type Permit,
} from "../src/index.js";
import { toDuration } from "../src/duration.js";
import { ErrorInfoSchema, StatusSchema } from "../src/gen/error_details_pb.js";
import type { Acquire, SessionRequest } from "../src/gen/turnstile/v1/throttle_pb.js";
import { client, connection } from "./support/client.js";
import { until } from "./support/processes.js";
import { startScript, type Say } from "./support/script.js";

const MILLISECOND = 1_000_000n;

/** A grant of so much age, with a delivery bound of 20 ms, as the owner's `release`th. */
function grant(say: Say, request: SessionRequest, ageMs: bigint, release = 0n): void {
  const { requestId } = acquireOf(request);
  const margin = { delivery: toDuration(20n * MILLISECOND), guard: toDuration(0n) };
  const granted = {
    grant: { requestId, margin, release },
    age: toDuration(ageMs * MILLISECOND),
    stampNanos: request.stampNanos ?? 0n,
  };
  say({ requestId, message: { case: "granted", value: granted } });
}

function acquireOf({ message }: SessionRequest): Acquire {
  if (message.case === "acquire" || message.case === "tryAcquire") return message.value;
  throw new Error(`${String(message.case)} is no acquire`);
}

/** The answer to a give back or a cancel. */
function end(say: Say, { message }: SessionRequest): void {
  if (message.case !== "giveBack" && message.case !== "cancel") throw new Error(`${String(message.case)} ends nothing`);
  say({ requestId: message.value.requestId, message: { case: "ended", value: {} } });
}

function fail(say: Say, { requestId }: Acquire, code: number, reason = ""): void {
  const value = toBinary(ErrorInfoSchema, create(ErrorInfoSchema, { reason }));
  const details = reason === "" ? [] : [{ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value }];
  const statusDetails = toBinary(StatusSchema, create(StatusSchema, { details }));
  say({ requestId, message: { case: "failed", value: { code, message: "scripted", statusDetails } } });
}

/** Keeps the event loop busy. */
function spin(ms: bigint): void {
  const end = process.hrtime.bigint() + ms * MILLISECOND;
  while (process.hrtime.bigint() < end);
}

test("a grant that may be too old is given back and asked for again, with its age", async (t) => {
  const heard: string[] = [];
  let acquires = 0;
  const address = await startScript(t, (request, say) => {
    heard.push(request.message.case ?? "");
    if (request.message.case === "giveBack") end(say, request);
    if (request.message.case !== "acquire") return;
    acquires += 1;
    assert.equal(request.message.value.waited !== undefined, acquires === 2);
    grant(say, request, acquires === 1 ? 21n : 0n);
  });
  let runs = 0;
  await client(t, address).throttle(connection(1, 1), () => (runs += 1));
  assert.equal(runs, 1);
  assert.deepEqual(heard.slice(0, 3), ["acquire", "giveBack", "acquire"]);
});

test("a grant that came in time but found the process busy is given back, too", async (t) => {
  const heard: string[] = [];
  const address = await startScript(t, (request, say) => {
    heard.push(request.message.case ?? "");
    if (request.message.case === "giveBack") end(say, request);
    if (request.message.case === "acquire") grant(say, request, 0n);
  });
  const turnstile = client(t, address);
  const one = connection(1, 1);
  // Both grants come in one go; the first call stands in the way of the second for longer than its bound.
  const left: number[] = [];
  await turnstile.throttle(one, () => 0);
  await Promise.all([
    turnstile.throttle(one, () => {
      spin(30n);
    }),
    turnstile.throttle(one, (permit) => left.push(permit.startWithinSeconds)),
  ]);
  assert.ok(heard.includes("giveBack"), heard.join());
  assert.ok((left[0] ?? 0) > 0, `it was started ${left.join()} s before its end`);
});

test("what a call does before it leaves does not make the others late that were granted with it", async (t) => {
  const asked: [SessionRequest, Say][] = [];
  let acquires = 0;
  const address = await startScript(t, (request, say) => {
    if (request.message.case === "giveBack") end(say, request);
    if (request.message.case !== "acquire") return;
    acquires += 1;
    asked.push([request, say]);
    // Four leave in one go, and then one by one those who ask again.
    if (acquires >= 4) for (const [acquire, reply] of asked.splice(0)) grant(reply, acquire, 0n);
  });
  const turnstile = client(t, address);
  const one = connection(1, 1);
  // As `fetch` connects, and writes to its socket, when it has long returned.
  const leavesWithin: number[] = [];
  const call = async (permit: Permit) => {
    await new Promise(setImmediate);
    leavesWithin.push(permit.startWithinSeconds);
    spin(12n);
  };
  await Promise.all([1, 2, 3, 4].map(() => turnstile.throttle(one, call)));
  assert.equal(leavesWithin.length, 4);
  assert.ok(Math.min(...leavesWithin) > 0, `they left ${leavesWithin.join(", ")} s before their ends`);
});

test("a grant whose caller has gone away by the time that it can start goes back", async (t) => {
  const asked: [SessionRequest, Say][] = [];
  const returned: string[] = [];
  const address = await startScript(t, (request, say) => {
    const { message } = request;
    if (message.case === "acquire") asked.push([request, say]);
    if (message.case === "giveBack" || message.case === "cancel") {
      returned.push(Buffer.from(message.value.requestId).toString("hex"));
    }
    // Both grants leave in one go.
    if (asked.length === 2) for (const [acquire, reply] of asked.splice(0)) grant(reply, acquire, 0n);
  });
  const turnstile = client(t, address);
  const leave = new AbortController();
  const requestId = "572602e937414bd46f90baad8acb6a22";
  const ran: string[] = [];
  const first = turnstile.throttle(connection(1, 1), () => {
    ran.push("first");
    leave.abort();
  });
  const second = turnstile.throttle(connection(1, 1), () => ran.push("second"), { requestId, signal: leave.signal });
  await Promise.all([first, assert.rejects(second, { name: "AbortError" })]);
  assert.deepEqual(ran, ["first"]);
  await until("its grant has gone back", () => returned.includes(requestId));
});

test("closing gives back what has its slot and has not started", async (t) => {
  const asked: [SessionRequest, Say][] = [];
  const returned: string[] = [];
  const address = await startScript(t, (request, say) => {
    const { message } = request;
    if (message.case === "acquire") asked.push([request, say]);
    if (message.case === "giveBack") returned.push(Buffer.from(message.value.requestId).toString("hex"));
    // Both grants leave in one go.
    if (asked.length === 2) for (const [acquire, reply] of asked.splice(0)) grant(reply, acquire, 0n);
  });
  const turnstile = client(t, address);
  const requestId = "572602e937414bd46f90baad8acb6a22";
  const ran: string[] = [];
  const first = turnstile.throttle(connection(1, 1), async () => {
    ran.push("first");
    await turnstile.close();
  });
  const second = turnstile.throttle(connection(1, 1), () => ran.push("second"), { requestId });
  await Promise.all([first, assert.rejects(second, ClosedError)]);
  assert.deepEqual(ran, ["first"]);
  await until("its grant has gone back", () => returned.includes(requestId));
});

test("what was granted through a session that broke is another request, unless its caller has named it", async (t) => {
  const ids: string[] = [];
  const address = await startScript(t, (request, say) => {
    if (request.message.case !== "acquire") return;
    const acquire = request.message.value;
    ids.push(Buffer.from(acquire.requestId).toString("hex"));
    if (ids.length === 2) grant(say, request, 0n);
    else fail(say, acquire, ids.length === 4 ? 10 : 6);
  });
  const turnstile = client(t, address);
  const one = connection(1, 1);
  assert.equal(await turnstile.throttle(one, () => "ran"), "ran");
  assert.equal(new Set(ids).size, 2);
  const requestId = "572602e937414bd46f90baad8acb6a22";
  await assert.rejects(turnstile.acquire(one, { requestId }), RequestIdReusedError);
  await assert.rejects(turnstile.acquire(one, { requestId }), SupersededError);
});

test("a grant that crosses a cancel is not taken for one of the same id", async (t) => {
  let acquires = 0;
  const crossed: (() => void)[] = [];
  const address = await startScript(t, (request, say) => {
    if (request.message.case === "acquire") {
      acquires += 1;
      if (acquires === 1)
        crossed.push(() => {
          grant(say, request, 0n);
        });
      else grant(say, request, 0n);
    }
    if (request.message.case === "cancel") {
      // The grant had left already when the cancel came.
      for (const send of crossed) send();
      end(say, request);
    }
  });
  const turnstile = client(t, address);
  const one = connection(1, 1);
  // It opens the session, so that the next ones are on their way at once.
  await assert.rejects(turnstile.acquire(one, { timeoutSeconds: 0.1 }), DeadlineExceededError);
  const requestId = "572602e937414bd46f90baad8acb6a22";
  acquires = 0;
  crossed.length = 0;
  const leave = new AbortController();
  const first = turnstile.acquire(one, { requestId, signal: leave.signal });
  leave.abort();
  await assert.rejects(first, { name: "AbortError" });
  const permit = await turnstile.acquire(one, { requestId });
  assert.equal(permit.requestId, requestId);
  assert.equal(acquires, 2);
});

test("the end of a grant that came too late is not taken for the end of a later cancel", async (t) => {
  let acquires = 0n;
  const late: (() => void)[] = [];
  const address = await startScript(t, (request, say) => {
    const { message } = request;
    if (message.case === "giveBack" || message.case === "cancel") {
      const answer = () => {
        end(say, request);
      };
      if (acquires < 3n) late.push(answer);
      else answer();
    }
    if (message.case !== "acquire") return;
    acquires += 1n;
    const release = acquires;
    const answer = () => {
      grant(say, request, release === 1n ? 21n : 0n, release);
    };
    // What follows the first grant is long on its way: the end of its give back, the grant that the cancel crosses, and the end of the cancel.
    if (release === 2n) late.push(answer);
    else for (const each of [...late.splice(0), answer]) each();
  });
  const turnstile = client(t, address);
  const one = connection(1, 1);
  const requestId = "572602e937414bd46f90baad8acb6a22";
  const leave = new AbortController();
  const first = turnstile.acquire(one, { requestId, signal: leave.signal });
  await until("it has asked again", () => acquires === 2n);
  leave.abort();
  await assert.rejects(first, { name: "AbortError" });
  const permit = await turnstile.acquire(one, { requestId });
  // The node has taken the second slot back: with it a call would be one too many.
  assert.ok(permit.order.release > 2n, `it started with slot ${permit.order.release}`);
});

test("a node that can't serve is left for the next", async (t) => {
  const asked: string[] = [];
  const unable = await startScript(t, (request, say) => {
    if (request.message.case !== "acquire") return;
    asked.push("unable");
    fail(say, request.message.value, 14);
  });
  const able = await startScript(t, (request, say) => {
    if (request.message.case !== "acquire") return;
    asked.push("able");
    assert.ok(request.message.value.waited !== undefined, "it goes with its age");
    grant(say, request, 0n);
  });
  await client(t, unable, able).throttle(connection(1, 1), () => 0);
  assert.deepEqual(asked, ["unable", "able"]);
});

test("an owner that does not answer ends the requests for its connections, and nobody else's wait", async (t) => {
  const lost = connection(1, 1);
  const asked: string[] = [];
  const held: (() => void)[] = [];
  const address = await startScript(t, (request, say) => {
    if (request.message.case !== "acquire" && request.message.case !== "tryAcquire") return;
    const acquire = request.message.value;
    asked.push(acquire.key?.connection ?? "");
    if (acquire.key?.connection === lost.connection) fail(say, acquire, 14, "OWNER_UNAVAILABLE");
    else
      held.push(() => {
        grant(say, request, 0n);
      });
  });
  const turnstile = client(t, address);
  const other = connection(1, 1);
  const waits = turnstile.throttle(other, () => "ran");
  const error = { name: UnavailableError.name, reason: "OWNER_UNAVAILABLE" };
  await assert.rejects(turnstile.acquire(lost, { timeoutSeconds: 1 }), error);
  assert.equal(await turnstile.tryThrottle(lost, () => "ran"), null);
  assert.equal(await turnstile.tryThrottle(lost, () => "ran", { onUnreachable: "open" }), "ran");
  for (const go of held) go();
  assert.equal(await waits, "ran");
  assert.deepEqual(asked, [other.connection, lost.connection, lost.connection, lost.connection]);
});
