/**
 * Sends messages that may run to a node that handles them, and acts on each answer. Which message may run, and its
 * state, is the ledger's.
 */
import type { SubscriptionHealth } from "../../contract/node_info.ts";
import {
  afterRefusedMessage,
  mayBeReadNow,
  type ShapedNode,
  shapeName,
  untriedNodes,
} from "../../contract/shape_rules.ts";
import { weight } from "../../data/rendezvous_hash.ts";
import { doubled, jittered, type Random, type Timer } from "../../ports/clock.ts";
import type { SendOptions } from "../../contract/send_options.ts";
import type { HandledCount } from "../../dispatch/contract_counts.ts";
import type { RunFailure, RunOutcome } from "../format/run_request.ts";
import type { LogHost } from "../log_host.ts";
import { HandedOut } from "./handed_out.ts";
import type { CapableNode } from "./leader_election.ts";
import type { Category, Item } from "./category.ts";
import { afterFailure } from "./after_failure.ts";
import type { Ledger } from "./ledger.ts";
import type { SubscriptionStore } from "./store.ts";
import type { Warnings } from "./warnings.ts";

/** Options of a {@link HandingOut}. */
export interface HandingOutOptions {
  readonly host: LogHost;
  readonly warnings: Warnings;
  readonly handled: HandledCount;
  readonly token: number;
  readonly ledger: Ledger;
  readonly store: Pick<SubscriptionStore, "load">;
  /** The live nodes that handle the subscription. */
  nodes(): readonly CapableNode[];
  /** The leader's time, in ms since 1970. */
  now(): number;
  /** Called when state has changed that belongs into the next commit. */
  onProgress(): void;
}

/** An outage whose end messages wait for, as in the health of their subscription. */
type WaitedOutage = NonNullable<SubscriptionHealth["outage"]>;

/** Hands out the messages of one leader. */
export class HandingOut {
  readonly #options: HandingOutOptions;
  /**
   * Timers of messages that wait for their next attempt, each with the message and the due time, by the monotonic
   * clock.
   */
  readonly #waiting = new Map<Timer, readonly [item: Item, due: number]>();
  /** While true, no message is handed out; runs go on. */
  paused = true;
  #closed = false;
  /** The newest failure of a handler. */
  lastFailure: SubscriptionHealth["lastFailure"];
  /** Messages that wait for the end of an outage, in the order in which they began to wait. */
  readonly #outages = new Map<Item, WaitedOutage>();
  /** Messages whose handler still runs after its timeout, and since when that is known, in ms since 1970. */
  readonly #hanging = new Map<Item, number>();
  /** Requests that were answered in this turn of the event loop and are not settled yet. */
  #answers: HandedOut[] = [];
  /** Messages that waited for a shape that is live now, in reverse order. */
  #readable: Item[] = [];
  /** Timers of categories whose next batch is not full: when one ends, the batch is handed out as it is. */
  readonly #filling = new Map<Category, Timer>();
  /** Timer until more may be handed out: suspected messages must have run for a while. */
  #pause: Timer | undefined;

  constructor(options: HandingOutOptions) {
    this.#options = options;
  }

  /** The first outage whose end messages wait for. */
  get outage(): WaitedOutage | undefined {
    return this.#outages.values().next().value;
  }

