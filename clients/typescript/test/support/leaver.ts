/** A process that gives back the only slot that there is and goes away at once: `give-back` in its session, `give-back-late` when that has ended. */
import { Turnstile, type ConnectionWithLimit } from "../../src/index.js";
import { sessionsOf, until } from "./processes.js";

/** What it is told. */
export interface Leave {
  readonly node: string;
  readonly connection: ConnectionWithLimit;
  readonly how: "give-back" | "give-back-late" | "abort";
}

const { node, connection, how } = JSON.parse(process.argv[2] ?? "") as Leave;
const turnstile = new Turnstile({ nodes: [node] });

if (how === "abort") {
  // It opens the session, so that the acquire is on its way at once, and the cancel behind it.
  await turnstile.throttle({ ...connection, connection: `${connection.connection}-opens` }, () => 0);
  const leave = new AbortController();
  const waiting = turnstile.acquire(connection, { signal: leave.signal }).catch(() => undefined);
  leave.abort();
  await waiting;
} else {
  const permit = await turnstile.acquire(connection);
  // A session on which nobody waits ends soon.
  if (how === "give-back-late") await until("the session has ended", async () => (await sessionsOf(node)) === 0);
  void permit.giveBack();
}
await turnstile.close();
process.exit(0);
