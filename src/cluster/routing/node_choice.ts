/**
 * Candidates: the nodes that may handle a request, and the choice among them by the contract's routing strategy.
 * Candidates are the nodes that handle the contract, whose circuit breakers allow requests, and on which this call has
 * not failed; suspect ones (after a bounce or an unanswered ping), and ones whose program says that they are not ready,
 * only if there are no others. If no breaker allows requests, all nodes that handle the contract are candidates.
 */
import type { AnyContract, Kind } from "../../contract/declaration/contract.ts";
import { ownShapeFirst, type ShapedNode, shapeName, untriedNodes } from "../../contract/schemas/shape_rules.ts";
import type { NodeInfo, Route, RouteName, Strategy } from "../../contract/nodes/node_info.ts";
import { disown, show } from "../../data/checks.ts";
import { wrongKind } from "../../dispatch/outcome.ts";
import type { CatgaError } from "../../error.ts";
import type { Clock, Random } from "../../ports/clock.ts";
import type { Call } from "../wire/call.ts";
import type { Endpoint } from "../wire/endpoint.ts";
import type { Breakers, KnownNode } from "./breakers.ts";
import { Fifo } from "../../data/fifo.ts";
import { weight } from "../../data/rendezvous_hash.ts";

/** Dependencies of {@link Candidates} on the router. */
interface CandidatesOptions {
  /** The id of this node. */
  readonly self: string;
  readonly endpoint: Endpoint;
  readonly random: Random;
  readonly clock: Pick<Clock, "monotonic">;
  readonly breakers: Breakers;
  /** Returns why this node is not ready; `undefined`: it is ready. */
  ownUnready(): string | undefined;
  /** Returns the number of requests of this process without a result. */
  underWay(): number;
  /** Returns the present members of the cluster, this node included. */
  members(): readonly KnownNode[];
  readonly shapes: KnownShapes;
}

/** Shapes of contracts (hashes of schemas and options), as this node knows them. */
export interface KnownShapes {
  /** Returns the shape that a contract has on a node; `undefined`: this node does not know the shape. */
  of(node: NodeInfo, name: string): string | undefined;
  /** Returns the shape of this program's own contract; `undefined`: it has none. */
  own(contract: AnyContract): string | undefined;
}

/** The nodes that handle one contract, in groups. */
interface ContractNodes {
  /**
   * Kind of the contract on these nodes; `undefined` if no node's record names the kind, `"mixed"` if the nodes have
   * different kinds.
   */
  readonly kind: Kind | "mixed" | undefined;
  /** All nodes that handle the contract. */
  readonly all: readonly NodeInfo[];
  /** Nodes whose circuit breakers allow requests. */
  readonly allowed: readonly NodeInfo[];
  /** Nodes of `allowed` that are ready, and not suspect (no bounce, no unanswered ping). */
  readonly trusted: readonly NodeInfo[];
  /** The trusted nodes; if there are none, the allowed nodes. */
  readonly preferred: readonly NodeInfo[];
  /** Shapes of the contract (hashes of its versions) by node id; `undefined` if all nodes have the same version. */
  readonly shapes: ReadonlyMap<string, string | undefined> | undefined;
}

/** Finds and chooses the candidates for this node's requests. */
export class Candidates {
  readonly #options: CandidatesOptions;
  readonly #host: StrategyHost;
  readonly #tables: Map<string, ContractNodes> = new Map();
  /** Ids of the nodes whose circuit breakers are open. */
  #blocked: ReadonlySet<string> = new Set();
  readonly #strategies: Map<string, { route: unknown; strategy: Strategy }> = new Map();
  /** By node id: when its handlers have failed calls of this process. Empty unless one fails. */
  readonly #failures: Map<string, Fifo<number>> = new Map();
  /** True if the membership or a breaker has changed since the groups of nodes were computed. */
  #stale = false;

