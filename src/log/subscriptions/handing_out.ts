/**
 * How a leader hands out what may run, to a node that handles it, and what follows each answer. Which message may run,
 * and what becomes of it, the ledger knows.
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
  /** Something has changed that the next commit says. */
  onProgress(): void;
}

/** WaitedOutage that messages wait for, as in the health of their subscription. */
type WaitedOutage = NonNullable<SubscriptionHealth["outage"]>;

/** Hands out the messages of one leader. */
export class HandingOut {
  readonly #options: HandingOutOptions;
  /** Timers of messages that wait for their next attempt, and when it is due, by the monotonic clock. */
  readonly #waiting = new Map<Timer, readonly [item: Item, due: number]>();
  /** Nothing is handed out; what runs goes on. */
  paused = true;
  #closed = false;
  /** The newest failure of a handler. */
  lastFailure: SubscriptionHealth["lastFailure"];
  /** Messages that wait for the end of an outage, the first of them first. */
  readonly #outages = new Map<Item, WaitedOutage>();
  /** Messages whose handler goes on after its time, and since when that is known, in ms since 1970. */
  readonly #hanging = new Map<Item, number>();
  /** Requests that were answered in this turn, and are not settled yet. */
  #answers: HandedOut[] = [];
  /** Messages that waited for a shape which is there now, the first of them last. */
  #readable: Item[] = [];
  /** Timers of categories whose next batch is not full: it is handed out all the same then. */
  readonly #filling = new Map<Category, Timer>();
  /** It is handed out again when those that run, and may end their process, have run for a while. */
  #pause: Timer | undefined;

  constructor(options: HandingOutOptions) {
    this.#options = options;
  }

  /** WaitedOutage that messages wait for. */
  get outage(): WaitedOutage | undefined {
    return this.#outages.values().next().value;
  }

  /** The messages whose handlers go on after their time. */
  get hanging(): SubscriptionHealth["hanging"] {
    const [first] = this.#hanging;
    if (first === undefined) return undefined;
    const [{ category: { name: contract }, node }, since] = first;
    return { contract, node, count: this.#hanging.size, since };
  }

  /** Parks what has failed and waits here, with its error, for the next leader. */
  putAside(): void {
    const { ledger, now, host: { clock } } = this.#options;
    for (const [item, due] of this.#waiting.values()) {
      const { attempts, error } = item;
      if (item.place !== "open" || item.turn === "begun" || error === undefined) continue;
      ledger.failed(item, { attempts, error, due: now() + Math.max(0, due - clock.monotonic()) });
    }
    this.#waitNoMore();
  }

  /** Ends it: answers that come still are ignored. */
  close(): void {
    this.#closed = this.paused = true;
    for (const timer of this.#filling.values()) timer.cancel();
    this.#filling.clear();
    this.#pause?.cancel();
    this.#waitNoMore();
  }

  /** Hands out what may run. */
  pump(): void {
    if (this.paused) return;
    const { ledger, now, onProgress } = this.#options;
    if (this.#readable.length > 0) this.#wakeReadable();
    ledger.begin(now, this.send);
    if (ledger.pause !== undefined) this.#pumpAfter(ledger.pause);
    // an iterator for each message is what costs
    if (ledger.filling.size > 0) { for (const category of ledger.filling.keys()) this.#fill(category); }
    if (ledger.waitsForCommit || ledger.changed) onProgress();
  }

  /** Each 100 ms it is handed out at any rate; what begins with a commit does so before. */
  #pumpAfter(pause: number): void {
    this.#pause?.cancel();
    this.#pause = this.#options.host.clock.after(Math.max(1, pause), () => {
      if (!this.#options.ledger.isBeginning) this.pump();
    }, { background: true });
  }

  /** Hands out the batches of a category that are full; the last one, which is not, when it has waited for more. */
  #fill(category: Category): void {
    const { ledger, host: { clock } } = this.#options;
    while (ledger.isFull(category)) this.#sendBatch(category);
    if (this.#filling.has(category)) return;
    const timer = clock.after(category.batch!.within, () => { // it has batches
      this.#filling.delete(category);
      if (this.paused) return; // it is filled again when that is over
      while (this.#sendBatch(category));
    });
    this.#filling.set(category, timer);
  }

  /** Hands out one batch of a category, which may be short; returns false if nothing waits. */
  #sendBatch(category: Category): boolean {
    const { ledger, token, host: { network } } = this.#options;
    const items = ledger.batch(category, network.maxPayload / 2, sizeOf);
    if (items.length > 1) this.#handOut(items, category, category.batchRequest(items, token), category.options);
    else items.forEach(this.send);
    return items.length > 0;
  }

  /** They have one outcome. `at`: endpoint of the process that they were sent to last. */
  #answered(items: readonly Item[], outcome: RunOutcome, at: string): void {
    const failure = typeof outcome === "object" && "code" in outcome ? outcome : undefined;
    if (failure?.code === "OUTCOME_UNKNOWN" && failure.node !== undefined) {
      return void this.#unknown(items, failure, at);
    }
    if (failure !== undefined && items.length > 1) this.#failedTogether(items, failure);
    else for (const item of items) this.#settle(item, outcome, at);
  }

  /** In the order of the log: what follows a message of its key that is not done is handed out again behind it. */
  #eachAnswered(items: readonly Item[], outcomes: readonly RunOutcome[], at: string): void {
    const held = new Set<string | undefined>();
    for (const [i, item] of items.entries()) {
      const own: RunOutcome = item.key !== undefined && held.has(item.key) ? "not run" : outcomes[i];
      if (own !== "done") held.add(item.key);
      this.#settle(item, own, at);
    }
  }

