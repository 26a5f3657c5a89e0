/**
 * Which contracts the nodes handle. Equal lists are kept once: replicas handle the same contracts, and write their records
 * again every few seconds.
 */

import type { Kind } from "../../contract/contract.ts";

/** The contracts that one or more nodes handle. */
export interface HandledList {
  /** As the record has them; frozen. */
  readonly names: readonly string[];
  /** Whether a contract is among them. */
  has(name: string): boolean;
  /** What a contract is; `undefined` if the record does not say, or the contract is not among them. */
  kindOf(name: string): Kind | undefined;
}

/** The lists of all nodes. */
export class HandledLists {
  readonly #unhandled: (name: string) => void;
  /** By their joined names and kinds. */
  readonly #lists: Map<string, CountedList> = new Map();
  /** How many nodes handle each contract. */
  readonly #nodes: Map<string, number> = new Map();

  /** `unhandled` is called with each contract whose last node is released. */
  constructor(unhandled: (name: string) => void = () => {}) {
    this.#unhandled = unhandled;
  }

  /** Counts a node that handles these; `kinds` as its record has them. To be released when the node leaves, or handles others. */
  retain(names: readonly string[], kinds = ""): HandledList {
    const text = `${names.join()} ${kinds}`;
    let list = this.#lists.get(text);
    if (list === undefined) this.#lists.set(text, list = new CountedList(names, kinds, text));
    list.nodes++;
    for (const name of list.kinds.keys()) this.#nodes.set(name, this.count(name) + 1);
    return list;
  }

  /** A node handles these no longer. */
  release(list: HandledList): void {
    // `retain` has made it
    const counted = list as CountedList;
    if (--counted.nodes === 0) this.#lists.delete(counted.text);
    for (const name of counted.kinds.keys()) {
      const left = this.count(name) - 1;
      if (left === 0) {
        this.#nodes.delete(name);
        this.#unhandled(name);
      } else this.#nodes.set(name, left);
    }
  }

  /** How many nodes handle a contract. */
  count(name: string): number {
    return this.#nodes.get(name) ?? 0;
  }
}

class CountedList implements HandledList {
  readonly names: readonly string[];
  readonly text: string;
  nodes = 0;
  readonly kinds: ReadonlyMap<string, Kind | undefined>;

  constructor(names: readonly string[], kinds: string, text: string) {
    this.names = names;
    this.text = text;
    this.kinds = new Map(names.map((name, i) => [name, KINDS[kinds[i]]]));
  }

  has(name: string): boolean {
    return this.kinds.has(name);
  }

  kindOf(name: string): Kind | undefined {
    return this.kinds.get(name);
  }
}

/** By the letters of a record. */
const KINDS: Readonly<Record<string, Kind>> = { c: "command", q: "query", e: "event" };