  constructor(options: CandidatesOptions) {
    this.#options = options;
    const { random, endpoint, underWay } = options;
    this.#host = {
      random,
      underWay,
      turn: () => endpoint.turn.number,
      load: (node) => {
        const peer = endpoint.peer(node.endpoint);
        const listed = peer.lastSeenAt < 0 ? node.load.inFlight + node.load.queued : 0;
        return peer.ledger.outstanding + Math.max(peer.load, listed) + this.#failuresOf(node.id);
      },
    };
  }

  /**
   * Records that a node's handler has failed a call: a node that fails at once, because its database is down, has
   * nothing under way, and would look like the least loaded one.
   */
  failedAt(node: string): void {
    let times = this.#failures.get(node);
    if (times === undefined) {
      // removes old entries: for a node that has left, `load` is not called again, which would remove them
      for (const other of this.#failures.keys()) this.#failuresOf(other);
      this.#failures.set(node, times = new Fifo());
    }
    if (times.size < MAX_FAILURES) times.push(this.#options.clock.monotonic());
  }

  /** Returns the number of calls that a node's handlers have failed in the last second. */
  #failuresOf(node: string): number {
    const times = this.#failures.get(node);
    if (times === undefined) return 0;
    const since = this.#options.clock.monotonic() - FAILURE_AGE;
    while (times.size > 0 && times.at(0)! <= since) times.shift();
    if (times.size === 0) this.#failures.delete(node);
    return times.size;
  }

  /** Lets the next request compute the groups of nodes again. Called when the membership or a breaker has changed. */
  refresh(): void {
    this.#stale = true;
  }

  /** Returns every node that handles a contract. */
  handling(name: string): readonly NodeInfo[] {
    return this.#table(name)?.all ?? [];
  }

  /** Returns true if a node other than `node` handles the contract and is trusted (not suspect, breaker closed). */
  trustedBesides(name: string, node: string): boolean {
    return this.#table(name)?.trusted.some(({ id }) => id !== node) ?? false;
  }

  /** Returns true if a trusted node (not suspect, breaker closed) handles the contract. */
  reachable(name: string): boolean {
    return (this.#table(name)?.trusted.length ?? 0) > 0;
  }

  /** Returns the candidates of a call: the nodes that may handle it. */
  of(call: Call): readonly NodeInfo[] {
    const { request, failedOn, refusedBy } = call;
    const { name, kind } = request.contract;
    const known = this.#table(name);
    if (known === undefined) return [];
    const ofKind = known.kind === kind || known.kind === undefined ? known : this.#tableOf(name, kind);
    const shapes = ofKind.shapes ?? (refusedBy && this.#shapesBy(name, ofKind.all));
    const ofShapes = shapes === undefined ? ofKind : this.#ofShapes(ofKind, shapes, call);
    const table = call.refusedByVersions === undefined ? ofShapes : otherVersions(ofShapes, call.refusedByVersions);
    if (request.node !== undefined) return table.all.filter(({ id }) => id === request.node);
    // all breakers are open: sending to any of the nodes is refused, which counts as an attempt
    if (table.allowed.length === 0) return table.all;
    const { self, endpoint } = this.#options;
    if (!endpoint.connected) {
      const own = table.all.filter(({ id }) => id === self);
      if (own.length > 0) return own;
    }
    if (failedOn === undefined) return table.preferred;
    const untried = table.preferred.filter(({ id }) => !failedOn.has(id));
    return untried.length > 0 ? untried : table.allowed.filter(({ id }) => !failedOn.has(id));
  }

  /**
   * Returns the groups of nodes without the nodes whose versions (shapes) of the contract have refused the call. Nodes
   * with this node's own version are preferred, unless the call's key, or the user's routing strategy, chooses a node.
   */
  #ofShapes(
    table: ContractNodes,
    shapes: ReadonlyMap<string, string | undefined>,
    { request, refusedBy }: Call,
  ): ContractNodes {
    const { contract, route, node } = request;
    if (node !== undefined) return table;
    const shaped = (nodes: readonly NodeInfo[]) =>
      nodes.map((info) => ({ id: info.id, shape: shapes.get(info.id), info }));
    const left = (nodes: readonly NodeInfo[]) =>
      refusedBy === undefined ? nodes : untriedNodes(shaped(nodes), refusedBy).map(({ info }) => info);
    const [all, allowed, trusted] = [left(table.all), left(table.allowed), left(table.trusted)];
    const preferred = trusted.length > 0 ? trusted : allowed;
    const isChosenByKey = typeof route === "function" || route === "hash";
    const own = isChosenByKey ? undefined : this.#options.shapes.own(contract);
    return {
      ...{ ...table, all, allowed, trusted },
      preferred: own === undefined ? preferred : ownShapeFirst(shaped(preferred), own).map(({ info }) => info),
    };
  }

  /**
   * Records that the input schema of a node has refused a call: nodes with the same version (shape) of the contract are
   * no longer candidates. `ofStored`: the node refused the stored state or events of the call's entity, so no node with
   * the same versions of all contracts is a candidate.
   */
  refused(call: Call, node: string, ofStored = false): void {
    const { name } = call.request.contract;
    const info = this.handling(name).find(({ id }) => id === node);
    if (ofStored) return void (call.refusedByVersions ??= new Set()).add(versionOf(info ?? { id: node }));
    const shape = info && this.#options.shapes.of(info, name);
    (call.refusedBy ??= new Set()).add(shapeName({ id: node, shape }));
  }

  /**
   * Returns the name of this node's shape of a contract, if nodes with other versions handle the contract, too; else
   * `undefined`.
   */
  shapeBesideOthers({ name }: AnyContract): string | undefined {
    const { self } = this.#options;
    const shapes = this.#table(name)?.shapes;
    return shapes && shapeName({ id: self, shape: shapes.get(self) });
  }

  /**
   * Returns a random node of `service` that handles another version of a contract than this node does; nodes that are
   * not suspect are preferred. `undefined`: there is none.
   */
  ofAnotherVersion(contract: AnyContract, service: string): NodeInfo | undefined {
    const { self, random } = this.#options;
    const nodes = this.#shapedMembers(contract).filter(({ info }) => info.service === service);
    const own = nodes.find(({ id }) => id === self);
    const others = untriedNodes(nodes, new Set(own && [shapeName(own)]));
    const trusted = others.filter(({ suspect }) => !suspect);
    const candidates = trusted.length > 0 ? trusted : others;
    return candidates[Math.floor(random() * candidates.length)]?.info;
  }

  /** Returns the nodes whose versions (shapes) of the contract have not refused this call. */
  unrefused(call: Call): readonly ShapedNode[] {
    const { request: { contract }, refusedBy = new Set(), refusedByVersions } = call;
    const nodes = this.#shapedMembers(contract).filter(({ info }) => !refusedByVersions?.has(versionOf(info)));
    return untriedNodes(nodes, refusedBy);
  }

  /** Returns the members that handle a contract, each with its shape of the contract. */
  #shapedMembers({ name, kind }: AnyContract) {
    const { shapes, members } = this.#options;
    return members().flatMap(({ info, suspect, handled }) => {
      const known = handled.kinds.has(name) && (handled.kinds.get(name) ?? kind) === kind;
      return known ? [{ id: info.id, shape: shapes.of(info, name), info, suspect }] : [];
    });
  }

  /** Returns true if the call has a candidate on which it has not failed. */
  untried(call: Call): boolean {
    return this.of(call).some(({ id }) => !call.failedOn?.has(id));
  }

  /**
   * Returns the error for a call whose contract's name belongs to another kind of message on the nodes that handle
   * it; `undefined`: it does not.
   */
  otherKind({ request: { contract: { name, kind }, node } }: Call): CatgaError | undefined {
    for (const { info, handled } of this.#options.members()) {
      const other = handled.kinds.get(name);
      if (other === undefined || other === kind || (node !== undefined && info.id !== node)) continue;
      return wrongKind(kind, name, other, info.id);
    }
    return undefined;
  }

  /**
   * Chooses the candidate that gets the call, of at least one. Returns `undefined` if the user's routing strategy
   * picks none. Throws any error of that strategy, and a `TypeError` if it picks a node that is no candidate.
   */
  choose({ request, attempt }: Call, candidates: readonly NodeInfo[]): NodeInfo | undefined {
    const { contract, route, key, admit, node } = request;
    if (node !== undefined) return candidates[0];
    if (candidates.length === 1 && typeof route === "string") return candidates[0];
    const { self } = this.#options;
    if (admit !== undefined && (route === "round-robin" || route === "random")) {
      // a request of a plain NATS client stays at this node: NATS has already chosen this node among all nodes with a
      // handler
      const own = candidates.find(({ id }) => id === self);
      if (own !== undefined) return own;
    }
    let known = this.#strategies.get(contract.name);
    if (known?.route !== route) {
      known = { route, strategy: strategyOf(route, this.#host) };
      this.#strategies.set(contract.name, known);
    }
    // a copy, because a user's strategy may sort or shorten the array, which all requests share
    const nodes = typeof route === "function" ? [...candidates] : candidates;
    const chosen = known!.strategy(nodes, key === undefined ? { self, attempt } : { key, self, attempt });
    if (chosen === undefined || candidates.includes(chosen)) return chosen;
    disown(chosen);
    throw new TypeError(
      `the strategy of ${contract.name} picked a node that is not one of its candidates: ${show(chosen)}`,
    );
  }

  /**
   * Returns the groups of nodes that handle a contract; `undefined`: no node does. The groups are computed when needed,
   * because most contracts are not sent between two changes of the membership.
   */
  #table(name: string): ContractNodes | undefined {
    if (this.#stale) this.#update();
    const known = this.#tables.get(name);
    if (known !== undefined) return known;
    const table = this.#tableOf(name);
    if (table.all.length === 0) return undefined;
    this.#tables.set(name, table);
    return table;
  }

  /**
   * Computes the groups of nodes that handle a contract; with `wanted`, without nodes where the contract is of
   * another kind.
   */
  #tableOf(name: string, wanted?: Kind): ContractNodes {
    const { self, ownUnready } = this.#options;
    const kinds = new Set<Kind | undefined>();
    const all: NodeInfo[] = [];
    const allowed: NodeInfo[] = [];
    const trusted: NodeInfo[] = [];
    for (const { info, suspect, handled } of this.#options.members()) {
      if (!handled.kinds.has(name)) continue;
      const kind = handled.kinds.get(name);
      if (wanted !== undefined && kind !== undefined && kind !== wanted) continue;
      kinds.add(kind);
      all.push(info);
      if (this.#blocked.has(info.id)) continue;
      allowed.push(info);
      if (!suspect && (info.id === self ? ownUnready() : info.unready) === undefined) trusted.push(info);
    }
    const kind = kinds.size > 1 ? "mixed" : [...kinds][0];
    const preferred = trusted.length > 0 ? trusted : allowed;
    return { kind, all, allowed, trusted, preferred, shapes: this.#shapesOf(name, all) };
  }

  /** Returns the shapes of a contract on these nodes, by node id; `undefined` if all nodes have the same version. */
  #shapesOf(name: string, nodes: readonly NodeInfo[]): ReadonlyMap<string, string | undefined> | undefined {
    if (nodes.every(({ shapes }) => shapes === undefined)) return undefined;
    const shapes = this.#shapesBy(name, nodes);
    return new Set(shapes.values()).size > 1 ? shapes : undefined;
  }

  #shapesBy(name: string, nodes: readonly NodeInfo[]): ReadonlyMap<string, string | undefined> {
    return new Map(nodes.map((info) => [info.id, this.#options.shapes.of(info, name)]));
  }

  /** Reads the state of all breakers, and drops the computed groups of nodes. */
  #update(): void {
    this.#stale = false;
    const { self, endpoint, breakers, members } = this.#options;
    const blocked = new Set<string>();
    for (const { info, suspect } of members()) {
      const peer = endpoint.find(info.endpoint);
      // a failure makes a node suspect, so a node that is not suspect has been alive since its last failure
      if (!suspect) breakers.succeeded(peer);
      if (info.id !== self && !breakers.allows(peer)) blocked.add(info.id);
    }
    this.#blocked = blocked;
    this.#tables.clear();
  }
}

/**
 * Returns the version of a node: one hash of the shapes (versions) of all its contracts; if it has none, a name that
 * only this node has.
 */
function versionOf({ id, shapes }: Pick<NodeInfo, "id" | "shapes">): string {
  return shapes ?? `?${id}`;
}

/** Returns the groups of nodes without the nodes of these versions. */
function otherVersions(table: ContractNodes, versions: ReadonlySet<string>): ContractNodes {
  const left = (nodes: readonly NodeInfo[]) => nodes.filter((info) => !versions.has(versionOf(info)));
  const [all, allowed, trusted] = [left(table.all), left(table.allowed), left(table.trusted)];
  return { ...table, all, allowed, trusted, preferred: trusted.length > 0 ? trusted : allowed };
}

/**
 * Functions that the built-in routing strategies use. Each contract has an instance of its strategy, so that round
 * robin picks the nodes of one contract in turn, however many requests of other contracts are sent.
 */
export interface StrategyHost {
  readonly random: Random;
  /** Returns a number that stays the same for the sends of one turn of the event loop. */
  turn(): number;
  /** Returns the number of requests of this process without a result. */
  underWay(): number;
  /**
   * Returns the load of the node: its requests under way, as far as this process knows, plus the requests of this
   * process that the node has failed in the last second.
   */
  load(node: NodeInfo): number;
}

/** Time for which a failed call counts as load of its node, in ms. */
const FAILURE_AGE = 1_000;
/** Maximum number of failures of a node that are remembered; more would not change the choice. */
const MAX_FAILURES = 1_024;

/** Returns the strategy that a route names, or the route itself if it is a function. */
export function strategyOf(route: Route, host: StrategyHost): Strategy {
  return typeof route === "function" ? route : BUILT_IN[route](host);
}

const BUILT_IN: Record<RouteName, (host: StrategyHost) => Strategy> = {
  "round-robin": roundRobin,
  "local-first": localFirst,
  "hash": hash,
  "least-loaded": leastLoaded,
  "random": random,
};

/**
 * Makes a strategy that picks the candidates in turn. Once more than 32 requests are sent within one turn of the event
 * loop, each candidate gets 32 successive requests at a time: in full frames a node sends 1.5 to 2 times as many
 * requests per second (docs/internals/measurements.md). While more than 32 requests for each candidate are under way,
 * each candidate gets 32 successive requests from the first request of a turn on, so that the requests that follow the
 * answers of one turn share a frame.
 */
function roundRobin({ random, turn, underWay }: StrategyHost): Strategy {
  let next = Math.floor(random() * 65_536); // random: many senders must not begin with the same node
  let current = -1;
  let sent = 0;
  let left = 0; // number of requests left in the present run
  return (candidates) => {
    const now = turn();
    if (now !== current) {
      current = now;
      sent = left = 0;
    }
    if (left > 0) left--;
    else {
      next = (next + 1) % 65_536;
      if (sent >= RUN_LENGTH || underWay() > RUN_LENGTH * candidates.length) left = RUN_LENGTH - 1;
    }
    sent++;
    return candidates[next % candidates.length];
  };
}

const RUN_LENGTH = 32;

/** Makes a strategy that picks this node if it is a candidate, else the next candidate in turn. */
function localFirst(host: StrategyHost): Strategy {
  const others = roundRobin(host);
  return (candidates, request) => candidates.find(({ id }) => id === request.self) ?? others(candidates, request);
}

/**
 * Makes a strategy that picks the candidate with the highest weight for the message's key (rendezvous hashing): when
 * one of n nodes joins or leaves, 1/n of the keys move.
 */
function hash(): Strategy {
  return (candidates, { key }) => {
    if (key === undefined) {
      throw new TypeError(`route "hash" needs a key: give the contract a key function, or the send a key`);
    }
    let best = candidates[0];
    let most = -1;
    for (const candidate of candidates) {
      const weighed = weight(key, candidate.id);
      if (weighed > most || (weighed === most && candidate.id < best.id)) {
        best = candidate;
        most = weighed;
      }
    }
    return best;
  };
}

/**
 * Makes a strategy that picks the less loaded of two random candidates (Mitzenmacher, The Power of Two Choices, 2001).
 */
function leastLoaded({ random, load }: StrategyHost): Strategy {
  return (candidates) => {
    const first = Math.floor(random() * candidates.length);
    const second = (first + 1 + Math.floor(random() * (candidates.length - 1))) % candidates.length;
    return load(candidates[second]) < load(candidates[first]) ? candidates[second] : candidates[first];
  };
}

export function random({ random }: StrategyHost): Strategy {
  return (candidates) => candidates[Math.floor(random() * candidates.length)];
}