  /**
   * They were in a batch that failed: whichever of them that was for, each is handed out alone, and that is the
   * attempt. If what the handler calls is out of reach, the first of each key waits for it, in front of the others.
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
        ledger.again(item);
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

  /** A large one that was parked has its payload in the store. */
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

  /** Settles all answers of a turn together (measured: that costs a leader less). */
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
      if (item.category.refused.size > 0) this.#wake(item.category);
      this.#back(item);
      handled.add(item.category.name);
      ledger.done(item);
    } else if (typeof outcome === "object" && "code" in outcome) {
      if (!outcome.refused || !this.#handedOn(item, outcome, at)) this.#failed(item, outcome);
    } else {
      // a batch would not go to the node where another attempt goes on
      if (outcome === "alone" || isBusy) item.alone = true;
      this.#refused(item, isBusy ? outcome.busy : undefined);
    }
  }

  /** The process that ran them has ended, or is out of reach; another one may have its node's id by now. */
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
        this.#wait(item, REFUSED[0]);
      } else if (items.length === 1) this.#failed(item, outcome);
    }
    if (!gone && items.length > 1) this.#failedTogether(items, outcome);
    onProgress();
    this.pump();
  }

  /**
   * Resolves with true as soon as a process is no longer among the live ones, or has certainly ended. The latter takes
   * longer, and nobody can say it when this node's own connection was lost meanwhile.
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
   * It was certainly not run: that is no attempt. `busy`: where its handler goes on after its time, whose end the next
   * attempt waits for. The more are refused, the longer each waits, but for {@link HandingOut.#wake}: they would ask in
   * vain for each other's room, and those of idempotent commands write their claims each time.
   */
  #refused(item: Item, busy: string | undefined): void {
    const { ledger, host: { clock, random } } = this.#options;
    const { category: { refused } } = item;
    ledger.refused(item);
    item.node = busy;
    const pause = jittered(random, doubled(item.refusals++, REFUSED[0], REFUSED[1]));
    const shared = item.refusals < REFUSALS ? 0 : jittered(random, Math.min(REFUSED[2], EACH * refused.size));
    refused.set(this.#wait(item, Math.max(pause, shared)), clock.monotonic() + pause);
  }

  /** One has run: there may be room. Two of those that were refused wait no longer than they would alone. */
  #wake({ refused }: Category): void {
    const now = this.#options.host.clock.monotonic();
    let left = 2;
    for (const [timer, from] of refused) {
      if (left-- === 0) return;
      timer.cancel();
      this.#wait(this.#take(timer), Math.max(0, from - now));
    }
  }

  /** It is handed out again after `ms`. */
  #wait(item: Item, ms: number): Timer {
    const { ledger, host: { clock } } = this.#options;
    // not in the background: a process in memory does not end before the next attempt
    const timer = clock.after(ms, () => {
      ledger.again(this.#take(timer));
      this.pump();
    });
    this.#waiting.set(timer, [item, clock.monotonic() + ms]);
    return timer;
  }

  /** The message of this timer, which waits no more. */
  #take(timer: Timer): Item {
    const [item] = this.#waiting.get(timer)!; // it waits
    this.#waiting.delete(timer);
    item.category.refused.delete(timer);
    return item;
  }

  #waitNoMore(): void {
    for (const timer of this.#waiting.keys()) {
      timer.cancel();
      this.#take(timer);
    }
  }

  /** Messages that the last leader has put aside in an outage wait for its end still. */
  takeOver(): void {
    for (const item of this.#options.ledger.parked.values()) if (item.dead === 0) this.#waitsFor(item);
  }

  /** A message waits for the end of the outage that it failed in, if it did. */
  #waitsFor(item: Item): void {
    const { error, category: { name: contract } } = item;
    if (error?.outage === undefined) return;
    const { code, message, outage: since } = error;
    const begins = this.#outages.size === 0;
    this.#outages.set(item, { contract, code, message, since });
    if (begins) this.#options.warnings.outage(this.outage);
  }

  /** Ends the outage of a message. */
  #back(item: Item): void {
    if (this.#outages.delete(item) && this.#outages.size === 0) this.#options.warnings.outage(undefined);
  }

  /**
   * The schema of a node refused it: it goes on to a node with another shape, or waits for one. `false`: it is to be a
   * dead letter.
   */
  #handedOn(item: Item, { code, message, cause, awaitsWriter, outage = 0 }: RunFailure, at: string): boolean {
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
      ledger.again(item);
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
    this.#waitsFor(item);
    onProgress();
    ledger.failed(item, { attempts: item.attempts, error, due: awaitsWriter ? now() + this.#again : since + outage });
    return true;
  }

  /** A run's handler may have thrown, which may pass: it is tried again all the same, in ms from now. */
  get #again(): number {
    return AGAIN + AGAIN_EACH * this.#options.ledger.awaiting.size;
  }

  /** The live nodes that handle a contract of this subscription, with its shape there. */
  #shapedNodes(contract: string): readonly ShapedNode[] {
    const { host, nodes } = this.#options;
    const capable = new Set(nodes().flatMap(({ id, categories }) => categories.has(contract) ? [id] : []));
    return host.nodes().flatMap((info) =>
      capable.has(info.id) ? [{ id: info.id, shape: host.shapeAt(info, contract) }] : []
    );
  }

  /** The nodes, or what is known of their shapes, have changed: what one of them may read waits no longer. */
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

  /** Wakes some of those that waited for a shape which is there now: thousands at once would be refused as too many. */
  #wakeReadable(): void {
    const { ledger, host: { random } } = this.#options;
    for (let left = MAX_WOKEN - ledger.running; left > 0 && this.#readable.length > 0; left--) {
      const item = this.#readable.pop()!; // there is one
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
    if (attempts > item.attempts) this.#back(item);
    if (after.type === "dead letter") return ledger.failed(item, { attempts, error, dead: now() });
    // it may be going on there still; a node that does not answer twice may be frozen
    item.node = code === "OUTCOME_UNKNOWN" && item.node !== undefined ? undefined : node;
    const { pause } = after;
    if (attempts > item.attempts) {
      const { message: { id } } = item;
      observer({ type: "message-failed", subscription: warnings.label, contract, id, attempt: attempts, code, pause });
    } else this.#waitsFor(item);
    if (after.type === "parked") return ledger.failed(item, { attempts, error, due: now() + pause });
    ledger.waits(item, attempts);
    this.#wait(item, pause);
  }
}

