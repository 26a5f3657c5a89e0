/**
 * The messages of a subscription in its leader's memory: which are open, parked or running, which may run next, and
 * which fill a batch. The ledger decides; it neither waits nor sends. All changes since the last commit go into the
 * next one together. A message that must not begin before a commit is stored is returned by {@link Ledger.stored}.
 */
import { show } from "../../data/checks.ts";
import { DueHeap } from "../../data/due_heap.ts";
import {
  type Head,
  messageId,
  type ParkedState,
  type Place,
  readMessageId,
  type StoredState,
} from "../format/commit.ts";
import { sequenceOf } from "../format/group_text.ts";
import { type LoggedMessage, payloadOf, withPayload } from "../format/logged_message.ts";
import type { FailedWith, KeysByFunction, ListedMessage } from "../format/parked_message.ts";
import type { LetterRequest } from "../format/subscription_request.ts";
import { type AfterLateOutcome, afterLateOutcome, CountedRuns, isLastOfKey, type ReportedRun } from "./late_outcome.ts";
import { type LastEnd, Suspicion } from "./suspicion.ts";
import type { Categories } from "./categories.ts";
import { type Category, type CategoryLimit, isLast, Item, KeyLine, type Share } from "./category.ts";
import { type Draft, NextCommit } from "./next_commit.ts";
import { JoinedRuns, lineOf } from "./joined_runs.ts";
import { LeftBehind } from "./left_behind.ts";
import type { KeyInHand, LimitGate } from "./limit_gate.ts";
import { limitKeyOf, NO_KEY } from "../format/limit_key.ts";
import { OpenMessages } from "./open_messages.ts";
import { ParkedMessages } from "./parked_messages.ts";
import { PassedMessages, type TenantMessage } from "./passed_messages.ts";
import { ReadyMessages } from "./ready_messages.ts";

/** Options of a {@link Ledger}, which holds a subscription's messages in its leader's memory. */
export interface LedgerOptions {
  /** State of the subscription in the last commit. */
  readonly head: Head;
  /** Start positions (`began`) and settings (`of`) of the subscription's categories. */
  readonly categories: Pick<Categories, "began" | "of">;
  /** Maximum number of parked messages (in the store until their next attempt), dead letters included. */
  readonly mostParked: number;
  /** Called when a message has become a dead letter. */
  onDead?(item: Item): void;
  /** Called when later messages of a key are left in the log, because many are parked behind this one. */
  onLeft?(failed: Item): void;
  /** Called when a message has no key in a limit, or no tenant: the function threw, or returned no valid one. */
  onNoLimitKey?(category: string, limit: string, error: unknown): void;
  /** Called when a limit has skipped a message, which is done unhandled. `item`: the message, if it was in hand. */
  onSkipped?(message: LoggedMessage, item?: Item): void;
  /** Called when the run of a message is to be aborted, because a later one of its key takes its place. */
  onReplaced?(item: Item): void;
  /** For tests: maximum number of open messages of a tenant. Default: 256. */
  readonly keptOfTenant?: number;
}

/**
 * State of a message after a failed attempt: its number of attempts, its error, and the time of its next attempt or
 * death.
 */
export interface FailedMessage {
  readonly attempts: number;
  readonly error: FailedWith;
  /** Time of the message's next attempt, in ms since 1970. */
  readonly due?: number;
  /** Time at which the message became a dead letter, in ms since 1970; absent: it is no dead letter. */
  readonly dead?: number;
}

/** A message that a new leader finds: in the store of parked messages, or in the log. */
export type FoundMessage =
  | ListedMessage
  /** `unreadable`: why the stored message cannot be read; `message` then stands in for it. */
  | { readonly in: "log"; readonly message: LoggedMessage; readonly unreadable?: string | undefined };

/** State from which a new leader goes on. */
export interface FoundState extends LastEnd {
  readonly stored: StoredState;
  /** Outcome of the last long run of a message, by the message's id, as nodes say. */
  readonly finished: ReadonlyMap<string, ReportedRun>;
  /** True if the last leader does not answer, and may be blocked or frozen; `unclean` is true then, too. */
  readonly isSilent?: boolean;
  /**
   * The messages that are not done, by id: open, parked or running ones, as far as the log or the store still has
   * them.
   */
  readonly messages: ReadonlyMap<string, FoundMessage>;
  /** Present time of the new leader, in ms since 1970. */
  readonly now: number;
}

/** The tenant and the keys of a message, which decide when it is read and begins. */
interface Reading {
  readonly read: TenantMessage;
  /** The message's tenant by `fair`. */
  readonly tenant: string;
  /** Its keys in limits; empty: not known. */
  readonly keys: readonly string[];
  /** Time by which it counts as older, in ms. */
  readonly ahead: number;
}

/** Keeps the messages of a subscription in its leader's memory, and decides which of them may run. */
export class Ledger {
  /** Open messages (read, neither handled nor parked), in the order in which they were read. */
  readonly open: OpenMessages = new OpenMessages();
  /** Parked messages (in the store), dead letters included. */
  readonly parked: ParkedMessages;
  /** Messages that may run and wait for a batch to fill, by category: the first message of each key. */
  readonly filling: Map<Category, Item[]> = new Map();
  /** Position in the log up to which messages were read, but for those {@link left} behind, or {@link passed} by. */
  place: Place;
  /** Keys whose later messages are left in the log, and are brought by {@link Ledger.bring}. */
  readonly left: LeftBehind;
  /** Messages of tenants that were passed by, and are brought by {@link Ledger.bringPassed}. */
  readonly passed: PassedMessages;
  /** Number of open messages that {@link Ledger.bring} and {@link Ledger.bringPassed} have added. */
  brought = 0;
  /** Number of messages that were handed out to nodes and have no outcome yet. */
  running = 0;
  /** Sequence up to which the leader has carried out requests. */
  upTo: number;
  /** Number of messages that are done unhandled, because a limit has skipped them. */
  skipped: number;
  readonly #options: LedgerOptions;
  readonly #ready = new ReadyMessages();
  /** Categories of which messages may run, as soon as it is their tenant's turn. */
  readonly #shared = new Set<Category>();
  /** Messages in hand by tenant, with the keys of limits. */
  readonly #shares = new Map<string, Share>();
  /** The message of which {@link Ledger.#readingOf} was last called, and what it returned. */
  #lastRead: { readonly message: LoggedMessage; readonly reading: Reading } | undefined;
  readonly #due = new DueHeap<Item>();
  readonly #commit = new NextCommit();
  /** Messages to be parked when there is room: `mostParked` messages are parked already. */
  #waitingForRoom: (readonly [Item, FailedMessage | undefined])[] = [];
  /** Messages suspected of having ended their process; `undefined`: none is suspected. */
  #suspicion: Suspicion | undefined;
  /**
   * Time until more messages may begin, in ms: while messages are suspected of ending their process, or wait for the
   * rate or a pause of their limits; `undefined`: no message waits for that time.
   */
  pause: number | undefined = undefined;
  /** Messages that ran at nodes when this leader took over. */
  #joined = new JoinedRuns(new Map());
  /** Token of the last leader that went back in the log; 0: none has. */
  readonly #wentBack: number;
  /** Token of the last leader before this one. */
  readonly #last: number;
  /**
   * Keys of which this leader has begun messages, while nodes that it has asked have not said yet what they ran under
   * earlier leaders; `undefined`: all have.
   */
  #begunLines: Set<string> | undefined;
  /** Failed runs of messages that are still to be read, by message: the last leader had not recorded them. */
  readonly #failedUnread = new Map<string, ReportedRun>();
  /**
   * Ids of messages in hand, or still to be read, that a node has handled in a run that did not count when it said so,
   * because an earlier one of their key may have begun since. They run again, but do not become dead letters.
   */
  readonly #handledBefore = new Set<string>();
  /** Position up to which the last leader may have begun messages. */
  #begunUpTo = 0;
  /** Position up to which earlier leaders have read. */
  readonly #foundUpTo: number;
  /** The only message that the last leader was running when it fell silent; `undefined`: it ran several, or none. */
  #aloneAtSilent: Item | undefined;
  /** Returns true if a message may run at a node that has not said yet what it runs; `undefined`: all have. */
  #mayRunAlready: ((item: Item) => boolean) | undefined;
  #isPaused = false;
  /** Messages that are ready and wait for such a node, or for the end of a pause. */
  readonly #heldBack = new Set<Item>();
  /** Limits for which messages wait, or have waited. */
  readonly #limiting = new Set<LimitGate<Item>>();
  /** The limits of {@link Ledger.#limiting} that may let a message run now. */
  readonly #opened = new Set<LimitGate<Item>>();
  /** The limits of {@link Ledger.#limiting} that let a message run at a time, in ms since 1970. */
  readonly #opening = new DueHeap<LimitGate<Item>>();
  /** Messages that run and are still to be read, by id, with the limits of which they have slots. */
  readonly #early = new Map<string, { readonly item: Item; gates: readonly LimitGate<Item>[] }>();
  /** True if messages were brought that are older than others that were open then. */
  #hasBrought = false;

  constructor(options: LedgerOptions) {
    // the new leader has already waited for the runs that were begun before the last rewind
    const { place: { rewound, ...place }, requests, token, wentBack = 0 } = options.head;
    this.#wentBack = rewound ? token : wentBack;
    this.#last = token;
    this.#options = options;
    this.parked = new ParkedMessages(options.mostParked);
    this.place = place;
    this.#foundUpTo = place.read;
    this.upTo = requests;
    this.skipped = options.head.skipped ?? 0;
    this.left = new LeftBehind(options.head.left);
    this.passed = new PassedMessages(options.head.passed, place.read);
  }

