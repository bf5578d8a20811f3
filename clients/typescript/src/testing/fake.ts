/** A throttle without nodes whose clock stands still until it is told to go on: for tests of code that takes a `Throttler`. */
import { onAbort } from "../abort.js";
import type { Ask } from "../ask.js";
import type { Usage } from "../connection.js";
import { nanosOf, secondsOf } from "../duration.js";
import { ClosedError, throttleError } from "../errors.js";
import type { Permit, Reconciled } from "../permit.js";
import { Throttler, type NoSlot } from "../throttler.js";
import { amountsOf, estimatesLast, readyAt, type Charge } from "./charges.js";
import { FakePermit } from "./permit.js";

/** Taken when this file is loaded: a test may put another in its place. */
const nextTurn = setImmediate;

/** A request that has got its slot. */
export interface FakeGrant {
  readonly platform: string;
  readonly connection: string;
  readonly niceness: number;
  readonly requestId: string;
  /** When, in seconds of the fake's clock. */
  readonly atSeconds: number;
}

/** A request that waits. */
export interface FakeWaiter {
  readonly platform: string;
  readonly connection: string;
  readonly niceness: number;
  readonly requestId: string;
  /** Since when, in seconds of the fake's clock. */
  readonly sinceSeconds: number;
}

interface Waiting {
  readonly ask: Ask;
  readonly arrival: bigint;
  readonly beganAt: bigint;
  grant(permit: Permit): void;
  fail(error: Error): void;
}

/**
 * Grants as a cluster does: the least nice first, and among equals the one that came first; a request that does not fit holds back those behind
 * it. Limits hold exactly, without the margins of a cluster, and each request is held to the limits that it states.
 */
export class FakeTurnstile extends Throttler {
  #now = 0n;
  #numbers = 0n;
  #isClosed = false;
  #isReachable = true;
  readonly #charges = new Map<string, Charge[]>();
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #grantedIds = new Set<string>();
  readonly #grants: FakeGrant[] = [];

