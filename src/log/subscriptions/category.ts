/**
 * A category (contract) of a subscription in the leader's memory: how its messages are sent to nodes, the state of
 * each message, and the order of messages with the same key.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { BatchSettings, FairSettings } from "../../contract/declaration/handler.ts";
import { type NamedLimit, runName } from "../../contract/nodes/announcement.ts";
import type { SendOptions } from "../../contract/calls/send_options.ts";
import { MAX_TIMEOUT } from "../../data/checks.ts";
import type { Timer } from "../../ports/clock.ts";
import { messageId, type ParkedState } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import type { FailedWith, KeysByFunction } from "../format/parked_message.ts";
import { type BatchRequest, internalCommand, type RunRequest } from "../format/run_request.ts";
import { FairQueue, type FairTenant } from "./fair_queue.ts";
import type { CountedRuns } from "./late_outcome.ts";
import type { KeyInHand, LimitGate, RunLimit } from "./limit_gate.ts";
import type { CategorySettings } from "./spec.ts";

/** A limit as it applies to one category (contract). */
export interface CategoryLimit {
  readonly limit: RunLimit<Item>;
  /**
   * Returns the key of a payload. `undefined`: the limit is one for all messages, or this node's version does not have
   * the function, and counts all messages as of one key.
   */
  readonly key: ((payload: never) => unknown) | undefined;
  /** Fate of a message that the limit does not let begin, if it does not wait. */
  readonly over?: NamedLimit["over"];
}

/** A category (contract) of a subscription, in its leader. */
export class Category {
  readonly name: string;
  /** Settings of the handler's batches; `undefined`: messages are handed out one by one. */
  readonly batch: BatchSettings | undefined;
  /** How tenants share the handlers; `undefined`: they do not. */
  readonly fair: FairSettings | undefined;
  /** Messages that may run, by tenant; `undefined`: tenants do not share the handlers. */
  readonly queue: FairQueue<Item> | undefined;
  /** Maximum number of attempts of a message. */
  attempts: number;
  /** First and longest pause before the next attempt of a message, in ms. */
  delay: readonly [first: number, longest: number];
  /** Internal command with which the category's messages are sent to nodes. */
  readonly contract: AnyContract;
  /** Options with which messages without a key are sent. */
  readonly options: SendOptions;
  /** Timeout of a sent request to handle a message, in ms. */
  readonly timeout: number;
  /**
   * Timers of messages that nodes have refused to handle for now, each with the earliest time of the next attempt, by
   * the monotonic clock.
   */
  readonly refused: Map<Timer, number> = new Map();
  /** Queues of open and parked messages with the same key, by key. */
  readonly lines: Map<string, KeyLine> = new Map();
  /** Messages that wait until a live node handles the category. */
  readonly held: Set<Item> = new Set();
  /** Limits of the category's runs; `undefined`: there are none. */
  limits: readonly CategoryLimit[] | undefined = undefined;
  /** Number of live nodes that handle the category. */
  capable = 0;

  constructor(
    subscription: { readonly service: string; readonly name: string },
    name: string,
    { attempts, delay, timeout, batch, fair, limits }: CategorySettings,
    appTimeout: number,
  ) {
    this.name = name;
    this.attempts = attempts;
    this.delay = delay;
    this.batch = batch;
    this.fair = fair;
    const isRanked = fair?.ahead !== undefined || limits?.some(({ over }) => isLast(over));
    this.queue = fair && new FairQueue(isRanked);
    // this timeout is longer than the timeout at which the node aborts the run, because the node's answer needs time to
    // arrive
    this.timeout = Math.min(MAX_TIMEOUT, (timeout ?? appTimeout) + ANSWER_TIMEOUT);
    this.contract = internalCommand(runName(subscription.service, subscription.name, name));
    this.options = Object.freeze({ route: "least-loaded", timeout: this.timeout });
  }

  /** True if messages of one of the category's limits are counted until they are done. */
  get isCounted(): boolean {
    return this.limits?.some(({ limit }) => limit.isCounted) === true;
  }

  /** True if the newest message of a key in one of its limits has the run of the one before it aborted. */
  get cancels(): boolean {
    return this.limits?.some(({ over }) => over === "cancel") === true;
  }

