/** A worker in a process of its own: many calls of one platform at once, each throttled. It writes what happens as a history for `turnstile check`. */
import { throttle, type ConnectionWithLimit } from "../../src/index.js";

/** What a worker does. */
export interface Work {
  readonly name: string;
  readonly connection: ConnectionWithLimit;
  readonly url: string;
  /** How many calls of each niceness. */
  readonly calls: number;
  readonly niceness: readonly number[];
}

const work = JSON.parse(process.argv[2] ?? "") as Work;

function tell(event: string, request: string, more: Record<string, unknown> = {}): void {
  // The clock of all processes of a machine is one. Moments and numbers of order are integers that may be too large for JSON.stringify.
  const fields = Object.entries(more).map(([name, value]) => `,"${name}":${toJson(value)}`);
  const at = process.hrtime.bigint();
  process.stdout.write(`{"event":"${event}","at_nanos":${at},"request":"${request}"${fields.join("")}}\n`);
}

function toJson(value: unknown): string {
  return typeof value === "bigint" ? value.toString() : JSON.stringify(value);
}

async function call(request: string, niceness: number): Promise<void> {
  const { platform, connection, rateLimit } = work.connection;
  const limits = [{ requests: rateLimit.requestCount, window_seconds: rateLimit.windowSeconds }];
  tell("enqueue", request, { client: work.name, platform, connection, limits, niceness });
  await throttle({ ...work.connection, niceness }, async ({ order }) => {
    const { tenure, arrival, release, waitsSince } = order;
    tell("grant", request, { tenure: BigInt(`0x${tenure}`), arrival, release, waits_since: waitsSince });
    const response = await fetch(work.url, { headers: { "x-request-id": request } });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`the platform answered ${response.status}`);
  });
  tell("done", request);
}

// The first call of a process loads what later ones have, which takes longer than any way to a platform.
await fetch(new URL("/_report", work.url)).then((response) => response.arrayBuffer());

const calls = work.niceness.flatMap((niceness) =>
  Array.from({ length: work.calls }, (_, place) => call(`${work.name}-${niceness}-${place}`, niceness)),
);
const failed = (await Promise.allSettled(calls)).filter((end) => end.status === "rejected");
for (const { reason } of failed) console.error(reason);
process.exitCode = failed.length === 0 ? 0 : 1;
