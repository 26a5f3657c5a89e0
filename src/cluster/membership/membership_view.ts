/**
 * The nodes of the cluster as this node sees them: the members, sorted by id and found by id or endpoint, and the
 * events that follow a change, with the contracts that each handles. `membership.ts` decides what makes a node a
 * member, and what ends its membership.
 */
import { Bounces } from "../../ports/evidence_of_life.ts";
import type { NodeChange, NodeInfo } from "../../contract/nodes/node_info.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import { firstIndex } from "../../data/binary_search.ts";
import { freeze } from "./node_record.ts";
import { type Kind, kindOf } from "../../contract/declaration/contract.ts";
import { internalNames } from "../../contract/nodes/announcement.ts";

/** Dependencies of a {@link MembershipView} on its node. */
export interface MembershipViewOptions {
  /** This node's id. */
  readonly self: string;
  readonly observer: Observer;
  /**
   * Called when a node has joined, changed, left, or become suspect or trusted again. `handled`: true if it changed
   * which processes handle which contracts.
   */
  changed(handled: boolean): void;
  /** Called when the last node that handled this contract has left, or no longer handles it. */
  unhandled(name: string): void;
}

/** The members of the cluster, as this node sees them, and the events of their changes. */
export class MembershipView {
  readonly #options: MembershipViewOptions;
  readonly #byId: Map<string, Member> = new Map();
  readonly #byEndpoint: Map<string, Member> = new Map();
  readonly #sorted: Member[] = [];
  readonly #handled: HandledLists;
  readonly #watchers: Set<(event: NodeChange) => void> = new Set();

  constructor(options: MembershipViewOptions) {
    this.#options = options;
    this.#handled = new HandledLists((name) => options.unhandled(name));
  }

  /** All nodes, sorted by id; this node is included once it has joined. */
  get members(): readonly Member[] {
    return this.#sorted;
  }

  /** Returns the node with this id; `undefined`: none. */
  get(id: string): Member | undefined {
    return this.#byId.get(id);
  }

  /** Returns the node of the process at this endpoint; `undefined`: none. */
  find(endpoint: string): Member | undefined {
    return this.#byEndpoint.get(endpoint);
  }

  /** Returns true if no node other than this one handles a contract. */
  alone(name: string): boolean {
    const own = this.#byId.get(this.#options.self)?.handled.kinds.has(name) ? 1 : 0;
    return this.#handled.count(name) === own;
  }

  /**
   * Returns true if a contract is a command of an entity on all nodes that handle it; if no node handles it, on the
   * last node that did. (A node that drains leaves the view before its own sends have ended.)
   */
  ofEntity(name: string): boolean {
    return this.#handled.ofEntity(name);
  }

  /** Returns true if a node, this one included, handles a contract. */
  handles(name: string): boolean {
    return this.#handled.count(name) > 0;
  }

  /** Calls `onEvent` at every change of the members, until the returned function is called. */
  watch(onEvent: (event: NodeChange) => void): () => void {
    this.#watchers.add(onEvent);
    return () => this.#watchers.delete(onEvent);
  }

  /** Ends all watches of the members. */
  close(): void {
    this.#watchers.clear();
  }

  /** Adds the node of a record, replacing a node with the same id. */
  put(info: NodeInfo, revision: number): void {
    const known = this.#byId.get(info.id);
    // a log line is written if the node is new, runs as another process than before, or was suspected to be dead; not
    // if its process has only written its record again
    const logged = known === undefined || known.info.endpoint !== info.endpoint || known.suspect;
    this.#add(new Member(info, revision, this.#handled.retain(info)), { logged });
  }

  /** Adds a removed member again, because it has shown that it is alive. */
  restore(member: Member): void {
    member.suspect = false;
    member.clearBounces();
    member.handled = this.#handled.retain(member.info);
    this.#add(member, { logged: true });
  }

  /**
   * Removes the node with this id, if there is one. `leave`: the node has deleted its own record; `lost`: the node is
   * gone without deleting it.
   */
  remove(id: string, how: "leave" | "lost"): void {
    const known = this.#byId.get(id);
    if (known === undefined) return;
    this.#byId.delete(id);
    this.#byEndpoint.delete(known.info.endpoint);
    this.#sorted.splice(indexOf(this.#sorted, id), 1);
    this.#handled.release(known.handled);
    this.#options.observer({ type: "node", change: how, node: id });
    this.#report("leave", known.info, true);
  }

  /** Marks a member that does not answer as suspect; requests then prefer other nodes. */
  suspect(member: Member): void {
    if (member.suspect) return;
    member.suspect = true;
    this.#options.observer({ type: "node", change: "suspect", node: member.info.id });
    this.#options.changed(false);
  }

  /** Ends the suspicion of a member, because it has shown that it is alive. */
  trust(member: Member): void {
    member.clearBounces();
    if (!member.suspect) return;
    member.suspect = false;
    this.#options.observer({ type: "node", change: "alive", node: member.info.id });
    this.#options.changed(false);
  }

