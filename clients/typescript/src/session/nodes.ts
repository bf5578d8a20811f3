import { NodeChannel } from "./service.js";

/** The pause between two nodes, so that a cluster that is gone is not asked in a tight loop. */
const NEXT_NODE_AFTER_MS = 20;

/** The pause when none of them could serve. */
const NEXT_ROUND_AFTER_MS = 200;

/** When a process says that its calls wait for nodes and not for their turns: a node that is started again takes less. */
const WARNS_AFTER_MS = 5000;

/** The nodes, one of which is spoken with at a time. */
export class Nodes {
  readonly #addresses: readonly string[];
  #at = 0;
  /** How many could not serve, one after the other. */
  #failures = 0;
  #trouble: string | undefined;
  /** Since when none has answered, in milliseconds of the monotonic clock; `undefined` since one has. */
  #silentSince: number | undefined;
  #hasWarned = false;
  #channel: NodeChannel | undefined;

  constructor(addresses: readonly string[]) {
    this.#addresses = addresses;
  }

  /** The way to the present one. */
  current(): NodeChannel {
    this.#channel ??= new NodeChannel(this.#addresses[this.#at] ?? "");
    return this.#channel;
  }

  /** What was wrong with the last one; `undefined` since one has answered. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** The present one answers. */
  answers(): void {
    this.#trouble = undefined;
    this.#silentSince = undefined;
    this.#hasWarned = false;
  }

  /** The present one serves: it has given a slot, or a reason. */
  serves(): void {
    this.#failures = 0;
  }

  /** The present one does not serve: the next is to be asked, after the milliseconds that this returns. */
  leave(why: string): number {
    this.#failures += 1;
    this.#trouble = `${this.#addresses[this.#at] ?? ""}: ${why}`;
    this.#warn(this.#trouble);
    this.#at = (this.#at + 1) % this.#addresses.length;
    this.close();
    return this.#failures % this.#addresses.length === 0 ? NEXT_ROUND_AFTER_MS : NEXT_NODE_AFTER_MS;
  }

  /** Says once that none answers: who has only forgotten to start one would wait and wonder. */
  #warn(trouble: string): void {
    this.#silentSince ??= performance.now();
    if (this.#hasWarned || performance.now() - this.#silentSince < WARNS_AFTER_MS) return;
    this.#hasWarned = true;
    const message = `no node of Turnstile answers, and calls wait for one: ${trouble}`;
    process.emitWarning(message, { type: "TurnstileWarning", code: "TURNSTILE_UNREACHABLE" });
  }

  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }
}

/**
 * The addresses of nodes, each `host:port`.
 *
 * @throws RangeError that names `field` when there is none, or one is no address.
 */
export function parseAddresses(field: string, said: readonly string[]): string[] {
  const addresses = said.map((address) => address.trim()).filter((address) => address !== "");
  if (addresses.length === 0) throw new RangeError(`${field} is empty: it must have at least one HOST:PORT`);
  for (const address of addresses) {
    const port = /^(?:\[[0-9a-f:.]+\]|[^\s:/[\],]+):(\d{1,5})$/i.exec(address)?.[1];
    if (port === undefined || Number(port) < 1 || Number(port) > 0xffff) {
      throw new RangeError(`${field} has ${JSON.stringify(address)}: it must be HOST:PORT with a port from 1 to 65535`);
    }
  }
  return addresses;
}
