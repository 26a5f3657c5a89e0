/**
 * The subscriptions of one node: it sees to it that each has a record, leads those that fall to it, and watches the others.
 */
import type { SubscriptionHealth } from "../../contract/node_info.ts";
import { CatgaError } from "../../error.ts";
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import type { LogStream } from "../../ports/event_log.ts";
import type { Timer } from "../../ports/clock.ts";
import type { DurableHandler } from "../../dispatch/mediator.ts";
import { subscriptionKey } from "../format/names.ts";
import type { LogHost } from "../log_host.ts";
import { type CapableNode, type CapableNodes, capableNodes } from "./capable_nodes.ts";
import { type Measured, Measuring } from "./measuring.ts";
import { subscriptionSpecs } from "./spec.ts";
import { Subscription } from "./subscription.ts";
import type { TermState } from "./term_options.ts";

/** What {@link Subscriptions} are made of. */
export interface SubscriptionsOptions {
  readonly host: LogHost;
  /** The stream of the log. */
  readonly stream: LogStream;
  /** The bucket `subscriptions` of the namespace, and the bucket `parked`. */
  readonly records: Bucket;
  readonly parked: Bucket;
  /** The node's handlers of durable contracts. */
  readonly handlers: Iterable<Pick<DurableHandler, "contract" | "settings">>;
  /** How many messages a subscription may park; 10,000. */
  readonly mostParked?: number | undefined;
}

/** A subscription that this node leads. */
export interface LedSubscription extends TermState {
  readonly service: string;
  readonly name: string;
}

/** The subscriptions of one node. */
export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #all = new Map<string, Subscription>();
  readonly #ending = new AbortController();
  #nodes: CapableNodes | undefined;
  #offNodes: (() => void) | undefined;
  #timer: Timer | undefined;
  /** Endpoints that were asked for: gone or not. */
  readonly #gone = new Map<string, boolean>();
  readonly #measuring: Measuring;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    const { host, stream, records, parked, handlers, mostParked = 10_000 } = options;
    this.#measuring = new Measuring({
      ...{ stream, namespace: host.namespace, observer: host.observer, signal: this.#ending.signal },
    });
    for (const spec of subscriptionSpecs(host.service, handlers)) {
      const key = subscriptionKey(spec.service, spec.name);
      const nodes = () => this.#capable(key);
      const gone = (endpoint: string) => this.#isGone(endpoint);
      this.#all.set(key, new Subscription({ host, stream, records, parked, mostParked, spec, nodes, gone }));
    }
  }

  /** Those that this node leads. */
  get led(): readonly LedSubscription[] {
    const led: LedSubscription[] = [];
    for (const { spec: { service, name }, state } of this.#all.values()) {
      if (state !== undefined) led.push({ service, name, ...state });
    }
    return led;
  }

  /** All of them, as this node sees them. */
  get health(): readonly SubscriptionHealth[] {
    const { serverTime } = this.#options.stream;
    return [...this.#all.values()].map(({ key, spec: { service, name }, state }) => {
      if (state === undefined) {
        return { service, name, state: "following", open: 0, lag: 0, oldest: 0, retrying: 0, dead: 0 };
      }
      const { stopped, stalled, open, position: read, oldest = serverTime, retrying, dead } = state;
      return {
        ...{ service, name, state: stalled ? "stalled" : stopped ? "stopped" : "leading", open },
        lag: this.#measuring.lag({ key, read }),
        oldest: Math.max(0, serverTime - oldest),
        ...{ retrying, dead },
        ...(stalled === undefined ? {} : { error: stalled }),
      };
    });
  }

  /**
   * Resolves when each subscription has its record, with all categories of this node: what is published from then on is handled.
   * Rejects with a `CatgaError` when the store cannot be reached.
   */
  async start(): Promise<void> {
    if (this.#all.size === 0) return;
    const { host, records } = this.#options;
    const { signal } = this.#ending;
    this.#offNodes = host.onNodes(() => this.#refresh());
    const onChange = (change: Change) => this.#all.get(change.key)?.onChange(change);
    const services = new Set([...this.#all.keys()].map((key) => key.slice(0, key.indexOf(".") + 1)));
    await Promise.all([...services].map((prefix) => records.watch(prefix, onChange, { signal })));
    const waiting = [...this.#all.values()];
    const ensure = async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await next.ensure();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, ensure));
    if (signal.aborted) return;
    // what this node is to lead it leads now
    const now = host.clock.monotonic();
    for (const subscription of this.#all.values()) subscription.tick(now);
    this.#tick();
  }

  /** Hands over all that this node leads, and takes no more. Never rejects. */
  async leave(patience = PATIENCE): Promise<void> {
    await Promise.all([...this.#all.values()].map((subscription) => subscription.leave(patience)));
  }

  /** Ends everything. */
  close(): void {
    this.#ending.abort(new CatgaError("CLOSED", "the app stops"));
    this.#timer?.cancel();
    this.#offNodes?.();
    for (const subscription of this.#all.values()) subscription.close();
  }

  #tick(): void {
    const { clock } = this.#options.host;
    const background = ![...this.#all.values()].some(({ busy }) => busy);
    this.#timer = clock.after(TICK, () => {
      if (this.#ending.signal.aborted) return;
      this.#tick();
      const now = clock.monotonic();
      for (const subscription of this.#all.values()) subscription.tick(now);
      this.#measuring.tick(now, this.#measured);
    }, { background });
  }

  get #measured(): readonly Measured[] {
    const measured: Measured[] = [];
    for (const { key, spec: { categories }, state } of this.#all.values()) {
      if (state !== undefined) measured.push({ key, categories: categories.keys(), read: state.position });
    }
    return measured;
  }

  #capable(key: string): readonly CapableNode[] {
    const { host } = this.#options;
    this.#nodes ??= capableNodes(host.nodes(), {
      id: host.node,
      endpoint: host.endpoint,
      specs: [...this.#all.values()].map(({ spec }) => spec),
    });
    return this.#nodes.get(key) ?? [];
  }

  #refresh(): void {
    this.#nodes = undefined;
    for (const subscription of this.#all.values()) subscription.refresh();
  }

  /** Asks in the background, once a second for each endpoint. */
  #isGone(endpoint: string): boolean {
    const known = this.#gone.get(endpoint);
    if (known !== undefined) return known;
    const { host } = this.#options;
    if (this.#gone.size > MOST_ASKED) this.#gone.clear();
    this.#gone.set(endpoint, false);
    host.gone(endpoint).then((gone) => {
      if (gone) this.#gone.set(endpoint, true); // for good: an endpoint is one process
      else host.clock.after(ASK, () => this.#gone.delete(endpoint), { background: true });
    }, (error) => {
      this.#gone.delete(endpoint);
      host.observer({ type: "fault", during: "asking whether a leader is gone", error });
    });
    return false;
  }
}

const TICK = 100; // ms
/** Records that are made at once. */
const AT_ONCE = 16;
const PATIENCE = 3_000; // ms
const ASK = 500; // ms
const MOST_ASKED = 1_000;