  /**
   * Time at which the oldest message that is no dead letter was stored in the log, in ms since 1970; `undefined`:
   * there is none. Scans all parked messages.
   */
  get oldest(): number | undefined {
    let oldest = this.open.first?.message.time;
    if (this.#hasBrought) { for (const { message: { time } } of this.open) oldest = Math.min(oldest ?? time, time); }
    // fast path for thousands of dead letters: no other message is parked
    if (this.parked.size === this.parked.dead) return oldest;
    for (const { dead, message: { time } } of this.parked) {
      if (dead === 0 && (oldest === undefined || time < oldest)) oldest = time;
    }
    return oldest;
  }

  /** True if messages wait for room to be parked (`mostParked` are parked). */
  get full(): boolean {
    return this.#waitingForRoom.length > 0;
  }

  /**
   * Takes over the state of the last leader. Returns the ids of messages that neither the log nor the store has any
   * more: they are given up.
   */
  takeOver(found: FoundState): readonly string[] {
    const { stored, messages, running, ended, finished, unclean, isSilent = false, end, now } = found;
    const lost: string[] = [];
    for (const [id, state] of stored.parked) {
      const found = messages.get(id);
      if (found === undefined) lost.push(id);
      else this.#restore(state, found, now);
    }
    for (const id of lost) this.#commit.lost(id);
    const open = new Map<number, FoundMessage>();
    for (const [id, found] of messages) if (!this.parked.has(id)) open.set(found.message.position, found);
    for (const [position, attempts] of stored.head.open) {
      const found = open.get(position);
      if (found === undefined) lost.push(`${position}`);
      else {
        const item = this.#enter(found.message, this.#options.categories.of(found.message.category), attempts);
        if (found.in === "log" && found.unreadable !== undefined) this.#endUnreadable(item, found.unreadable, now);
      }
    }
    const known = running.size + finished.size === 0
      ? NO_ITEMS
      : new Map([...this.#all()].map((item) => [item.id, item]));
    this.#joined = new JoinedRuns(running);
    this.#settleHandled(finished, new Set([...stored.head.doubt?.begun ?? [], ...running.keys()]), known, messages);
    for (const [id, node] of running) {
      const [item, message] = [known.get(id), messages.get(id)?.message];
      if (item !== undefined) this.#join(item, node, (id) => running.get(id) === node);
      else if (message !== undefined && this.#isUnread(message)) this.#joinLater(message, node);
    }
    // messages that the last leader may have begun before its process ended
    const inQuestion = [...this.#all()].filter((item) =>
      item.place === "open" ||
      (item.dead === 0 && item.due <= now && this.#isFirst(item) && (!isUnhandled(item) || item.category.capable > 0))
    );
    this.#begunUpTo = Math.max(end, this.place.read);
    // what has ended under the last leader ended no process
    const over = new Set([...ended, ...[...finished].flatMap(([id, { token }]) => token === this.#last ? [id] : [])]);
    this.#suspicion = Suspicion.after(stored.head.doubt, { running, ended: over, unclean, end }, inQuestion);
    const alone = this.#suspicion?.alone;
    // one that is silent may be blocked by another message, and have begun none: nobody knows yet
    if (isSilent) this.#aloneAtSilent = alone;
    else if (alone !== undefined) this.#countDeathOnce(alone);
    return lost;
  }

  /**
   * Ends the messages that nodes say to have handled under earlier leaders, and those in front of them. `begun`: ids of
   * the messages that the last leader had begun.
   */
  #settleHandled(
    finished: ReadonlyMap<string, ReportedRun>,
    begun: ReadonlySet<string>,
    known: ReadonlyMap<string, Item>,
    messages: ReadonlyMap<string, FoundMessage>,
  ): void {
    for (const [id, run] of finished) {
      const { token, outcome } = run;
      const [item, message] = [known.get(id), messages.get(id)?.message];
      if (outcome !== "done" && item === undefined && token > this.#wentBack) this.#failedUnread.set(id, run);
      const key = item?.key ?? message?.key;
      const isDead = item !== undefined && (item.dead > 0 || item.attempts >= item.category.attempts);
      const begunAgain = begun.has(id) || isDead;
      const counts = outcome === "done" &&
        isLastOfKey({ key, token, last: this.#last, wentBack: this.#wentBack, begunAgain });
      if (!counts) {
        const isOpen = item !== undefined || (message !== undefined && this.#isUnread(message));
        if (outcome === "done" && token > this.#wentBack && isOpen) this.#handledBefore.add(id);
        continue;
      }
      if (item === undefined) {
        if (message === undefined || !this.#isUnread(message)) continue;
        this.#endBefore(new Item(message, this.#options.categories.of(message.category), 0, this.place.epoch));
        this.#joined.wasHandled(message);
      } else if (afterLateOutcome(item, { handled: true, isCounted: false }) === "done") {
        if (!isDead) this.#endBefore(item);
        if (this.#joined.nodeOf(id) === undefined) this.#end(item);
        else item.isHandled = true;
      }
    }
  }

  /** Returns those of these messages that are open or parked, by id. */
  byId(ids: readonly string[]): ReadonlyMap<string, Item> {
    const found = new Map<string, Item>();
    if (ids.length === 0) return found;
    const wanted = new Set(ids);
    for (const item of this.#all()) if (wanted.has(item.id)) found.set(item.id, item);
    return found;
  }

  /**
   * Acts on the outcome of a run for which no request of this leader waits. `item`: the message, if it is open or
   * parked ({@link Ledger.byId}). `failed`, in the result: the caller is to act on the failure as on that of an
   * attempt. `token`: this leader's.
   */
  reported(
    id: string,
    item: Item | undefined,
    run: ReportedRun,
    token: number,
  ): { readonly item: Item; readonly then: AfterLateOutcome } | undefined {
    if (run.token <= this.#wentBack) return undefined;
    if (item === undefined || item.place === "gone") {
      const isUnread = (readMessageId(id)?.position ?? 0) > this.#slowest;
      if (isUnread && run.outcome !== "done") this.#failedUnread.set(id, run);
      if (isUnread && run.outcome === "done") this.#handledBefore.add(id);
      return undefined;
    }
    if (run.outcome === "done") this.#handledBefore.add(id);
    const counted = this.#countedOf(item);
    // of a run for which a request of this leader waits the answer counts
    const isCounted = run.token === token
      ? item.turn === "begun" || run.attempt !== item.attempts + 1
      : counted.has(run);
    const then = afterLateOutcome(item, { handled: run.outcome === "done", isCounted });
    if (run.outcome === "done") {
      const { key } = item;
      const isUntouched = key === undefined || this.#begunLines?.has(lineOf(item.message)) === false;
      // nothing of its key runs behind a dead letter, and it does not run again
      const isDead = item.dead > 0 || item.attempts >= item.category.attempts;
      const begunAgain = item.hasBegun || run.token === token || isDead;
      if (!begunAgain && !isUntouched) return undefined;
      if (!isLastOfKey({ key, token: run.token, last: this.#last, wentBack: this.#wentBack, begunAgain })) {
        return undefined;
      }
      if (!begunAgain && item.dead === 0) this.#endBefore(item);
    }
    if (run.outcome !== "done") counted.add(run.token);
    if (then === "done") this.done(item);
    else if (then === "failed") {
      this.#heldBack.delete(item);
      item.turn = "waits";
    } else if (then === "done after its run") item.isHandled = true;
    else if (then === "an attempt") {
      item.attempts++;
      this.#commit.attempted(item);
    }
    return { item, then };
  }

  /**
   * Counts an attempt of the only message that the last leader was running when it fell silent. Call when it has been
   * silent for long, or has left without a word.
   */
  silenceLasts(): void {
    const alone = this.#aloneAtSilent;
    this.#aloneAtSilent = undefined;
    if (alone !== undefined && alone.place !== "gone" && alone.dead === 0) this.#countDeathOnce(alone);
  }

  /** Counts no attempt of what ran alone at the last leader: a node has said what it runs. */
  silenceEnds(): void {
    this.#aloneAtSilent = undefined;
  }

  /** Counts the run of a message under the last leader as an attempt, unless that is done. */
  #countDeathOnce(item: Item): void {
    const counted = this.#countedOf(item);
    if (counted.has({ token: this.#last, attempt: item.found + 1 })) return;
    counted.add(this.#last);
    this.#countDeath(item);
  }

  #countedOf(item: Item): CountedRuns {
    return item.counted ??= new CountedRuns(item.found);
  }

  /**
   * Has a message, which this leader has not begun yet, joined where a node says that it runs. `running`: ids of all
   * messages that the node runs; those of the message's batch are among them.
   */
  runsAt(item: Item | undefined, node: string, running: ReadonlySet<string>): void {
    if (item === undefined || item.place === "gone" || item.hasBegun || item.dead > 0) return;
    if (item.key !== undefined && this.#begunLines?.has(lineOf(item.message)) !== false) return;
    if (this.#wentBack === this.#last) return; // it was handed out before the last leader went back
    this.#heldBack.delete(item);
    this.#join(item, node, (id) => running.has(id));
  }

  /** Notes from now on what begins, until all nodes have said what they ran under earlier leaders. */
  set awaitsReports(awaits: boolean) {
    this.#begunLines = awaits ? new Set() : undefined;
  }

  /**
   * Begins no message that the last leader may have begun, and of which `mayRunAlready` returns true, until the next
   * call; `undefined`: none is held back any more.
   */
  holdBack(mayRunAlready: ((item: Item) => boolean) | undefined): void {
    this.#mayRunAlready = mayRunAlready;
    this.#offerHeldBack();
  }

  /** True while an operator has paused the subscription: no message begins; what runs at a node is joined. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    this.#offerHeldBack();
  }

  #offerHeldBack(): void {
    if (this.#isPaused) return;
    for (const item of [...this.#heldBack]) {
      if (item.place !== "gone" && this.#mayRunElsewhere(item)) continue;
      this.#heldBack.delete(item);
      this.#offer(item);
    }
  }

  /** Returns true if a message that is ready waits for a node that may run it already, or for the end of a pause. */
  #isHeldBack(item: Item): boolean {
    if (item.joins || !(this.#isPaused || this.#mayRunElsewhere(item))) return false;
    this.#heldBack.add(item);
    return true;
  }

  /** Returns true if a node that has not said what it runs may run a message. */
  #mayRunElsewhere(item: Item): boolean {
    if (this.#mayRunAlready === undefined || item.hasBegun) return false;
    return (item.position <= this.#begunUpTo || item.place === "parked") && this.#mayRunAlready(item);
  }

  /**
   * Adds the next message read from the log, unless it is parked or done already. `size`: its size in the log, in
   * bytes.
   */
  add(message: LoggedMessage, size = 0): void {
    this.passed.reads(message.position);
    if (this.left.size > 0 && this.#passes(message)) return;
    const category = this.#options.categories.of(message.category);
    if (this.parked.size > 0 && this.parked.has(messageId(message))) return;
    if (category.limits !== undefined && this.#skips(message, category)) return;
    if (this.parked.size > 0 && this.#leaves(message, category)) return;
    if ((this.passed.size > 0 || category.fair !== undefined) && this.#passesBy(message, category)) return;
    this.#take(message, category, size);
  }

  /** Adds a message of a key that was left behind, which the second reader has read, unless that is to leave it. */
  bring(message: LoggedMessage, size = 0): void {
    const { category, key } = message;
    if (key === undefined) return;
    const isFull = () => !this.hasRoom(category, key, 2);
    if (!this.left.takes({ category, key, position: message.position }, this.place.read, isFull)) return;
    if (this.parked.size > 0 && this.parked.has(messageId(message))) return;
    this.#bring(message, this.#options.categories.of(category), size);
  }

  /** Adds a message that was passed by, which another reader has read, unless there is no room for its tenant. */
  bringPassed(message: LoggedMessage, size = 0): void {
    const category = this.#options.categories.of(message.category);
    const { read } = this.#readingOf(message, category);
    const mayTake = () => this.mayBring(read, 2);
    if (this.passed.takes(read, mayTake, this.#hasRun(message))) this.#bring(message, category, size);
  }

  #bring(message: LoggedMessage, category: Category, size: number): void {
    if (category.limits !== undefined && this.#skips(message, category)) return;
    const item = this.#take(message, category, size);
    if (item?.place !== "open") return;
    this.#hasBrought = item.isBrought = true;
    this.brought++;
  }

  /**
   * Skips a message if as many earlier ones of its key in a limit are not done as may run at once. One that has begun
   * is not skipped, as far as this leader knows.
   * @decides a message is skipped at a full limit (`over: "skip"`)
   */
  #skips(message: LoggedMessage, category: Category): boolean {
    const { limits = [] } = category;
    for (const [i, { limit, over }] of limits.entries()) {
      if (over !== "skip" || limit.inHand.size === 0) continue;
      const key = this.#readingOf(message, category).keys[i];
      let left = limit.running;
      for (const item of limit.inHand.get(key)?.items ?? []) if (isAfter(message, this.place.epoch, item)) left--;
      if (left > 0 || this.#hasBegun(message)) continue;
      this.#skipped(message, category, limit);
      return true;
    }
    return false;
  }

  #skipped(
    message: LoggedMessage,
    { lines }: Category,
    limit: CategoryLimit["limit"] | undefined,
    item?: Item,
  ): void {
    const { key, position } = message;
    if (limit !== undefined) limit.skipped++;
    this.skipped++;
    const line = key === undefined ? undefined : lines.get(key);
    if (line !== undefined) line.skippedUpTo = Math.max(line.skippedUpTo, position);
    this.#options.onSkipped?.(message, item);
  }

  /**
   * Has a message take the places of the earlier ones that wait for the same key of a limit of which only the newest
   * waits; these are skipped. One that runs is to be aborted, if the limit says so. One that may run already at a node
   * that has not said so yet stays.
   */
  #replaceEarlier(item: Item): void {
    for (const [limit, own, over] of this.#lastOf(item)) {
      for (const other of own.items) {
        if (other.category !== item.category || !item.isBehind(other)) continue;
        if (this.#early.has(other.id) || this.#mayRunElsewhere(other)) continue;
        if (other.turn === "begun" || other.joins) {
          if (over === "cancel") this.#cancel(other);
          continue;
        }
        item.rank = Math.min(item.rank, other.rank);
        const gate = other.waitsAt;
        const at = item.category.limits?.findIndex(({ limit }) => limit === gate?.limit) ?? -1;
        const isSame = at >= 0 && item.limitKeys?.[at] === other.limitKeys?.[at];
        this.#skip(other, limit);
        if (gate === undefined || !isSame || item.turn !== "ready" || item.waitsAt !== undefined || item.fills) {
          continue;
        }
        gate.push(item); // at once: a slot that is free now is not another one's
        this.#limiting.add(gate);
      }
    }
  }

  /** Has the run of a message aborted: whatever comes of it, but that it is handled, the message is skipped. */
  #cancel(item: Item): void {
    if (item.isReplaced) return;
    item.isReplaced = true;
    if (item.turn === "begun") this.#options.onReplaced?.(item); // else who joins its run sees it
  }

  /**
   * Skips a message that is about to begin, if a later one of its key is in hand, of which only the newest waits. One
   * that runs at a node is to be aborted there, if the limit says so.
   */
  #skipsForLater(item: Item): boolean {
    for (const [limit, own, over] of this.#lastOf(item)) {
      for (const other of own.items) {
        if (other.category !== item.category || !other.isBehind(item)) continue;
        if (item.joins || item.turn === "begun") {
          if (over === "cancel") this.#cancel(item);
          break;
        }
        other.rank = Math.min(other.rank, item.rank);
        this.#skip(item, limit);
        return true;
      }
    }
    return false;
  }

  /** Returns the messages of an item's keys that are not done, by the limits of which only the newest waits. */
  #lastOf(
    { category: { limits = [] }, inHand }: Item,
  ): readonly (readonly [CategoryLimit["limit"], KeyInHand<Item>, CategoryLimit["over"]])[] {
    if (inHand === undefined) return [];
    const counted = limits.filter(({ limit }) => limit.isCounted);
    return counted.flatMap(({ limit, over }, i) => isLast(over) ? [[limit, inHand[i], over] as const] : []);
  }

  #skip(item: Item, limit: CategoryLimit["limit"] | undefined): void {
    this.#skipped(item.message, item.category, limit, item);
    this.#end(item);
  }

  /** Ends a message whose run was aborted, because a later one of its key takes its place. */
  #endReplaced(item: Item): void {
    if (item.isHandled) return this.#end(item);
    // this leader's version may not have the limit: an earlier one has had the run aborted
    this.#skip(item, item.category.limits?.find(({ over }) => over === "cancel")?.limit);
  }

  /** Returns true if a message that is read is known to have begun under an earlier leader. */
  #hasBegun(message: LoggedMessage): boolean {
    return this.#hasRun(message) || this.#failedUnread.has(messageId(message));
  }

  /** Passes a message by if there are enough of its tenant in hand, or others of it were passed by. */
  #passesBy(message: LoggedMessage, category: Category): boolean {
    if (this.#hasRun(message)) return false;
    const { read } = this.#readingOf(message, category);
    const mayTake = !this.passed.hasRoom || this.#hasRoomOf(read);
    if (mayTake && !this.passed.passes(read)) return false;
    this.passed.pass(read);
    return true;
  }

  /** Returns true if a message runs already, or was handled: it is taken before others of its tenant. */
  #hasRun(message: LoggedMessage): boolean {
    return !this.#joined.isEmpty &&
      (this.#joined.nodeOf(messageId(message)) !== undefined || this.#joined.proveHandled(message));
  }

  /** Returns true if a message of a tenant that was passed by may be brought. */
  mayBring(of: Pick<TenantMessage, "category" | "tenant">, times = 1): boolean {
    const isFull = this.brought >= MAX_BROUGHT_OF_TENANTS || this.full || this.bytes >= MAX_BYTES_TO_BRING;
    return !isFull && this.#hasRoomOf(of, times);
  }

  /**
   * Returns true if few messages of a tenant are in hand: fewer, the more tenants there are of which some were passed
   * by; of those that are parked an eighth of what may be parked besides those of other tenants. `times`: by what that
   * is multiplied.
   */
  #hasRoomOf({ category, tenant }: Pick<TenantMessage, "category" | "tenant">, times = 1): boolean {
    if (this.#options.categories.of(category).fair === undefined) {
      return this.hasRoom(category, tenant.slice(category.length + 1), times); // this version has no tenants, but keys
    }
    const share = this.#shares.get(tenant);
    if (share === undefined) return true;
    const { keptOfTenant = KEPT_OF_LEFT } = this.#options;
    const most = keptOfTenant / (1 + this.passed.tenants);
    const mostParked = (share.parked + this.parked.room) / PARTS_OF_ROOM;
    return share.size - share.parked < Math.max(1, times * most) && share.parked < Math.max(1, times * mostParked);
  }

  /** Returns what decides when a message is read: its tenant, and its keys in limits. */
  #readingOf(message: LoggedMessage, category: Category): Reading {
    if (this.#lastRead?.message === message) return this.#lastRead.reading;
    const { position, key } = message;
    const { name, fair, limits = [] } = category;
    let reading: Reading;
    const keys = fair === undefined && !category.isCounted ? [] : limits.map((each) => this.#keyIn(each, message));
    if (fair === undefined) {
      reading = { read: { position, category: name, tenant: `${name}/${key ?? ""}` }, tenant: "", keys, ahead: 0 };
    } else {
      const tenant = this.#textOf(fair.by, message, "fair", "tenant") ?? "";
      // what gives two tenants one name only makes them one
      const ahead = this.#aheadOf(fair.ahead, message);
      const parts = [tenant, ...keys, ...(fair.ahead === undefined ? [] : [ahead])];
      reading = { read: { position, category: name, tenant: `${name}/${parts.join("\0")}` }, tenant, keys, ahead };
    }
    this.#lastRead = { message, reading };
    return reading;
  }

  /**
   * Gives a message whose payload is in memory to its tenant: it counts there, and gets its rank and its place in the
   * line of the tenant.
   */
  #enterShare(item: Item): void {
    const { category, message } = item;
    const { read, tenant, ahead } = this.#readingOf(message, category);
    item.rank = message.time - ahead;
    category.queue?.enter(item, tenant, (name) => this.#weightOf(category, name));
    let share = this.#shares.get(read.tenant);
    if (share === undefined) this.#shares.set(read.tenant, share = { name: read.tenant, size: 0, parked: 0 });
    share.size++;
    if (item.place === "parked") share.parked++;
    item.share = share;
  }

  #leaveShare(item: Item, place: Item["place"]): void {
    const { share, category: { queue } } = item;
    if (share === undefined) return;
    queue?.leave(item);
    item.share = undefined;
    share.size--;
    if (place === "parked") share.parked--;
    if (share.size === 0) this.#shares.delete(share.name);
  }

  /** Returns by how many ms a message counts as older; 0 if the function throws or returns no valid number. */
  #aheadOf(of: ((payload: never) => unknown) | undefined, message: LoggedMessage): number {
    if (of === undefined) return 0;
    try {
      const ms = of(payloadOf(message) as never); // the function is that of the contract's handler
      if (typeof ms === "number" && ms >= 0 && ms <= MAX_AHEAD) return ms;
      throw new RangeError(`ahead is a number of 0 to ${MAX_AHEAD} ms; got ${show(ms)}`);
    } catch (error) {
      this.#options.onNoLimitKey?.(message.category, "ahead", error);
      return 0;
    }
  }

  #weightOf({ name, fair }: Category, tenant: string): number {
    if (fair?.weight === undefined) return 1;
    try {
      const weight = fair.weight(tenant);
      if (weight >= 1 / MAX_WEIGHT && weight <= MAX_WEIGHT) return weight;
      throw new RangeError(`a weight is a number of 0.001 to ${MAX_WEIGHT}; got ${show(weight)}`);
    } catch (error) {
      this.#options.onNoLimitKey?.(name, "fair", error);
      return 1;
    }
  }

  /** Position up to which all messages were read. */
  get #slowest(): number {
    return this.passed.slowest(this.left.slowest(this.place.read));
  }

  /** Returns true if a message is left in the log because its key is. */
  #passes({ category, key, position }: LoggedMessage): boolean {
    return key !== undefined && this.left.passes(category, key, position);
  }

  /** Leaves the key of a message behind if many of its messages are parked behind one that has failed. */
  #leaves({ category, key, position }: LoggedMessage, { lines, fair }: Category): boolean {
    if (key === undefined || fair !== undefined || !this.#mayLeave) return false;
    const line = lines.get(key);
    if (line?.first?.place !== "parked" || this.hasRoom(category, key)) return false;
    this.left.leave(category, key, position - 1, position);
    this.#options.onLeft?.(line.first);
    return true;
  }

  /**
   * Returns true if few messages of a key are in hand: of one that only takes long {@link KEPT_OF_LEFT}; behind one
   * that has failed an eighth of what may be parked besides those of other keys. `times`: by what that is multiplied.
   */
  hasRoom(category: string, key: string, times = 1): boolean {
    const line = this.#options.categories.of(category).lines.get(key);
    if (line?.first === undefined) return true;
    if (line.first.awaitsNode) return true; // these have a room of their own
    const most = line.first.place === "parked" ? this.#roomBehind(line) : KEPT_OF_LEFT;
    return line.size < Math.max(1, times * most);
  }

  /** Number of messages of a key that may be parked if its first one has failed, which counts. */
  #roomBehind({ size, first }: KeyLine): number {
    const own = first?.place === "parked" ? size : 0;
    return Math.max(1, Math.min(MAX_PARKED_OF_KEY, Math.floor((own + this.parked.room) / PARTS_OF_ROOM)));
  }

  /** True if one more key may be left behind: not while messages are passed by, which might be of that key. */
  get #mayLeave(): boolean {
    return this.left.hasRoom && this.passed.size === 0;
  }

  /** Returns true if a message that is no open or parked one is still to be read from the log. */
  #isUnread({ category, key, position }: LoggedMessage): boolean {
    return position > this.place.read || (key !== undefined && this.left.has(category, key, position)) ||
      this.passed.has(position);
  }

  #take(message: LoggedMessage, category: Category, size: number): Item | undefined {
    if (this.#joined.proveHandled(message)) {
      if (this.#early.size > 0) this.#endEarly(messageId(message));
      return undefined;
    }
    const item = this.#enter(message, category, 0, size);
    if (!this.#joined.isEmpty) {
      item.node = this.#joined.nodeOf(item.id);
      item.joins = item.node !== undefined;
      if (this.#early.size > 0) {
        const early = this.#early.get(item.id);
        item.gates = early?.gates;
        if (early !== undefined) this.#discount(early.item);
        this.#early.delete(item.id);
      }
    }
    if (this.#failedUnread.size > 0) this.#countUnread(item);
    if (item.place === "open") this.#suspicion?.arrived(item);
    if (item.inHand !== undefined && !item.joins) this.#replaceEarlier(item);
    return item;
  }

  #leaveOpen(item: Item): void {
    this.open.remove(item);
    if (item.isBrought) this.brought--;
  }

  /** Counts the failed run of a message that was still to be read. */
  #countUnread(item: Item): void {
    const run = this.#failedUnread.get(item.id);
    if (run === undefined || run.outcome === "done") return;
    this.#failedUnread.delete(item.id);
    if (run.attempt !== item.found + 1) return;
    const { code, message, final } = run.outcome;
    this.#countedOf(item).add(run.token);
    item.error = { code, message };
    item.attempts++;
    this.#commit.attempted(item);
    item.isFinal = final;
  }

  /** Adds a message that cannot be read, as a dead letter. `reason`: why it cannot be read. */
  addUnreadable(message: LoggedMessage, reason: string, now: number): void {
    this.passed.reads(message.position);
    if (this.parked.has(messageId(message))) return;
    this.#endUnreadable(this.#enter(message, this.#options.categories.of(message.category), 0), reason, now);
  }

  #endUnreadable(item: Item, message: string, now: number): void {
    this.failed(item, { attempts: 0, error: { code: "INVALID_MESSAGE", message }, dead: now });
  }

  /**
   * Ends the suspicion of messages that are still to be read: none of them has ended the last leader's process. Call
   * when all messages have been read that the log had when the leader began to read.
   */
  caughtUp(): void {
    this.left.caughtUp(this.place.read);
    this.passed.caughtUp(this.place.read);
    if (!this.left.isReading && !this.passed.isReading) this.#suspicion?.caughtUp();
    // what is still to be read now is gone from the log
    if (this.#early.size > 0 && this.left.size + this.passed.size === 0) {
      for (const id of [...this.#early.keys()]) this.#endEarly(id);
    }
  }

  /** Gives the slots back of a message that ran and will not be read. */
  #endEarly(id: string): void {
    const early = this.#early.get(id);
    if (early === undefined) return;
    for (const gate of early.gates) this.#free(gate, true);
    this.#discount(early.item);
    this.#early.delete(id);
  }

  /** Makes messages ready to run that were parked until their next attempt, if it is due now. */
  #wake(now: number): void {
    for (let { first } = this.#due; first !== undefined && first <= now; { first } = this.#due) {
      const item = this.#due.pop()!; // `#due` is not empty here
      if (item.due === first) this.#offer(item);
    }
  }

  /**
   * Begins the runs of messages that may run now, and returns these messages. While messages are suspected of ending
   * their process, returns only messages that run already; {@link Ledger.stored} returns the others once a commit names
   * them. `now` is called only if needed.
   */
  begin(now: () => number): readonly Item[] {
    if (this.#due.size > 0) this.#wake(now());
    this.pause = undefined;
    if (this.#suspicion?.isOver(this.left.isReading || this.passed.isReading ? 0 : this.place.read)) {
      this.#suspicion = undefined;
    }
    if (this.#suspicion !== undefined) return this.#beginInDoubt(this.#suspicion, now);
    const begun: Item[] = [];
    if (this.#limiting.size + this.#opening.size > 0) this.#beginLimited(begun, now);
    for (let item = this.#nextReady(); item !== undefined; item = this.#nextReady()) {
      if (!this.#mayRun(item, now)) continue;
      if (item.category.limits === undefined || !this.#waitsForLimits(item, now())) this.#runOrFill(item, begun);
    }
    if (this.#opening.size > 0) this.#pauseForLimits(now());
    return begun;
  }

  /** Has a message run that has its slots, and adds it to `begun`; or has it wait until its batch is full. */
  #runOrFill(item: Item, begun: Item[]): void {
    const { category } = item;
    if (category.batch === undefined || item.alone || item.joins || !item.loaded) {
      return void begun.push(this.#run(item));
    }
    item.turn = "ready";
    item.fills = true;
    category.queue?.begun(item); // what fills a batch counts for its tenant: others of it are not drawn before others
    const heads = this.filling.get(category);
    if (heads === undefined) this.filling.set(category, [item]);
    else heads.push(item);
  }

  /** Takes a message out of the batch that it waits for, with its slots. Returns false if it waits for none. */
  #leaveBatch(item: Item): boolean {
    if (!item.fills) return false;
    const { queue } = item.category;
    item.fills = false;
    queue?.ended(item);
    this.#giveBack(item, false);
    return true;
  }

  /** Forgets a message that fills no batch any more. */
  #leaveFilling(item: Item): void {
    const heads = this.filling.get(item.category) ?? [];
    const at = heads.indexOf(item);
    if (at >= 0) heads.splice(at, 1);
    if (heads.length === 0) this.filling.delete(item.category);
  }

  /** Has the messages of a category that wait to fill a batch ready to run, as if none of them had been chosen. */
  #emptyBatch(category: Category): void {
    for (const item of this.filling.get(category) ?? []) if (this.#leaveBatch(item)) this.#push(item);
    this.filling.delete(category);
  }

  /** Removes and returns the next message that is ready to run. */
  #nextReady(): Item | undefined {
    let item = this.#ready.next();
    for (const category of this.#shared) {
      while (item === undefined && !category.isFull) {
        const next = category.queue!.shift(); // these categories have one
        if (next === undefined) {
          this.#shared.delete(category);
          break;
        }
        if (next.loaded) item = next;
        else {
          this.#ready.push(next); // it may have to wait for memory
          item = this.#ready.next();
        }
      }
    }
    return item;
  }

  /** Begins messages that have waited for limits which let them now. */
  #beginLimited(begun: Item[], now: () => number): void {
    const time = now();
    this.#openDue(time);
    // each message that leaves a line here runs, or waits for another limit, which lets none run before this loop ends
    for (const gate of this.#opened) {
      this.#opened.delete(gate);
      const item = gate.isFull || gate.due > time ? undefined : gate.shift();
      if (item === undefined) {
        if (gate.waiting === 0) this.#limiting.delete(gate);
        else if (!gate.isFull) this.#openAt(gate);
        continue; // a full one is looked at when a slot is given back
      }
      if (this.#mayRun(item, now) && !this.#waitsForLimits(item, time)) this.#runOrFill(item, begun);
      this.#opened.add(gate); // behind the others, which messages may wait for, too; this loop comes to it again
    }
  }

  /** Notes the limits that let messages run from now on. */
  #openDue(now: number): void {
    for (let { first } = this.#opening; first !== undefined && first <= now; { first } = this.#opening) {
      const gate = this.#opening.pop()!; // `#opening` is not empty here
      if (gate.looksAt !== first) continue;
      gate.looksAt = undefined;
      this.#opened.add(gate);
    }
  }

  /** Has a limit looked at when it lets a message run. */
  #openAt(gate: LimitGate<Item>): void {
    const { due } = gate;
    if (due === Infinity || (gate.looksAt !== undefined && gate.looksAt <= due)) return;
    gate.looksAt = due;
    this.#opening.push(due, gate);
  }

  /** Has a message wait for its limits, unless they let it run, or it runs already; takes its slots if it does not. */
  #waitsForLimits(item: Item, now: number): boolean {
    if (item.category.limits === undefined || item.gates !== undefined) return false;
    if (!item.joins) {
      let closed: LimitGate<Item> | undefined;
      for (const gate of this.#gatesOf(item, now)) {
        // the longest line of those that it has to wait in: it overtakes nobody there
        if ((gate.isFull || gate.due > now) && gate.waiting >= (closed?.waiting ?? 0)) closed = gate;
      }
      if (closed !== undefined) {
        item.turn = "ready";
        closed.push(item);
        this.#limiting.add(closed);
        if (!closed.isFull) this.#openAt(closed);
        return true;
      }
    }
    this.#takeSlots(item, now);
    return false;
  }

  /** Returns the gates of a message's limits. `runs`: true if it has or gets slots, whatever they say. */
  #gatesOf(item: Item, now: number, runs = false): readonly LimitGate<Item>[] {
    const { category: { limits = [] } } = item;
    const keys = this.#keysOf(item);
    return limits.map(({ limit }, i) => limit.gateOf(keys[i] === NO_KEY ? "" : keys[i], now, runs));
  }

  /** Returns the keys of a message in its limits. */
  #keysOf(item: Item): readonly string[] {
    const { message, keys, category: { limits = [] } } = item;
    if (!item.loaded && keys !== undefined) {
      return item.limitKeys ??= limits.map(({ key }) => key === undefined ? "" : keys.get(key) ?? NO_KEY);
    }
    return item.limitKeys ??= this.#lastRead?.message === message && this.#lastRead.reading.keys.length > 0
      ? this.#lastRead.reading.keys
      : limits.map((each) => this.#keyIn(each, message));
  }

  /** Returns the keys of a message in limits, by the functions that return them. */
  #byFunction(item: Item): KeysByFunction {
    const keys = this.#keysOf(item);
    return new Map((item.category.limits ?? []).flatMap(({ key }, i) => key === undefined ? [] : [[key, keys[i]]]));
  }

  /** Counts a message as one of its keys in limits that is not done, if the limits count them. */
  #count(item: Item): void {
    const { category, dead, inHand } = item;
    if (category.limits === undefined || dead > 0 || inHand !== undefined || !category.isCounted) return;
    // of one that is too large to be parked the key is not known before it is loaded
    if (!item.loaded && item.limitKeys === undefined && item.keys === undefined) return;
    const keys = this.#keysOf(item);
    item.inHand = category.limits.flatMap(({ limit }, i) =>
      limit.isCounted ? [limit.count(keys[i] === NO_KEY ? NO_KEY + item.id : keys[i], item)] : []
    );
  }

  /** Takes note that a message is done, a dead letter, or left in the log. */
  #discount(item: Item): void {
    if (item.inHand === undefined) return;
    for (const each of item.inHand) each.remove(item);
    item.inHand = undefined;
  }

  /** Returns the key of a message in a limit: "" in one without keys, `NO_KEY` if none is known. */
  #keyIn({ key, limit }: CategoryLimit, message: LoggedMessage): string {
    return key === undefined ? "" : this.#textOf(key, message, limit.id, "key") ?? NO_KEY;
  }

  /** Returns the key or tenant that a function returns for a message; `undefined`: it has none. */
  #textOf(of: (payload: never) => unknown, message: LoggedMessage, where: string, what: string): string | undefined {
    try {
      return limitKeyOf(of, message, what);
    } catch (error) {
      this.#options.onNoLimitKey?.(message.category, where, error);
      return undefined;
    }
  }

  /** Takes the slots of a message that follows another one of its key in a batch. Returns false if one is not free. */
  #takesSlots(item: Item, now: number): boolean {
    if (item.category.limits === undefined || item.gates !== undefined) return true;
    const isClosed = this.#gatesOf(item, now).some((gate) => gate.isFull || gate.due > now || gate.waiting > 0);
    if (!isClosed) this.#takeSlots(item, now);
    return !isClosed;
  }

  #takeSlots(item: Item, now: number): void {
    item.gates = this.#gatesOf(item, now, true);
    for (const gate of item.gates) {
      if (item.joins) gate.join();
      else gate.take(now);
    }
  }

  /** Gives the slots of a message back. `ran`: false if it certainly did not run. */
  #giveBack(item: Item, ran: boolean): void {
    if (item.gates === undefined) return;
    for (const gate of item.gates) this.#free(gate, ran);
    item.gates = undefined;
  }

  #free(gate: LimitGate<Item>, ran: boolean): void {
    gate.giveBack(ran);
    if (gate.waiting > 0) this.#opened.add(gate);
    else this.#limiting.delete(gate);
  }

  /**
   * Lets no message begin before this time, in ms since 1970, that has one of the limits of this one: one of those by
   * key, if there are any.
   */
  pauseLimits(item: Item, until: number, now: number): void {
    const gates = item.gates ?? this.#gatesOf(item, now, true);
    const own = gates.filter(({ limit: { isByKey } }) => isByKey);
    const paused = own.length > 0 ? own : gates;
    for (const gate of paused) gate.pause(until);
    // what has slots in a batch that is not full has not begun
    const waits = ({ gates = [] }: Item) => gates.some((gate) => paused.includes(gate));
    for (const [category, heads] of [...this.filling]) if (heads.some(waits)) this.#emptyBatch(category);
  }

  /** Sets {@link Ledger.pause} if messages wait for the rates or pauses of their limits. */
  #pauseForLimits(now: number): void {
    const first = this.#opening.first;
    if (first !== undefined) this.pause = Math.min(this.pause ?? Infinity, Math.max(0, first - now));
  }

  /** Has all messages that wait for limits ready to run, so that they look at their limits again. */
  #leaveLimits(): void {
    for (const item of this.#takeWaiting()) this.#push(item);
  }

  /** Takes all messages that wait for limits out of their lines, and returns them in that order. */
  #takeWaiting(): readonly Item[] {
    const taken: Item[] = [];
    for (const gate of this.#limiting) {
      for (let item = gate.shift(); item !== undefined; item = gate.shift()) {
        if (item.turn === "ready" && item.place !== "gone") taken.push(item);
      }
    }
    this.#limiting.clear();
    this.#opened.clear();
    return taken;
  }

  /**
   * Has the messages of a category that run take the slots of its limits, which have changed. Messages that wait to
   * fill a batch wait for the limits.
   */
  #changeLimits(category: Category): void {
    this.#lastRead = undefined; // its keys are those of the old limits
    this.#leaveLimits();
    this.#emptyBatch(category);
    for (const item of this.#all()) {
      if (item.category !== category) continue;
      const runs = item.turn === "begun" || item.gates !== undefined;
      this.#giveBack(item, true);
      this.#discount(item);
      item.limitKeys = undefined;
      if (runs && category.limits !== undefined) this.#joinLimits(item);
      this.#count(item);
    }
    for (const early of this.#early.values()) {
      const { item } = early;
      if (item.category !== category) continue;
      for (const gate of early.gates) this.#free(gate, true);
      this.#discount(item);
      item.limitKeys = undefined;
      early.gates = this.#joinLimits(item);
      this.#count(item);
    }
    for (const item of this.#all()) {
      if (item.category === category && item.turn === "begun") this.#skipsForLater(item);
    }
    this.#changedLimits.set(category, category.limits);
    if (category.fair !== undefined) this.passed.renamed();
  }

