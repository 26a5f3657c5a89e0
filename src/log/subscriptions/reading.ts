/**
 * Reads the log for a subscription's leader: the messages of the subscription's categories behind its position, each
 * once.
 */
import { Fifo } from "../../data/fifo.ts";
import { TurnBudget } from "../../dispatch/turn_budget.ts";
import type { CatgaError } from "../../error.ts";
import type { FollowOptions, LogLoss, LogReader, LogState, StoredMessage } from "../../ports/event_log.ts";
import type { Place } from "../format/commit.ts";
import { FORGOTTEN_EVENT, withoutEvents } from "../format/entity_group.ts";
import { isAnswer, isReadable, readGroup } from "../format/group.ts";
import { type LoggedMessage, unusable } from "../format/logged_message.ts";
import { categoryOf, categoryPatterns, entityPattern } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { endOf, positionOf, sequenceOf } from "../format/group_text.ts";
import type { SubscriptionStoreOptions } from "./store.ts";

/** Options of a {@link LeaderReading}. */
export interface ReadingOptions extends Pick<SubscriptionStoreOptions, "clock" | "stream" | "namespace" | "fault"> {
  /** Called with messages read, in order. `size`: size of each message in the log, in bytes. */
  onMessages(messages: readonly LoggedMessage[], size: number): void;
  /** Called with the event that an entity was forgotten, also if the subscription does not handle it. */
  onForgotten(message: LoggedMessage): void;
  /** Called for a stored message that cannot be read. `message` stands in for it; `reason`: why it cannot be read. */
  onGarbage(message: LoggedMessage, reason: string): void;
  /** Called whenever reading starts. `end`: end of the log; `read`: position behind which reading goes on. */
  onEnd(end: number, read: number): void;
  /**
   * Called when messages of the log were lost and reading goes on at another position. `back`: true if that position is
   * lower than the one reached; reading then goes on only when all messages read before are settled.
   */
  onLoss(loss: LogLoss, how: { readonly back: boolean }): void;
  /** Returns true if all messages read so far are settled. */
  settled(): boolean;
}

/** A start of the stream's reader, as the reader reports it. */
type ReaderStart = Parameters<FollowOptions["onStart"]>[0];

/**
 * Reads the log for one leader. Messages that arrive while reading is paused wait unparsed, in order: a server sends up
 * to 32 MB more, which would take many times as much memory as parsed messages.
 */
export class LeaderReading {
  readonly #options: ReadingOptions;
  readonly #ledger: { place: Place };
  #reader: LogReader | undefined;
  /** Contracts whose messages are read; a stored message of an entity may also have events of other contracts. */
  #categories: ReadonlySet<string> = new Set();
  /** Returns true if a stored message has no event of `#categories`; set only for the stream of entities. */
  #isForeign: ((data: Uint8Array) => boolean) | undefined;
  /**
   * Position at which reading goes on after a loss, once all messages read before the loss are settled: those messages
   * may have the same positions as new ones. `undefined`: reading does not wait for that.
   */
  #behindLoss: Omit<Place, "epoch"> | undefined;
  /**
   * Stored messages, and starts of the reader ({@link ReaderStart}), that have arrived and wait: because reading is
   * paused, or because earlier ones still wait here.
   */
  #held = new Fifo<StoredMessage | ReaderStart>();
  #paused = false;
  /** True if the rest of `#held` is read in the next turn of the event loop. */
  #waits = false;
  readonly #budget: TurnBudget;
  #over = false;
  /** Time of the last request for the log's state, which `skipOthers` makes, by the monotonic clock. */
  #skipped = -Infinity;
  /** State of the log, as last answered by the server. */
  #had: LogState | undefined;

  /** `ledger`: has the position behind which reading starts, `ledger.place`; reading moves this position. */
  constructor(options: ReadingOptions, ledger: { place: Place }) {
    this.#options = options;
    this.#budget = new TurnBudget(options.clock);
    this.#ledger = ledger;
  }

  /** True if all messages that the log had when reading started were passed to `onMessages`. */
  get caughtUp(): boolean {
    return this.#reader?.caughtUp === true && this.#behindLoss === undefined && this.#held.size === 0;
  }

