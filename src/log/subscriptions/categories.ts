/**
 * The categories of a led subscription, and their messages in the leader's memory: how those of each are sent, where
 * each of them stands, and in which order they are.
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { BatchSettings } from "../../contract/handler.ts";
import { morePatient, type SendOptions } from "../../contract/send_options.ts";
import type { Timer } from "../../ports/clock.ts";
import { messageId, MOST_CATEGORIES, type ParkedState } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { runName } from "../format/names.ts";
import type { FailedWith } from "../format/parked_message.ts";
import { type BatchRequest, internalCommand, type RunRequest } from "../format/run_request.ts";
import type { CapableNode } from "./leader_election.ts";
import { type CategorySettings, DEFAULT_SETTINGS, type SubscriptionSpec } from "./spec.ts";

/** The categories of one leader. */
export class Categories {
  /** By name, those of which there were messages. */
  readonly all: Map<string, Category> = new Map();
  readonly #spec: SubscriptionSpec;
  /** The app's, in ms. */
  readonly #timeout: number;
  /** Start positions of the categories in the record. */
  readonly #began = new Map<string, number>();
  #nodes: readonly CapableNode[] = [];
  /** How many messages may be open. */
  window: number = MAX_OPEN_AT_NODE;

  constructor(spec: SubscriptionSpec, began: Readonly<Record<string, number>>, timeout: number) {
    this.#spec = spec;
    this.#timeout = timeout;
    this.begin(began);
  }

  /** They begin here from now on, and there are no others. */
  begin(began: Readonly<Record<string, number>>): void {
    this.#began.clear();
    for (const [name, position] of Object.entries(began)) this.#began.set(name, position);
  }

  /** Those that are read, and where each begins, for the record. */
  get began(): Record<string, number> {
    return Object.fromEntries(this.#began);
  }

  /** The longest time that a run may take, in ms. */
  get patience(): number {
    return Math.max(this.#timeout, ...[...this.all.values()].map(({ timeout }) => timeout));
  }

  /** The category of this name. If only nodes of another version handle it, what they announce holds. */
  of(name: string): Category {
    let category = this.all.get(name);
    if (category === undefined) {
      const settings = this.#spec.categories.get(name) ?? DEFAULT_SETTINGS;
      category = new Category(this.#spec, name, settings, this.#timeout);
      this.#count(category);
      this.all.set(name, category);
    }
    return category;
  }

  /** Returns true if a message is not for this subscription, or was read already. */
  passes({ category, position }: LoggedMessage): boolean {
    return position <= (this.#began.get(category) ?? 0);
  }

  /** Adds those that are new, as many as a commit may have. Returns true if there are any. `read`: up to here. */
  add(began: Readonly<Record<string, number>>, read: number): boolean {
    const room = Math.max(0, MOST_CATEGORIES - this.#began.size);
    const added = Object.entries(began).filter(([name]) => !this.#began.has(name)).slice(0, room);
    for (const [name, position] of added) this.#began.set(name, Math.max(position, read));
    return added.length > 0;
  }

  /**
   * None begins behind the end of the log: a record that says so would have its messages passed by for ever. Returns
   * the names of those that did, which begin behind what was read.
   */
  limit(end: number, read: number): readonly string[] {
    const beyond = [...this.#began].flatMap(([name, position]) => position > end ? [name] : []);
    for (const name of beyond) this.#began.set(name, Math.min(end, read));
    return beyond;
  }

  /** Positions begin again lower: no message is known any more. */
  reset(): void {
    for (const name of this.#began.keys()) this.#began.set(name, 0);
  }

  /** The live nodes, with what they handle. */
  refresh(nodes: readonly CapableNode[]): void {
    this.#nodes = nodes;
    this.window = Math.min(MAX_OPEN, MAX_OPEN_AT_NODE * Math.max(1, nodes.length));
    for (const category of this.all.values()) this.#count(category);
  }

  #count(category: Category): void {
    const { name } = category;
    const announced = this.#nodes.flatMap(({ categories }) => categories.get(name) ?? []);
    category.capable = announced.length;
    if (announced.length === 0 || this.#spec.categories.has(name)) return;
    const { attempts, delay } = announced.reduce(morePatient);
    category.attempts = attempts;
    category.delay = delay;
  }
}

/** How many messages may be open for each node, and for all. */
const MAX_OPEN_AT_NODE = 1_024;
const MAX_OPEN = 8_192;

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

/** Items in the order in which they were added. None is kept once it has left. */
export class InHand implements Iterable<Item> {
  #items: (Item | undefined)[] = [];
  size = 0;
  /** Their size in the log, in bytes. */
  bytes = 0;

  add(item: Item): void {
    item.slot = this.#items.push(item) - 1;
    this.size++;
    this.bytes += item.size;
  }

  /** Takes out one that is in hand. With a `Set` this takes a tenth of all that a leader does (measured). */
  leave({ slot, size }: Item): void {
    const items = this.#items;
    items[slot] = undefined;
    this.size--;
    this.bytes = this.size === 0 ? 0 : this.bytes - size; // fractions add up
    if (2 * this.size + SLACK > items.length) return;
    this.#items = [];
    for (const item of items) if (item !== undefined) item.slot = this.#items.push(item) - 1;
  }

  *[Symbol.iterator](): Iterator<Item> {
    for (const item of this.#items) if (item !== undefined) yield item;
  }
}

/** Places of items that have left, beside as many as are in hand. */
const SLACK = 64;
