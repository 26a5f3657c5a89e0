/**
 * A category of a led subscription and its messages in the leader's memory: how they are sent, where each of them
 * stands, and in which order those of a key are.
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
  /** If its messages are handed out in batches. */
  readonly batch: BatchSettings | undefined;
  /** How often its messages are tried. */
  attempts: number;
  /** The first and the longest pause before one is tried again, in ms. */
  delay: readonly [first: number, longest: number];
  /** The internal command by which its messages are handed out. */
  readonly contract: AnyContract;
  /** Options of sends without a key. */
  readonly options: SendOptions;
  /** How long a send may take, in ms. */
  readonly timeout: number;
  /** Timers of messages that were refused, and the earliest times of their next attempts, by the monotonic clock. */
  readonly refused: Map<Timer, number> = new Map();
  /** By key, those that are open or parked. */
  readonly lines: Map<string, KeyLine> = new Map();
  /** Messages that wait for a node that handles them. */
  readonly held: Item[] = [];
  /** How many live nodes handle it. */
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
    // the node that runs it ends it in its time; its answer needs some
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

  /** Options with which it is sent. One that the node of its key has refused goes where there is room. */
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
 * The messages of a key, in the order of the log: those that are open come before those that are parked. Linked: an
 * array for each key, mostly of one message, costs a leader more (measured).
 */
export class KeyLine implements Iterable<Item> {
  first: Item | undefined = undefined;
  last: Item | undefined = undefined;

  /** How many of them are open. */
  get open(): number {
    let count = 0;
    for (let item = this.first; item?.place === "open"; item = item.next) count++;
    return count;
  }

  /** One takes its place. Returns the one before it. */
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

  /** One leaves: it keeps no other in memory. */
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
      const { next } = item; // it may leave meanwhile
      yield item;
      item = next;
    }
  }
}

/** A message of a subscription that is neither done nor discarded. */
export class Item {
  message: LoggedMessage;
  /** False without payload and cause: those of a large one that is parked are read again before it runs. */
  loaded = true;
  /** Size in the log, in bytes; 0: unknown. */
  size = 0;
  /** Index in {@link InHand}. */
  slot = 0;
  readonly category: Category;
  readonly epoch: number;
  /** Attempts that failed. */
  attempts: number;
  /** Among those that are open, or put aside; or it is done, or discarded. */
  place: "open" | "parked" | "gone" = "open";
  /** It waits for its turn; may be handed out; or is handed out, or with the next commit. */
  turn: "waits" | "ready" | "begun" = "waits";
  /** When it is to be tried, and since when it is a dead letter, in ms since 1970; 0: at once, none. */
  due = 0;
  dead = 0;
  /** Failure of its last attempt. */
  error: FailedWith | undefined = undefined;
  /** It was in a batch that failed: it is handed out alone from now on. */
  alone = false;
  /** It runs at a node already: to hand it out is to join that run. */
  joins = false;
  /** The id of the node that the next attempt goes to: one where it may be running still. */
  node: string | undefined = undefined;
  /** How often in a row it was certainly not run, and when it failed first, by the monotonic clock. */
  refusals = 0;
  failedAt: number | undefined = undefined;
  /** The shapes whose schemas refused it since its last attempt, by name. */
  refusedBy: Set<string> | undefined = undefined;
  /** It waits for a shape that is not there, or behind one of its key that does: it does not count as put aside. */
  awaitsShape = false;
  /** The messages of its key, once it is among them. */
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

  /** Returns true if it stands behind another in the log. */
  isBehind({ epoch, position }: Item): boolean {
    return this.epoch > epoch || (this.epoch === epoch && this.position > position);
  }
}
