/**
 * Candidates: the nodes that may handle a request, and the one among them that the contract's strategy picks.
 * Candidates are the nodes that are not suspect, whose breakers are closed, and that have not failed this call; failing
 * these, the suspect ones; failing these, all.
 */
import type { AnyContract, Kind } from "../../contract/contract.ts";
import { ownShapeFirst, type ShapedNode, shapeName, untriedNodes } from "../../contract/shape_rules.ts";
import type { NodeInfo, Route, RouteName, Strategy } from "../../contract/node_info.ts";
import { disown, show } from "../../data/checks.ts";
import { wrongKind } from "../../dispatch/outcome.ts";
import type { CatgaError } from "../../error.ts";
import type { Clock, Random, Timer } from "../../ports/clock.ts";
import { Breaker, type BreakerOptions } from "./breaker.ts";
import type { Call } from "../wire/call.ts";
import type { Endpoint } from "../wire/endpoint.ts";
import { weight } from "../../data/rendezvous_hash.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Peer } from "../wire/peer.ts";

/** A node as the membership knows it. */
export interface KnownNode {
  readonly info: NodeInfo;
  /** It did not answer lately: others are preferred. */
  readonly suspect: boolean;
  /** The contracts that it handles, with their kinds as far as they are known. */
  readonly handled: { readonly kinds: ReadonlyMap<string, Kind | undefined> };
}

/** Dependencies of the choice. */
interface CandidatesOptions {
  /** The id of this node. */
  readonly self: string;
  readonly endpoint: Endpoint;
  readonly random: Random;
  readonly breakers: Breakers;
  /** Number of requests of this process without a result. */
  underWay(): number;
  /** The nodes as the membership has them now, this one included. */
  members(): readonly KnownNode[];
  readonly shapes: KnownShapes;
}

/** Shapes of contracts, as this node knows them. */
export interface KnownShapes {
  /** On a node; `undefined`: unknown. */
  of(node: NodeInfo, name: string): string | undefined;
  /** Of a contract of this program; `undefined`: unknown. */
  own(contract: AnyContract): string | undefined;
}

/** The nodes that handle a contract. */
interface ContractNodes {
  /** Kind of the contract on all of them; `undefined` if none says, `"mixed"` if they differ. */
  readonly kind: Kind | "mixed" | undefined;
  /** All of them. */
  readonly all: readonly NodeInfo[];
  /** Nodes whose breakers let requests through. */
  readonly allowed: readonly NodeInfo[];
  /** Allowed nodes that are not suspect. */
  readonly trusted: readonly NodeInfo[];
  /** The trusted; when every one is suspect, the allowed. */
  readonly preferred: readonly NodeInfo[];
  /** The shapes of the contract by node, if they differ. */
  readonly shapes: ReadonlyMap<string, string | undefined> | undefined;
}

/** The candidates of one node's requests. */
export class Candidates {
  readonly #options: CandidatesOptions;
  readonly #host: StrategyHost;
  readonly #tables: Map<string, ContractNodes> = new Map();
  /** The ids of the nodes whose breakers are open. */
  #blocked: ReadonlySet<string> = new Set();
  readonly #strategies: Map<string, { route: unknown; strategy: Strategy }> = new Map();
  /** The membership or a breaker has changed since the tables were made. */
  #stale = false;

