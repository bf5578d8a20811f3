import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { ClosedError, type ConnectionWithLimit } from "../src/index.js";
import { client, connection } from "./support/client.js";
import type { Leave } from "./support/leaver.js";
import { kill, sessionsOf, start, startNode, until } from "./support/processes.js";

const LEAVER = fileURLToPath(new URL("./support/leaver.js", import.meta.url));

test("what was said before a close has reached the node when the process ends behind it", async (t) => {
  const node = await startNode(t);
  for (const how of ["give-back", "give-back-late", "abort"] as const) {
    await t.test(how, async () => {
      const one = connection(1, 60);
      await leaves(t, node.address, one, how);
      const other = client(t, node.address);
      await until("the slot is free", async () => (await other.tryAcquire(one)) !== null, 5000);
    });
  }
});

test("a close waits for a silent node for a second and no longer, however often it is said", async (t) => {
  const node = await startNode(t);
  const turnstile = client(t, node.address);
  const permit = await turnstile.acquire(connection(1, 60));
  node.child.kill("SIGSTOP");
  await permit.giveBack();
  const began = Date.now();
  await Promise.all([turnstile.close(), turnstile.close()]);
  const tookMs = Date.now() - began;
  assert.ok(tookMs > 500 && tookMs < 1500, `it took ${tookMs} ms`);
});

test("what a dead node can't be told is told to the next one before a close", async (t) => {
  const [dies, stays] = await Promise.all([startNode(t), startNode(t)]);
  const turnstile = client(t, dies.address, stays.address);
  const permit = await turnstile.acquire(connection(1, 60));
  await until("its session has ended", async () => (await sessionsOf(dies.address)) === 0);
  await kill(dies.child, "SIGKILL");
  // The next one has another memory: that it answers is what is tried.
  const told = permit.giveBack();
  await turnstile.close();
  await told;
  await assert.rejects(turnstile.acquire(connection(1, 60)), ClosedError);
});

test("a slot that could not be given back is not said to have been when it is said again", async (t) => {
  const node = await startNode(t);
  const turnstile = client(t, node.address);
  const permit = await turnstile.acquire(connection(1, 60));
  await turnstile.close();
  await assert.rejects(permit.giveBack(), ClosedError);
  await assert.rejects(permit.giveBack(), ClosedError);
});

/** Has a process take the slot, give it back, and go away at once. */
async function leaves(t: TestContext, node: string, one: ConnectionWithLimit, how: Leave["how"]): Promise<void> {
  const leave: Leave = { node, connection: one, how };
  const child = start(t, process.execPath, [LEAVER, JSON.stringify(leave)], { tellsErrors: true });
  await once(child, "exit");
  assert.equal(child.exitCode, 0);
}
