import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { NotNowError, UnavailableError, type ConnectionWithLimit } from "../src/index.js";
import { client, connection, unhurried } from "./support/client.js";
import { startPlatform } from "./support/platform.js";
import {
  TURNSTILE,
  environment,
  folder,
  kill,
  ownerOf,
  run,
  start,
  startCluster,
  until,
  type TestNode,
} from "./support/processes.js";
import type { Work } from "./support/worker.js";

const WORKER = fileURLToPath(new URL("./support/worker.js", import.meta.url));
const NICENESS = [0, 10];

test("four processes, two levels of niceness, one connection: limit and order hold", async (t) => {
  const nodes = await startCluster(t);
  const one = busy();
  const { lines } = await workersCall(t, nodes, one, 20, () => Promise.resolve());
  await check(t, lines);
});

test("an owner that is killed is invisible but for a pause", async (t) => {
  const nodes = await startCluster(t);
  const one = busy();
  const owner = await ownerOf(nodes, one.platform, one.connection);
  const fault = await workersCall(t, nodes, one, 20, async (lines) => {
    await until("a third is granted", () => lines.filter((line) => line.includes('"grant"')).length > 50);
    const at = process.hrtime.bigint();
    await kill(owner.child, "SIGKILL");
    lines.push(`{"event":"fault","at_nanos":${at},"what":"kill owner"}`);
  });
  await check(t, fault.lines);
  t.diagnostic(`the longest pause between two calls was ${longestPause(fault.lines).toFixed(2)} s`);
  assert.ok(longestPause(fault.lines) < 5);
});

test("who waits through a node that is killed keeps its place, and runs once", async (t) => {
  const nodes = await startCluster(t);
  const one = unhurried(connection(1, 1));
  const owner = await ownerOf(nodes, one.platform, one.connection);
  // The session is with a node that does not own the connection: its death takes the session, and not the queue of others.
  const others = nodes.filter((node) => node !== owner);
  const [gate] = others;
  assert.ok(gate !== undefined);
  const turnstile = client(t, ...[...others, owner].map((node) => node.address));
  await turnstile.throttle(one, () => 0);
  const order: number[] = [];
  const waits = [0, 1, 2, 3].map((place) => turnstile.throttle(one, () => order.push(place)));
  await waits[0];
  await kill(gate.child, "SIGKILL");
  await Promise.all(waits);
  assert.deepEqual(order, [0, 1, 2, 3]);
});

test("a try, and a wait that is bounded, are answered in time while the cluster has no majority", async (t) => {
  const nodes = await startCluster(t);
  const one = connection(1, 3600);
  const turnstile = client(t, ...nodes.map((node) => node.address));
  assert.equal(await turnstile.tryThrottle(one, () => "ran"), "ran");
  await Promise.all(
    nodes.slice(0, 2).map(async (node) => {
      await kill(node.child, "SIGKILL");
    }),
  );
  const began = Date.now();
  assert.equal(await turnstile.tryThrottle(one, () => "ran"), null);
  assert.ok(Date.now() - began < 1500);
  const asked = Date.now();
  // Its owner may be gone, or may be there and know that it can't be served so soon.
  await assert.rejects(
    turnstile.acquire(connection(1, 60), { maxWaitSeconds: 1 }),
    (error) => error instanceof UnavailableError || error instanceof NotNowError,
  );
  const tookMs = Date.now() - asked;
  assert.ok(tookMs < 2500, `it took ${tookMs} ms`);
});

/**
 * A connection that is saturated. Nine processes share the cores of one machine. On one that has twice as much to do as it has cores, the scheduler
 * puts a process aside between its look at a grant and its call for longer than the default guard of 10 ms, and now and then for longer than 50.
 */
function busy(): ConnectionWithLimit {
  const one = connection(20, 1);
  return { ...one, rateLimit: { ...one.rateLimit, guardSeconds: 0.2 } };
}

/** Has four processes make calls; the platform must not refuse one. */
async function workersCall(
  t: TestContext,
  nodes: TestNode[],
  one: ConnectionWithLimit,
  calls: number,
  meanwhile: (lines: string[]) => Promise<void>,
): Promise<{ lines: string[] }> {
  const platform = await startPlatform(t, one);
  const lines: string[] = [];
  const workers = ["w1", "w2", "w3", "w4"].map((name, place) => {
    const work: Work = { name, connection: one, url: platform.url(one), calls, niceness: NICENESS };
    // Each begins with another node.
    const addresses = nodes.map((_, offset) => nodes[(place + offset) % nodes.length]?.address ?? "");
    const env = environment({ TURNSTILE_NODES: addresses.join(",") });
    const child = start(t, process.execPath, [WORKER, JSON.stringify(work)], { env, tellsErrors: true });
    createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
    return child;
  });
  const ended = workers.map(async (child) => {
    await once(child, "close");
    return child.exitCode;
  });
  await meanwhile(lines);
  assert.deepEqual(await Promise.all(ended), [0, 0, 0, 0]);
  const { accepted, refused, duplicates } = await platform.report();
  t.diagnostic(`the platform accepted ${accepted} calls and refused ${refused}`);
  const all = workers.length * NICENESS.length * calls;
  assert.deepEqual({ accepted, refused, duplicates }, { accepted: all, refused: 0, duplicates: 0 });
  return { lines };
}

/** Has the history judged. */
async function check(t: TestContext, lines: string[]): Promise<void> {
  const file = join(await folder(t), "run.jsonl");
  const end = `{"event":"end","at_nanos":${process.hrtime.bigint()}}`;
  await writeFile(file, [...lines, end, ""].join("\n"));
  const { stdout } = await run(TURNSTILE, ["check", file]).catch((error: unknown) => {
    throw new Error(`the history does not hold: ${(error as { stdout: string }).stdout}`, { cause: error });
  });
  t.diagnostic(stdout);
}

/** The longest time in seconds between two grants that follow each other. */
function longestPause(lines: string[]): number {
  const events = lines.map((line) => JSON.parse(line) as { event: string; at_nanos: number });
  const at = events.filter(({ event }) => event === "grant").map((grant) => grant.at_nanos / 1e9);
  at.sort((a, b) => a - b);
  return Math.max(...at.slice(1).map((moment, place) => moment - (at[place] ?? moment)));
}
