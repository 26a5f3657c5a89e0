/**
 * Which contracts the nodes handle. Equal lists are kept once: replicas handle the same contracts, and write their records
 * again every few seconds.
 */

import type { Kind } from "../../contract/contract.ts";
import { internalNames } from "../../contract/announced.ts";
import type { NodeInfo } from "../../contract/node_info.ts";

/** The contracts that one or more nodes handle. */
export interface HandledList {
  /** As the record has them; frozen. */
  readonly names: readonly string[];
  /** As the record has them; frozen. */
  readonly subscriptions: readonly string[] | undefined;
  /** As the record has them; frozen. */
  readonly entities: readonly string[] | undefined;
  /** Whether a contract is among them, or an internal one of a subscription. */
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
  /** How many of them handle it as a command of an entity. */
  readonly #ofEntities: Map<string, number> = new Map();

  /** `unhandled` is called with each contract whose last node is released. */
  constructor(unhandled: (name: string) => void = () => {}) {
    this.#unhandled = unhandled;
  }

  /** Counts a node with such a record. To be released when the node leaves, or handles others. */
  retain(info: Handling): HandledList {
    const { handles, kinds = "", service = "", subscriptions, entities } = info;
    const text = `${handles.join()} ${kinds}` +
      (subscriptions === undefined ? "" : `\n${service}\n${subscriptions.join()}`) +
      (entities === undefined ? "" : `\n\n${entities.join()}`);
    let list = this.#lists.get(text);
    if (list === undefined) this.#lists.set(text, list = new CountedList(info, text));
    list.nodes++;
    for (const name of list.kinds.keys()) this.#nodes.set(name, this.count(name) + 1);
    for (const name of entities ?? []) this.#ofEntities.set(name, (this.#ofEntities.get(name) ?? 0) + 1);
    return list;
  }

  /** A node handles these no longer. */
  release(list: HandledList): void {
    // `retain` has made it
    const counted = list as CountedList;
    if (--counted.nodes === 0) this.#lists.delete(counted.text);
    for (const name of counted.entities ?? []) {
      const left = this.#ofEntities.get(name)! - 1; // `retain` has counted it
      if (left === 0) this.#ofEntities.delete(name);
      else this.#ofEntities.set(name, left);
    }
    for (const name of counted.kinds.keys()) {
      const left = this.count(name) - 1;
      if (left === 0) {
        this.#nodes.delete(name);
        this.#unhandled(name);
      } else this.#nodes.set(name, left);
    }
  }

  /** Whether all nodes that handle a contract handle it as a command of an entity. */
  ofEntity(name: string): boolean {
    const nodes = this.#ofEntities.get(name);
    return nodes !== undefined && nodes === this.#nodes.get(name);
  }

  /** How many nodes handle a contract. */
  count(name: string): number {
    return this.#nodes.get(name) ?? 0;
  }
}

/** What a record says about what its node handles. */
export type Handling =
  & Pick<NodeInfo, "handles" | "kinds" | "subscriptions" | "entities">
  & Partial<Pick<NodeInfo, "service">>;

class CountedList implements HandledList {
  readonly names: readonly string[];
  readonly subscriptions: readonly string[] | undefined;
  readonly entities: readonly string[] | undefined;
  readonly text: string;
  nodes = 0;
  readonly kinds: ReadonlyMap<string, Kind | undefined>;

  constructor({ handles, kinds = "", service = "", subscriptions, entities }: Handling, text: string) {
    this.names = handles;
    this.subscriptions = subscriptions;
    this.entities = entities;
    this.text = text;
    const known: Map<string, Kind | undefined> = new Map(handles.map((name, i) => [name, KINDS[kinds[i]]]));
    for (const subscription of subscriptions ?? []) {
      for (const name of internalNames(service, subscription)) known.set(name, undefined);
    }
    this.kinds = known;
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
