/**
 * The nodes of the cluster as this node sees them: the members, sorted by id and found by id or endpoint, and the
 * events that follow a change. What makes a node a member, and what ends it, is decided in `membership.ts`.
 */
import type { NodeChange, NodeInfo } from "../../contract/node_info.ts";
import type { Observer } from "../../contract/observer.ts";
import { freeze } from "./node_record.ts";
import type { Kind } from "../../contract/contract.ts";
import { internalNames } from "../../contract/send_options.ts";
import { firstIndex } from "../../data/queues.ts";

/** Dependencies of a view on its node. */
export interface MembershipViewOptions {
  /** This node's id. */
  readonly self: string;
  readonly observer: Observer;
  /**
   * A node joined, changed, left, or became suspect or trusted again; `handled`: which process handles which contract
   * changed.
   */
  changed(handled: boolean): void;
  /** The last node that handled this contract left, or handles it no longer. */
  unhandled(name: string): void;
}

/** The members and their events. */
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

  /** All nodes, this one included once it has joined, sorted by id. */
  get members(): readonly Member[] {
    return this.#sorted;
  }

  /** The node with this id. */
  get(id: string): Member | undefined {
    return this.#byId.get(id);
  }

  /** The node of the process at this endpoint. */
  find(endpoint: string): Member | undefined {
    return this.#byEndpoint.get(endpoint);
  }

  /** Returns true if no node other than this one handles a contract. */
  alone(name: string): boolean {
    const own = this.#byId.get(this.#options.self)?.handled.kinds.has(name) ? 1 : 0;
    return this.#handled.count(name) === own;
  }

  /**
   * Returns true if all nodes that handle a contract, or the last one that did, handle it as a command of an entity: a
   * node that drains has left the view while its own sends come to their end.
   */
  ofEntity(name: string): boolean {
    return this.#handled.ofEntity(name);
  }

  /** Returns true if a node, this one included, handles a contract. */
  handles(name: string): boolean {
    return this.#handled.count(name) > 0;
  }

  /** Calls back at every change, until the returned function is called. */
  watch(onEvent: (event: NodeChange) => void): () => void {
    this.#watchers.add(onEvent);
    return () => this.#watchers.delete(onEvent);
  }

  /** Ends all watches. */
  close(): void {
    this.#watchers.clear();
  }

  /** Adds the node of a record, or replaces the one with its id. */
  put(info: NodeInfo, revision: number): void {
    const known = this.#byId.get(info.id);
    // a refreshed record is not worth a log line, unless it ends a suspicion
    const logged = known === undefined || known.info.endpoint !== info.endpoint || known.suspect;
    this.#add(new Member(info, revision, this.#handled.retain(info)), logged);
  }

  /** Adds a member again that was removed. */
  restore(member: Member): void {
    member.suspect = false;
    member.clearBounces();
    member.handled = this.#handled.retain(member.info);
    this.#add(member, true);
  }

  /** Removes the node with this id, if there is one; `lost`: it has not signed off. */
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

  /** A member does not answer: requests prefer others. */
  suspect(member: Member): void {
    if (member.suspect) return;
    member.suspect = true;
    this.#options.observer({ type: "node", change: "suspect", node: member.info.id });
    this.#options.changed(false);
  }

  /** A member has shown that it is alive. */
  trust(member: Member): void {
    member.clearBounces();
    if (!member.suspect) return;
    member.suspect = false;
    this.#options.observer({ type: "node", change: "alive", node: member.info.id });
    this.#options.changed(false);
  }

  #add(member: Member, logged: boolean): void {
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

/** The index of a node among the sorted members, or the one to insert it at. */
function indexOf(sorted: readonly Member[], id: string): number {
  return firstIndex(sorted.length, (index) => sorted[index].info.id < id);
}

// A node in this node's view: its record, and whether its process seems to be there.

