/**
 * The contracts that a node uses without handling them, beyond those of messages that it has already sent: the routes
 * of its edges, and durable events that it follows. Other nodes and tools ask for them, so that a version that does not
 * fit is found before the first message.
 */
import type { AnyContract } from "../declaration/contract.ts";

/** The contracts that one node uses without handling them, each from its first use to the node's end. */
export class UsedContracts {
  readonly #sent = new Map<string, AnyContract>();
  readonly #read = new Map<string, AnyContract>();
  /** Called when a contract was added that is read. */
  onRead: () => void = () => {};

  /** Contracts of which the node sends messages when it is asked to, such as the routes of its edges. */
  get sent(): Iterable<AnyContract> {
    return this.#sent.values();
  }

  /** Durable events that the node follows. */
  get read(): Iterable<AnyContract> {
    return this.#read.values();
  }

  /** Adds a contract of which the node will send messages. */
  addSent(contract: AnyContract): void {
    if (this.#sent.size < MAX_CONTRACTS) this.#sent.set(contract.name, contract);
  }

  /** Adds a durable event that the node follows. The first contract of a name stays. */
  addRead(contract: AnyContract): void {
    if (this.#read.has(contract.name) || this.#read.size >= MAX_CONTRACTS) return;
    this.#read.set(contract.name, contract);
    this.onRead();
  }
}

/** Returns the contracts that an app uses; `undefined` for an app that a program has made itself, as for a test. */
export function usedContracts(app: object): UsedContracts | undefined {
  const { used } = app as { readonly used?: unknown };
  return used instanceof UsedContracts ? used : undefined;
}

/** Maximum number of contracts of each of the two kinds; further ones are not told to others. */
const MAX_CONTRACTS = 1_024;
