/**
 * A category of a subscription and its messages in the leader's memory: how they are sent, the state of each, and the
 * order of those with the same key.
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { BatchSettings } from "../../contract/handler.ts";
import type { SendOptions } from "../../contract/send_options.ts";
import type { Timer } from "../../ports/clock.ts";
import { messageId, type ParkedState } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { runName } from "../format/names.ts";
import type { FailedWith } from "../format/parked_message.ts";
import { type BatchRequest, internalCommand, type RunRequest } from "../format/run_request.ts";
import type { CategorySettings } from "./spec.ts";

/** A category of a subscription. */
export class Category {
  readonly name: string;
  /** Settings of batches; `undefined`: its messages are handed out one by one. */
  readonly batch: BatchSettings | undefined;
  /** Maximum number of attempts of a message. */
  attempts: number;
  /** First and longest pause before the next attempt of a message, in ms. */
  delay: readonly [first: number, longest: number];
  /** Internal command that hands its messages out. */
  readonly contract: AnyContract;
  /** Options of sends without a key. */
  readonly options: SendOptions;
  /** Timeout of a send, in ms. */
  readonly timeout: number;
  /** Timers of messages that were refused, and the earliest times of their next attempts, by the monotonic clock. */
  readonly refused: Map<Timer, number> = new Map();
  /** Open and parked messages by key. */
  readonly lines: Map<string, KeyLine> = new Map();
  /** Messages that wait for a live node that handles the category. */
  readonly held: Item[] = [];
  /** Number of live nodes that handle the category. */
  capable = 0;

  constructor(
    subscription: { readonly service: string; readonly name: string },
    name: string,
    { attempts, delay, timeout, batch }: CategorySettings,
    appTimeout: number,
  ) {
    this.name = name;
    this.attempts = attempts;
    this.delay = delay;
    this.batch = batch;
    // the node aborts the run at `timeout`; its answer needs some time to arrive
    this.timeout = Math.min(MAX_TIMEOUT, (timeout ?? appTimeout) + ANSWER_TIMEOUT);
    this.contract = internalCommand(runName(subscription.service, subscription.name, name));
    this.options = Object.freeze({ route: "least-loaded", timeout: this.timeout });
  }

  /** Request to a message's node. */
  request({ message, attempts }: Item, token: number): RunRequest {
    const { position, id, key, payload, tagged, time, meta } = message;
    return [token, position, attempts + 1, id, key ?? null, payload, tagged ? 1 : 0, time, meta ?? null];
  }

  /** Request to the node of a batch. */
  batchRequest(items: readonly Item[], token: number): BatchRequest {
    return ["batch", ...items.map((item) => this.request(item, token))];
  }

  /**
   * Options with which a message is sent. A message that the node of its key has refused goes to any node that has
   * room.
   */
  optionsOf({ key, node, refusals }: Item): SendOptions {
    const { options, timeout } = this;
    if (key === undefined || refusals > 0) return node === undefined ? options : { ...options, node };
    return node === undefined ? { route: "hash", key, timeout } : { route: "hash", key, timeout, node };
  }
}

/** Time for a node's answer, in ms. */
const ANSWER_TIMEOUT = 2_000;
const MAX_TIMEOUT = 2_147_483_647;

/**
 * The messages of a key in the order of the log: open messages come before parked ones. A linked list: an array for
 * each key, mostly of one message, costs a leader more (measured).
 */
export class KeyLine implements Iterable<Item> {
  first: Item | undefined = undefined;
  last: Item | undefined = undefined;

  /** Number of open messages of the key. */
  get open(): number {
    let count = 0;
    for (let item = this.first; item?.place === "open"; item = item.next) count++;
    return count;
  }

  /** Inserts an item at its place. Returns the item before it. */
  insert(item: Item): Item | undefined {
    let before = this.last;
    while (before?.isBehind(item)) before = before.previous;
    const next = before === undefined ? this.first : before.next;
    item.line = this;
    item.previous = before;
    item.next = next;
    if (before === undefined) this.first = item;
    else before.next = item;
    if (next === undefined) this.last = item;
    else next.previous = item;
    return before;
  }

  /** Removes an item and its links, so that it keeps no other item in memory. */
  leave(item: Item): void {
    const { previous, next } = item;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    item.line = item.previous = item.next = undefined;
  }

  *[Symbol.iterator](): Iterator<Item> {
    for (let item = this.first; item !== undefined;) {
      const { next } = item; // `item` may leave meanwhile
      yield item;
      item = next;
    }
  }
}

/** A message of a subscription that is neither done nor discarded. */
export class Item {
  message: LoggedMessage;
  /** False for a large parked message whose payload and cause are not in memory: they are read again before it runs. */
  loaded = true;
  /** Size in the log, in bytes; 0: unknown. */
  size = 0;
  /** Index in {@link InHand}. */
  slot = 0;
  readonly category: Category;
  readonly epoch: number;
  /** Attempts that failed. */
  attempts: number;
  /** `open`; `parked`, dead letters included; `gone`: done or discarded. */
  place: "open" | "parked" | "gone" = "open";
  /**
   * `waits`: for its turn; `ready`: to be handed out; `begun`: handed out, or to be handed out with the next commit.
   */
  turn: "waits" | "ready" | "begun" = "waits";
  /** Time of the next attempt, in ms since 1970; 0: at once. */
  due = 0;
  /** Time at which the message became a dead letter, in ms since 1970; 0: it is no dead letter. */
  dead = 0;
  /** Failure of the message's last attempt. */
  error: FailedWith | undefined = undefined;
  /** True if the message is handed out alone, not in a batch: it was in a batch that failed. */
  alone = false;
  /** True if the message runs at a node already: handing it out joins that run. */
  joins = false;
  /** Id of the node to which the next attempt goes, because the message may still run there. */
  node: string | undefined = undefined;
  /** Number of successive sends that certainly did not run the message. */
  refusals = 0;
  /** Time of the message's first failure, by the monotonic clock. */
  failedAt: number | undefined = undefined;
  /** Names of the shapes whose schemas refused the message since its last attempt. */
  refusedBy: Set<string> | undefined = undefined;
  /**
   * True if the message waits for a shape that no live node has, or behind a message of its key that does: it does not
   * count towards `mostParked`.
   */
  awaitsShape = false;
  /** The list of its key, while the message is in it. */
  line: KeyLine | undefined = undefined;
  previous: Item | undefined = undefined;
  next: Item | undefined = undefined;
  #id: string | undefined;

  constructor(message: LoggedMessage, category: Category, attempts: number, epoch: number) {
    this.message = message;
    this.category = category;
    this.attempts = attempts;
    this.epoch = epoch;
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

  get state(): ParkedState {
    const { message: { position, time }, epoch, attempts, due, dead } = this;
    return { position, time, epoch, attempts, due, dead };
  }

  /** Returns true if this item comes after the other in the log. */
  isBehind({ epoch, position }: Item): boolean {
    return this.epoch > epoch || (this.epoch === epoch && this.position > position);
  }
}