/** One node as this node sees it. All times are those of the monotonic clock. */
export class Member {
  readonly info: NodeInfo;
  /** The contracts that it handles. */
  handled: HandledList;
  /** The revision of its record. */
  readonly revision: number;
  /** It has not answered lately: requests prefer other nodes. */
  suspect = false;
  /** When the first frame bounced since the node last showed that it is alive; -1 for none. */
  bouncedAt = -1;
  /** When a node on another server last reported that frames to it bounce there; -1 for never. */
  accusedAt = -1;
  /** How its record has gone, if it has: it stays in the view as long as it answers pings. */
  recordGone: "expire" | "vanish" | undefined;

  constructor(info: NodeInfo, revision: number, handled: HandledList) {
    // replicas write equal lists: all members share one
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

  /** Earlier bounces no longer count. */
  clearBounces(): void {
    this.bouncedAt = this.accusedAt = -1;
  }
}

// Which contracts the nodes handle. Equal lists are kept once: replicas handle the same contracts, and write their
// records again every few seconds.

/** The lists of all nodes. */
export class HandledLists {
  readonly #unhandled: (name: string) => void;
  /** By their joined names and kinds. */
  readonly #lists: Map<string, HandledList> = new Map();
  /** Number of nodes that handle each contract. */
  readonly #nodes: Map<string, number> = new Map();
  /** Number of those that handle it as a command of an entity. */
  readonly #ofEntities: Map<string, number> = new Map();
  /** Contracts that no node handles now, and that the last one handled as a command of an entity. */
  readonly #wereOfEntities: Set<string> = new Set();

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
    if (list === undefined) this.#lists.set(text, list = new HandledList(info, text));
    list.nodes++;
    for (const name of list.kinds.keys()) this.#nodes.set(name, this.count(name) + 1);
    for (const name of entities ?? []) this.#ofEntities.set(name, (this.#ofEntities.get(name) ?? 0) + 1);
    return list;
  }

  /** A node handles these no longer. */
  release(list: HandledList): void {
    if (--list.nodes === 0) this.#lists.delete(list.text);
    for (const name of list.entities ?? []) {
      const left = this.#ofEntities.get(name)! - 1; // `retain` has counted it
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
    // a node may announce other names again and again
    for (const oldest of this.#wereOfEntities) {
      if (this.#wereOfEntities.size <= MOST_REMEMBERED) break;
      this.#wereOfEntities.delete(oldest);
    }
  }

  /** As {@link MembershipView.ofEntity}. */
  ofEntity(name: string): boolean {
    const nodes = this.#nodes.get(name);
    return nodes === undefined ? this.#wereOfEntities.has(name) : nodes === this.#ofEntities.get(name);
  }

  /** Number of nodes that handle a contract. */
  count(name: string): number {
    return this.#nodes.get(name) ?? 0;
  }
}

const MOST_REMEMBERED = 4_096;

/** Contracts that a node handles, as its record says. */
type Handling =
  & Pick<NodeInfo, "handles" | "kinds" | "subscriptions" | "entities">
  & Partial<Pick<NodeInfo, "service">>;

/** The contracts that one or more nodes handle; the lists as the record has them, frozen. */
class HandledList {
  readonly names: readonly string[];
  readonly subscriptions: readonly string[] | undefined;
  readonly entities: readonly string[] | undefined;
  readonly text: string;
  /** How many nodes. */
  nodes = 0;
  /**
   * Contracts, the internal ones of subscriptions too, and their kinds; `undefined` where the record does not say.
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

/** By the letters of a record. */
const KINDS: Readonly<Record<string, Kind>> = { c: "command", q: "query", e: "event", s: "stream" };

// What `app.watchNodes()` returns: the changes of a membership as an async iterator.

/** Iterates over the changes since it was made, until `return` is called or the signal aborts. */
export class NodeWatch implements AsyncIterableIterator<NodeChange> {
  #events: NodeChange[] = [];
  #waiting: ((result: IteratorResult<NodeChange>) => void)[] = [];
  readonly #end: () => void;
  #ended = false;

  /** `watch` calls back at every change, until the function that it returns is called. */
  constructor(watch: (onEvent: (event: NodeChange) => void) => () => void, signal: AbortSignal) {
    const off = watch((event) => {
      const next = this.#waiting.shift();
      if (next !== undefined) return next({ done: false, value: event });
      // the latest record replaces one that was not read: renewals must not pile up for a reader that is slow
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
