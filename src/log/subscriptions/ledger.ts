/**
 * A subscription in its leader's memory: which messages are open, parked, running, which of them may run next, and
 * which fill a batch. It decides, and neither waits nor sends: what it was told is in its next commit, all at once, and
 * what must not happen before that is handed out when the commit is stored.
 */
import { DueHeap, Fifo } from "../../data/queues.ts";
import { type Head, messageId, type ParkedState, type Place, type StoredState } from "../format/commit.ts";
import { sequenceOf } from "../format/group_text.ts";
import { type LoggedMessage, withPayload } from "../format/logged_message.ts";
import type { FailedWith, ListedMessage } from "../format/parked_message.ts";
import type { LetterRequest } from "../format/subscription_request.ts";
import { type LastEnd, Suspicion } from "./suspicion.ts";
import type { Categories } from "./categories.ts";
import { type Category, Item, KeyLine } from "./category.ts";
import { InHand } from "./in_hand.ts";

/** Options of a {@link Ledger}. */
export interface LedgerOptions {
  /** As it is stored. */
  readonly head: Head;
  /** Where each of them begins, and what each is. */
  readonly categories: Pick<Categories, "began" | "of">;
  /** How many messages may be parked, dead letters included. */
  readonly mostParked: number;
  /** A message has become a dead letter. */
  onDead?(item: Item): void;
}

/** Outcome of a failed message. */
export interface FailedMessage {
  readonly attempts: number;
  readonly error: FailedWith;
  /** When it is to be tried again, in ms since 1970. */
  readonly due?: number;
  /** Since when it is a dead letter. */
  readonly dead?: number;
}

/** Content of the next commit. */
export interface Draft {
  readonly head: Omit<Head, "leader" | "token">;
  /** Parked messages that have changed since the last draft, and those that are parked no longer. */
  readonly changed: readonly ParkedState[];
  readonly ended: readonly string[];
  /** Items whose message, or error, is to be stored first. */
  readonly entries: readonly Item[];
  /** Items that begin when it is stored. */
  readonly begins: readonly Item[];
  readonly after: readonly Item[];
  /** Items whose failed attempts it records. */
  readonly failed: readonly Item[];
}

/** A message that a leader finds when it begins: where it was parked, or in the log. */
export type FoundMessage =
  | ListedMessage
  /** `unreadable`: why it cannot be read, and is made up. */
  | { readonly in: "log"; readonly message: LoggedMessage; readonly unreadable?: string | undefined };

/** State that a leader finds when it begins. */
export interface FoundState extends LastEnd {
  readonly stored: StoredState;
  /** By ids: the messages that are open, parked or running, as far as they are to be had. */
  readonly messages: ReadonlyMap<string, FoundMessage>;
  /** In ms since 1970. */
  readonly now: number;
}

/** The messages of a subscription, in its leader. */
export class Ledger {
  /** Messages in hand, in the order of the log: what is read comes behind what was. */
  readonly open: InHand = new InHand();
  /** By id, messages that are put aside, dead letters included. */
  readonly parked: Map<string, Item> = new Map();
  /** By category, the first ones of keys that may run, and wait for a batch to fill. */
  readonly filling: Map<Category, Item[]> = new Map();
  /** Parked messages that every shape which is there has refused: each waits for another one. */
  readonly awaiting: Set<Item> = new Set();
  /** How many of the parked wait for a shape, or behind one of their key that does. */
  #awaitingShape = 0;
  /** Messages up to here are read. */
  place: Place;
  /** How many are dead letters; how many have been handed out and have no outcome. */
  dead = 0;
  running = 0;
  /** Requests up to this sequence are carried out. */
  upTo: number;
  readonly #options: LedgerOptions;
  /** May run, unless no node handles them. */
  #ready = new Fifo<Item>();
  readonly #due = new DueHeap<Item>();
  /** Items to be parked when there is room. */
  #roomless: (readonly [Item, FailedMessage | undefined])[] = [];
  /** `undefined`: no message is suspected. */
  #suspicion: Suspicion | undefined;
  /** Items that begin with the next commit, and how many do with the one that is being stored. */
  #beginning: Item[] = [];
  #beingStored = 0;
  /** Time after which more may begin, while messages are suspected, in ms; `undefined`: nothing waits for that. */
  pause: number | undefined = undefined;
  /** By id, the nodes of those that ran when it took over; of those still to be read, what their keys have done. */
  #joined: ReadonlyMap<string, string> = new Map();
  readonly #doneBelow = new Map<string, { readonly position: number; readonly time: number; readonly node: string }>();
  #changed = new Map<string, Item | undefined>();
  #entries = new Set<Item>();
  /** Items that may run when the next commit is stored. */
  #after: Item[] = [];
  /** Items that failed since the last commit. */
  readonly #uncommitted = new Set<Item>();
  /** Lines of which those behind were parked so that others go on. */
  readonly #relieved = new Set<KeyLine>();