  constructor(options: CandidatesOptions) {
    this.#options = options;
    const { random, endpoint, underWay } = options;
    this.#host = {
      random,
      underWay,
      turn: () => endpoint.turn,
      load: (node) => {
        const peer = endpoint.peer(node.endpoint);
        const listed = peer.lastSeenAt < 0 ? node.load.inFlight + node.load.queued : 0;
        return peer.ledger.outstanding + Math.max(peer.load, listed);
      },
    };
  }

  /** The membership or a breaker has changed: the tables are made anew at the next request, once for many changes. */
  refresh(): void {
    this.#stale = true;
  }

  /** Every node that handles a contract. */
  handling(name: string): readonly NodeInfo[] {
    return this.#table(name)?.all ?? [];
  }

  /** Returns true if a trusted node other than this one handles a contract. */
  trustedBesides(name: string, node: string): boolean {
    return this.#table(name)?.trusted.some(({ id }) => id !== node) ?? false;
  }

  /** Returns true if a node that handles a contract is neither suspect nor behind an open breaker. */
  reachable(name: string): boolean {
    return (this.#table(name)?.trusted.length ?? 0) > 0;
  }

  /** The candidates of a call. */
  of(call: Call): readonly NodeInfo[] {
    const { request, failedOn } = call;
    const { name, kind } = request.contract;
    const known = this.#table(name);
    if (known === undefined) return [];
    const ofKind = known.kind === kind || known.kind === undefined ? known : this.#tableOf(name, kind);
    const ofShapes = ofKind.shapes === undefined ? ofKind : this.#ofShapes(ofKind, ofKind.shapes, call);
    const table = call.refusedByVersions === undefined ? ofShapes : otherVersions(ofShapes, call.refusedByVersions);
    if (request.node !== undefined) return table.all.filter(({ id }) => id === request.node);
    if (table.allowed.length === 0) return table.all; // each of them refuses it, which counts as an attempt
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
   * A table without the nodes whose shapes have refused a call; of the others those of its own shape are preferred,
   * unless its key, or a strategy of the user's, chooses the node.
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
    const isChosenByKey = typeof route === "function" || route === "hash" || contract.options.ordered;
    const own = isChosenByKey ? undefined : this.#options.shapes.own(contract);
    return {
      ...{ ...table, all, allowed, trusted },
      preferred: own === undefined ? preferred : ownShapeFirst(shaped(preferred), own).map(({ info }) => info),
    };
  }

  /**
   * The input schema of a node refused a call: so do all nodes with the shape of that node. `ofStored`: its version
   * refused what is stored of the call's entity.
   */
  refused(call: Call, node: string, ofStored = false): void {
    const { name } = call.request.contract;
    const info = this.handling(name).find(({ id }) => id === node);
    if (ofStored) return void (call.refusedByVersions ??= new Set()).add(versionOf(info ?? { id: node }));
    const shape = info && this.#options.shapes.of(info, name);
    (call.refusedBy ??= new Set()).add(shapeName({ id: node, shape }));
  }

  /** The name of this node's shape of a contract, if nodes with others handle it, too. */
  shapeBesideOthers({ name }: AnyContract): string | undefined {
    const { self } = this.#options;
    const shapes = this.#table(name)?.shapes;
    return shapes && shapeName({ id: self, shape: shapes.get(self) });
  }

  /** The nodes whose shapes have not refused this call. */
  unrefused(call: Call): readonly ShapedNode[] {
    const { request: { contract: { name, kind } }, refusedBy = new Set(), refusedByVersions } = call;
    const { shapes, members } = this.#options;
    const nodes = members().flatMap(({ info, handled }) => {
      const known = handled.kinds.has(name) && (handled.kinds.get(name) ?? kind) === kind;
      return known && !refusedByVersions?.has(versionOf(info)) ? [{ id: info.id, shape: shapes.of(info, name) }] : [];
    });
    return untriedNodes(nodes, refusedBy);
  }

  /** Returns `true` for a candidate that has not failed this call. */
  untried(call: Call): boolean {
    return this.of(call).some(({ id }) => !call.failedOn?.has(id));
  }

  /** Why a call has no candidates although nodes handle its contract's name: there it is another kind of message. */
  otherKind({ request: { contract: { name, kind }, node } }: Call): CatgaError | undefined {
    for (const { info, handled } of this.#options.members()) {
      const other = handled.kinds.get(name);
      if (other === undefined || other === kind || (node !== undefined && info.id !== node)) continue;
      return wrongKind(kind, name, other, info.id);
    }
    return undefined;
  }

  /**
   * The one of these candidates, at least one, that gets the call; `undefined` when the user's strategy picks none.
   * Throws what such a strategy throws, and a TypeError when it picks another node.
   */
  choose({ request, attempt }: Call, candidates: readonly NodeInfo[]): NodeInfo | undefined {
    const { contract, route, key, admit, node } = request;
    if (node !== undefined) return candidates[0];
    if (candidates.length === 1 && typeof route === "string") return candidates[0];
    const { self } = this.#options;
    if (admit !== undefined && (route === "round-robin" || route === "random")) {
      // NATS has picked already: this node
      const own = candidates.find(({ id }) => id === self);
      if (own !== undefined) return own;
    }
    let known = this.#strategies.get(contract.name);
    if (known?.route !== route) {
      known = { route, strategy: strategyOf(route, this.#host) };
      this.#strategies.set(contract.name, known);
    }
    // a program's own may sort or shorten the array, which is that of all requests
    const nodes = typeof route === "function" ? [...candidates] : candidates;
    const chosen = known!.strategy(nodes, key === undefined ? { self, attempt } : { key, self, attempt });
    if (chosen === undefined || candidates.includes(chosen)) return chosen;
    disown(chosen);
    throw new TypeError(
      `the strategy of ${contract.name} picked a node that is not one of its candidates: ${show(chosen)}`,
    );
  }

  /** Made on demand: most contracts are not sent between one change of the membership and the next. */
  #table(name: string): ContractNodes | undefined {
    if (this.#stale) this.#update();
    const known = this.#tables.get(name);
    if (known !== undefined) return known;
    const table = this.#tableOf(name);
    if (table.all.length === 0) return undefined;
    this.#tables.set(name, table);
    return table;
  }

  /** The nodes that handle a contract; with a kind, without those where it is another one. */
  #tableOf(name: string, wanted?: Kind): ContractNodes {
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
      if (!suspect) trusted.push(info);
    }
    const kind = kinds.size > 1 ? "mixed" : [...kinds][0];
    const preferred = trusted.length > 0 ? trusted : allowed;
    return { kind, all, allowed, trusted, preferred, shapes: this.#shapesOf(name, all) };
  }

  /** The shapes of a contract on these nodes; `undefined` if they are the same. */
  #shapesOf(name: string, nodes: readonly NodeInfo[]): ReadonlyMap<string, string | undefined> | undefined {
    if (nodes.every(({ shapes }) => shapes === undefined)) return undefined;
    const shapes = new Map(nodes.map((info) => [info.id, this.#options.shapes.of(info, name)]));
    return new Set(shapes.values()).size > 1 ? shapes : undefined;
  }

  /** Reads the breakers anew, and drops the tables. */
  #update(): void {
    this.#stale = false;
    const { self, endpoint, breakers, members } = this.#options;
    const blocked = new Set<string>();
    for (const { info, suspect } of members()) {
      const peer = endpoint.find(info.endpoint);
      if (!suspect) breakers.succeeded(peer); // each failure makes a node suspect: it has been seen alive since
      if (info.id !== self && !breakers.allows(peer)) blocked.add(info.id);
    }
    this.#blocked = blocked;
    this.#tables.clear();
  }
}

/** The version of a node: the hash of all its shapes; if it has none, that of no other node. */
function versionOf({ id, shapes }: Pick<NodeInfo, "id" | "shapes">): string {
  return shapes ?? `?${id}`;
}

/** A table without the nodes of these versions. */
function otherVersions(table: ContractNodes, versions: ReadonlySet<string>): ContractNodes {
  const left = (nodes: readonly NodeInfo[]) => nodes.filter((info) => !versions.has(versionOf(info)));
  const [all, allowed, trusted] = [left(table.all), left(table.allowed), left(table.trusted)];
  return { ...table, all, allowed, trusted, preferred: trusted.length > 0 ? trusted : allowed };
}

// The built-in strategies, each a function of its candidates; one instance for each contract, so that their turns do
// not mix.

/** Information for strategies. */
export interface StrategyHost {
  readonly random: Random;
  /** A number that stays the same for the sends of one turn of the event loop. */
  turn(): number;
  /** Number of requests of this process without a result. */
  underWay(): number;
  /** How much is under way at a node, as far as this process knows. */
  load(node: NodeInfo): number;
}

/** The strategy that a route names, or is. */
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
 * The next in turn. Within one turn of the event loop, once more than 32 are sent, runs of 32 go to one node: full
 * frames have 1.5 to 2 times the rate (docs/internals/measurements.md). While more than 32 for each candidate are under
 * way, runs begin with the turn: the requests that follow one turn's answers are then sent in one frame again.
 */
function roundRobin({ random, turn, underWay }: StrategyHost): Strategy {
  let next = Math.floor(random() * 65_536); // many senders must not begin with the same node
  let current = -1;
  let sent = 0;
  let left = 0; // of a run
  return (candidates) => {
    const now = turn();
    if (now !== current) {
      current = now;
      sent = left = 0;
    }
    if (left > 0) left--;
    else {
      next = (next + 1) % 65_536;
      if (sent >= RUN || underWay() > RUN * candidates.length) left = RUN - 1;
    }
    sent++;
    return candidates[next % candidates.length];
  };
}

const RUN = 32;

/** This node when it is among the candidates, else the next in turn. */
function localFirst(host: StrategyHost): Strategy {
  const others = roundRobin(host);
  return (candidates, request) => candidates.find(({ id }) => id === request.self) ?? others(candidates, request);
}

/** The candidate with the highest weight for the key: a join or leave moves 1/n of the keys. */
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

/** The less loaded of two drawn at random (Mitzenmacher, The Power of Two Choices, 2001). */
function leastLoaded({ random, load }: StrategyHost): Strategy {
  return (candidates) => {
    const first = Math.floor(random() * candidates.length);
    const second = (first + 1 + Math.floor(random() * (candidates.length - 1))) % candidates.length;
    return load(candidates[second]) < load(candidates[first]) ? candidates[second] : candidates[first];
  };
}

function random({ random }: StrategyHost): Strategy {
  return (candidates) => candidates[Math.floor(random() * candidates.length)];
}

// The breakers of this process, one for each other process; made at the first failed delivery to it.

/** Dependencies of breakers on the router that they belong to. */
interface BreakersOptions extends BreakerOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** The nodes as the membership has them now. */
  members(): readonly KnownNode[];
  /** A breaker allows requests now, or does not any more. */
  changed(): void;
}

/** All of them. */
export class Breakers {
  readonly #options: BreakersOptions;
  /** Breakers of processes that a delivery has failed to; they are forgotten with their peers. */
  readonly #breakers: WeakMap<Peer, Breaker> = new WeakMap();
  /** True if there has been one: most nodes never need any. */
  #any = false;
  /** The ends of cooldowns. */
  readonly #timers: Set<Timer> = new Set();
  #closed = false;

  constructor(options: BreakersOptions) {
    this.#options = options;
  }

  /** Returns true if a request may be sent there now. */
  allows(peer: Peer | undefined): boolean {
    return this.#of(peer)?.allows ?? true;
  }

  /**
   * Called before a request is sent; `false`: it must not be. In the half-open state it is the trial, and the only one.
   */
  passes(peer: Peer): boolean {
    const breaker = this.#of(peer);
    if (breaker === undefined) return true;
    if (!breaker.allows) return false;
    if (breaker.state === "half-open") {
      breaker.sent();
      this.#options.changed();
    }
    return true;
  }

  /** The process has answered, or shown that it is alive. */
  succeeded(peer: Peer | undefined): void {
    this.#of(peer)?.succeeded();
  }

  /** A delivery has failed. */
  failed(peer: Peer): void {
    let breaker = this.#of(peer);
    if (breaker === undefined) {
      this.#breakers.set(peer, breaker = this.#make(peer));
      this.#any = true;
    }
    breaker.failed();
  }

  #of(peer: Peer | undefined): Breaker | undefined {
    return this.#any && peer !== undefined ? this.#breakers.get(peer) : undefined;
  }

  #make(peer: Peer): Breaker {
    const { clock, observer, members, changed, cooldown } = this.#options;
    return new Breaker(this.#options, clock, (state) => {
      // of a process that has left nobody would report that it is closed again
      const isMember = members().some(({ info }) => info.endpoint === peer.endpoint);
      if (isMember) observer({ type: "breaker", node: peer.node, state });
      if (state === "open" && !this.#closed) {
        const timer = clock.after(cooldown, () => {
          this.#timers.delete(timer);
          this.allows(peer); // moves it to half-open
          changed();
        }, { background: true });
        this.#timers.add(timer);
      }
      changed();
    });
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}
