/**
 * The contracts that each node handles. Equal lists are kept in memory once, because replicas handle the same
 * contracts and rewrite their records every few seconds.
 */
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Kind } from "../../contract/contract.ts";
import { internalNames } from "../../contract/send_options.ts";

/** Keeps the lists of the contracts that nodes handle, and counts the nodes for each list and each contract. */
export class HandledLists {
  readonly #unhandled: (name: string) => void;
  /** The lists of contracts, by a text that joins the names and kinds of their contracts. */
  readonly #lists: Map<string, HandledList> = new Map();
  /** Number of nodes that handle each contract. */
  readonly #nodes: Map<string, number> = new Map();
  /** Number of nodes that handle a contract as a command of an entity, by contract name. */
  readonly #ofEntities: Map<string, number> = new Map();
  /** Contracts that no node handles now, and that the last node handled as a command of an entity. */
  readonly #wereOfEntities: Set<string> = new Set();

  /** `unhandled` is called with each contract that no node handles any more. */
  constructor(unhandled: (name: string) => void = () => {}) {
    this.#unhandled = unhandled;
  }

  /**
   * Counts a node with this record for each of its contracts, and returns the list of them, which nodes with equal
   * records share. Call `release` with the list when the node leaves, or handles other contracts.
   */
  retain(info: Handling): HandledList {
    const { handles, kinds = "", service = "", subscriptions, entities } = info;
    const text = `${handles.join()} ${kinds}` +
      (subscriptions === undefined ? "" : `\n${service}\n${subscriptions.join()}`) +
      (entities === undefined ? "" : `\n\n${entities.join()}`);
    let list = this.#lists.get(text);
    if (list === undefined) this.#lists.set(text, list = new HandledList(info, text));
    list.nodes++;
    for (const name of list.kinds.keys()) this.#nodes.set(name, this.count(name) + 1);
    for (const name of entities ?? []) this.#ofEntities.set(name, (this.#ofEntities.get(name) ?? 0) + 1);
    return list;
  }

  /** Removes a node that has left, or that handles other contracts now, from the counts. */
  release(list: HandledList): void {
    if (--list.nodes === 0) this.#lists.delete(list.text);
    for (const name of list.entities ?? []) {
      const left = this.#ofEntities.get(name)! - 1; // `retain` has counted the contract
      if (left === 0) this.#ofEntities.delete(name);
      else this.#ofEntities.set(name, left);
    }
    for (const name of list.kinds.keys()) {
      const left = this.count(name) - 1;
      if (left === 0) {
        this.#nodes.delete(name);
        this.#wereOfEntities.delete(name);
        if (list.entities?.includes(name)) this.#wereOfEntities.add(name);
        this.#unhandled(name);
      } else this.#nodes.set(name, left);
    }
    // the number of remembered names is limited, because a node may announce ever new names
    for (const oldest of this.#wereOfEntities) {
      if (this.#wereOfEntities.size <= MAX_REMEMBERED_LISTS) break;
      this.#wereOfEntities.delete(oldest);
    }
  }

  /**
   * Returns true if a contract is a command of an entity on all nodes that handle it; if no node handles it, on the
   * last node that did.
   */
  ofEntity(name: string): boolean {
    const nodes = this.#nodes.get(name);
    return nodes === undefined ? this.#wereOfEntities.has(name) : nodes === this.#ofEntities.get(name);
  }

  /** Number of nodes that handle a contract. */
  count(name: string): number {
    return this.#nodes.get(name) ?? 0;
  }
}

const MAX_REMEMBERED_LISTS = 4_096;

/** The members of a node's record that name the contracts it handles. */
type Handling =
  & Pick<NodeInfo, "handles" | "kinds" | "subscriptions" | "entities">
  & Partial<Pick<NodeInfo, "service">>;

/**
 * The contracts of one node, or of several nodes that handle the same contracts. The lists are frozen, because nodes
 * share them.
 */
export class HandledList {
  readonly names: readonly string[];
  readonly subscriptions: readonly string[] | undefined;
  readonly entities: readonly string[] | undefined;
  readonly text: string;
  /** Number of nodes whose record has this list. */
  nodes = 0;
  /**
   * Kinds by contract name, internal contracts of subscriptions included; `undefined` for a contract whose kind the
   * record does not name.
   */
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
}

/** Kinds of contracts, by the letters that records use for them. */
const KINDS: Readonly<Record<string, Kind>> = { c: "command", q: "query", e: "event", s: "stream" };
