import { setTimeout as sleep } from "node:timers/promises";

/** What has been said to nodes, until it is known to have arrived or to be lost. */
export class UnderWay {
  readonly #words = new Set<Promise<unknown>>();

  /** Notes what is over when the promise is, in whichever way. */
  add(words: Promise<unknown>): void {
    const over = () => {
      this.#words.delete(words);
    };
    this.#words.add(words);
    words.then(over, over);
  }

  /** Waits for all that is under way now, and no longer than so many milliseconds. */
  async over(withinMs: number): Promise<void> {
    const bound = new AbortController();
    const tooLong = sleep(withinMs, undefined, { signal: bound.signal }).catch(() => undefined);
    await Promise.race([Promise.allSettled(this.#words), tooLong]);
    bound.abort();
  }
}
