/**
 * The subscriptions of one node: the node stores the first commits of new subscriptions, leads those that it should
 * lead (by the order of nodes in `leader_election.ts`), and watches the others.
 */
import type { SubscriptionHealth } from "../../contract/nodes/node_info.ts";
import { fewAtOnce } from "../../data/gate.ts";
import { CatgaError } from "../../error.ts";
import type { LogReader, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { OnceAMinute, type Timer } from "../../ports/clock.ts";
import { election, repeat } from "../../ports/repeat.ts";
import type { UnderWay } from "../../ports/under_way.ts";
import type { DurableHandler } from "../../dispatch/mediator.ts";
import {
  commitSubject,
  leasePattern,
  overridesSubject,
  readCommitSubject,
  readOverridesSubject,
  readRequestSubject,
  requestSubject,
  subscriptionKey,
} from "../format/names.ts";
import type { LogHost } from "../log_host.ts";
import { type CapableNode, type CapableNodes, capableNodes } from "./leader_election.ts";
import { Leases } from "./leases.ts";
import { type Measured, Measuring } from "./measuring.ts";
import { subscriptionSpecs } from "./spec.ts";
import { LogSubscription } from "./subscription.ts";
import { encodeToken } from "../../data/subject_token.ts";

/** Options of {@link Subscriptions}. */
export interface SubscriptionsOptions {
  readonly host: LogHost;
  /** The stream in which commits, parked messages and requests of all subscriptions are stored. */
  readonly kept: LogStream;
  /** The streams that subscriptions read, each with the node's handlers of its durable contracts. */
  readonly sources: readonly Source[];
  /** Called with each error of a renewal of this node's lease, at most once a second. Must not throw. */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Maximum number of parked messages of a subscription; default 10,000. */
  readonly mostParked?: number | undefined;
  /** Returns the count of a subscription's messages that run at this node; `undefined`, or absent: none ever does. */
  underWay?(service: string, name: string): UnderWay | undefined;
}

/** A stream that subscriptions read, and the handlers of its contracts. */
export interface Source {
  readonly stream: LogStream;
  readonly handlers: Iterable<Pick<DurableHandler, "contract" | "settings">>;
}

/** Leads or watches all subscriptions of one node's handlers. */
export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #all = new Map<string, LogSubscription>();
  readonly #ending = new AbortController();
  #nodes: CapableNodes | undefined;
  #offNodes: (() => void) | undefined;
  #timer: Timer | undefined;
  /** Time of the last tick, by the monotonic clock. */
  #ticked = 0;
  /** True while the next tick may be more than {@link TICK_INTERVAL} away. */
  #rests = false;
  readonly #leases: Leases;
  readonly #measuring = new Map<LogStream, Measuring>();
  #reader: LogReader | undefined;
  #looked = -Infinity;
  /** The last list of subscriptions of which operators have set something, and when it was asked for. */
  #overridden: { readonly keys: Promise<ReadonlySet<string>>; readonly at: number } | undefined;
  readonly #reports: OnceAMinute;
  #offDoubt: (() => void) | undefined;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    const { host, kept, sources, mostParked = 10_000, underWay } = options;
    const { namespace, endpoint, clock, observer } = host;
    this.#reports = new OnceAMinute(clock);
    const leases = this.#leases = new Leases({
      ...{ stream: kept, namespace, endpoint, clock, isAlone: host.isAlone },
      onLost: () => {
        for (const subscription of this.#all.values()) subscription.onLost();
      },
      // without waiting for the next tick: messages have waited for the lease
      onHeld: () => {
        for (const { term } of this.#all.values()) term?.tick(clock.monotonic());
      },
      onFailed: () => this.#wake(),
      fault: (error) => {
        options.onError?.(error);
        this.#fault("renewing the lease of this node", error);
      },
    });
    const onChange = () => this.#wake();
    const overridden = () => this.#listOverridden();
    for (const { stream, handlers } of sources) {
      this.#measuring.set(stream, new Measuring({ stream, namespace, observer, signal: this.#ending.signal }));
      for (const spec of subscriptionSpecs(host.service, handlers)) {
        const key = subscriptionKey(spec.service, spec.name);
        const nodes = () => this.#capable(key);
        this.#all.set(
          key,
          new LogSubscription({ host, stream, kept, leases, mostParked, spec, nodes, underWay, overridden, onChange }),
        );
      }
    }
  }

  /** Health of all subscriptions, as this node sees them. */
  get health(): readonly SubscriptionHealth[] {
    return [...this.#all.values()].map(({ key, spec: { service, name }, stream, term }) => {
      if (term === undefined) {
        return { service, name, state: "following", open: 0, lag: 0, oldest: 0, retrying: 0, dead: 0 };
      }
      // `#measuring` has an entry for each stream
      const lag = this.#measuring.get(stream)!.lag({ key, read: term.read });
      return { service, name, lag, ...term.health(this.#reader?.fault) };
    });
  }

  /**
   * Starts the subscriptions. Resolves when the commits of each one have all categories of this node: messages
   * published from then on are handled. Rejects with a `CatgaError` when the store cannot be reached.
   */
  async start(): Promise<void> {
    if (this.#all.size === 0) return;
    const { host, kept } = this.#options;
    const { signal } = this.#ending;
    this.#offNodes = host.app.onNodes(() => this.#refresh());
    await this.#follow();
    const listed = this.#all.size > MAX_FOLLOWED_RECORDS;
    if (listed) await repeat(() => this.#list(), election(host, signal));
    if (signal.aborted) return;
    // this tick may make this node a leader, for which `ensure` may wait
    this.#tick();
    await fewAtOnce([...this.#all.values()], MAX_CONCURRENT_RECORDS, async (subscription) => {
      await subscription.ensure(signal, listed);
      // this node takes the lead at once if its turn has come
      if (!signal.aborted) subscription.tick(host.clock.monotonic(), this.#beginning < MAX_TAKEOVERS);
    });
    this.#offDoubt = kept.onDoubt(() => this.#look());
  }

  /**
   * Hands over all subscriptions that this node leads, each when this node runs none of its messages, after `patience`
   * ms at the latest; takes no further lead. Never rejects.
   */
  async leave(patience = PATIENCE): Promise<void> {
    await Promise.all([...this.#all.values()].map((subscription) => subscription.leave(patience)));
  }

  /** Ends all subscriptions of this node, without handing them over. */
  close(): void {
    this.#ending.abort(new CatgaError("CLOSED", "the app stops"));
    this.#timer?.cancel();
    this.#offNodes?.();
    this.#offDoubt?.();
    this.#reader?.close();
    for (const subscription of this.#all.values()) subscription.close();
  }

  /** Follows commits, requests, leases and what operators set in the stream in which they are stored, from now on. */
  async #follow(): Promise<void> {
    const { host, kept } = this.#options;
    const { namespace } = host;
    const { signal } = this.#ending;
    const state = await repeat(() => kept.state(), election(host, signal));
    if (signal.aborted) return;
    const services = this.#services;
    // a node with few subscriptions follows only their commits, because busy subscriptions of other nodes commit often
    const keys = this.#all.size <= MAX_FOLLOWED_RECORDS ? this.#all.keys() : services;
    this.#reader = kept.follow({
      subjects: [
        ...[...keys].map((key) => commitSubject(namespace, key)),
        ...[...services].flatMap((all) => [requestSubject(namespace, all, "*"), overridesSubject(namespace, all)]),
        leasePattern(namespace),
      ],
      after: state && { created: state.created, sequence: state.last },
      onMessage: (message) => this.#onMessage(message),
      onStart: ({ lost }) => lost && this.#look(),
      onFault: (error) => this.#fault("following subscriptions", error),
    });
  }

  /** Reads the last commits of all subscriptions at once: each for itself would be a request for each. */
  async #list(): Promise<void> {
    const { host: { namespace }, kept } = this.#options;
    const take = (message: StoredMessage) => {
      const key = readCommitSubject(namespace, message.subject);
      if (key !== undefined) this.#all.get(key)?.onCommit(message);
    };
    await Promise.all([...this.#services].map((all) => kept.lasts(commitSubject(namespace, all), take)));
  }

  /** Patterns of the keys of all subscriptions of the services whose subscriptions this node has. */
  get #services(): ReadonlySet<string> {
    return new Set([...this.#all.values()].map(({ spec: { service } }) => `${encodeToken(service)}.*`));
  }

  /**
   * Lists the keys of the subscriptions that have overrides (see `SubscriptionStoreOptions`): once for all takeovers of
   * a second, as what is set later is followed.
   */
  #listOverridden(): Promise<ReadonlySet<string>> {
    const { host: { namespace, clock }, kept } = this.#options;
    const now = clock.monotonic();
    if (this.#overridden !== undefined && now - this.#overridden.at < LISTED_FOR) return this.#overridden.keys;
    const list = async () => {
      const subjects = await Promise.all(
        [...this.#services].map((all) => kept.subjects(overridesSubject(namespace, all))),
      );
      return new Set(subjects.flat().flatMap((subject) => readOverridesSubject(namespace, subject) ?? []));
    };
    const keys = list();
    this.#overridden = { keys, at: now };
    keys.catch(() => this.#overridden = undefined); // the takeover that awaits it reports the error, and asks again
    return keys;
  }

  /** Number of subscriptions that this node is taking over. */
  get #beginning(): number {
    return [...this.#all.values()].filter(({ begins }) => begins).length;
  }

  get #leads(): boolean {
    return [...this.#all.values()].some(({ leads }) => leads);
  }

  /** Reads the last commits and the requests again, because this node may have missed messages of the stream. */
  #look(): void {
    const now = this.#looked = this.#options.host.clock.monotonic();
    this.#overridden = undefined;
    this.#wake();
    for (const subscription of this.#all.values()) {
      subscription.onDoubt();
      subscription.term?.tick(now); // without a connection it has handed out nothing
    }
    if (this.#leads) this.#leases.tick(now); // the lease may have ended while this node was not connected
  }

  #onMessage(message: StoredMessage): void {
    const { namespace } = this.#options.host;
    const key = readCommitSubject(namespace, message.subject);
    if (key !== undefined) {
      const subscription = this.#all.get(key);
      subscription?.onCommit(message);
      if (subscription !== undefined) this.#wake();
      return this.#takeIfFree(subscription);
    }
    const request = readRequestSubject(namespace, message.subject);
    const overridden = readOverridesSubject(namespace, message.subject);
    if (request !== undefined) this.#all.get(request.key)?.term?.onRequest();
    else if (overridden !== undefined) this.#all.get(overridden)?.term?.onOverrides(message);
    else if (this.#leases.onMessage(message)) this.#wake();
    else this.#prolongRest();
  }

  #fault(during: string, error: unknown): void {
    if (this.#reports.due(during)) this.#options.host.observer({ type: "fault", during, error });
  }

  /** Works every 100 ms, but not while all subscriptions rest. */
  #tick(): void {
    this.#ticked = this.#options.host.clock.monotonic();
    this.#next(this.#ticked);
  }

  /** Sets the time of the next tick: a multiple of 100 ms behind the last one, not before `until`. */
  #next(until: number): void {
    if (this.#ending.signal.aborted) return;
    const { clock } = this.#options.host;
    const ticks = Math.max(1, Math.ceil((until - this.#ticked) / TICK_INTERVAL));
    this.#rests = ticks > 1;
    const background = ![...this.#all.values()].some(({ busy }) => busy);
    const due = this.#ticked + ticks * TICK_INTERVAL;
    this.#timer = clock.after(Math.max(0, due - clock.monotonic()), () => {
      if (this.#ending.signal.aborted) return;
      this.#ticked = clock.monotonic();
      this.#rests = false;
      try {
        this.#work();
      } finally {
        this.#next(this.#restsUntil());
      }
    }, { background });
  }

  /** Ends a rest, because there is something to do: the next tick comes within 100 ms. */
  #wake(): void {
    if (!this.#rests) return;
    this.#timer?.cancel();
    this.#next(this.#options.host.clock.monotonic());
    this.#rests = false;
  }

  /** Prolongs a rest, because a leader has renewed its lease; not for many subscriptions, because it looks at all. */
  #prolongRest(): void {
    if (!this.#rests || this.#all.size > MAX_FOLLOWED_RECORDS) return;
    this.#timer?.cancel();
    this.#next(this.#restsUntil());
  }

  /** Returns the time until which there is nothing to do, by the monotonic clock, unless something happens. */
  #restsUntil(): number {
    if (this.#reader === undefined || this.#reader.fault !== undefined) return this.#ticked;
    let until = this.#ticked + MAX_REST;
    for (const subscription of this.#all.values()) {
      until = Math.min(until, subscription.restsUntil(this.#ticked));
      if (subscription.leads) until = Math.min(until, this.#leases.renewsAt);
      if (until <= this.#ticked) break;
    }
    return until;
  }

  #work(): void {
    const now = this.#options.host.clock.monotonic();
    let beginning = this.#beginning;
    for (const subscription of this.#all.values()) {
      const began = subscription.begins;
      subscription.tick(now, beginning < MAX_TAKEOVERS);
      if (!began && subscription.begins) beginning++;
    }
    if (this.#leads) this.#leases.tick(now);
    if (this.#reader?.fault !== undefined && now - this.#looked > LOOK_INTERVAL) this.#look();
    for (const [stream, measuring] of this.#measuring) measuring.tick(now, this.#measured(stream));
  }

  #measured(stream: LogStream): readonly Measured[] {
    return [...this.#all.values()].flatMap(({ key, spec: { categories }, stream: own, term }) =>
      own === stream && term !== undefined ? [{ key, categories: categories.keys(), read: term.read }] : []
    );
  }

  #capable(key: string): readonly CapableNode[] {
    // looked up at each tick of each subscription: it must not go through all subscriptions
    if (this.#nodes === undefined) {
      const { node, endpoint, app } = this.#options.host;
      const specs = [...this.#all.values()].map(({ spec }) => spec);
      this.#nodes = capableNodes({ node, endpoint, nodes: app.nodes() }, specs);
    }
    return this.#nodes.get(key) ?? [];
  }

  #refresh(): void {
    this.#nodes = undefined;
    this.#wake();
    for (const subscription of this.#all.values()) {
      subscription.term?.refresh();
      this.#takeIfFree(subscription);
    }
  }

  /** Takes the lead of a subscription that was handed over if it is this node's turn, without waiting for a tick. */
  #takeIfFree(subscription: LogSubscription | undefined): void {
    if (subscription?.free !== true || this.#timer === undefined) return;
    subscription.tick(this.#options.host.clock.monotonic(), this.#beginning < MAX_TAKEOVERS);
  }
}

const TICK_INTERVAL = 100; // ms
/** Maximum time between two ticks while there is nothing to do, in ms. */
const MAX_REST = 1_000;
/**
 * Maximum number of subscriptions whose commits are followed one by one; with more, all commits of their services are
 * followed, and a rest is not prolonged.
 */
const MAX_FOLLOWED_RECORDS = 32;
/** Maximum number of subscriptions whose first commits are stored at once. */
const MAX_CONCURRENT_RECORDS = 16;
/** Time for which a list of what operators have set serves further takeovers, in ms. */
const LISTED_FOR = 1_000;
const PATIENCE = 3_000; // ms
const LOOK_INTERVAL = 5_000; // ms
/** Maximum number of takeovers of this node at once; each takeover reads the store. */
const MAX_TAKEOVERS = 64;