  /** Error because of which the log cannot be read now; `undefined` while it can be read. */
  get unreadable(): CatgaError | undefined {
    return this.#reader?.fault;
  }

  /**
   * From now on reads only messages of these categories, behind the present place in the log. The list may be empty, in
   * a forged commit.
   */
  follow(categories: readonly string[]): void {
    const { stream, namespace } = this.#options;
    const { created, read, time, at } = this.#ledger.place;
    this.#reader?.close();
    this.#behindLoss = undefined;
    this.#categories = new Set(categories);
    this.#isForeign = stream.name === streamName(namespace, "entities") ? withoutEvents(this.#categories) : undefined;
    this.#held = new Fifo();
    this.#paused = false;
    this.#reader = undefined;
    if (categories.length === 0) return;
    let reader: LogReader | undefined = undefined;
    const current = () => !this.#over && (reader === undefined || reader === this.#reader);
    reader = this.#reader = stream.follow({
      subjects: categoryPatterns(namespace, stream.name, categories),
      after: created === "" ? undefined : { created, sequence: sequenceOf(read), time: time || undefined, at },
      onMessage: (message) => {
        if (current()) this.#take(message);
      },
      onStart: (start) => {
        if (current()) this.#take(start);
      },
      onFault: (error) => this.#options.fault(error),
    });
  }

  pause(): void {
    this.#paused = true;
    this.#reader?.pause();
  }

  resume(): void {
    if (this.#behindLoss !== undefined || this.#over) return;
    this.#paused = false;
    this.#drain();
  }

  /**
   * Moves the subscription's place (position in the log) twice a minute behind messages of other categories, so that
   * the removal of those messages from the log is not taken for a loss. Moves it only behind messages that this reader
   * has received, because another server may lag behind. Call often while no message is open.
   */
  skipOthers(now: number): void {
    const { stream, namespace, fault } = this.#options;
    const mark = this.#reader?.mark;
    const { place } = this.#ledger;
    // messages of entities do not expire
    if (!this.caughtUp || mark?.created !== place.created || stream.name === streamName(namespace, "entities")) return;
    const [had, read] = [this.#had, sequenceOf(place.read)];
    // a log that ends before the place has lost its end, or its server lags: its messages may not have been read
    if (had?.created === place.created && had.last >= read && had.last <= Math.max(mark.sequence, read)) {
      this.#had = undefined;
      // the end that `had` shows, and its time: what the reader has received since is younger than that
      const others = had.last > read ? { read: endOf(had.last), time: 0 } : undefined;
      this.#ledger.place = { ...place, ...others, at: had.now };
    }
    if (now - this.#skipped < SKIP) return;
    this.#skipped = now;
    stream.state().then((state) => void (this.#had = state), fault);
  }

  /** Goes on with reading after a loss. Call when all messages read so far are settled. */
  settle(): void {
    const behind = this.#behindLoss;
    if (behind === undefined || !this.#options.settled()) return;
    this.#behindLoss = undefined;
    this.#goTo(behind);
    this.resume();
  }

  close(): void {
    this.#over = true;
    this.#reader?.close();
    this.#behindLoss = undefined;
    this.#held = new Fifo();
  }

  #goTo(place: Omit<Place, "epoch">): void {
    this.#ledger.place = { ...place, epoch: this.#ledger.place.epoch };
  }

  #take(arrived: StoredMessage | ReaderStart): void {
    const lostAgain = this.#behindLoss !== undefined && "mark" in arrived;
    if (!lostAgain && (this.#paused || this.#held.size > 0)) this.#held.push(arrived);
    else this.#on(arrived);
  }

  #on(arrived: StoredMessage | ReaderStart): void {
    if (!("mark" in arrived)) return this.#onMessage(arrived);
    this.#onStart(arrived);
    this.#options.onEnd(endOf(arrived.state.last), endOf(arrived.mark.sequence));
  }

  /**
   * Reads the messages in `#held`, in several turns of the event loop, so that the node's lease is renewed between two
   * turns.
   */
  #drain(): void {
    while (!this.#paused && !this.#waits && this.#held.size > 0) {
      if (this.#budget.over) {
        this.#waits = true;
        this.#budget.nextTurn(() => {
          this.#waits = false;
          this.#drain();
        });
        return;
      }
      this.#on(this.#held.shift()!);
      this.#budget.spent();
    }
    if (!this.#paused && !this.#waits) this.#reader?.resume();
  }

  #onStart({ mark, lost: found, state }: ReaderStart): void {
    const lost = found?.reason === "expired" && this.#onlyOthers(state) ? undefined : found;
    const place = { created: mark.created, read: endOf(mark.sequence), time: mark.time ?? 0 };
    if (this.#behindLoss !== undefined) {
      // the log has lost messages once more, while reading waits because of an earlier loss
      if (lost !== undefined) {
        this.#behindLoss = place;
        this.#held = new Fifo();
        this.#options.onLoss(lost, { back: true });
      }
      return;
    }
    const { created, read, at } = this.#ledger.place;
    if (lost === undefined) {
      // time 0 (unknown): the message at this position is of another category, and its removal must not be taken for a
      // loss
      if (created === "" || place.read > read) {
        this.#goTo({ ...place, time: 0, at: state.last === mark.sequence ? state.now : at });
      }
      return;
    }
    const back = place.read < read;
    if (back && !this.#options.settled()) {
      this.#behindLoss = place;
      this.pause();
    } else this.#goTo(place);
    this.#options.onLoss(lost, { back });
  }

  /**
   * Returns true if all messages removed from the log behind the place (the position reached) were of other categories,
   * such as schedules that have fired. That is so if the log had no message of the subscription's categories behind the
   * place less than a minute ago, because such messages are kept for a minute at least. False if the message at the
   * place is less than a minute old itself: only a purge can have removed it. Also false if the stream has a size
   * limit, above which it removes any message. A purge of the stream within that minute may go unnoticed.
   */
  #onlyOthers({ now, maxBytes }: ReaderStart["state"]): boolean {
    const { at, time } = this.#ledger.place;
    if (at === undefined || maxBytes !== undefined) return false;
    const young = (since: number) => now - since >= 0 && now - since < LEAST_KEPT;
    return young(at) && !(time > 0 && now - time < LEAST_KEPT);
  }

  #onMessage(message: StoredMessage): void {
    const { sequence, time } = message;
    const { created, read } = this.#ledger.place;
    if (sequence <= sequenceOf(read)) return;
    const { namespace, onMessages, onForgotten, onGarbage } = this.#options;
    const group = this.#isForeign?.(message.data) ? [] : readGroup(namespace, message);
    this.#goTo({ created, read: endOf(sequence), time });
    if (isReadable(group)) {
      if (this.#isForeign !== undefined && group[0]?.category.endsWith(FORGOTTEN)) onForgotten(group[0]);
      const own = group.every(({ category }) => this.#categories.has(category))
        ? group
        : group.filter(({ category }) => this.#categories.has(category));
      if (own.length > 0) onMessages(own, message.data.length / group.length);
    } else if (!isAnswer(message.data)) onGarbage(garbageMessage(namespace, message, this.#categories), group.reason);
  }
}

/**
 * Makes a message that stands in for a stored message that cannot be read. Its category is that of its subject; for
 * an entity, the first of `categories` of the entity's type.
 */
export function garbageMessage(
  namespace: string,
  { sequence, subject, time, data }: StoredMessage,
  categories: Iterable<string>,
): LoggedMessage {
  const isOf = (name: string) => subject.startsWith(entityPattern(namespace, name.split(".", 1)[0]).slice(0, -1));
  return {
    position: positionOf(sequence, 0),
    category: categoryOf(namespace, subject) ?? [...categories].find(isOf) ?? subject,
    id: `garbage.${sequence}`,
    key: undefined,
    payload: unusable(
      `${data.length} bytes that cannot be read; they begin with`,
      new TextDecoder().decode(data.subarray(0, EXCERPT)),
    ),
    tagged: true,
    meta: undefined,
    time,
  };
}

/** End of the name of the event that an entity was forgotten, the only one of its message. */
const FORGOTTEN = `.${FORGOTTEN_EVENT}`;
/** Interval at which the reader's place in the log is moved behind messages of other categories, in ms. */
const SKIP = 30_000;
/** Minimum time for which the log keeps each message, in ms. */
const LEAST_KEPT = 60_000;
/** Number of bytes of an unreadable message that its dead letter shows. */
const EXCERPT = 1_024;