/** The node of a key among these, as the route by hash would have it; without a key, any. */
function nodeOfKey(nodes: readonly ShapedNode[], key: string | undefined, random: Random): string | undefined {
  if (nodes.length === 0) return undefined;
  if (key === undefined) return nodes[Math.floor(random() * nodes.length)].id;
  return nodes.reduce((best, node) => weight(key, node.id) > weight(key, best.id) ? node : best).id;
}

/** The shape of no node. */
const AWAY = "";
/** After so long a run that waits for a version is tried again all the same, in ms, and for each that waits. */
const AGAIN = 60_000;
const AGAIN_EACH = 30;

/** How many messages run at most when what waited for a shape is woken. */
const MAX_WOKEN = 256;

/** Size of a message in a request, in bytes, about. */
function sizeOf({ size, message: { payload } }: Item): number {
  // one that was taken over is not known by what it takes in the log
  return ENVELOPE + (size > 0 ? size : JSON.stringify(payload ?? null).length);
}

const ENVELOPE = 128;
const GONE = Object.freeze({ code: "INVALID_MESSAGE", message: "what was put aside of it is gone from the store" });
/** The first and the longest pause after a refusal, and the longest if many are refused, in ms. */
const REFUSED = [50, 2_000, 60_000] as const;
/** From so many refusals on its pause grows with the number of those that are refused, by so many ms for each. */
const [REFUSALS, EACH] = [6, 60];
