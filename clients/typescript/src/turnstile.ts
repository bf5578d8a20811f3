import { onAbort } from "./abort.js";
import type { Ask } from "./ask.js";
import { secondsOf } from "./duration.js";
import { throttleError, type ThrottleError } from "./errors.js";
import type { Permit } from "./permit.js";
import { Conversation, type Answer } from "./session/conversation.js";
import { parseAddresses } from "./session/nodes.js";
import { SessionPermit } from "./session/session_permit.js";
import { unavailable } from "./session/tell.js";
import { Throttler, type NoSlot } from "./throttler.js";

/** What a client is made with. */
export interface TurnstileOptions {
  /** The nodes, each `host:port`; the first is asked first, and the others when it is gone. */
  nodes: readonly string[];
}

/** How long a try waits for a node, in nanoseconds. */
const TRIES_FOR = 1_000_000_000n;

/** How long an answer to `maxWaitSeconds` may be on its way. */
const ANSWERED_WITHIN_MS = 1000;

/** The longest time that a timer of Node takes. */
const LONGEST_TIMER_MS = 0x7fff_ffff;

/** A client of a cluster of nodes: all its requests share one stream to one node, and go to the next with their places when that is gone. */
export class Turnstile extends Throttler {
  readonly #conversation: Conversation;

  /** @throws RangeError or TypeError when `nodes` is not a list of `host:port`. */
  constructor(options: TurnstileOptions) {
    super();
    const nodes: unknown = options.nodes;
    if (!Array.isArray(nodes) || !nodes.every((node) => typeof node === "string")) {
      throw new TypeError("nodes must be an array of strings, each HOST:PORT");
    }
    this.#conversation = new Conversation(parseAddresses("nodes", nodes));
  }

  override async close(): Promise<void> {
    this.#conversation.close();
    await Promise.resolve();
  }

  protected override async enter<T>(ask: Ask, start: (permit: Permit) => T): Promise<Awaited<T>> {
    const beganAt = process.hrtime.bigint();
    for (let isAged = false; ; isAged = true) {
      const answer = await this.#wait(ask, "wait", beganAt, isAged);
      if (!(answer instanceof SessionPermit)) throw notNow(answer.retryAfterNanos);
      if (isStartable(ask, answer)) return await start(answer);
    }
  }

  protected override async tryEnter<T>(
    ask: Ask,
    start: (permit: Permit) => T,
  ): Promise<{ started: Awaited<T> } | { noSlot: NoSlot }> {
    const beganAt = process.hrtime.bigint();
    for (;;) {
      const answer = await this.#wait(ask, "try", beganAt, false);
      if (answer === "unreachable") return { noSlot: "unreachable" };
      if (!(answer instanceof SessionPermit)) return { noSlot: "not-now" };
      if (isStartable(ask, answer)) return { started: await start(answer) };
    }
  }

  #wait(ask: Ask, mode: "wait", beganAt: bigint, isAged: boolean): Promise<Answer>;
  #wait(ask: Ask, mode: "try", beganAt: bigint, isAged: boolean): Promise<Answer | "unreachable">;
  async #wait(ask: Ask, mode: "wait" | "try", beganAt: bigint, isAged: boolean): Promise<Answer | "unreachable"> {
    const { signal } = ask;
    signal?.throwIfAborted();
    const { answer, leave } = this.#conversation.acquire(ask, mode, beganAt, isAged);
    const timers: Alarm[] = [];
    let forget: (() => void) | undefined;
    try {
      return await new Promise<Answer | "unreachable">((resolve, reject) => {
        let isOver = false;
        const end = (settle: () => void) => {
          isOver = true;
          leave();
          settle();
        };
        answer.then((answered) => {
          // It had an answer already when it ended.
          if (isOver && answered instanceof SessionPermit) returnUnused(answered);
          resolve(answered);
        }, reject);
        if (signal !== undefined) {
          forget = onAbort(signal, () => {
            end(() => {
              reject(signal.reason as Error);
            });
          });
        }
        if (mode === "try") {
          const giveUp = () => {
            end(() => {
              resolve("unreachable");
            });
          };
          timers.push(new Alarm(msUntil(beganAt, TRIES_FOR), giveUp));
          return;
        }
        const { timeoutNanos, maxWaitNanos } = ask;
        if (timeoutNanos !== undefined) {
          const timeOut = () => {
            end(() => {
              reject(deadlineExceeded(timeoutNanos));
            });
          };
          timers.push(new Alarm(msUntil(beganAt, timeoutNanos), timeOut));
        }
        if (maxWaitNanos !== undefined) {
          // A node says by itself that the wait is longer, unless there is none.
          const unanswered = new Alarm(msUntil(beganAt, maxWaitNanos) + ANSWERED_WITHIN_MS, () => {
            if (this.#conversation.isOpen) {
              unanswered.again(ANSWERED_WITHIN_MS);
            } else {
              end(() => {
                reject(unavailable("no node has answered within maxWaitSeconds"));
              });
            }
          });
          timers.push(unanswered);
        }
      });
    } finally {
      for (const timer of timers) timer.stop();
      forget?.();
    }
  }
}

/** Whether the call may be started with this grant; a grant that may be too old, or has no caller any more, goes back. */
function isStartable({ signal }: Ask, permit: SessionPermit): boolean {
  const isAborted = signal?.aborted === true;
  if (!isAborted && !permit.isStale) return true;
  returnUnused(permit);
  signal?.throwIfAborted();
  return false;
}

/** Gives back what nobody takes. Where no node can be told the slot stays used, which its window ends. */
function returnUnused(permit: SessionPermit): void {
  permit.giveBack().catch(() => undefined);
}

/** A timer of any length. */
class Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, ring: () => void) {
    this.#ring = ring;
    this.again(ms);
  }

  again(ms: number): void {
    const part = Math.min(ms, LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      if (part < ms) this.again(ms - part);
      else this.#ring();
    }, part);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function msUntil(beganAt: bigint, span: bigint): number {
  const left = beganAt + span - process.hrtime.bigint();
  return left > 0n ? Math.ceil(Number(left) / 1e6) : 0;
}

function notNow(retryAfterNanos: bigint): ThrottleError {
  const retryAfterSeconds = secondsOf(retryAfterNanos);
  const message = `no slot within maxWaitSeconds; not before ${retryAfterSeconds} s from now`;
  return throttleError(message, { code: "RESOURCE_EXHAUSTED", reason: "NOT_NOW", retryAfterSeconds });
}

function deadlineExceeded(timeoutNanos: bigint): ThrottleError {
  const message = `timeoutSeconds is ${secondsOf(timeoutNanos)}: they passed in the queue`;
  return throttleError(message, { code: "DEADLINE_EXCEEDED", reason: "DEADLINE_EXCEEDED" });
}