  /** The first message whose handler still runs after its timeout, and the number of such messages. */
  get hanging(): SubscriptionHealth["hanging"] {
    const [first] = this.#hanging;
    if (first === undefined) return undefined;
    const [{ category: { name: contract }, node }, since] = first;
    return { contract, node, count: this.#hanging.size, since };
  }

  /** Parks messages that failed and wait in memory, with their errors, so that the next leader finds them. */
  putAside(): void {
    const { ledger, now, host: { clock } } = this.#options;
    for (const [item, due] of this.#waiting.values()) {
      const { attempts, error } = item;
      if (item.place !== "open" || item.turn === "begun" || error === undefined) continue;
      ledger.failed(item, { attempts, error, due: now() + Math.max(0, due - clock.monotonic()) });
    }
    this.#cancelWaits();
  }

  /** Stops handing out; answers that arrive later are ignored. */
  close(): void {
    this.#closed = this.paused = true;
    for (const timer of this.#filling.values()) timer.cancel();
    this.#filling.clear();
    this.#pause?.cancel();
    this.#cancelWaits();
  }

  /** Hands out the messages that may run. */
  pump(): void {
    if (this.paused) return;
    const { ledger, now, onProgress } = this.#options;
    if (this.#readable.length > 0) this.#wakeReadable();
    ledger.begin(now, this.send);
    if (ledger.pause !== undefined) this.#pumpAfter(ledger.pause);
    // measured: an iterator for each message is expensive
    if (ledger.filling.size > 0) { for (const category of ledger.filling.keys()) this.#fill(category); }
    if (ledger.waitsForCommit || ledger.changed) onProgress();
  }

  /**
   * Calls `pump()` after `pause` ms, unless messages begin with a commit, which calls `pump()` itself. (The tick of the
   * term calls it every 100 ms anyway.)
   */
  #pumpAfter(pause: number): void {
    this.#pause?.cancel();
    this.#pause = this.#options.host.clock.after(Math.max(1, pause), () => {
      if (!this.#options.ledger.isBeginning) this.pump();
    }, { background: true });
  }

  /** Hands out the full batches of a category now, and the last, incomplete one after the category's `within` ms. */
  #fill(category: Category): void {
    const { ledger, host: { clock } } = this.#options;
    while (ledger.isFull(category)) this.#sendBatch(category);
    if (this.#filling.has(category)) return;
    const timer = clock.after(category.batch!.within, () => { // set for a batch
      this.#filling.delete(category);
      if (this.paused) return; // filled again once handing out goes on
      while (this.#sendBatch(category));
    });
    this.#filling.set(category, timer);
  }

  /** Hands out one batch of a category, perhaps an incomplete one; returns false if no message waits. */
  #sendBatch(category: Category): boolean {
    const { ledger, token, host: { network } } = this.#options;
    const items = ledger.batch(category, network.maxPayload / 2, sizeOf);
    if (items.length > 1) this.#handOut(items, category, category.batchRequest(items, token), category.options);
    else items.forEach(this.send);
    return items.length > 0;
  }

  /** Settles messages that have one outcome. `at`: endpoint of the process to which they were sent last. */
  #answered(items: readonly Item[], outcome: RunOutcome, at: string): void {
    const failure = typeof outcome === "object" && "code" in outcome ? outcome : undefined;
    if (failure?.code === "OUTCOME_UNKNOWN" && failure.node !== undefined) {
      return void this.#unknown(items, failure, at);
    }
    if (failure !== undefined && items.length > 1) this.#failedTogether(items, failure);
    else for (const item of items) this.#settle(item, outcome, at);
  }

  /**
   * Settles the messages of a batch, each with its own outcome. A message behind one of its key that is not done counts
   * as not run.
   */
  #eachAnswered(items: readonly Item[], outcomes: readonly RunOutcome[], at: string): void {
    const held = new Set<string | undefined>();
    for (const [i, item] of items.entries()) {
      const own: RunOutcome = item.key !== undefined && held.has(item.key) ? "not run" : outcomes[i];
      if (own !== "done") held.add(item.key);
      this.#settle(item, own, at);
    }
  }