  /** True if enough messages of the category are at nodes: more would wait there in the order of their arrival. */
  get isFull(): boolean {
    return this.queue !== undefined && this.queue.running >= this.fair!.most * Math.max(1, this.capable);
  }

  /** Makes the request to handle a message; `token` is the leader's. */
  request({ message, attempts }: Item, token: number): RunRequest {
    const { position, id, key, payload, tagged, time, meta } = message;
    return [token, position, attempts + 1, id, key ?? null, payload, tagged ? 1 : 0, time, meta ?? null];
  }

  /** Makes the request to handle a batch of messages; `token` is the leader's. */
  batchRequest(items: readonly Item[], token: number): BatchRequest {
    return ["batch", ...items.map((item) => this.request(item, token))];
  }

  /**
   * Options with which a message is sent. A message goes to the node of its key; if that node has refused it, to any
   * node that has room.
   */
  optionsOf({ key, node, refusals }: Item): SendOptions {
    const { options, timeout } = this;
    if (key === undefined || refusals > 0) return node === undefined ? options : { ...options, node };
    return node === undefined ? { route: "hash", key, timeout } : { route: "hash", key, timeout, node };
  }
}

/** Returns true if of a key of the limit only the newest message waits. */
export function isLast(over: NamedLimit["over"]): boolean {
  return over === "last" || over === "cancel";
}

/** Time that a node's answer may take after the run's timeout, in ms. */
const ANSWER_TIMEOUT = 2_000;

/**
 * The messages of one key in the order of the log: open messages come before parked ones. A linked list, because an
 * array for each key, mostly with one message, costs a leader more (measured).
 */
export class KeyLine implements Iterable<Item> {
  first: Item | undefined = undefined;
  last: Item | undefined = undefined;
  /** Number of messages of the key. */
  size = 0;
  /** Position of the last message of the key that was skipped: those before it stay, as it is not to be read again. */
  skippedUpTo = 0;

  /** Number of open messages of the key: read, and neither handled nor parked. */
  get open(): number {
    let count = 0;
    for (let item = this.first; item?.place === "open"; item = item.next) count++;
    return count;
  }

  /** Inserts an item at its place in the order of the log. Returns the item that is before it in the list. */
  insert(item: Item): Item | undefined {
    let before = this.last;
    while (before?.isBehind(item)) before = before.previous;
    const next = before === undefined ? this.first : before.next;
    this.size++;
    item.line = this;
    item.previous = before;
    item.next = next;
    if (before === undefined) this.first = item;
    else before.next = item;
    if (next === undefined) this.last = item;
    else next.previous = item;
    return before;
  }

  /** Removes an item from the list and clears its links, so that it keeps no other item in memory. */
  remove(item: Item): void {
    const { previous, next } = item;
    this.size--;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    item.line = item.previous = item.next = undefined;
  }

  *[Symbol.iterator](): Iterator<Item> {
    for (let item = this.first; item !== undefined;) {
      const { next } = item; // `next` is read first, because the loop's body may remove `item` from the list
      yield item;
      item = next;
    }
  }
}

/** Number of messages in hand of one tenant, and of one key in each limit. */
export interface Share {
  readonly name: string;
  /** Number of all of them: open ones, and parked ones. */
  size: number;
  /** Number of those that are parked, dead letters included. */
  parked: number;
}

