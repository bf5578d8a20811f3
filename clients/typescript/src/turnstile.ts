import { onAbort } from "./abort.js";
import { parseOptions, type Ask } from "./ask.js";
import { secondsOf } from "./duration.js";
import { throttleError, UnavailableError, type ThrottleError } from "./errors.js";
import type { Permit } from "./permit.js";
import { Conversation } from "./session/conversation.js";
import { parseAddresses } from "./session/nodes.js";
import { unavailable } from "./session/tell.js";
import { Throttler, type NoSlot } from "./throttler.js";

/** What a client is made with. */
export interface TurnstileOptions {
  /** The nodes, each `host:port`; the first is asked first, and the others when it is gone. */
  nodes: readonly string[];
}

/** How long a try waits for a node, in nanoseconds. */
const TRIES_FOR = 1_000_000_000n;

/** In so many parts, one after the other: a process that is busy does not listen, and one part of them at most passes meanwhile. */
const TRIES_IN = 4;

/** How long an answer to `maxWaitSeconds` may be on its way. */
const ANSWERED_WITHIN = 1_000_000_000n;

/** The longest time that a timer of Node takes. */
const LONGEST_TIMER_MS = 0x7fff_ffff;

/** A call that has been started, or a request that has no slot before so many nanoseconds from now. */
type Entered<T> = { readonly started: T } | { readonly throttledFor: bigint };

/** A client of a cluster of nodes: all its requests share one stream to one node, and go to the next with their places when that is gone. */
export class Turnstile extends Throttler {
  readonly #conversation: Conversation;

  /** @throws RangeError or TypeError when `nodes` is not a list of `host:port`. */
  constructor(options: TurnstileOptions) {
    super();
    const { nodes } = parseOptions(options, ["nodes"]);
    if (!Array.isArray(nodes) || !nodes.every((node) => typeof node === "string")) {
      throw new TypeError("nodes must be an array of strings, each HOST:PORT");
    }
    this.#conversation = new Conversation(parseAddresses("nodes", nodes));
  }

  override async close(): Promise<void> {
    await this.#conversation.close();
  }

  protected override async enter<T>(ask: Ask, start: (permit: Permit) => T): Promise<Awaited<T>> {
    const entered = await this.#wait(ask, "wait", start);
    if ("throttledFor" in entered) throw notNow(entered.throttledFor);
    return await entered.started;
  }

  protected override async tryEnter<T>(
    ask: Ask,
    start: (permit: Permit) => T,
  ): Promise<{ started: Awaited<T> } | { noSlot: NoSlot }> {
    const entered = await this.#wait(ask, "try", start);
    if (entered === "unreachable") return { noSlot: "unreachable" };
    return "throttledFor" in entered ? { noSlot: "not-now" } : { started: await entered.started };
  }

  #wait<T>(ask: Ask, mode: "wait", start: (permit: Permit) => T): Promise<Entered<T>>;
  #wait<T>(ask: Ask, mode: "try", start: (permit: Permit) => T): Promise<Entered<T> | "unreachable">;
  async #wait<T>(ask: Ask, mode: "wait" | "try", start: (permit: Permit) => T): Promise<Entered<T> | "unreachable"> {
    const { signal, timeoutNanos, maxWaitNanos } = ask;
    signal?.throwIfAborted();
    // What would end the wait by itself.
    const ends: (() => void)[] = [];
    const alarm = (span: bigint, ring: () => void, parts = 1) => {
      const part = span / BigInt(parts);
      const timer = new Alarm(part, () => {
        if (parts > 1) alarm(span - part, ring, parts - 1);
        else ring();
      });
      ends.push(() => {
        timer.stop();
      });
    };
    return await new Promise<Entered<T> | "unreachable">((resolve, reject) => {
      const over = () => {
        for (const end of ends.splice(0)) end();
      };
      const leave = this.#conversation.acquire(ask, mode, {
        granted: (permit) => {
          over();
          resolve({ started: start(permit) });
        },
        throttled: (retryAfterNanos) => {
          over();
          resolve({ throttledFor: retryAfterNanos });
        },
        failed: (error) => {
          over();
          if (mode === "try" && error instanceof UnavailableError) resolve("unreachable");
          else reject(error);
        },
      });
      const giveUp = (error: Error) => {
        over();
        leave();
        reject(error);
      };
      if (signal !== undefined) {
        const forget = onAbort(signal, () => {
          giveUp(signal.reason as Error);
        });
        ends.push(forget);
      }
      if (mode === "try") {
        const unreachable = () => {
          over();
          leave();
          resolve("unreachable");
        };
        alarm(TRIES_FOR, unreachable, TRIES_IN);
        return;
      }
      if (timeoutNanos !== undefined) {
        alarm(timeoutNanos, () => {
          giveUp(deadlineExceeded(timeoutNanos, this.#conversation.trouble));
        });
      }
      if (maxWaitNanos !== undefined) {
        // A node says by itself that the wait is longer, unless there is none that could.
        alarm(maxWaitNanos + ANSWERED_WITHIN, () => {
          giveUp(unavailable(`no node has answered within maxWaitSeconds${because(this.#conversation.trouble)}`));
        });
      }
    });
  }
}

/** A timer of any length. */
class Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(nanos: bigint, ring: () => void) {
    this.#ring = ring;
    this.again(nanos);
  }

  /** Rings in so many nanoseconds. */
  again(nanos: bigint): void {
    const at = process.hrtime.bigint() + nanos;
    const ms = Math.min(Math.ceil(Number(nanos) / 1e6), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      const left = at - process.hrtime.bigint();
      if (left > 0n) this.again(left);
      else this.#ring();
    }, ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function notNow(retryAfterNanos: bigint): ThrottleError {
  const retryAfterSeconds = secondsOf(retryAfterNanos);
  const message = `no slot within maxWaitSeconds; not before ${retryAfterSeconds} s from now`;
  return throttleError(message, { code: "RESOURCE_EXHAUSTED", reason: "NOT_NOW", retryAfterSeconds });
}

function deadlineExceeded(timeoutNanos: bigint, trouble: string | undefined): ThrottleError {
  const message = `timeoutSeconds is ${secondsOf(timeoutNanos)}: they passed in the queue${because(trouble)}`;
  return throttleError(message, { code: "DEADLINE_EXCEEDED", reason: "DEADLINE_EXCEEDED" });
}

function because(trouble: string | undefined): string {
  return trouble === undefined ? "" : ` (${trouble})`;
}
