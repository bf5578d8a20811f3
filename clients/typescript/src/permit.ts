/// <reference types="node" preserve="true" />
import type { Usage } from "./connection.js";

/** A permit's place in the order of its connection. Numbers of one connection compare within one tenure only. */
export interface PermitOrder {
  /** Which run of which owner has numbered it: 16 hexadecimal digits. */
  readonly tenure: string;
  /** Its request's place in the owner's order of arrival. */
  readonly arrival: bigint;
  /** From when on the request waited without a break, in the same numbers. */
  readonly waitsSince: bigint;
  /** The slot's place in the owner's order of release, in the same numbers. */
  readonly release: bigint;
}

/** Tokens of a connection's limits. */
export interface TokenCount {
  /** By limits on all tokens. */
  readonly tokens: number;
  /** By limits on those that go in. */
  readonly inputTokens: number;
  /** By limits on those that come out. */
  readonly outputTokens: number;
}

/** What came of a reconcile. */
export interface Reconciled {
  /** What does not count any more. */
  readonly refunded: TokenCount;
  /** What counts beside the estimate. */
  readonly owed: TokenCount;
}

/**
 * The right to make one request now. It ends by `release`, `giveBack` or `reconcile`, or at the end of an `await using` block; one that is
 * forgotten costs its one slot and nothing more.
 */
export interface Permit extends AsyncDisposable {
  /** The request's id: 32 hexadecimal digits. */
  readonly requestId: string;
  /** How long the request waited at its owner, in seconds. */
  readonly waitedSeconds: number;
  /** Its place in the order of its connection. */
  readonly order: PermitOrder;
  /** How soon from now the request must be started to be within the limit, in seconds; `Infinity` when the limits accept any jitter. */
  readonly startWithinSeconds: number;
  /** Ends it when the call is over, whatever became of the call: the slot stays used. Again it does nothing. */
  release(): void;
  /**
   * Gives the slot back, with which nothing was started and nothing will be: it goes to the next. Again it does nothing, nor when its window has
   * passed.
   *
   * @throws NotOpenError when the permit was released or reconciled before.
   * @throws UnavailableError when no node could be told in time; the slot stays used then, unless it is said again.
   */
  giveBack(): Promise<void>;
  /**
   * Ends it, and says what the call has taken that was estimated in tokens: fewer are free again at once, more count from now on. It counts
   * once, however often it is said, also after `release`.
   *
   * @throws NotOpenError when there is no estimate any more: its window has passed, it was given back, or no limit counts tokens.
   * @throws UnavailableError when no node could be told in time.
   */
  reconcile(usage: Usage): Promise<Reconciled>;
}