  /** Takes the slots of a message that runs already. */
  #joinLimits(item: Item): readonly LimitGate<Item>[] {
    item.gates = this.#gatesOf(item, 0, true);
    for (const gate of item.gates) gate.join();
    return item.gates;
  }

  /** The limits that the messages of each category that run have slots of. */
  readonly #changedLimits = new Map<Category, readonly CategoryLimit[] | undefined>();

  /**
   * Checks that the slots of all limits are those of messages that run, and that no message waits for a limit that lets
   * it run and is not looked at: throws if not. For tests.
   */
  checkSlots(): void {
    const counts = new Map<LimitGate<Item>, number>();
    const count = (gates: readonly LimitGate<Item>[] = []) => {
      for (const gate of gates) counts.set(gate, (counts.get(gate) ?? 0) + 1);
    };
    const categories = new Set<Category>();
    let filling = 0;
    for (const item of this.#all()) {
      categories.add(item.category);
      count(item.gates);
      const isRunning = item.turn === "begun" || item.joins || item.fills;
      if (item.fills) filling++;
      if (isRunning !== (item.gates !== undefined) && item.category.limits !== undefined && item.dead === 0) {
        throw new Error(`${item.id} ${isRunning ? "runs without" : "does not run and has"} slots (${item.turn})`);
      }
      if ((item.inHand !== undefined) !== (item.category.isCounted && item.dead === 0)) {
        throw new Error(
          `${item.id} is ${item.inHand === undefined ? "not " : ""}counted (${item.place}, ${item.dead})`,
        );
      }
    }
    for (const { item, gates } of this.#early.values()) {
      categories.add(item.category);
      count(gates);
      if ((item.inHand !== undefined) !== item.category.isCounted) {
        throw new Error(`${item.id} runs, and is not counted`);
      }
    }
    const known = new Set([...this.#all(), ...[...this.#early.values()].map(({ item }) => item)]);
    for (const { limit } of [...categories].flatMap(({ limits = [] }) => limits)) {
      for (const { items } of limit.inHand.values()) {
        for (const item of items) if (!known.has(item)) throw new Error(`${item.id} is counted, and is done`);
      }
    }
    for (const item of [...this.#heldBack, ...[...categories].flatMap(({ held }) => [...held])]) {
      if (item.place === "gone") throw new Error(`${item.id} is held back, and is done`);
    }
    for (const item of [...this.filling.values()].flat()) {
      if (item.place === "gone") throw new Error(`${item.id} fills a batch, and is done`);
    }
    const queues = [...categories].flatMap(({ queue }) => queue ?? []);
    const inQueues = queues.reduce((sum, { running }) => sum + running, 0);
    if (queues.length > 0 && queues.length === categories.size && inQueues !== this.running + filling) {
      throw new Error(`${this.running} messages run, ${filling} fill a batch, ${inQueues} of tenants`);
    }
    for (const gate of [...categories].flatMap(({ limits = [] }) => limits.flatMap(({ limit }) => [...limit.gates]))) {
      if (gate.running !== (counts.get(gate) ?? 0)) {
        throw new Error(`${gate.running} slots of ${gate.limit.id}, ${counts.get(gate) ?? 0} messages run`);
      }
      if (gate.waiting === 0 || gate.isFull || gate.due === Infinity || this.#opened.has(gate)) continue;
      if (gate.looksAt === undefined || gate.looksAt > gate.due) {
        throw new Error(`${gate.waiting} messages wait for ${gate.limit.id}, which is open`);
      }
    }
  }

  /** Returns true if the messages of this category that may run now would fill a batch. */
  isFull(category: Category): boolean {
    let left = category.batch?.max ?? Infinity;
    // fast path for each message that is read: fewer messages than a batch takes have not begun
    if (this.open.size + this.parked.size - this.running < left) return false;
    const heads = this.filling.get(category) ?? [];
    // what follows them may have no slots: such a batch would be sent at once, and be small
    if (category.limits !== undefined) return heads.length >= left;
    for (const head of heads) {
      for (const _ of together(head)) if (--left <= 0) return true;
    }
    return false;
  }

  /**
   * Returns the next batch of a category, in the order of the log: the first message of each key that may run, with
   * the messages of that key that follow, as far as their limits let them. The batch takes at most `most` bytes by
   * `sizeOf`, unless it is a single message. `now` is called only if needed.
   */
  batch(category: Category, most: number, sizeOf: (item: Item) => number, now: () => number): readonly Item[] {
    const heads = this.filling.get(category) ?? [];
    const items: Item[] = [];
    let [bytes, taken] = [0, 0];
    const fits = (item: Item) => {
      if (items.length === category.batch!.max) return false; // only a category with batches has an entry in `filling`
      bytes += sizeOf(item);
      return items.length === 0 || bytes <= most;
    };
    all: for (const head of heads) {
      if (head.fills && head.place !== "gone" && head.dead === 0 && this.#isFirst(head)) {
        for (const item of together(head)) {
          if (!fits(item)) break all;
          if (item === head) taken++;
          else if (category.limits !== undefined && !this.#takesSlots(item, now())) break;
          items.push(this.#run(item));
        }
      } else {
        // it may have joined a run since
        if (this.#leaveBatch(head)) head.turn = "waits";
        taken++;
      }
    }
    heads.splice(0, taken);
    if (heads.length === 0) this.filling.delete(category);
    return items.sort((a, b) => a.isBehind(b) ? 1 : -1);
  }

  /**
   * Lets the messages of this category run that waited for a node, if a live node handles the category now. Call when
   * the nodes that handle it have changed.
   */
  refresh(category: Category): void {
    if (this.#changedLimits.get(category) !== category.limits) this.#changeLimits(category);
    this.lookAtLimits();
    if (category.capable === 0) {
      if (this.#suspicion === undefined) return;
      for (const item of this.parked.awaiting) {
        // a message that cannot run does not end a process
        if (item.category === category && item.lacksNode) this.#suspicion.cleared(item);
      }
      return;
    }
    // parked ones are woken a few at a time: thousands at once would be refused
    const held = [...category.held];
    category.held.clear();
    for (const item of held) {
      if (item.place !== "gone" && !this.parked.awaiting.has(item)) this.#push(item);
    }
  }

  /** Has what waits for limits, or has slots of them in a batch that is not full, look at what operators have set. */
  limitsOverridden(): void {
    for (const category of [...this.filling.keys()]) if (category.limits !== undefined) this.#emptyBatch(category);
    this.lookAtLimits();
  }

  /** Has what waits for limits look at them again. Call when their numbers, or pauses by operators, have changed. */
  lookAtLimits(): void {
    for (const gate of this.#limiting) this.#opened.add(gate);
  }

  /** Records that the message's handler has succeeded. */
  done(item: Item): void {
    if (this.#ended(item)) this.#end(item);
  }

  /** Records that the message's run was aborted, because a later one of its key takes its place: it is skipped. */
  replaced(item: Item): void {
    item.isReplaced = true; // also if an earlier leader has had it aborted
    if (this.#ended(item)) this.#endReplaced(item);
  }

  /** Parks a message after a failed attempt: until its next attempt is due, or as a dead letter. */
  failed(item: Item, failure: FailedMessage): void {
    if (!this.#ended(item)) return;
    if (item.isHandled) return this.#end(item);
    if (item.isReplaced) return this.#endReplaced(item);
    item.attempts = failure.attempts;
    this.#commit.attempted(item);
    this.#park(item, failure);
  }

  /** Records a failed attempt of a message that is to stay open, not parked. {@link Ledger.retry} lets it run again. */
  failedInPlace(item: Item, attempts: number): void {
    if (!this.#ended(item)) return;
    if (item.isHandled) return this.#end(item);
    if (item.isReplaced) return this.#endReplaced(item);
    item.attempts = attempts;
    this.#commit.attempted(item);
  }

  /** Records that the message certainly did not run: no attempt is counted. {@link Ledger.retry} lets it run again. */
  notRun(item: Item): void {
    this.#giveBack(item, item.joins); // what it joined has begun before
    this.#stopped(item);
    if (item.isReplaced && item.place !== "gone") this.#endReplaced(item);
  }

  /** Records that a message does not run any more. */
  #stopped(item: Item): void {
    this.#answered(item);
    this.#giveBack(item, true);
    item.joins = false;
    this.#suspicion?.stopped(item);
  }

  #answered(item: Item): void {
    if (item.turn !== "begun") return;
    this.running--;
    item.category.queue?.ended(item);
    item.turn = "waits";
  }

  /** Lets a message be sent again that runs at this node: handing it out joins that run, and it stays suspected. */
  goesOn(item: Item, node: string | undefined): void {
    this.#answered(item);
    item.node = node;
    item.joins = true;
    this.retry(item);
  }

  /**
   * Records that the process at this endpoint ended while it ran this message. If no other message ran there, that
   * counts as an attempt; else all messages that ran there are suspected of having ended the process.
   * {@link Ledger.retry} lets the message run again.
   */
  processEnded(item: Item, endpoint: string): void {
    this.#stopped(item);
    if (item.isHandled) this.#end(item);
    else if (item.isReplaced && item.place !== "gone") this.#endReplaced(item);
    if (item.place === "gone") return;
    this.#suspicion ??= new Suspicion(0, [...this.#all()].filter(({ turn }) => turn === "begun"));
    if (this.#suspicion.processEnded(item, endpoint, (other) => other.attempts--)) this.#countDeath(item);
    this.#commit.attempted(item);
  }

  /**
   * Lets a message run again, once a commit has recorded its failure. Call when the pause after the failure is over.
   */
  retry(item: Item): void {
    if (item.place === "gone" || item.turn !== "waits" || !this.#isFirst(item)) return;
    if (this.#commit.isUnrecorded(item)) this.#commit.runsAfter(item);
    else this.#push(item);
  }

  /**
   * Carries out a request to replay or discard a dead letter. The request has no effect if the message is no dead
   * letter, or became one again since the request was made; so a request that is stored twice has one effect.
   */
  carryOut(sequence: number, { kind, message, dead, payload }: LetterRequest): void {
    this.carriedOut(sequence);
    const item = this.parked.get(message);
    if (item === undefined || item.dead === 0 || item.dead !== dead) return;
    if (kind === "discard") return this.#end(item);
    if (payload !== undefined) {
      item.message = withPayload(item.message, payload, dead);
      item.loaded = true;
      item.keys = item.limitKeys = undefined;
      this.#store(item);
    }
    this.parked.dead--;
    item.attempts = item.due = item.dead = 0;
    this.#count(item);
    item.found = -1; // what ran before the replay is no attempt behind it
    item.counted = undefined;
    item.isFinal = false;
    if (item.inHand !== undefined) this.#replaceEarlier(item);
    this.#commit.change(item);
    // it may be due, or run behind an earlier commit, as what it was before it died
    this.#commit.attempted(item);
    this.#commit.runsAfter(item);
  }

  /**
   * Removes what is parked of a forgotten entity, dead letters included: nothing of it may stay in the store. What is
   * in memory only may still run, but is not parked any more when it fails. `message`: the event that the entity was
   * forgotten.
   * @decides what becomes of messages of a forgotten entity that wait for their next attempt, or are dead
   */
  forget(message: LoggedMessage): void {
    const type = entityType(message);
    // all earlier messages of the entity that are not done are in memory or parked, because the log is read in order
    for (const item of [...this.#all()]) {
      if (item.key !== message.key || entityType(item.message) !== type) continue;
      item.isForgotten = true;
      // a message that runs ends with its run
      if (item.place === "parked" && item.turn !== "begun") this.#end(item);
    }
  }

  /** Records that requests up to this sequence were carried out: none of them is carried out again. */
  carriedOut(sequence: number): void {
    this.upTo = Math.max(this.upTo, sequence);
  }

  /**
   * Takes note that the store has lost its messages behind this sequence: new requests get sequences that were used
   * before.
   */
  restored(sequence: number): void {
    this.upTo = Math.min(this.upTo, sequence);
  }

  /** Returns the position up to which all messages of a category that were read are handled or discarded. */
  settled(name: string): number {
    const { epoch } = this.place;
    let read = this.passed.slowest(this.left.slowest(this.place.read, name));
    for (const item of this.#all()) {
      if (item.category.name === name && item.epoch === epoch) read = Math.min(read, item.position - 1);
    }
    return read;
  }

  /**
   * Goes back in the log: messages behind the position `to` are read again, in the categories that the subscription
   * reads now. No message may be running. `there`: sequences of parked messages that the log still has; other parked
   * messages stay parked.
   */
  rewind(to: number, there: ReadonlySet<number>): void {
    const { began } = this.#options.categories;
    const { created, read, epoch } = this.place;
    this.place = { created: to === 0 ? "" : created, read: Math.min(to, read), time: 0, epoch, rewound: true };
    this.left.rewind(this.place.read, (category) => Object.hasOwn(began, category));
    this.passed.rewind(this.place.read);
    const goes = (item: Item) =>
      item.place === "parked"
        ? (item.epoch === epoch && item.position > to && there.has(sequenceOf(item.position))) ||
          (item.awaitsNode && !Object.hasOwn(began, item.category.name))
        : item.position > to || !Object.hasOwn(began, item.category.name);
    // all messages are collected before the first is ended, because ending a message may park others
    for (const item of [...this.#all()].filter(goes)) this.#end(item);
    this.#suspicion = undefined;
  }

  /**
   * Leaves the keys behind that have a quarter of all open messages or more, so that reading and other keys go on:
   * their last messages, which have not begun, are forgotten, and read again later. `keep`: number of open messages
   * that a key keeps at least.
   */
  leaveHotKeys(keep = KEPT_OF_KEY): void {
    if (this.open.size <= keep) return;
    const counts = new Map<KeyLine, number>();
    for (const { line } of this.open) if (line !== undefined) counts.set(line, (counts.get(line) ?? 0) + 1);
    const least = Math.max(keep + 1, this.open.size / HOT_PARTS);
    for (const [line, count] of counts) if (count >= least) this.#forgetLast(line, count - keep);
  }

  /** Leaves messages in the log that are behind one that is about to be parked, if more than may be parked are. */
  #leaveBehind(line: KeyLine): void {
    const most = this.#roomBehind(line);
    if (line.size <= most) return;
    if (this.#forgetLast(line, line.size - most)) this.#options.onLeft?.(line.first!); // the line has a message
  }

  /** Forgets up to `most` of the last messages of a key, as if they were unread. Returns false if there are none. */
  #forgetLast(line: KeyLine, most: number): boolean {
    if (line.first === undefined || line.first.category.fair !== undefined || !this.#mayLeave) return false;
    // what was skipped among those of the key would be read again; what an earlier leader has skipped is not known
    const from = Math.max(line.skippedUpTo, line.first.category.isCounted ? this.#foundUpTo : 0);
    let last: Item | undefined;
    for (let left = most; left > 0; left--) {
      const item = line.last;
      if (item !== undefined && item.position <= from) break;
      const isUntouched = item?.place === "open" && item.turn === "waits" && !item.joins && item.attempts === 0 &&
        item.previous !== undefined && !item.hasBegun && !item.isHandled && !item.isForgotten;
      if (!isUntouched) break;
      last ??= item;
      this.#leaveOpen(item);
      item.place = "gone";
      this.#discount(item);
      this.#suspicion?.cleared(item);
      line.remove(item);
    }
    if (last === undefined || line.last === undefined) return false;
    const taken = Math.max(line.last.position, from);
    this.left.leave(last.category.name, last.key!, taken, last.position); // items of a line have a key
    return true;
  }

  /**
   * Parks the messages that no live node handles, if they are half of all open messages or more, so that reading and
   * other messages go on. No attempt is counted. They do not count towards `mostParked`, and run once a live node
   * handles them. `now`: in ms since 1970.
   */
  parkUnhandled(now: number): void {
    const items = [...this.open].filter(({ lacksNode }) => lacksNode);
    for (const item of 2 * items.length < this.open.size ? [] : items) {
      // the others of a key are parked together with the first
      if (item.place !== "open" || !this.#isFirst(item)) continue;
      if (!this.parked.hasRoom({ awaits: true })) break;
      const { code, message, cause } = item.error ?? UNHANDLED;
      this.#park(item, { attempts: item.attempts, error: { code, message, cause, outage: now, refusedBy: [] } });
      this.#setLineAwaits(item);
    }
    this.#makeRoom();
  }

  /** Size of the messages in memory: open ones, and parked ones that the store does not have yet, in bytes. */
  get bytes(): number {
    return this.open.bytes + this.#commit.bytes;
  }

  /** Makes the content of the next commit (the state to be stored). */
  draft(): Draft {
    return this.#commit.draft(this.#head);
  }

  /** Returns the messages that run now, because the commit made of this draft is stored. */
  stored(draft: Draft): readonly Item[] {
    this.#commit.stored();
    const { begins, after } = draft;
    for (const item of after) this.#offer(item);
    return begins.filter(({ place }) => place !== "gone");
  }

  /** True if messages wait for a commit before they may run. */
  get waitsForCommit(): boolean {
    return this.#commit.isAwaited;
  }

  /** True while messages are suspected of ending their process: {@link Ledger.begin} then divides all that wait. */
  get isInDoubt(): boolean {
    return this.#suspicion !== undefined;
  }

  /** True if the commit that is being stored, or the next one, begins the run of a message. */
  get isBeginning(): boolean {
    return this.#commit.isBeginning;
  }

  /** True if the state of a parked message has changed since the last draft of a commit. */
  get changed(): boolean {
    return this.#commit.hasChanges;
  }

  get #head(): Draft["head"] {
    return {
      place: this.place,
      open: [...this.open].map(({ position, attempts }) => [position, attempts]),
      began: this.#options.categories.began,
      requests: this.upTo,
      doubt: this.#suspicion?.stored,
      ...(this.left.size > 0 ? { left: this.left.stored } : {}),
      ...(this.passed.size > 0 ? { passed: this.passed.stored } : {}),
      ...(this.#wentBack > 0 ? { wentBack: this.#wentBack } : {}),
      ...(this.skipped > 0 ? { skipped: this.skipped } : {}),
    };
  }

  /**
   * Restores the state of a parked message after a takeover. A message found in the log is parked again. The message
   * waits at most for the longest pause of its category, even if the clock of the leader that parked the message was
   * wrong.
   */
  #restore(state: ParkedState, found: FoundMessage, now: number): void {
    const { message } = found;
    const item = new Item(message, this.#options.categories.of(message.category), state.attempts, state.epoch);
    if (found.in === "log") this.#store(item);
    else {
      item.error = found.error;
      item.loaded = found.loaded;
      item.keys = found.keys;
      item.size = found.size;
    }
    const awaits = state.dead === 0 && item.error?.refusedBy !== undefined;
    // a message that all present versions of the contract have refused waits for a node with another version, so its
    // time `due` is left as it was stored
    item.due = awaits ? state.due : Math.min(state.due, Math.ceil(now + item.category.delay[1]));
    item.dead = state.dead;
    if (item.dead > 0) this.parked.dead++;
    item.place = "parked";
    this.#count(item);
    if (item.loaded && item.category.fair !== undefined) this.#enterShare(item);
    this.parked.add(item);
    insert(item);
    this.parked.setAwaits(item, awaits || (item.error === undefined && this.#isBehindAwaiting(item)));
    if (awaits) this.parked.awaiting.add(item);
    if (item.dead === 0 && !isUnhandled(item)) this.#due.push(item.due, item);
  }

  #enter(message: LoggedMessage, category: Category, attempts: number, size = 0): Item {
    const item = new Item(message, category, attempts, this.place.epoch);
    item.size = size;
    if (category.fair !== undefined) this.#enterShare(item);
    this.#count(item);
    this.open.add(item);
    if (item.key !== undefined && this.#waitingForRoom.length > 0) this.#waitingForRoom.push([item, undefined]);
    else this.#enqueue(item);
    return item;
  }

  /**
   * Adds the message to the queue of its key. The first message of a key may run; a message behind a parked one is
   * parked, too.
   */
  #enqueue(item: Item): void {
    const before = insert(item);
    if (before?.place === "parked") this.#park(item, undefined);
    else this.#offer(item);
  }

  /**
   * Marks a message that runs at a node, so that handing it out joins that run. Does nothing for a dead letter, whose
   * handler may run on after its timeout. `isTogether`: true for the ids of messages that run at the same node.
   */
  #join(item: Item, node: string, isTogether: (id: string) => boolean): void {
    if (item.place === "gone" || item.dead > 0) return;
    this.#endBefore(item, isTogether);
    this.#endUnhandled(item);
    item.node = node;
    item.joins = true;
    const { limits, queue } = item.category;
    if (limits !== undefined && item.gates === undefined) this.#takeSlots(item, 0); // before others begin
    if (limits !== undefined || queue !== undefined) {
      // it leaves those that wait for their turn
      item.waitsAt?.leave(item);
      if (item.fills) {
        item.fills = false; // it keeps its slots
        queue?.ended(item);
      }
      if (item.turn === "ready") item.turn = "waits";
    }
    this.#offer(item);
  }

  /** Notes that a message that is still to be read from the log runs at a node. Handing it out later joins that run. */
  #joinLater(message: LoggedMessage, node: string): void {
    const category = this.#options.categories.of(message.category);
    const isTogether = (id: string) => this.#joined.nodeOf(id) === node;
    this.#endBefore(new Item(message, category, 0, this.place.epoch), isTogether);
    this.#joined.isToBeRead(message, node);
    if (category.limits === undefined) return;
    const item = new Item(message, category, 0, this.place.epoch);
    const gates = this.#joinLimits(item);
    this.#count(item);
    this.#early.set(messageId(message), { item, gates });
  }

  /**
   * Removes the earlier messages of the item's key, except those of its batch: they are handled, because the item runs
   * at a node, and messages of a key run in order. `isTogether`: true for the ids of messages that run at that node,
   * as those of its batch do; absent: the item has been handled, and so have all of its batch before it.
   */
  #endBefore(item: Item, isTogether?: (id: string) => boolean): void {
    const line = item.key === undefined ? [] : item.category.lines.get(item.key) ?? [];
    for (const each of [...line]) {
      if (each.dead === 0 && item.isBehind(each) && isTogether?.(each.id) !== true) this.#end(each);
    }
  }

  *#all(): Iterable<Item> {
    yield* this.open;
    yield* this.parked;
  }

  /** Counts an attempt of a message that ran alone in a process that ended. */
  #countDeath(item: Item): void {
    item.attempts++;
    item.error = { code: "OUTCOME_UNKNOWN", message: `the process that ran it ended, at attempt ${item.attempts}` };
    if (item.place !== "parked") return;
    this.#commit.change(item);
    this.#store(item);
  }

  #beginInDoubt(suspicion: Suspicion, now: () => number): readonly Item[] {
    // no batches are filled while messages are suspected: a commit must name each message before the message begins
    for (const category of [...this.filling.keys()]) this.#emptyBatch(category);
    // they are divided together with those that have become ready since
    const time = now();
    this.#openDue(time);
    const [ready, joined]: Item[][] = [[], []];
    const look = (item: Item) => {
      if (!this.#mayRun(item, now) || this.#waitsForLimits(item, time)) return;
      if (item.joins) joined.push(this.#run(item));
      else ready.push(item);
    };
    // those that have waited for limits come first: else the next of a key that has just run would take each slot
    for (const item of this.#takeWaiting()) look(item);
    for (let item = this.#nextReady(); item !== undefined; item = this.#nextReady()) look(item);
    const { begins, later, pause } = suspicion.choose(ready, time);
    if (later.length > 0) this.pause = pause;
    for (const item of begins) this.#commit.begin(this.#run(item));
    for (const item of later) {
      this.#giveBack(item, false);
      this.#push(item);
    }
    if (this.#opening.size > 0) this.#pauseForLimits(time);
    return joined;
  }

  #mayRun(item: Item, now: () => number): boolean {
    // one that waits for a limit, or fills a batch, has taken the place of another one there
    if (item.turn !== "ready" || item.waitsAt !== undefined || item.fills) return false;
    item.turn = "waits";
    if (item.place === "gone" || item.dead > 0) return false;
    if ((this.#isPaused || this.#mayRunAlready !== undefined) && this.#isHeldBack(item)) return false;
    if (item.isHandled && !item.joins) {
      this.#end(item);
      return false;
    }
    if (item.inHand !== undefined && this.#skipsForLater(item)) return false;
    // the next leader is to know of the failed attempt: its number does not go back
    if (this.#commit.isUnrecorded(item)) {
      this.#commit.runsAfter(item);
      return false;
    }
    // one that runs at a node has its outcome from there
    if (!item.joins && (item.attempts >= item.category.attempts || item.isFinal)) {
      this.#park(item, { attempts: item.attempts, error: item.error ?? UNKNOWN, dead: now() });
      return false;
    }
    if (item.category.capable > 0) return true;
    item.category.held.add(item);
    if (item.place === "parked") this.#setLineAwaits(item);
    this.#suspicion?.cleared(item);
    return false;
  }

  #run(item: Item): Item {
    this.#ready.begun(item);
    if (!item.joins) {
      item.hasBegun = true;
      if (item.key !== undefined) this.#begunLines?.add(lineOf(item.message));
    }
    item.turn = "begun";
    this.running++;
    if (item.fills) item.fills = false; // it counts for its tenant already
    else item.category.queue?.begun(item);
    return item;
  }

  /** Makes the message ready to run if it is the first of its key. */
  #offer(item: Item): void {
    if (item.place !== "gone" && item.turn === "waits" && this.#isFirst(item)) this.#push(item);
  }

  #push(item: Item): void {
    item.turn = "ready";
    const { category } = item;
    const { queue } = category;
    if (queue === undefined || item.joins || (item.tenant === undefined && !item.loaded)) return this.#ready.push(item);
    if (item.tenant === undefined) this.#enterShare(item);
    queue.push(item);
    this.#shared.add(category);
  }

  /** Records that the message's run has an outcome. Returns false if the message is no longer in the ledger. */
  #ended(item: Item): boolean {
    this.#stopped(item);
    this.#suspicion?.cleared(item);
    return item.place !== "gone";
  }

  /** Removes a message that is handled or discarded; the next message of its key may run. */
  #end(item: Item): void {
    const { line, place, category } = item;
    if (place === "open") this.#leaveOpen(item);
    item.place = "gone";
    if (this.#handledBefore.size > 0) this.#handledBefore.delete(item.id);
    this.#heldBack.delete(item);
    category.held.delete(item);
    if (this.#leaveBatch(item)) this.#leaveFilling(item);
    this.#leaveShare(item, place);
    this.#discount(item);
    this.#giveBack(item, true);
    item.waitsAt?.leave(item);
    this.#ready.leavesMemory(item);
    this.#suspicion?.cleared(item);
    if (place === "parked") {
      this.parked.remove(item);
      this.#commit.end(item);
    }
    const isFirst = line?.first === item;
    line?.remove(item);
    if (isFirst) this.#next(line!, item);
    if (this.#waitingForRoom.length > 0) this.#makeRoom();
  }

  /** Parks a message. `failure`: `undefined` if the message waits behind another message of its key. */
  #park(item: Item, failure: FailedMessage | undefined): void {
    if (item.isForgotten || ((failure?.dead ?? 0) > 0 && this.#wasHandledBefore(item))) return this.#end(item);
    const awaits = failure === undefined ? this.#isBehindAwaiting(item) : isAwaiting(failure);
    if (item.place !== "parked" && !this.parked.hasRoom({ awaits })) {
      this.#waitingForRoom.push([item, failure]);
      // a message that cannot be parked behind another one yet leaves the queue of its key until there is room
      if (failure === undefined) item.line?.remove(item);
      return;
    }
    if (failure !== undefined) {
      item.error = failure.error;
      item.due = Math.ceil(failure.due ?? 0);
      item.dead = Math.ceil(failure.dead ?? 0);
      if (item.dead > 0) {
        this.parked.dead++;
        this.#discount(item);
        this.#options.onDead?.(item);
      }
    }
    const fails = failure !== undefined && item.place === "open";
    if (fails && item.line !== undefined && !awaits) this.#leaveBehind(item.line);
    const behind = fails ? item.line ?? [] : [];
    this.#putAside(item);
    this.parked.setAwaits(item, awaits);
    if (failure !== undefined && awaits) this.parked.awaiting.add(item);
    for (const each of behind) {
      if (each.place !== "open") continue;
      this.#putAside(each);
      this.parked.setAwaits(each, awaits);
    }
    if (item.dead === 0 && this.#isFirst(item) && !isUnhandled(item)) this.#due.push(item.due, item);
  }

  /** Returns true if a node has handled a message before; one that an operator has edited had another text then. */
  #wasHandledBefore({ id, message: { earlier = [] } }: Item): boolean {
    return earlier.length === 0 && this.#handledBefore.has(id);
  }

  #isBehindAwaiting({ line }: Item): boolean {
    return line?.first?.place === "parked" && line.first.awaitsNode;
  }

  /** Records that a parked message, and those that were parked behind it, wait for a node that handles them. */
  #setLineAwaits(item: Item): void {
    for (const each of item.line ?? [item]) {
      if (each.place === "parked" && each.dead === 0 && !each.awaitsNode) this.parked.setAwaits(each, true);
    }
  }

  /**
   * Lets a waiting message run when it is first of its key. Call when a node is live that handles this message, and
   * whose version (shape) of the contract has not refused it.
   */
  wakeAwaiting(item: Item): void {
    if (!this.parked.awaiting.has(item)) return;
    this.#endUnhandled(item);
    this.#offer(item);
  }

  /** Restores the error that the message had before it was parked because no live node handled it. */
  #endUnhandled(item: Item): void {
    if (!isUnhandled(item)) return;
    const { code, message, cause } = item.error!; // an unhandled message has an error
    item.error = message === UNHANDLED.message ? undefined : { code, message, cause };
  }

  /** Lets a parked message be stored with the next commit. Its payload leaves memory then, if it is large. */
  #store(item: Item): void {
    if (item.keys === undefined && item.loaded && item.category.limits !== undefined) {
      item.keys = this.#byFunction(item);
    }
    this.#commit.store(item);
  }

  #putAside(item: Item): void {
    if (item.place === "open") {
      this.#leaveOpen(item);
      this.parked.add(item);
      if (item.share !== undefined) item.share.parked++;
    }
    this.#ready.leavesMemory(item);
    this.#store(item);
    this.#commit.change(item);
    this.#suspicion?.cleared(item);
  }

  #makeRoom(): void {
    const waiting = this.#waitingForRoom;
    this.#waitingForRoom = [];
    for (const [item, failure] of waiting) {
      if (item.place === "gone") continue;
      if (failure !== undefined) this.#park(item, failure);
      else if (this.#waitingForRoom.length > 0) this.#waitingForRoom.push([item, failure]);
      else this.#enqueue(item);
    }
  }

  /** Makes the first message of a key ready to run, at once or when it is due. */
  #next(line: KeyLine, { category, key }: Item): void {
    const { first } = line;
    if (first === undefined) category.lines.delete(key!); // an item of a line has a key
    else if (first.turn !== "waits") return;
    else if (first.place === "open") this.#push(first);
    else if (first.dead === 0) this.#due.push(first.due, first);
  }

  #isFirst(item: Item): boolean {
    return item.key === undefined || item.line?.first === item;
  }
}

/**
 * Returns true if a message with this failure is parked until a node with another version (shape) of its contract is
 * live.
 */
function isAwaiting({ dead, error }: FailedMessage): boolean {
  return dead === undefined && error.refusedBy !== undefined;
}

/**
 * Returns true if the message was parked because no live node handled it: it waits for another version of its contract,
 * and none has refused it.
 */
export function isUnhandled({ error }: Item): boolean {
  return error?.refusedBy?.length === 0;
}

/** Yields the first message of a key, and the messages of the key behind it that may run in one batch with it. */
function* together(head: Item): Iterable<Item> {
  yield head;
  const fits = (item: Item) => {
    return !item.alone && item.turn === "waits" && !item.joins && item.loaded && item.dead === 0 &&
      item.attempts < item.category.attempts;
  };
  for (let { next } = head; next?.place === head.place && fits(next); { next } = next) yield next;
}

/** Inserts a message into the queue of its key, in the order of the log. Returns the message before it. */
function insert(item: Item): Item | undefined {
  const { key, category: { lines } } = item;
  if (key === undefined) return undefined;
  let line = lines.get(key);
  if (line === undefined) lines.set(key, line = new KeyLine());
  return line.insert(item);
}

/** Number of messages of a slow key that stay open (in memory); the messages behind them are left in the log. */
const KEPT_OF_KEY = 16;
/** Part of all open messages from which on a key counts as one that keeps others from being read: a quarter. */
const HOT_PARTS = 4;
/** Number of messages of a slow key in hand from which on no more are brought. */
const KEPT_OF_LEFT = 256;
/** Part of the room for parked messages that those behind one that has failed may take: an eighth. */
const PARTS_OF_ROOM = 8;
/** Maximum number of messages in hand of a key whose first one has failed. */
const MAX_PARKED_OF_KEY = 1_000;
/** Maximum number of open messages that were brought, from which on no more of tenants are. */
const MAX_BROUGHT_OF_TENANTS = 4_096;
/** Size of the messages in memory from which on none of tenants is brought, in bytes. */
const MAX_BYTES_TO_BRING = 33_554_432;
/** Maximum time by which a message counts as older, in ms: 30 days. */
const MAX_AHEAD = 2_592_000_000;
/** Maximum of a tenant's weight. */
const MAX_WEIGHT = 1_000;
const NO_ITEMS: ReadonlyMap<string, Item> = new Map();
const UNHANDLED: FailedWith = Object.freeze({ code: "NO_HANDLER", message: "no live node handles it" });
const UNKNOWN = Object.freeze({ code: "OUTCOME_UNKNOWN", message: "its attempts failed" });

/** Returns true if a message that is read in an epoch comes after the given item in the log. */
function isAfter({ position }: LoggedMessage, inEpoch: number, item: Item): boolean {
  return inEpoch > item.epoch || (inEpoch === item.epoch && position > item.position);
}

/** Returns the type of an event's entity, with which the event's name begins. The event's key is the entity's id. */
function entityType({ category }: LoggedMessage): string {
  return category.split(".", 1)[0];
}