/** A message of a subscription in the leader's memory, from reading until it is handled or discarded. */
export class Item {
  message: LoggedMessage;
  /**
   * False for a large parked message whose payload and cause are only in the store: they are loaded before the
   * message runs.
   */
  loaded = true;
  /** Size of the message in the log, in bytes; 0: unknown. */
  size = 0;
  /** Index of the item in {@link OpenMessages}, the list of open messages. */
  slot = 0;
  readonly category: Category;
  readonly epoch: number;
  /** Number of attempts to handle the message that have failed. */
  attempts: number;
  /**
   * State of the message. `open`: in memory only; `parked`: in the store, dead letters included; `gone`: handled or
   * discarded.
   */
  place: "open" | "parked" | "gone" = "open";
  /**
   * `waits`: it may not run yet; `ready`: it may run, and waits until a batch is sent; `begun`: it was sent to a node,
   * or is to be sent as soon as the next commit is stored.
   */
  turn: "waits" | "ready" | "begun" = "waits";
  /** Time of the message's next attempt, in ms since 1970; 0: at once. */
  due = 0;
  /** Time at which the message became a dead letter, in ms since 1970; 0: it is no dead letter. */
  dead = 0;
  /** Failure of the message's last attempt. */
  error: FailedWith | undefined = undefined;
  /** True if the message is handed out alone, not in a batch: it was in a batch that failed. */
  alone = false;
  /** True if the message waits for its batch to be full, with its slots of limits: `turn` is "ready". */
  fills = false;
  /** True if the message runs at a node already: a request to that node joins the run. */
  joins = false;
  /** True if a reported run has failed for good: the message becomes a dead letter when it is about to run. */
  isFinal = false;
  /** True if the message is an event of an entity that was forgotten since: it is not parked any more. */
  isForgotten = false;
  /** Limits of which the message has slots; `undefined`: none. */
  gates: readonly LimitGate<Item>[] | undefined = undefined;
  /** The limit for which the message waits; `undefined`: for none. */
  waitsAt: LimitGate<Item> | undefined = undefined;
  /** Place in lines by rank: the time since which it waits by `ahead`, or that of one whose place it has, in ms. */
  rank: number;
  /** Keys of limits among whose messages that are not done it counts; `undefined`: none, or it is done or dead. */
  inHand: readonly KeyInHand<Item>[] | undefined = undefined;
  /** Its keys in limits, once it may be large and parked: they are known without its payload then. */
  keys: KeysByFunction | undefined = undefined;
  /** The message's keys in the limits of its category; `undefined`: not known yet. */
  limitKeys: readonly string[] | undefined = undefined;
  /** The message's tenant in {@link Category.queue}; `undefined`: none, or not known. */
  tenant: FairTenant | undefined = undefined;
  /** The messages in hand of its tenant and its keys in limits; `undefined`: the message does not count there. */
  share: Share | undefined = undefined;
  /** True if the second reader has read the message, which was left behind before. */
  isBrought = false;
  /** True if this leader has begun the message. */
  hasBegun = false;
  /** Number of failed attempts that this leader found. */
  found: number;
  /** Its runs under earlier leaders that count as attempts; `undefined`: none has been reported. */
  counted: CountedRuns | undefined = undefined;
  /** True if an earlier run has handled the message: it is done as soon as the run that it is in has ended. */
  isHandled = false;
  /** True if its run is to be aborted, because a later message of its key takes its place: then it is skipped. */
  isReplaced = false;
  /** Id of the node to which the next attempt is sent, because an earlier run of the message may go on there. */
  node: string | undefined = undefined;
  /** Number of successive requests that certainly did not run the message. */
  refusals = 0;
  /** Time of the message's first failure, by the monotonic clock. */
  failedAt: number | undefined = undefined;
  /** Names of the shapes whose schemas refused the message since its last attempt; `undefined`: none has. */
  refusedBy: Set<string> | undefined = undefined;
  /**
   * True if the message waits for a node with another version (shape) of its contract, or for a node that handles it,
   * or waits behind such a message of its key. Such messages do not count towards `LedgerOptions.mostParked`.
   */
  awaitsNode = false;
  /** The queue of the message's key, while the message is in it. */
  line: KeyLine | undefined = undefined;
  previous: Item | undefined = undefined;
  next: Item | undefined = undefined;
  #id: string | undefined;

  constructor(message: LoggedMessage, category: Category, attempts: number, epoch: number) {
    this.message = message;
    this.rank = message.time;
    this.category = category;
    this.attempts = this.found = attempts;
    this.epoch = epoch;
  }

  /** True if the message cannot run now, because no live node handles it. */
  get lacksNode(): boolean {
    return this.category.capable === 0 && this.turn !== "begun";
  }

  get id(): string {
    return this.#id ??= messageId(this.message);
  }

  get position(): number {
    return this.message.position;
  }

  get key(): string | undefined {
    return this.message.key;
  }

  /** The message's tenant, or its category, which takes turns with others at a limit. */
  get sharer(): object {
    return this.tenant ?? this.category;
  }

  get state(): ParkedState {
    const { message: { position, time }, epoch, attempts, due, dead } = this;
    return { position, time, epoch, attempts, due, dead };
  }

  /** Returns true if this item comes after the given item in the log. */
  isBehind({ epoch, position }: Item): boolean {
    return this.epoch > epoch || (this.epoch === epoch && this.position > position);
  }
}
