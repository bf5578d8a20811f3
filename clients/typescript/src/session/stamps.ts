import type { Waiting } from "./waiting.js";

/** How often the node hears of our clock while no delivery bound asks for more. */
const SLOWEST_STAMPS_MS = 250;

/** A stamp is due every quarter of a delivery bound; timers are late, and a fifth leaves them room. */
const STAMPS_IN_A_BOUND = 5n;

/** When the node is to hear of our clock: often enough for the tightest delivery bound of those who wait. */
export class Stamps {
  readonly #waiting: ReadonlyMap<string, Waiting>;
  readonly #say: () => void;
  #timer: NodeJS.Timeout | undefined;
  #everyMs = Infinity;

  /** `say` is called when a stamp is due. */
  constructor(waiting: ReadonlyMap<string, Waiting>, say: () => void) {
    this.#waiting = waiting;
    this.#say = say;
  }

  /** One more has begun to wait. */
  startFor(waiting: Waiting): void {
    const everyMs = stampsEveryMs(waiting);
    if (everyMs < this.#everyMs) this.#startEvery(everyMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#everyMs = Infinity;
  }

  #startEvery(everyMs: number): void {
    clearTimeout(this.#timer);
    this.#everyMs = everyMs;
    this.#timer = setTimeout(() => {
      this.#say();
      let next = SLOWEST_STAMPS_MS;
      for (const waiting of this.#waiting.values()) next = Math.min(next, stampsEveryMs(waiting));
      this.#startEvery(next);
    }, everyMs);
  }
}

function stampsEveryMs({ deliveryBound }: Waiting): number {
  if (deliveryBound === 0n) return SLOWEST_STAMPS_MS;
  return Math.min(SLOWEST_STAMPS_MS, Math.max(1, Number(deliveryBound / STAMPS_IN_A_BOUND / 1_000_000n)));
}
