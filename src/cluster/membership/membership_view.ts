/**
 * The nodes of the cluster as this node sees them: the members, sorted by id and found by id or endpoint, and the
 * events that follow a change. `membership.ts` decides what makes a node a member, and what ends its membership.
 */
import type { NodeChange, NodeInfo } from "../../contract/node_info.ts";
import type { Observer } from "../../contract/observer.ts";
import { firstIndex } from "../../data/binary_search.ts";
import { Member } from "./member.ts";
import { HandledLists } from "./handled_lists.ts";

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
    this.#add(new Member(info, revision, this.#handled.retain(info)), logged);
  }

  /** Adds a removed member again, because it has shown that it is alive. */
  restore(member: Member): void {
    member.suspect = false;
    member.clearBounces();
    member.handled = this.#handled.retain(member.info);
    this.#add(member, true);
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

/** Returns the index of a node among the sorted members, or the index at which to insert it. */
function indexOf(sorted: readonly Member[], id: string): number {
  return firstIndex(sorted.length, (index) => sorted[index].info.id < id);
}
