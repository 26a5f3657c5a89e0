/**
 * What a subscription has put aside, in its leader: messages that wait for their next attempt or behind another of their key, and dead
 * letters. It is stored before the subscription's position moves on, so that the next leader finds it.
 */
import { CatgaError, isCatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import type { Change, Entry } from "../../ports/key_value_store.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { parkedPrefix, readParkedKey } from "../format/names.ts";
import { type ParkedEntry, readParked } from "../format/parked_entry.ts";
import { Lines } from "./lines.ts";
import type { ParkedItem } from "./parked_item.ts";
import { ParkedStore } from "./parked_store.ts";
import type { ParkedState, ParkingOptions } from "./parking_options.ts";
import { ReadyEntries } from "./ready_entries.ts";
import { Removals } from "./removals.ts";
import { UnreadableEntries } from "./unreadable_entries.ts";

/** The parked messages of a subscription, in its leader. Of each category and key, the lowest position is tried first, and alone. */
export class Parking {
  readonly #options: ParkingOptions;
  readonly #lines: Lines;
  readonly #store: ParkedStore;
  readonly #removals: Removals;
  readonly #unreadable: UnreadableEntries;
  readonly #closing = new AbortController();
  /** The last change of an entry that is being written. */
  readonly #changes = new Map<ParkedItem, Change>();
  readonly #ready: ReadyEntries;
  /** Requests that were found while listing. */
  readonly #requests: [ParkedItem, ParkedEntry][] = [];
  #listed = false;

  constructor(options: ParkingOptions) {
    this.#options = options;
    const { clock } = options;
    const fault = (error: unknown) => options.fault(error);
    this.#lines = new Lines(clock, () => this.#ready.refresh());
    this.#ready = new ReadyEntries({
      lines: this.#lines,
      read: (item) => this.#read(item),
      onReady: () => this.#store.closed || options.onRunnable(),
      fault: (error) => this.#store.closed || options.fault(error),
    });
    this.#store = new ParkedStore({ ...options, signal: this.#closing.signal, fault });
    this.#removals = new Removals(this.#store, fault);
    this.#unreadable = new UnreadableEntries(clock, fault);
  }

  /** Messages that are not dead letters. */
  get retrying(): number {
    return this.#lines.size - this.#lines.dead;
  }

  /** Dead letters. */
  get dead(): number {
    return this.#lines.dead;
  }

  /** When the oldest message that is not a dead letter was stored in the log, in ms since 1970; `undefined` if there is none. */
  get oldest(): number | undefined {
    return this.#lines.oldest;
  }

  /**
   * Lists what is parked, and removes entries of earlier generations. From then on it watches: entries of earlier leaders that appear
   * are removed, requests of operators are carried out. Rejects as the bucket does; it may then be called again.
   */
  async open(): Promise<void> {
    const { bucket, service, name } = this.#options;
    const { signal } = this.#closing;
    await bucket.watch(parkedPrefix(service, name), (change) => this.#changed(change), { signal });
    this.#listed = true;
    for (const [item, entry] of this.#requests.splice(0)) {
      if (item.stage === "dead" && this.has(item.position)) void this.#carryOut(item, entry);
    }
    this.#ready.open();
  }

  /** Whether a message of this key is parked, dead or not: later ones are to be parked behind it. */
  holds(category: string, key: string | undefined): boolean {
    return key !== undefined && this.#lines.holds(category, key);
  }

  /** Whether this message is parked. */
  has(position: number): boolean {
    return this.#lines.get(position) !== undefined;
  }

  /**
   * Puts a message aside: {@link Parking.has} and {@link Parking.holds} count it at once. Resolves when it is stored. Rejects with a
   * `CatgaError`, and it is not parked: `OVERLOADED` when too many are; `TOO_LARGE`; `UNAVAILABLE` when the store does not
   * answer or is full; `CLOSED`.
   */
  async park(message: LoggedMessage, state: ParkedState): Promise<void> {
    this.#closing.signal.throwIfAborted();
    const { most, service, name } = this.#options;
    const { position, category, key, time } = message;
    if (this.has(position)) throw new Error(`position ${position} of ${service}/${name} is parked already`);
    if (this.#lines.size >= most) {
      throw new CatgaError(
        "OVERLOADED",
        `the subscription ${name} of ${service} has ${this.#lines.size} messages put aside, of ${most} at most: replay or discard its ` +
          "dead letters (catga dead), or mend what its handlers fail at",
        { retryable: true },
      );
    }
    const item = this.#lines.add({ position, category, key, time });
    try {
      await this.#removals.of(this.#store.key(position));
      await this.#write(item, this.#entryOf(message, state), TRIES);
    } catch (error) {
      this.#changes.delete(item);
      this.#lines.remove(item);
      throw error;
    }
  }

  /**
   * A message that may be tried now: due, the first of its key, no dead letter, not in hand. It is in hand until
   * {@link Parking.done} or {@link Parking.failed}.
   */
  next(): ParkedEntry | undefined {
    return this.#ready.next();
  }

  /** Removes a message that was handled; those behind it may then be tried. Resolves when that is stored. Rejects with `CLOSED`. */
  async done(position: number): Promise<void> {
    await this.#end(this.#inHand(position));
  }

  /** Stores that a message failed again. Rejects with `CLOSED`. */
  async failed(position: number, state: ParkedState): Promise<void> {
    const item = this.#inHand(position);
    item.stage = "writing";
    const entry = this.#entryOf(item.entry!.message, state); // what is in hand has its entry
    try {
      await this.#write(item, entry, Infinity);
    } catch (error) {
      if (!isCatgaError(error) || error.code !== "TOO_LARGE") throw error;
      // it fitted before; the next leader begins with what is stored
      this.#options.fault(error);
      this.#settle(item, entry, Infinity);
    }
  }

  /**
   * Before the position is moved back (a rewind): removes what is parked behind `to`, and copies the rest to the next generation, for the
   * next {@link Parking}. Nothing may be in hand, and this one is to be closed then. May be repeated, with a smaller place, too.
   */
  async carry(to: number, generation: number): Promise<void> {
    await this.#store.clear(generation, (position) => position <= to && this.has(position));
    for (const item of [...this.#lines.items]) {
      if (item.position > to) await this.#remove(item);
      if (item.position > to) continue;
      const entry = item.entry ?? await this.#read(item); // none: removed elsewhere, or reported
      if (entry !== undefined) await this.#store.copy(entry, generation);
    }
  }

  /** Ends it: what is under way rejects with `CLOSED`, what is stored stays. */
  close(): void {
    this.#closing.abort(new CatgaError("CLOSED", "the subscription is no longer led here"));
    this.#lines.close();
  }

  #changed(change: Change): void {
    const { key, type, revision } = change;
    const place = readParkedKey(key);
    if (place === undefined) return type === "put" ? this.#unreadable.report(key, "no such key") : undefined;
    if (place.generation < this.#options.generation) {
      return type === "put" ? this.#removals.add(key, revision) : undefined;
    }
    if (place.generation > this.#options.generation) return; // a rewind that has begun
    const item = this.#lines.get(place.position);
    if (item === undefined) {
      if (type === "put") this.#appeared(place.position, change);
    } else if (item.stage === "writing") this.#changes.set(item, change);
    else this.#consider(item, change);
  }

  #appeared(position: number, { key, value, revision }: Entry): void {
    const entry = readParked(position, value);
    if (typeof entry === "string") return this.#unreadable.report(key, entry);
    if (this.#listed) {
      // an earlier leader's, or one of this leader that was stored late
      if (entry.token <= this.#options.token) this.#removals.add(key, revision);
      return;
    }
    const { category, key: of, time } = entry.message;
    const item = this.#lines.add({ position, category, key: of, time });
    item.revision = revision;
    this.#settle(item, entry, value.length);
    if (entry.request !== undefined) this.#requests.push([item, entry]);
  }

  /** Somebody else has written or removed the entry. */
  #consider(item: ParkedItem, change: Change): void {
    if (change.revision < item.revision || (change.type === "put" && change.revision === item.revision)) return;
    if (change.type === "put") return this.#rewritten(item, change);
    if (change.type !== "delete") this.#unreadable.report(change.key, "it is gone from the store");
    if (item.stage === "hand") item.revision = 0;
    else this.#lines.remove(item);
  }

  #rewritten(item: ParkedItem, { key, value, revision }: Entry): void {
    const entry = readParked(item.position, value);
    if (typeof entry !== "string" && entry.token > this.#options.token) return; // a later leader's
    item.revision = revision;
    if (typeof entry === "string") this.#unreadable.report(key, entry);
    if (item.stage === "hand") return;
    if (typeof entry === "string") this.#lines.remove(item);
    else if (entry.request === undefined) this.#settle(item, entry, value.length);
    else void this.#carryOut(item, entry);
  }

  /** Does what an operator requests. */
  async #carryOut(item: ParkedItem, { request, ...entry }: ParkedEntry): Promise<void> {
    item.stage = "writing";
    try {
      if (request === "discard") return await this.#end(item);
      await this.#options.onReplay?.(entry.message);
      const replayed = { ...entry, token: this.#options.token, attempts: 0, due: 0, dead: 0 };
      const written = await this.#store.write(item, replayed, Infinity, true);
      if (written !== undefined) return this.#settle(item, written.entry, written.size);
      // another request has replaced this one
      const found = await this.#store.get(this.#store.key(item.position));
      item.stage = "dead";
      if (found === undefined) this.#lines.remove(item);
      else this.#rewritten(item, found);
    } catch (error) {
      if (this.#store.closed) return;
      this.#options.fault(error);
      await delay(this.#options.clock, PAUSE, this.#closing.signal).catch(() => {}); // closed meanwhile
      if (!this.#store.closed) await this.#carryOut(item, { request, ...entry });
    }
  }

  /** Writes an item in the stage `writing`, which it leaves. */
  async #write(item: ParkedItem, entry: ParkedEntry, tries: number): Promise<void> {
    const written = (await this.#store.write(item, entry, tries))!; // there is one, unless it is to be exact
    this.#settle(item, written.entry, written.size);
  }

  /** Removes a message that nobody is to run again, also when the next leader begins now. */
  async #end(item: ParkedItem): Promise<void> {
    await this.#options.onRemove?.(item.position);
    await this.#remove(item);
  }

  /** Removes what is stored of a message, and then the message. */
  async #remove(item: ParkedItem): Promise<void> {
    item.stage = "writing";
    await this.#store.erase(item);
    this.#changes.delete(item);
    this.#lines.remove(item);
  }

  /** It waits for its turn, as its entry says. */
  #settle(item: ParkedItem, entry: ParkedEntry, size: number): void {
    const { clock, longest } = this.#options;
    item.entry = size <= KEPT ? entry : undefined;
    // the clock of the leader that wrote it may be another
    const wait = Math.min(Math.max(0, entry.due - clock.now()), longest(entry.message.category));
    this.#lines.settle(item, { dead: entry.dead > 0, due: clock.monotonic() + wait });
    const change = this.#changes.get(item);
    if (change !== undefined && this.#changes.delete(item)) this.#consider(item, change);
  }

  /** What is stored of a message. Without it the message is given up, which is reported. */
  async #read(item: ParkedItem): Promise<ParkedEntry | undefined> {
    const key = this.#store.key(item.position);
    const found = await this.#store.get(key);
    const entry = found === undefined ? "it is gone" : readParked(item.position, found.value);
    if (typeof entry !== "string") return entry;
    if (this.#lines.get(item.position) !== item) return undefined; // removed meanwhile
    this.#unreadable.report(key, entry);
    this.#lines.remove(item);
    return undefined;
  }

  #entryOf(message: LoggedMessage, { attempts, error, due = 0, dead = false }: ParkedState): ParkedEntry {
    const { token, clock } = this.#options;
    return { token, message, attempts, error, due: dead ? 0 : due, dead: dead ? clock.now() : 0 };
  }

  #inHand(position: number): ParkedItem {
    this.#closing.signal.throwIfAborted();
    const item = this.#lines.get(position);
    if (item?.stage !== "hand") throw new Error(`position ${position} is not in hand`);
    return item;
  }
}

/** How often the store is tried before {@link Parking.park} rejects. */
const TRIES = 3;
/** Characters of an entry that stays in memory. */
const KEPT = 1_024;
/** Before a request that failed is carried out again, in ms. */
const PAUSE = 2_000;