  /**
   * Settles a batch that failed as a whole: no attempt is counted; each message is handed out alone. During an outage
   * of a service that the handler calls, the first message of each key waits for its end, in front of the others.
   */
  #failedTogether(items: readonly Item[], failure: RunFailure): void {
    const { ledger, now } = this.#options;
    const held = new Set<string>();
    for (const item of items) {
      const lasts = failure.outage !== undefined && now() - (item.error?.outage ?? now()) < failure.outage;
      if (!lasts) {
        ledger.refused(item);
        item.alone = true;
        item.node = failure.node;
        ledger.retry(item);
      } else if (item.key !== undefined && held.has(item.key)) ledger.refused(item);
      else this.#failed(item, failure);
      if (item.key !== undefined) held.add(item.key);
    }
  }

  /** Sends a message that has begun. */
  readonly send = (item: Item): void => {
    if (item.loaded) this.#send(item);
    else void this.#load(item);
  };

  /** Loads the payload of a large parked message from the store, then sends the message. */
  async #load(item: Item): Promise<void> {
    const { ledger, store, now, warnings } = this.#options;
    try {
      const loaded = await store.load(item);
      if (this.#closed) return;
      if (loaded) return this.#send(item);
      ledger.failed(item, { attempts: item.attempts, error: GONE, dead: now() });
      this.#options.onProgress();
    } catch (error) {
      if (!this.#closed) warnings.fault("handing out", error);
    }
  }

  #send(item: Item): void {
    const { category } = item;
    this.#handOut([item], category, category.request(item, this.#options.token), category.optionsOf(item));
  }

  #handOut(items: readonly Item[], { contract }: Category, request: unknown, options: SendOptions): void {
    const { host } = this.#options;
    const handed = new HandedOut(items, host.endpoint, this.#onAnswer);
    try {
      host.handOut(contract, request, options, handed);
    } catch (error) {
      handed.reject(error); // a key that cannot be sent
    }
  }

  /** Settles all answers of a turn of the event loop together (measured: this costs a leader less). */
  readonly #onAnswer = (handed: HandedOut): void => {
    if (this.#answers.push(handed) === 1) queueMicrotask(() => this.#settleAnswers());
  };

  #settleAnswers(): void {
    const answers = this.#answers;
    this.#answers = [];
    for (const handed of answers) {
      if (this.#closed) return;
      const { items, outcome, outcomes, endpoint } = handed;
      handed.items = [];
      if (outcomes === undefined) this.#answered(items, outcome, endpoint);
      else this.#eachAnswered(items, outcomes, endpoint);
    }
    if (this.#closed) return;
    this.#options.onProgress();
    this.pump();
  }

  #settle(item: Item, outcome: RunOutcome, at: string): void {
    const { ledger, handled, now } = this.#options;
    const isBusy = typeof outcome === "object" && "busy" in outcome;
    if (isBusy) this.#hanging.set(item, this.#hanging.get(item) ?? now());
    else if (this.#hanging.size > 0) this.#hanging.delete(item);
    if (outcome === "done") {
      if (item.category.refused.size > 0) this.#shortenWaits(item.category);
      this.#endOutage(item);
      handled.add(item.category.name);
      ledger.done(item);
    } else if (typeof outcome === "object" && "code" in outcome) {
      if (!outcome.refused || !this.#tryOtherShape(item, outcome, at)) this.#failed(item, outcome);
    } else {
      // alone: a batch would not go to the node where the earlier attempt runs
      if (outcome === "alone" || isBusy) item.alone = true;
      this.#refused(item, isBusy ? outcome.busy : undefined);
    }
  }

  /** Settles messages whose process has ended or is out of reach; a new process may have the same node id by now. */
  async #unknown(items: readonly Item[], outcome: RunFailure, endpoint: string): Promise<void> {
    const { ledger, onProgress } = this.#options;
    const gone = await this.#hasLeft(endpoint);
    if (this.#closed) return;
    for (const item of items) {
      this.#hanging.delete(item);
      if (gone) {
        item.node = undefined;
        item.error = { code: outcome.code, message: outcome.message };
        ledger.vanished(item, endpoint);
        this.#retryAfter(item, REFUSED[0]);
      } else if (items.length === 1) this.#failed(item, outcome);
    }
    if (!gone && items.length > 1) this.#failedTogether(items, outcome);
    onProgress();
    this.pump();
  }

  /**
   * Resolves with true as soon as a process has left the live nodes or has certainly ended; with false if its end
   * cannot be proved, as when this node's own connection was lost meanwhile.
   */
  async #hasLeft(endpoint: string): Promise<boolean> {
    const { host, nodes, warnings } = this.#options;
    const isMissing = () => !nodes().some((node) => node.endpoint === endpoint);
    if (isMissing()) return true;
    const left = Promise.withResolvers<void>();
    const unlisten = host.onNodes(() => {
      if (isMissing()) left.resolve();
    });
    const gone = await Promise.race([left.promise, host.gone(endpoint)]).catch((error) =>
      warnings.fault("handing out", error)
    );
    unlisten();
    return gone === true || isMissing();
  }

  /**
   * Lets a message wait that certainly did not run; no attempt is counted. `busy`: node where its handler still runs
   * after its timeout; the next attempt goes there and waits for its end.
   *
   * The more messages are refused, the longer each waits, until {@link HandingOut.#shortenWaits}: else they would
   * compete for the same room in vain, and idempotent commands write a claim for each attempt.
   */
  #refused(item: Item, busy: string | undefined): void {
    const { ledger, host: { clock, random } } = this.#options;
    const { category: { refused } } = item;
    ledger.refused(item);
    item.node = busy;
    const pause = jittered(random, doubled(item.refusals++, REFUSED[0], REFUSED[1]));
    const shared = item.refusals < REFUSALS ? 0 : jittered(random, Math.min(REFUSED[2], EACH * refused.size));
    refused.set(this.#retryAfter(item, Math.max(pause, shared)), clock.monotonic() + pause);
  }

  /** A message has run, so there may be room: cuts the shared part of the wait of two refused messages. */
  #shortenWaits({ refused }: Category): void {
    const now = this.#options.host.clock.monotonic();
    let left = 2;
    for (const [timer, from] of refused) {
      if (left-- === 0) return;
      timer.cancel();
      this.#retryAfter(this.#removeTimer(timer), Math.max(0, from - now));
    }
  }

  /** Hands the item out again after `ms`; its failure is committed first. */
  #retryAfter(item: Item, ms: number): Timer {
    const { ledger, host: { clock } } = this.#options;
    // not in the background: a process in memory does not end before the next attempt
    const timer = clock.after(ms, () => {
      ledger.retry(this.#removeTimer(timer));
      this.pump();
    });
    this.#waiting.set(timer, [item, clock.monotonic() + ms]);
    return timer;
  }

  /** Removes this timer and returns the message that waited for it. */
  #removeTimer(timer: Timer): Item {
    const [item] = this.#waiting.get(timer)!; // set while it waits
    this.#waiting.delete(timer);
    item.category.refused.delete(timer);
    return item;
  }

  #cancelWaits(): void {
    for (const timer of this.#waiting.keys()) {
      timer.cancel();
      this.#removeTimer(timer);
    }
  }

  /** Registers the outages of messages that the last leader had parked. */
  takeOver(): void {
    for (const item of this.#options.ledger.parked.values()) if (item.dead === 0) this.#beginOutage(item);
  }

  /** Registers the outage in which a message failed, if there was one. */
  #beginOutage(item: Item): void {
    const { error, category: { name: contract } } = item;
    if (error?.outage === undefined) return;
    const { code, message, outage: since } = error;
    const begins = this.#outages.size === 0;
    this.#outages.set(item, { contract, code, message, since });
    if (begins) this.#options.warnings.outage(this.outage);
  }

  /** Ends the outage of a message. */
  #endOutage(item: Item): void {
    if (this.#outages.delete(item) && this.#outages.size === 0) this.#options.warnings.outage(undefined);
  }

  /**
   * Acts on a message that the schema of a node refused: sends it to a node with another shape, or lets it wait for
   * one. Returns false if it must become a dead letter.
   */
  #tryOtherShape(item: Item, { code, message, cause, awaitsWriter, outage = 0 }: RunFailure, at: string): boolean {
    const { ledger, now, onProgress, host } = this.#options;
    const { category: { name: contract }, message: { id, meta }, key } = item;
    const nodes = this.#shapedNodes(contract);
    const node = at.slice(0, at.indexOf("."));
    const refusedBy = item.refusedBy ??= new Set(item.error?.refusedBy);
    refusedBy.add(shapeName(nodes.find((each) => each.id === node) ?? { id: node, shape: undefined }));
    const after = afterRefusedMessage(nodes, refusedBy, awaitsWriter ? AWAY : meta?.w);
    if (after === "next") {
      ledger.refused(item);
      item.alone = true; // a batch goes to any node
      item.node = nodeOfKey(untriedNodes(nodes, refusedBy), key, host.random);
      ledger.retry(item);
      return true;
    }
    const since = item.error?.refusedBy === undefined ? now() : item.error.outage ?? now();
    const isOver = !awaitsWriter && now() - since >= outage;
    item.refusedBy = undefined;
    if (after === "dead letter" || isOver) return false;
    const error = item.error = { code, message, cause, outage: since, refusedBy: [...refusedBy] };
    this.lastFailure = { contract, id, code, message, cause, at: now() };
    item.refusals = 0;
    item.node = undefined;
    this.#beginOutage(item);
    onProgress();
    ledger.failed(item, {
      attempts: item.attempts,
      error,
      due: awaitsWriter ? now() + this.#versionRetryPause : since + outage,
    });
    return true;
  }

  /**
   * Pause until a run that waits for another version is tried again, in ms: the cause may have been a thrown error that
   * passes.
   */
  get #versionRetryPause(): number {
    return AGAIN + AGAIN_EACH * this.#options.ledger.awaiting.size;
  }

  /** The live nodes that handle a contract of this subscription, each with its shape of the contract. */
  #shapedNodes(contract: string): readonly ShapedNode[] {
    const { host, nodes } = this.#options;
    const capable = new Set(nodes().flatMap(({ id, categories }) => categories.has(contract) ? [id] : []));
    return host.nodes().flatMap((info) =>
      capable.has(info.id) ? [{ id: info.id, shape: host.shapeAt(info, contract) }] : []
    );
  }

  /**
   * Call when the nodes or their known shapes have changed: messages that one of them may be able to read stop waiting.
   */
  refresh(): void {
    const { ledger: { awaiting } } = this.#options;
    this.#readable = [];
    if (awaiting.size === 0) return;
    const nodes = new Map<string, readonly ShapedNode[]>();
    for (const item of awaiting) {
      const { category: { name }, error } = item;
      let own = nodes.get(name);
      if (own === undefined) nodes.set(name, own = this.#shapedNodes(name));
      if (mayBeReadNow(own, new Set(error?.refusedBy))) this.#readable.push(item);
    }
    this.#readable.reverse();
  }

  /** Wakes some messages that waited for a shape that is live now. Not all: thousands at once would be refused. */
  #wakeReadable(): void {
    const { ledger, host: { random } } = this.#options;
    for (let left = MAX_WOKEN - ledger.running; left > 0 && this.#readable.length > 0; left--) {
      const item = this.#readable.pop()!; // not empty
      item.refusedBy = new Set(item.error?.refusedBy);
      item.alone = true;
      item.node = nodeOfKey(untriedNodes(this.#shapedNodes(item.category.name), item.refusedBy), item.key, random);
      ledger.wakeAwaiting(item);
    }
  }

  #failed(item: Item, given: RunFailure): void {
    const failure = given.refused ? { ...given, outage: undefined } : given;
    const { host: { clock, random, observer }, warnings, ledger, now, onProgress } = this.#options;
    const { code, message, cause, node, outage } = failure;
    const { category, category: { name: contract } } = item;
    const time = clock.monotonic();
    const since = outage === undefined ? undefined : item.error?.outage ?? now();
    const after = afterFailure(item, failure, category, {
      now: time,
      lasted: since === undefined ? Infinity : now() - since,
      random,
    });
    const error = item.error = { code, message, cause, ...(since === undefined ? {} : { outage: since }) };
    this.lastFailure = { contract, id: item.message.id, code, message, cause, at: now() };
    item.refusals = 0;
    item.failedAt ??= time;
    onProgress();
    const attempts = after.type !== "dead letter" && after.outage ? item.attempts : item.attempts + 1;
    if (attempts > item.attempts) this.#endOutage(item);
    if (after.type === "dead letter") return ledger.failed(item, { attempts, error, dead: now() });
    // the handler may still run there; a node that does not answer twice may be frozen
    item.node = code === "OUTCOME_UNKNOWN" && item.node !== undefined ? undefined : node;
    const { pause } = after;
    if (attempts > item.attempts) {
      const { message: { id } } = item;
      observer({ type: "message-failed", subscription: warnings.label, contract, id, attempt: attempts, code, pause });
    } else this.#beginOutage(item);
    if (after.type === "parked") return ledger.failed(item, { attempts, error, due: now() + pause });
    ledger.failedInPlace(item, attempts);
    this.#retryAfter(item, pause);
  }
}

