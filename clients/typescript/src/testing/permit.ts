import { parseUsage } from "../ask.js";
import type { Usage } from "../connection.js";
import { NotOpenError } from "../errors.js";
import type { Permit, PermitOrder, Reconciled } from "../permit.js";

/** What a permit tells its fake, and asks it. */
export interface FakePermitEnds {
  readonly giveBack: () => void;
  /** Whether there is an estimate whose window has not passed. */
  readonly isEstimateOpen: () => boolean;
  readonly reconcile: (usage: Usage) => Reconciled;
}

/** A permit of a fake: its clock stands still, so it is never late. */
export class FakePermit implements Permit {
  readonly startWithinSeconds = Infinity;
  #state: "held" | "released" | "given back" = "held";
  #reconciled: Reconciled | undefined;

  constructor(
    readonly requestId: string,
    readonly waitedSeconds: number,
    readonly order: PermitOrder,
    readonly ends: FakePermitEnds,
  ) {}

  release(): void {
    if (this.#state === "held") this.#state = "released";
  }

  async giveBack(): Promise<void> {
    if (this.#state === "released") throw notOpen("the permit was released: its slot stays used");
    if (this.#state === "held") {
      this.#state = "given back";
      this.ends.giveBack();
    }
    await Promise.resolve();
  }

  async reconcile(usage: Usage): Promise<Reconciled> {
    const parsed = parseUsage(usage);
    if (this.#state === "given back") throw notOpen("the permit was given back: nothing of it counts");
    this.release();
    if (!this.ends.isEstimateOpen()) {
      throw notOpen(
        "the permit is not open: its connection has no limit on tokens, or the estimate's window has passed",
      );
    }
    // It counts once, however often it is said.
    this.#reconciled ??= this.ends.reconcile(parsed);
    return await Promise.resolve(this.#reconciled);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await Promise.resolve();
  }
}

function notOpen(message: string): NotOpenError {
  return new NotOpenError(message, { code: "NOT_FOUND", reason: "NOT_OPEN" });
}