  /** The fake's clock, in seconds; 0 at first. */
  get nowSeconds(): number {
    return secondsOf(this.#now);
  }

  /** What was granted, in order. */
  get grants(): readonly FakeGrant[] {
    return this.#grants;
  }

  /** Who waits, in the order in which they are served, connection by connection. */
  get waiting(): readonly FakeWaiter[] {
    return [...this.#waiting.values()]
      .flat()
      .map(({ ask, beganAt }) => ({ ...named(ask), sinceSeconds: secondsOf(beganAt) }));
  }

  /** Lets time pass, in seconds: everything that becomes due happens at its own moment, and what it starts goes on until it waits again. */
  async advance(seconds: number): Promise<void> {
    if (!(seconds >= 0)) throw new RangeError(`seconds is ${seconds}: it must be at least 0`);
    const until = this.#now + nanosOf(seconds);
    await settled();
    for (let next = this.#nextMoment(); next !== undefined && next <= until; next = this.#nextMoment()) {
      if (next > this.#now) this.#now = next;
      this.#serveAll();
      await settled();
    }
    this.#now = until;
  }

  /** Has nodes out of reach, or back: requests wait, and tries find nobody. */
  setReachable(isReachable: boolean): void {
    this.#isReachable = isReachable;
    this.#serveAll();
  }

  override async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const waiting of all) waiting.fail(new ClosedError());
    await Promise.resolve();
  }

  protected override async enter<T>(ask: Ask, start: (permit: Permit) => T): Promise<Awaited<T>> {
    const permit = await this.#wait(ask);
    if (ask.signal?.aborted === true) {
      await permit.giveBack();
      ask.signal.throwIfAborted();
    }
    return await start(permit);
  }

  protected override async tryEnter<T>(
    ask: Ask,
    start: (permit: Permit) => T,
  ): Promise<{ started: Awaited<T> } | { noSlot: NoSlot }> {
    this.#admit(ask);
    if (!this.#isReachable) return { noSlot: "unreachable" };
    const key = keyOf(ask);
    const isBusy = (this.#waiting.get(key) ?? []).some((waiting) => waiting.ask.niceness <= ask.niceness);
    if (isBusy || this.#readyAt(key, ask) > this.#now) return { noSlot: "not-now" };
    this.#numbers += 1n;
    return { started: await start(this.#charge(key, ask, this.#numbers, this.#now)) };
  }

  #admit(ask: Ask): void {
    ask.signal?.throwIfAborted();
    if (this.#isClosed) throw new ClosedError();
    if (ask.isIdChosen && this.#grantedIds.has(hex(ask.requestId))) {
      const message = "a request of this id got its slot";
      throw throttleError(message, { code: "ALREADY_EXISTS", reason: "ALREADY_GRANTED" });
    }
    const amounts = amountsOf(ask.cost);
    const limit = ask.limits.find(({ dimension, count }) => amounts[dimension] > count);
    if (limit === undefined) return;
    const rule = `${amounts[limit.dimension]} ${limit.dimension} are over the limit of ${limit.count}`;
    const field = limit.dimension === "units" ? "cost" : "tokens";
    throw throttleError(rule, { code: "INVALID_ARGUMENT", reason: "COST_OVER_LIMIT", field, rule });
  }

  async #wait(ask: Ask): Promise<Permit> {
    this.#admit(ask);
    const key = keyOf(ask);
    let forget: (() => void) | undefined;
    try {
      return await new Promise<Permit>((grant, fail) => {
        this.#numbers += 1n;
        const waiting: Waiting = { ask, arrival: this.#numbers, beganAt: this.#now, grant, fail };
        const queue = this.#waiting.get(key) ?? [];
        const behind = queue.findIndex((other) => other.ask.niceness > ask.niceness);
        queue.splice(behind < 0 ? queue.length : behind, 0, waiting);
        this.#waiting.set(key, queue);
        if (ask.signal !== undefined) {
          const { signal } = ask;
          forget = onAbort(signal, () => {
            this.#leave(key, waiting, signal.reason as Error);
          });
        }
        this.#serve(key);
      });
    } finally {
      forget?.();
    }
  }

  #leave(key: string, waiting: Waiting, error: Error): void {
    const queue = this.#waiting.get(key) ?? [];
    const place = queue.indexOf(waiting);
    if (place < 0) return;
    queue.splice(place, 1);
    waiting.fail(error);
    this.#serve(key);
  }

  #readyAt(key: string, ask: Ask): bigint {
    return readyAt(ask.limits, this.#charges.get(key) ?? [], amountsOf(ask.cost), this.#now);
  }

  #serveAll(): void {
    for (const key of [...this.#waiting.keys()]) this.#serve(key);
  }

  /** Grants what is due, and ends whoever has waited for long enough or can't be served in time. */
  #serve(key: string): void {
    const queue = this.#waiting.get(key) ?? [];
    for (let first = queue[0]; first !== undefined && this.#isReachable; first = queue[0]) {
      if (this.#readyAt(key, first.ask) > this.#now) break;
      queue.shift();
      first.grant(this.#charge(key, first.ask, first.arrival, first.beganAt));
    }
    for (const waiting of [...queue]) {
      const patience = patienceOf(waiting);
      if (!this.#isReachable && patience !== undefined && patience <= this.#now) {
        const message = "no node has answered within maxWaitSeconds";
        const details = { code: "UNAVAILABLE", reason: "NO_NODE", retryAfterSeconds: 1 } as const;
        this.#leave(key, waiting, throttleError(message, details));
        continue;
      }
      const deadline = deadlineOf(waiting);
      if (deadline !== undefined && deadline <= this.#now) {
        const message = "timeoutSeconds have passed in the queue";
        this.#leave(key, waiting, throttleError(message, { code: "DEADLINE_EXCEEDED", reason: "DEADLINE_EXCEEDED" }));
      }
    }
    // Who was held back by one of them may fit now.
    if (this.#isReachable && this.#refuseImpatient(key, queue)) this.#serve(key);
    if (queue.length === 0) this.#waiting.delete(key);
  }

  /** Whether there were any. */
  #refuseImpatient(key: string, queue: Waiting[]): boolean {
    // As it will go if nobody else comes: each is granted as soon as it fits after those before it.
    const charges = [...(this.#charges.get(key) ?? [])];
    let at = this.#now;
    const all = [...queue];
    for (const waiting of all) {
      const { ask } = waiting;
      const patience = patienceOf(waiting);
      const ready = readyAt(ask.limits, charges, amountsOf(ask.cost), at);
      if (patience !== undefined && ready > patience) {
        const retryAfterSeconds = secondsOf(ready - this.#now);
        const message = `no slot within maxWaitSeconds; not before ${retryAfterSeconds} s from now`;
        const details = { code: "RESOURCE_EXHAUSTED", reason: "NOT_NOW", retryAfterSeconds } as const;
        queue.splice(queue.indexOf(waiting), 1);
        waiting.fail(throttleError(message, details));
        continue;
      }
      at = ready;
      charges.push({ at, amounts: amountsOf(ask.cost) });
    }
    return queue.length < all.length;
  }

  #charge(key: string, ask: Ask, arrival: bigint, beganAt: bigint): Permit {
    const charge: Charge = { at: this.#now, amounts: amountsOf(ask.cost) };
    const charges = this.#charges.get(key) ?? [];
    this.#charges.set(key, charges);
    charges.push(charge);
    this.#grantedIds.add(hex(ask.requestId));
    this.#grants.push({ ...named(ask), atSeconds: this.nowSeconds });
    this.#numbers += 1n;
    const order = { tenure: "0".repeat(16), arrival, waitsSince: arrival, release: this.#numbers };
    return new FakePermit(hex(ask.requestId), secondsOf(this.#now - beganAt), order, {
      giveBack: () => {
        charges.splice(charges.indexOf(charge), 1);
        this.#grantedIds.delete(hex(ask.requestId));
        this.#serve(key);
      },
      isEstimateOpen: () => this.#now < charge.at + estimatesLast(ask.limits),
      reconcile: (usage) => {
        const reconciled = this.#reconcile(charges, charge, usage);
        this.#serve(key);
        return reconciled;
      },
    });
  }

  #reconcile(charges: Charge[], charge: Charge, usage: Usage): Reconciled {
    const { tokens, inputTokens, outputTokens } = usage;
    const sum = inputTokens !== undefined && outputTokens !== undefined ? inputTokens + outputTokens : undefined;
    const said = { tokens: tokens ?? sum, input_tokens: inputTokens, output_tokens: outputTokens };
    const refunded = { units: 0, tokens: 0, input_tokens: 0, output_tokens: 0 };
    const owed = { ...refunded };
    for (const dimension of ["tokens", "input_tokens", "output_tokens"] as const) {
      const more = (said[dimension] ?? charge.amounts[dimension]) - charge.amounts[dimension];
      if (more > 0) owed[dimension] = more;
      else refunded[dimension] = -more;
      charge.amounts[dimension] = Math.min(charge.amounts[dimension], charge.amounts[dimension] + more);
    }
    charges.push({ at: this.#now, amounts: owed });
    return { refunded: toTokens(refunded), owed: toTokens(owed) };
  }

  /** When something happens next if nobody does anything. */
  #nextMoment(): bigint | undefined {
    let next: bigint | undefined;
    const consider = (moment: bigint | undefined) => {
      if (moment !== undefined && (next === undefined || moment < next)) next = moment;
    };
    for (const [key, queue] of this.#waiting) {
      const [first] = queue;
      if (first !== undefined && this.#isReachable) consider(this.#readyAt(key, first.ask));
      for (const waiting of queue) {
        consider(deadlineOf(waiting));
        if (!this.#isReachable) consider(patienceOf(waiting));
      }
    }
    return next;
  }
}

function named(ask: Ask) {
  const { platform, connection, niceness } = ask;
  return { platform, connection, niceness, requestId: hex(ask.requestId) };
}

function toTokens(amounts: Record<"tokens" | "input_tokens" | "output_tokens", number>) {
  return { tokens: amounts.tokens, inputTokens: amounts.input_tokens, outputTokens: amounts.output_tokens };
}

function keyOf({ platform, connection }: Ask): string {
  return JSON.stringify([platform, connection]);
}

function hex(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}

function deadlineOf({ ask, beganAt }: Waiting): bigint | undefined {
  return ask.timeoutNanos === undefined ? undefined : beganAt + ask.timeoutNanos;
}

function patienceOf({ ask, beganAt }: Waiting): bigint | undefined {
  return ask.maxWaitNanos === undefined ? undefined : beganAt + ask.maxWaitNanos;
}

/** Until what was started goes no further by itself. */
async function settled(): Promise<void> {
  await new Promise<void>((resolve) => {
    nextTurn(() => {
      nextTurn(resolve);
    });
  });
}