/** The node for this key by rendezvous hash, as the route `hash` chooses it; without a key, a random one. */
function nodeOfKey(nodes: readonly ShapedNode[], key: string | undefined, random: Random): string | undefined {
  if (nodes.length === 0) return undefined;
  if (key === undefined) return nodes[Math.floor(random() * nodes.length)].id;
  return nodes.reduce((best, node) => weight(key, node.id) > weight(key, best.id) ? node : best).id;
}

/** A shape name that no node has. */
const AWAY = "";
/** Pause before a run that waits for another version is tried again, in ms. */
const AGAIN = 60_000;
/** Time added to `AGAIN` for each waiting run, in ms. */
const AGAIN_EACH = 30;

/** Messages that waited for a shape are woken while fewer than this many messages run. */
const MAX_WOKEN = 256;

/** Approximate size of a message in a request, in bytes. */
function sizeOf({ size, message: { payload } }: Item): number {
  // the size in the log is unknown for a message that was taken over
  return ENVELOPE + (size > 0 ? size : JSON.stringify(payload ?? null).length);
}

const ENVELOPE = 128;
const GONE = Object.freeze({ code: "INVALID_MESSAGE", message: "what was put aside of it is gone from the store" });
/** First pause after a refusal, longest pause, and longest pause if many are refused, in ms. */
const REFUSED = [50, 2_000, 60_000] as const;
/**
 * From the refusal number `REFUSALS` of a message on, its pause grows by `EACH` ms for each refused message of its
 * category.
 */
const [REFUSALS, EACH] = [6, 60];
