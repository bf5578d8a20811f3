import { parseUsage } from "../ask.js";
import type { Usage } from "../connection.js";
import { secondsOf } from "../duration.js";
import { NotOpenError } from "../errors.js";
import type { Permit, PermitOrder, Reconciled } from "../permit.js";
import { isStale, type ParsedGrant } from "./granted.js";

/** What a permit tells its session. */
export interface PermitEnds {
  /** The call is over. */
  done(permit: SessionPermit): void;
  /** Nothing was started. */
  giveBack(permit: SessionPermit): Promise<void>;
  /** The call has taken so much. */
  reconcile(permit: SessionPermit, usage: Usage): Promise<Reconciled>;
}

/** A permit from a node. */
export class SessionPermit implements Permit {
  readonly #ends: PermitEnds;
  #state: "held" | "released" | "given back" = "held";
  /** Until it is known that no node could be told: then it may be said again. */
  #givenBack: Promise<void> | undefined;

  constructor(
    ends: PermitEnds,
    /** In which of the client's sessions it was granted. */
    readonly session: number,
    readonly id: Uint8Array,
    readonly grant: ParsedGrant,
  ) {
    this.#ends = ends;
  }

  get requestId(): string {
    return Buffer.from(this.id).toString("hex");
  }

  get waitedSeconds(): number {
    return secondsOf(this.grant.waitedNanos);
  }

  get order(): PermitOrder {
    return this.grant.order;
  }

  get startWithinSeconds(): number {
    const { startBy } = this.grant;
    if (startBy === undefined) return Infinity;
    const left = startBy - process.hrtime.bigint();
    return left > 0n ? secondsOf(left) : 0;
  }

  get isStale(): boolean {
    return isStale(this.grant, process.hrtime.bigint());
  }

  release(): void {
    if (this.#state !== "held") return;
    this.#state = "released";
    this.#ends.done(this);
  }

  async giveBack(): Promise<void> {
    if (this.#state === "released") throw notOpen("the permit was released: its slot stays used");
    this.#state = "given back";
    this.#givenBack ??= this.#ends.giveBack(this).catch((error: unknown) => {
      this.#givenBack = undefined;
      throw error;
    });
    await this.#givenBack;
  }

  async reconcile(usage: Usage): Promise<Reconciled> {
    const parsed = parseUsage(usage);
    if (this.#state === "given back") throw notOpen("the permit was given back: nothing of it counts");
    const reconciled = this.#ends.reconcile(this, parsed);
    this.release();
    return await reconciled;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await Promise.resolve();
  }
}

function notOpen(message: string): NotOpenError {
  return new NotOpenError(message, { code: "NOT_FOUND", reason: "NOT_OPEN" });
}
