import { NodeChannel } from "./service.js";

/** The pause between two nodes, so that a cluster that is gone is not asked in a tight loop. */
const NEXT_NODE_AFTER_MS = 20;

/** The pause when none of them could serve. */
const NEXT_ROUND_AFTER_MS = 200;

/** The nodes, one of which is spoken with at a time. */
export class Nodes {
  readonly #addresses: readonly string[];
  #at = 0;
  /** How many could not serve, one after the other. */
  #failures = 0;
  #channel: NodeChannel | undefined;

  constructor(addresses: readonly string[]) {
    this.#addresses = addresses;
  }

  /** The way to the present one. */
  current(): NodeChannel {
    this.#channel ??= new NodeChannel(this.#addresses[this.#at] ?? "");
    return this.#channel;
  }

  /** The present one serves. */
  serves(): void {
    this.#failures = 0;
  }

  /** The present one does not serve: the next is to be asked, after the milliseconds that this returns. */
  leave(): number {
    this.#failures += 1;
    this.#at = (this.#at + 1) % this.#addresses.length;
    this.close();
    return this.#failures % this.#addresses.length === 0 ? NEXT_ROUND_AFTER_MS : NEXT_NODE_AFTER_MS;
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