  #add(member: Member, { logged }: { readonly logged: boolean }): void {
    const { info, handled } = member;
    const known = this.#byId.get(info.id);
    this.#byId.set(info.id, member);
    this.#sorted.splice(indexOf(this.#sorted, info.id), known === undefined ? 0 : 1, member);
    if (known !== undefined) {
      this.#byEndpoint.delete(known.info.endpoint);
      this.#handled.release(known.handled);
    }
    this.#byEndpoint.set(info.endpoint, member);
    const changed = handled !== known?.handled || info.endpoint !== known.info.endpoint;
    const type = known === undefined ? "join" : "update";
    if (logged) this.#options.observer({ type: "node", change: type, node: info.id });
    this.#report(type, info, changed);
  }

  #report(type: NodeChange["type"], node: NodeInfo, handled: boolean): void {
    this.#options.changed(handled);
    for (const watcher of this.#watchers) watcher({ type, node });
  }
}

/** Returns the index of a node among the sorted members, or the index at which to insert it. */
function indexOf(sorted: readonly Member[], id: string): number {
  return firstIndex(sorted.length, (index) => sorted[index].info.id < id);
}

/**
 * One node as this node sees it. All times are by the monotonic clock.
 * @decides what a node remembers of one other node: its record, bounces, when it was last heard
 */
export class Member {
  readonly info: NodeInfo;
  /** The contracts that the node handles. */
  handled: HandledList;
  /** Revision of the node's record. */
  readonly revision: number;
  /**
   * True if a frame to the node has bounced, or a ping to it was not answered in time, since the node last showed that
   * it is alive; requests then prefer other nodes.
   */
  suspect = false;
  /** Frames to the node that have bounced since it last showed that it is alive. */
  readonly bounces: Bounces = new Bounces();
  /**
   * Time at which a node on another server last reported that frames to this member bounce on that server; -1: never.
   */
  accusedAt = -1;
  /**
   * Reason why the node's record is gone from the store: its ttl has ended (`expire`), or the reason is not known
   * (`vanish`); absent: the record is there. The node stays a member as long as it answers pings.
   */
  recordGone: "expire" | "vanish" | undefined;

  constructor(info: NodeInfo, revision: number, handled: HandledList) {
    // all members that handle the same contracts share one `HandledList`
    const { names: handles, subscriptions, entities } = handled;
    const own = info.handles === handles && info.subscriptions === subscriptions && info.entities === entities;
    this.info = own ? info : freeze({
      ...info,
      handles,
      ...(subscriptions === undefined ? {} : { subscriptions }),
      ...(entities === undefined ? {} : { entities }),
    });
    this.handled = handled;
    this.revision = revision;
  }

  /** Forgets earlier bounces of frames to the node, and other nodes' reports of bounces. */
  clearBounces(): void {
    this.bounces.clear();
    this.accusedAt = -1;
  }
}

/**
 * Keeps the lists of the contracts that nodes handle, and counts the nodes for each list and each contract. Equal lists
 * are kept once, because replicas handle the same contracts and rewrite their records every few seconds.
 */
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
class HandledList {
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
    const known: Map<string, Kind | undefined> = new Map(handles.map((name, i) => [name, kindOf(kinds[i])]));
    for (const subscription of subscriptions ?? []) {
      for (const name of internalNames(service, subscription)) known.set(name, undefined);
    }
    this.kinds = known;
  }
}

/**
 * Iterates over the changes of nodes since its construction, until `return` is called or the signal aborts.
 * @decides `app.watchNodes()`: joins, updates and leaves of nodes as an iterator
 */
export class NodeWatch implements AsyncIterableIterator<NodeChange> {
  #events: NodeChange[] = [];
  #waiting: ((result: IteratorResult<NodeChange>) => void)[] = [];
  readonly #end: () => void;
  #ended = false;

  /** `watch` registers a callback for every change, and returns a function that removes it. */
  constructor(watch: (onEvent: (event: NodeChange) => void) => () => void, signal: AbortSignal) {
    const off = watch((event) => {
      const next = this.#waiting.shift();
      if (next !== undefined) return next({ done: false, value: event });
      // of several unread updates of a node, a slow reader gets only the latest, so that unread updates do not pile up
      const place = event.type === "update" ? this.#events.findLastIndex(({ node }) => node.id === event.node.id) : -1;
      const unread = this.#events[place];
      if (unread === undefined || unread.type === "leave") this.#events.push(event);
      else this.#events[place] = { type: unread.type, node: event.node };
    });
    this.#end = () => {
      this.#ended = true;
      off();
      signal.removeEventListener("abort", this.#end);
      this.#events = [];
      for (const next of this.#waiting.splice(0)) next({ done: true, value: undefined });
    };
    if (signal.aborted) this.#end();
    else signal.addEventListener("abort", this.#end);
  }

  next(): Promise<IteratorResult<NodeChange>> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<NodeChange>> {
    if (!this.#ended) this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
