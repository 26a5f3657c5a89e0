/** How a leader reads the log: the messages of its categories from its position on, each once. */
import { Fifo } from "../../data/queues.ts";
import { TurnBudget } from "../../dispatch/admission_queue.ts";
import type { CatgaError } from "../../error.ts";
import type { FollowOptions, LogLoss, LogReader, LogState, StoredMessage } from "../../ports/event_log.ts";
import type { Place } from "../format/commit.ts";
import { withoutEvents } from "../format/entity_group.ts";
import { isAnswer, isReadable, readGroup } from "../format/group.ts";
import { type LoggedMessage, unusable } from "../format/logged_message.ts";
import { categoryOf, categoryPatterns, entitiesName, entityPattern } from "../format/names.ts";
import { endOf, positionOf, sequenceOf } from "../format/group_text.ts";
import type { SubscriptionStoreOptions } from "./store.ts";

/** Options of a {@link LeaderReading}. */
export interface ReadingOptions extends Pick<SubscriptionStoreOptions, "clock" | "stream" | "namespace" | "fault"> {
  /** Gets the messages in order. `size`: what each of them takes in the log, in bytes. */
  onMessages(messages: readonly LoggedMessage[], size: number): void;
  /** Gets a message of the stream that nobody can read, made up as one of the log. */
  onGarbage(message: LoggedMessage, reason: string): void;
  /** Called at every start of reading: where the log ends, and behind which position reading goes on. */
  onEnd(end: number, read: number): void;
  /** LeaderReading goes on elsewhere. `back`: at lower positions than before: what was read is to be settled first. */
  onLoss(loss: LogLoss, back: boolean): void;
  /** Returns true if all that was read before is settled. */
  settled(): boolean;
}

/** A start of the reader. */
type ReaderStart = Parameters<FollowOptions["onStart"]>[0];

/**
 * Reads the log for one leader. What comes while reading is paused waits as it came, in order: a server sends up to 32
 * MB more, which take many times as much memory once they are messages.
 */
export class LeaderReading {
  readonly #options: ReadingOptions;
  readonly #ledger: { place: Place };
  #reader: LogReader | undefined;
  /** Categories that are followed: a message of an entity may have events of others. */
  #categories: ReadonlySet<string> = new Set();
  /** For the stream of entities: returns true for a message without events of these categories. */
  #isForeign: ((data: Uint8Array) => boolean) | undefined;
  /** Behind a loss, once what was read before is settled: positions there may be those of others before. */
  #behindLoss: Omit<Place, "epoch"> | undefined;
  /** Messages that came while reading was paused, or before these were read. */
  #held = new Fifo<StoredMessage | ReaderStart>();
  #paused = false;
  /** The rest of what came is read in the next turn of the event loop. */
  #waits = false;
  readonly #budget: TurnBudget;
  #over = false;
  /** When it was last asked what the log has, by the monotonic clock, and what it had then. */
  #skipped = -Infinity;
  #had: LogState | undefined;

  /** `ledger`: its place is that of the reading. */
  constructor(options: ReadingOptions, ledger: { place: Place }) {
    this.#options = options;
    this.#budget = new TurnBudget(options.clock);
    this.#ledger = ledger;
  }

  /** True if it has delivered all that there was when it started. */
  get caughtUp(): boolean {
    return this.#reader?.caughtUp === true && this.#behindLoss === undefined && this.#held.size === 0;
  }

  /** Why it cannot read now; `undefined` while it reads. */
  get unreadable(): CatgaError | undefined {
    return this.#reader?.fault;
  }

  /** Reads these categories from now on, from the present place on. A forged record may have none. */
  follow(categories: readonly string[]): void {
    const { stream, namespace } = this.#options;
    const { created, read, time } = this.#ledger.place;
    this.#reader?.close();
    this.#behindLoss = undefined;
    this.#categories = new Set(categories);
    this.#isForeign = stream.name === entitiesName(namespace) ? withoutEvents(this.#categories) : undefined;
    this.#held = new Fifo();
    this.#paused = false;
    this.#reader = undefined;
    if (categories.length === 0) return;
    let reader: LogReader | undefined = undefined;
    const current = () => !this.#over && (reader === undefined || reader === this.#reader);
    reader = this.#reader = stream.follow({
      subjects: categoryPatterns(namespace, stream.name, categories),
      after: created === "" ? undefined : { created, sequence: sequenceOf(read), time: time === 0 ? undefined : time },
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
   * To be called often while nothing is open: twice a minute it passes by the messages of others, so that their removal
   * is not taken for a loss; only those that its reader has passed by, because another server may lack messages.
   */
  skipOthers(now: number): void {
    const { stream, namespace, fault } = this.#options;
    const mark = this.#reader?.mark;
    const { place } = this.#ledger;
    if (!this.caughtUp || mark?.created !== place.created || stream.name === entitiesName(namespace)) return; // nothing expires there
    const [had, read] = [this.#had, sequenceOf(place.read)];
    if (had?.created === place.created && Math.max(mark.sequence, read) >= had.last) {
      this.#had = undefined;
      const others = mark.sequence > read ? { read: endOf(mark.sequence), time: 0 } : undefined;
      this.#ledger.place = { ...place, ...others, at: had.now };
    }
    if (now - this.#skipped < SKIP) return;
    this.#skipped = now;
    stream.state().then((state) => void (this.#had = state), fault);
  }

  /** To be called when what was read has been settled: reading goes on behind a loss. */
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

  /** Reads what waits. Not all in one turn of the event loop: the lease is renewed in between. */
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
      // lost again
      if (lost !== undefined) {
        this.#behindLoss = place;
        this.#held = new Fifo();
        this.#options.onLoss(lost, true);
      }
      return;
    }
    const { created, read, at } = this.#ledger.place;
    if (lost === undefined) {
      // what was passed by is of others: its time is that of no message that must be there still
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
    this.#options.onLoss(lost, back);
  }

  /**
   * Returns true if all that is gone from behind the place was of others: schedules that were taken back or have fired.
   * Nothing was there less than a minute ago, and its own are kept for a minute at least. (A stream that was purged
   * within that minute looks the same, unless it had a message that must be there still.)
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
    const { namespace, onMessages, onGarbage } = this.#options;
    const group = this.#isForeign?.(message.data) ? [] : readGroup(namespace, message);
    this.#goTo({ created, read: endOf(sequence), time });
    if (isReadable(group)) {
      const own = group.every(({ category }) => this.#categories.has(category))
        ? group
        : group.filter(({ category }) => this.#categories.has(category));
      if (own.length > 0) onMessages(own, message.data.length / group.length);
    } else if (!isAnswer(message.data)) onGarbage(garbageMessage(namespace, message, this.#categories), group.reason);
  }
}

/** Stand-in for a message that cannot be read: of the first of these categories whose messages have such subjects. */
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

/** How often the messages of others are passed by, in ms. */
const SKIP = 30_000;
/** How long each message is kept at least, in ms. */
const LEAST_KEPT = 60_000;
/** How many bytes of what cannot be read are kept in its dead letter. */
const EXCERPT = 1_024;