  constructor(options: LedgerOptions) {
    // who leads has waited for what ran before the rewind
    const { place: { rewound: _, ...place }, requests } = options.head;
    this.#options = options;
    this.place = place;
    this.upTo = requests;
  }

  /** When the oldest that is no dead letter was stored, in ms since 1970. Costs as much as there is parked. */
  get oldest(): number | undefined {
    const [first] = this.open;
    let oldest = first?.message.time;
    // thousands of dead letters, and nothing that waits for another attempt
    if (this.parked.size === this.dead) return oldest;
    for (const { dead, message: { time } } of this.parked.values()) {
      if (dead === 0 && (oldest === undefined || time < oldest)) oldest = time;
    }
    return oldest;
  }

  /** True if messages wait for room. */
  get full(): boolean {
    return this.#roomless.length > 0;
  }

  /** Takes over what is stored. Returns the ids of those whose message is gone: they are given up. */
  takeOver({ stored, messages, running, ended, unclean, end, now }: FoundState): readonly string[] {
    const lost: string[] = [];
    for (const [id, state] of stored.parked) {
      const found = messages.get(id);
      if (found === undefined) lost.push(id);
      else this.#restore(state, found, now);
    }
    for (const id of lost) this.#changed.set(id, undefined);
    const open = new Map<number, FoundMessage>();
    for (const [id, found] of messages) if (!this.parked.has(id)) open.set(found.message.position, found);
    for (const [position, attempts] of stored.head.open) {
      const found = open.get(position);
      if (found === undefined) lost.push(`${position}`);
      else {
        const item = this.#enter(found.message, attempts);
        if (found.in === "log" && found.unreadable !== undefined) this.#bury(item, found.unreadable, now);
      }
    }
    const known = new Map([...this.#all()].map((item) => [item.id, item]));
    this.#joined = running;
    for (const [id, node] of running) {
      const [item, message] = [known.get(id), messages.get(id)?.message];
      if (item !== undefined) this.#join(item, node);
      else if (message !== undefined && message.position > this.place.read) this.#joinLater(message, node);
    }
    // those that the last leader may have begun
    const inQuestion = [...this.#all()].filter((item) =>
      item.place === "open" || (item.dead === 0 && item.due <= now && this.#isFirst(item))
    );
    this.#suspicion = Suspicion.after(stored.head.doubt, { running, ended, unclean, end }, inQuestion);
    const alone = this.#suspicion?.alone;
    if (alone !== undefined) this.#countDeath(alone);
    return lost;
  }

  /** Takes the next message that was read, unless it is parked, or done; `size`: what it takes in the log. */
  add(message: LoggedMessage, size = 0): void {
    if (this.parked.size > 0 && this.parked.has(messageId(message))) return;
    if (this.#doneBelow.size > 0) {
      const below = this.#doneBelow.get(lineId(message));
      // positions come again when the log has lost its end
      if (below !== undefined && message.position < below.position && message.time <= below.time) return;
    }
    const item = this.#enter(message, 0, size);
    if (this.#joined.size > 0) {
      item.node = this.#joined.get(item.id);
      item.joins = item.node !== undefined;
    }
    if (item.place === "open") this.#suspicion?.arrived(item);
  }

  /** Takes a message that cannot be read: it is a dead letter. */
  bury(message: LoggedMessage, reason: string, now: number): void {
    if (!this.parked.has(messageId(message))) this.#bury(this.#enter(message, 0), reason, now);
  }

  #bury(item: Item, message: string, now: number): void {
    this.failed(item, { attempts: 0, error: { code: "INVALID_MESSAGE", message }, dead: now });
  }

  /** All that the log had when reading began was read. */
  caughtUp(): void {
    this.#suspicion?.caughtUp();
  }

  /** Parked messages become due. */
  #wake(now: number): void {
    for (let { first } = this.#due; first !== undefined && first <= now; { first } = this.#due) {
      const item = this.#due.pop()!; // there is a first
      if (item.due === first) this.#offer(item);
    }
  }

  /**
   * Has the items run that are to run now. In doubt they are handed out by {@link Ledger.stored}, except those that run
   * already. The clock is read only if it matters.
   */
  begin(now: () => number, run: (item: Item) => void): void {
    if (this.#due.size > 0) this.#wake(now());
    this.pause = undefined;
    if (this.#suspicion?.isOver(this.place.read)) this.#suspicion = undefined;
    if (this.#suspicion !== undefined) return this.#beginInDoubt(this.#suspicion, now).forEach(run);
    for (let item = this.#ready.shift(); item !== undefined; item = this.#ready.shift()) {
      if (!this.#mayRun(item, now)) continue;
      const { category } = item;
      if (category.batch === undefined || item.alone || item.joins || !item.loaded) run(this.#run(item));
      else {
        item.turn = "ready";
        const heads = this.filling.get(category);
        if (heads === undefined) this.filling.set(category, [item]);
        else heads.push(item);
      }
    }
  }

  /** Returns true if a batch of this category would be full. */
  isFull(category: Category): boolean {
    let left = category.batch?.max ?? Infinity;
    for (const head of this.filling.get(category) ?? []) {
      for (const _ of together(head)) if (--left <= 0) return true;
    }
    return false;
  }

  /**
   * The next batch of a category, in the order of the log: those whose turn it is, each with those of its key that
   * follow it. They may take `most` bytes, by `sizeOf`, unless it is one.
   */
  batch(category: Category, most: number, sizeOf: (item: Item) => number): readonly Item[] {
    const heads = this.filling.get(category) ?? [];
    const items: Item[] = [];
    let [bytes, taken] = [0, 0];
    const fits = (item: Item) => {
      if (items.length === category.batch!.max) return false; // else it has no heads
      bytes += sizeOf(item);
      return items.length === 0 || bytes <= most;
    };
    all: for (const head of heads) {
      if (head.place !== "gone" && head.turn === "ready" && head.dead === 0 && this.#isFirst(head)) {
        for (const item of together(head)) {
          if (!fits(item)) break all;
          if (item === head) taken++;
          items.push(this.#run(item));
        }
      } else {
        head.turn = "waits";
        taken++;
      }
    }
    heads.splice(0, taken);
    if (heads.length === 0) this.filling.delete(category);
    return items.sort((a, b) => a.isBehind(b) ? 1 : -1);
  }

  /** The nodes that handle this category have changed. */
  refresh(category: Category): void {
    if (category.capable === 0) return;
    for (const item of category.held.splice(0)) if (item.place !== "gone") this.#push(item);
  }

  /** It was handled. */
  done(item: Item): void {
    if (this.#ended(item)) this.#end(item);
  }

  /** It failed, and is parked: until it is due, or as a dead letter. */
  failed(item: Item, failure: FailedMessage): void {
    if (!this.#ended(item)) return;
    item.attempts = failure.attempts;
    this.#park(item, failure);
  }

  /** It failed, and stays where it is until {@link Ledger.again}. */
  waits(item: Item, attempts: number): void {
    if (!this.#ended(item)) return;
    item.attempts = attempts;
    this.#uncommitted.add(item);
  }

  /** It was certainly not run. That is no attempt; it stays where it is until {@link Ledger.again}. */
  refused(item: Item): void {
    if (item.turn === "begun") {
      this.running--;
      item.turn = "waits";
    }
    item.joins = false;
    this.#suspicion?.stopped(item);
  }

  /**
   * The process at this endpoint ended while it ran it. If nothing else ran there, that is an attempt. Else it may have
   * been any of them: all of them come into doubt. It stays where it is until {@link Ledger.again}.
   */
  vanished(item: Item, endpoint: string): void {
    this.refused(item);
    if (item.place === "gone") return;
    this.#suspicion ??= new Suspicion(0, [...this.#all()].filter(({ turn }) => turn === "begun"));
    if (this.#suspicion.vanished(item, endpoint, (other) => other.attempts--)) this.#countDeath(item);
    this.#uncommitted.add(item);
  }

  /** Its pause is over. It runs again when it is known that it failed. */
  again(item: Item): void {
    if (item.place === "gone" || item.turn !== "waits" || !this.#isFirst(item)) return;
    if (this.#uncommitted.has(item)) this.#after.push(item);
    else this.#push(item);
  }

  /**
   * Carries out a request about a dead letter. One that does not fit any more has no effect: it is no dead letter now,
   * or became one again since. So it has one effect, however often it is stored.
   */
  carryOut(sequence: number, { kind, message, dead, payload }: LetterRequest): void {
    this.carriedOut(sequence);
    const item = this.parked.get(message);
    if (item === undefined || item.dead === 0 || item.dead !== dead) return;
    if (kind === "discard") return this.#end(item);
    if (payload !== undefined) {
      item.message = withPayload(item.message, payload, dead);
      this.#entries.add(item);
    }
    this.dead--;
    item.attempts = item.due = item.dead = 0;
    this.#changed.set(item.id, item);
    this.#after.push(item);
  }

  /** Requests up to this sequence are carried out. */
  carriedOut(sequence: number): void {
    this.upTo = Math.max(this.upTo, sequence);
  }

  /** The store has lost what stood behind this sequence: sequences of requests come again. */
  restored(sequence: number): void {
    this.upTo = Math.min(this.upTo, sequence);
  }

  /** Position up to which all messages of a category that were read are done, or discarded. */
  settled(name: string): number {
    let { read, epoch } = this.place;
    for (const item of this.#all()) {
      if (item.category.name === name && item.epoch === epoch) read = Math.min(read, item.position - 1);
    }
    return read;
  }

  /**
   * Goes back in the log: all behind `to` is read again, of the categories that there are now. Nothing may run.
   * `there`: the sequences that the log still has, of those that are parked; the others stay parked.
   */
  rewind(to: number, there: ReadonlySet<number>): void {
    const { began } = this.#options.categories;
    const { created, read, epoch } = this.place;
    this.place = { created: to === 0 ? "" : created, read: Math.min(to, read), time: 0, epoch, rewound: true };
    const goes = (item: Item) =>
      item.place === "parked"
        ? item.epoch === epoch && item.position > to && there.has(sequenceOf(item.position))
        : item.position > to || !Object.hasOwn(began, item.category.name);
    // one that ends has the next of its key put aside
    for (const item of [...this.#all()].filter(goes)) this.#end(item);
    this.#suspicion = undefined;
  }

  /**
   * If one key has half of those that are open, or more, those behind its first ones are parked: so others are read and
   * go on. They may take half of the room for what is parked.
   */
  relieve(keep = KEPT_OF_KEY): void {
    let [most, open] = [new KeyLine(), 0];
    for (const item of this.open) {
      const { line } = item;
      if (line?.first === item && line.open > open) [most, open] = [line, line.open];
    }
    const room = Math.floor(this.#options.mostParked / 2) - this.#counted;
    if (2 * open < this.open.size || room <= 0) return;
    let kept = Math.max(keep, open - room);
    const items = [...most];
    while (kept < open && items[kept].turn === "begun") kept++;
    if (kept >= open) return;
    this.#relieved.add(most);
    for (const item of items.slice(kept, open)) this.#park(item, undefined);
  }

  /** True if what waits behind slow keys takes nearly all the room: no more is to be read until there is some. */
  get crowded(): boolean {
    if (this.#counted < this.#options.mostParked * CROWDED) return false;
    for (const line of this.#relieved) if (line.last?.place !== "parked") this.#relieved.delete(line);
    return this.#relieved.size > 0;
  }

  /** Content of the next commit. */
  draft(): Draft {
    const ended: string[] = [];
    const changed: ParkedState[] = [];
    for (const [id, item] of this.#changed) {
      if (item === undefined) ended.push(id);
      else changed.push(item.state);
    }
    const draft: Draft = {
      head: this.#head,
      changed,
      ended,
      entries: [...this.#entries],
      begins: this.#beginning,
      after: this.#after,
      failed: [...this.#uncommitted],
    };
    this.#changed = new Map();
    this.#entries = new Set();
    this.#beginning = [];
    this.#beingStored = draft.begins.length;
    this.#after = [];
    return draft;
  }

  /** A draft is stored. Returns what runs now. */
  stored({ begins, after, failed }: Draft): readonly Item[] {
    this.#beingStored = 0;
    for (const item of failed) this.#uncommitted.delete(item);
    for (const item of after) this.#offer(item);
    return begins.filter(({ place }) => place !== "gone");
  }

  /** True if there is anything that a commit would make known. */
  get waitsForCommit(): boolean {
    return this.#beginning.length > 0 || this.#after.length > 0;
  }

  /** True if items begin when a commit is stored. */
  get isBeginning(): boolean {
    return this.#beginning.length > 0 || this.#beingStored > 0;
  }

  /** True if something that is parked has changed since the last draft. */
  get changed(): boolean {
    return this.#changed.size > 0;
  }

  get #head(): Draft["head"] {
    return {
      place: this.place,
      open: [...this.open].map(({ position, attempts }) => [position, attempts]),
      began: this.#options.categories.began,
      requests: this.upTo,
      doubt: this.#suspicion?.stored,
    };
  }

  /**
   * A parked message, as it is stored, or to be stored again. It waits for the longest pause of its category at most,
   * whatever the clock of the leader was that parked it.
   */
  #restore(state: ParkedState, found: FoundMessage, now: number): void {
    const { message } = found;
    const item = new Item(message, this.#options.categories.of(message.category), state.attempts, state.epoch);
    if (found.in === "log") this.#entries.add(item);
    else {
      item.error = found.error;
      item.loaded = found.loaded;
    }
    item.place = "parked";
    const awaits = state.dead === 0 && item.error?.refusedBy !== undefined;
    // what waits for a shape is woken by it, not by time
    item.due = awaits ? state.due : Math.min(state.due, Math.ceil(now + item.category.delay[1]));
    item.dead = state.dead;
    if (item.dead > 0) this.dead++;
    this.parked.set(item.id, item);
    insert(item);
    this.#setAwaits(item, awaits || (item.error === undefined && this.#isBehindAwaiting(item)));
    if (awaits) this.awaiting.add(item);
    if (item.dead === 0) this.#due.push(item.due, item);
  }

  #enter(message: LoggedMessage, attempts: number, size = 0): Item {
    const item = new Item(message, this.#options.categories.of(message.category), attempts, this.place.epoch);
    item.size = size;
    this.open.add(item);
    if (item.key !== undefined && this.#roomless.length > 0) this.#roomless.push([item, undefined]);
    else this.#enqueue(item);
    return item;
  }

  /** It may run if it is the first of its key, and waits where the one before it does. */
  #enqueue(item: Item): void {
    const before = insert(item);
    if (before?.place === "parked") this.#park(item, undefined);
    else this.#offer(item);
  }

  /** It runs at a node. A dead letter that does is being discarded. */
  #join(item: Item, node: string): void {
    if (item.place === "gone" || item.dead > 0) return;
    this.#endBefore(item, node);
    item.node = node;
    item.joins = true;
    this.#offer(item);
  }

  /** It runs at a node, and is still to be read. */
  #joinLater(message: LoggedMessage, node: string): void {
    const { position, time, category, key } = message;
    this.#endBefore(new Item(message, this.#options.categories.of(category), 0, this.place.epoch), node);
    if (key === undefined) return;
    const line = lineId(message);
    const known = this.#doneBelow.get(line);
    if (known?.node !== node || position < known.position) this.#doneBelow.set(line, { position, time, node });
  }

  /** One runs at a node: of its key, those in front of it are done, unless they run there with it, in a batch. */
  #endBefore(item: Item, node: string): void {
    const line = item.key === undefined ? [] : item.category.lines.get(item.key) ?? [];
    for (const each of [...line]) {
      if (each.dead === 0 && item.isBehind(each) && this.#joined.get(each.id) !== node) this.#end(each);
    }
  }

  *#all(): Iterable<Item> {
    yield* this.open;
    yield* this.parked.values();
  }

  /** It ran alone, and the process ended. */
  #countDeath(item: Item): void {
    item.attempts++;
    item.error = { code: "OUTCOME_UNKNOWN", message: `the process that ran it ended, at attempt ${item.attempts}` };
    if (item.place !== "parked") return;
    this.#changed.set(item.id, item);
    this.#entries.add(item);
  }

  #beginInDoubt(suspicion: Suspicion, now: () => number): readonly Item[] {
    // each is committed before it begins: no batches
    for (const item of [...this.filling.values()].flat()) this.#push(item);
    this.filling.clear();
    const [ready, joined]: Item[][] = [[], []];
    for (let item = this.#ready.shift(); item !== undefined; item = this.#ready.shift()) {
      if (!this.#mayRun(item, now)) continue;
      if (item.joins) joined.push(this.#run(item));
      else ready.push(item);
    }
    const { begins, later, pause } = suspicion.choose(ready, now());
    if (later.length > 0) this.pause = pause;
    for (const item of begins) this.#beginning.push(this.#run(item));
    for (const item of later) this.#push(item);
    return joined;
  }

  #mayRun(item: Item, now: () => number): boolean {
    if (item.turn !== "ready") return false;
    item.turn = "waits";
    if (item.place === "gone" || item.dead > 0) return false;
    if (item.attempts >= item.category.attempts) {
      this.#park(item, { attempts: item.attempts, error: item.error ?? UNKNOWN, dead: now() });
      return false;
    }
    if (item.category.capable > 0) return true;
    item.category.held.push(item);
    this.#suspicion?.cleared(item);
    return false;
  }

  #run(item: Item): Item {
    item.turn = "begun";
    this.running++;
    return item;
  }

  /** It may be handed out if it is its turn. */
  #offer(item: Item): void {
    if (item.place !== "gone" && item.turn === "waits" && this.#isFirst(item)) this.#push(item);
  }

  #push(item: Item): void {
    item.turn = "ready";
    this.#ready.push(item);
  }

  /** Its run has an outcome. Returns whether it is still of this ledger. */
  #ended(item: Item): boolean {
    this.refused(item);
    this.#suspicion?.cleared(item);
    return item.place !== "gone";
  }

  /** It is done, or parked, or discarded: the next of its key has its turn. */
  #end(item: Item): void {
    const { line, place } = item;
    if (place === "open") this.open.leave(item);
    item.place = "gone";
    this.#suspicion?.cleared(item);
    if (place === "parked") {
      if (item.dead > 0) this.dead--;
      this.#setAwaits(item, false);
      this.parked.delete(item.id);
      this.#changed.set(item.id, undefined);
      this.#entries.delete(item);
    }
    const isFirst = line?.first === item;
    line?.leave(item);
    if (isFirst) this.#next(line!, item);
    if (this.#roomless.length > 0) this.#makeRoom();
  }

  /** Without a failure: it waits behind another of its key. */
  #park(item: Item, failure: FailedMessage | undefined): void {
    const awaits = failure === undefined ? this.#isBehindAwaiting(item) : isAwaiting(failure);
    if (item.place !== "parked" && !this.#hasRoom(awaits)) {
      this.#roomless.push([item, failure]);
      // what waits behind another, and all that is read meanwhile, has no place in its line before there is room
      if (failure === undefined) item.line?.leave(item);
      return;
    }
    if (failure !== undefined) {
      item.error = failure.error;
      item.due = Math.ceil(failure.due ?? 0);
      item.dead = Math.ceil(failure.dead ?? 0);
      if (item.dead > 0) {
        this.dead++;
        this.#options.onDead?.(item);
      }
    }
    const behind = failure !== undefined && item.place === "open" ? item.line ?? [] : [];
    this.#putAside(item);
    this.#setAwaits(item, awaits);
    if (failure !== undefined && awaits) this.awaiting.add(item);
    for (const each of behind) {
      if (each.place !== "open") continue;
      this.#putAside(each);
      this.#setAwaits(each, awaits);
    }
    if (item.dead === 0 && this.#isFirst(item)) this.#due.push(item.due, item);
  }

  /** How many of the parked count towards those that may be. */
  get #counted(): number {
    return this.parked.size - this.#awaitingShape;
  }

  #hasRoom(awaits: boolean): boolean {
    const { mostParked } = this.#options;
    return awaits ? this.#awaitingShape < AWAITING * mostParked : this.#counted < mostParked;
  }

  #isBehindAwaiting({ line }: Item): boolean {
    return line?.first?.place === "parked" && line.first.awaitsShape;
  }

  #setAwaits(item: Item, awaits: boolean): void {
    this.awaiting.delete(item);
    if (item.awaitsShape === awaits) return;
    item.awaitsShape = awaits;
    this.#awaitingShape += awaits ? 1 : -1;
  }

  /** A node is there that has not refused one that waits for a shape: it runs when it is its turn. */
  wakeAwaiting(item: Item): void {
    if (this.awaiting.has(item)) this.#offer(item);
  }

  #putAside(item: Item): void {
    if (item.place === "open") {
      this.open.leave(item);
      item.place = "parked";
      this.parked.set(item.id, item);
    }
    this.#entries.add(item);
    this.#changed.set(item.id, item);
    this.#suspicion?.cleared(item);
  }

  #makeRoom(): void {
    const waiting = this.#roomless;
    this.#roomless = [];
    for (const [item, failure] of waiting) {
      if (item.place === "gone") continue;
      if (failure !== undefined) this.#park(item, failure);
      else if (this.#roomless.length > 0) this.#roomless.push([item, failure]);
      else this.#enqueue(item);
    }
  }

  /** The first of a key has its turn. */
  #next(line: KeyLine, { category, key }: Item): void {
    const { first } = line;
    if (first === undefined) category.lines.delete(key!); // it has a line
    else if (first.turn !== "waits") return;
    else if (first.place === "open") this.#push(first);
    else if (first.dead === 0) this.#due.push(first.due, first);
  }

  #isFirst(item: Item): boolean {
    return item.key === undefined || item.line?.first === item;
  }
}

/** Returns true if a message is put aside until a node with another shape is there. */
function isAwaiting({ dead, error }: FailedMessage): boolean {
  return dead === undefined && error.refusedBy !== undefined;
}

/** A message, and those of its key that may run in one batch with it. */
function* together(head: Item): Iterable<Item> {
  yield head;
  const fits = (item: Item) => {
    return !item.alone && item.turn === "waits" && !item.joins && item.loaded && item.dead === 0 &&
      item.attempts < item.category.attempts;
  };
  for (let { next } = head; next?.place === head.place && fits(next); { next } = next) yield next;
}

/** Takes its place among those of its key, in the order of the log. Returns the one before it. */
function insert(item: Item): Item | undefined {
  const { key, category: { lines } } = item;
  if (key === undefined) return undefined;
  let line = lines.get(key);
  if (line === undefined) lines.set(key, line = new KeyLine());
  return line.insert(item);
}

function lineId({ category, key }: LoggedMessage): string {
  return `${category}/${key}`; // a category has no slash
}

/** Items of a key that stay open beside those that are parked behind them. */
const KEPT_OF_KEY = 16;
/** How often as many as may be put aside may wait for a shape beside them: what is parked is in each full commit. */
const AWAITING = 4;
/** The part of the room that is left for what fails. */
const CROWDED = 0.9;
const UNKNOWN = Object.freeze({ code: "OUTCOME_UNKNOWN", message: "its attempts failed" });
