/** A follower of the events of one contract: it keeps its position and returns the events one after the other. */
import type { EventFollower, FollowedEvent, FollowEventsOptions } from "../../contract/calls/durable_messages.ts";
import { CatgaError } from "../../error.ts";
import { onAbort } from "../../ports/clock.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import type { EventFeed, FeedFollower, StoredEvents, StoreRead } from "./event_feed.ts";
import type { StoredEvent } from "./stored_event.ts";

/** Options of a {@link Follower}. */
export interface FollowerOptions extends Pick<FollowEventsOptions, "from" | "key" | "signal"> {
  readonly feed: EventFeed;
  /** Returns the position before the first event stored at or after a time. */
  positionAt(time: Date): Promise<number>;
}

type Next = IteratorResult<FollowedEvent<unknown>, undefined>;

/**
 * A follower of an {@link EventFeed}. It ends when its iterator returns, when its signal aborts, when the feed ends, or
 * by an error, which its reader then gets.
 * @decides `follow` reads events from memory, from the store, and after a loss
 * @decides a follower of one key passes over events of other keys, and its position moves on
 */
export class Follower implements EventFollower<unknown>, FeedFollower {
  readonly #feed: EventFeed;
  readonly #key: string | undefined;
  readonly #began: Promise<void>;
  #position: number | undefined;
  /** Sequence up to which all events were returned or are in `#ready`. */
  #sequence = 0;
  /**
   * Position behind which the follower began. Events at or before it are skipped, also those that share a message of
   * the stream with later events.
   */
  #after = 0;
  #losses = 0;
  /**
   * True until a follower that began at the oldest event or at a time has come to events that do not expire soon: the
   * first ones may expire while it reads them.
   */
  #begins = false;
  /** Events of one message of the stream, to be returned next. */
  #ready: readonly StoredEvent[] = [];
  /** Index in `#ready` of the next event to return. */
  #index = 0;
  /** Messages read from the store, to be taken from the end of the list. */
  #fromStore: StoredEvents[] = [];
  /** The last read from the store, without its events; `undefined`: the follower has caught up since. */
  #read: StoreRead | undefined;
  /** The last call of `next`. Each new call awaits it, so that calls are answered in their order. */
  #last: Promise<unknown> = Promise.resolve();
  #wake: (() => void) | undefined;
  #over = false;
  /** Resolves when the follower ends. */
  readonly #ended = Promise.withResolvers<undefined>();
  readonly #off: () => void;

  constructor({ feed, from = "now", key, signal, positionAt }: FollowerOptions) {
    this.#feed = feed;
    this.#key = key;
    feed.add(this);
    this.#off = onAbort(signal, () => this.#end());
    this.#began = this.#begin(from, positionAt);
    this.#began.catch(() => {}); // the first `next` rejects with this error
  }

  get position(): number | undefined {
    // it moves on while the follower waits: else it would soon be older than the time for which events are kept
    if (this.#wake !== undefined) this.#passed(sequenceOf(this.#feed.end));
    return this.#position;
  }

  next(): Promise<Next> {
    const next = this.#last.then(() => this.#next());
    this.#last = next.catch(() => {}); // the caller of `next` gets the error
    return next;
  }

  return(): Promise<Next> {
    this.#end();
    return Promise.resolve(DONE);
  }

  changed(upTo: number): void {
    const wake = this.#wake;
    if (wake === undefined) return;
    this.#wake = undefined;
    this.#passed(upTo);
    wake();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #begin(from: "now" | "start" | number | Date, positionAt: FollowerOptions["positionAt"]): Promise<void> {
    const feed = this.#feed;
    await feed.started;
    this.#losses = feed.losses;
    if (from === "now") this.#after = feed.end;
    else if (typeof from === "number" && from > 0) {
      await feed.checkPosition(from);
      this.#after = from;
    } else if (from instanceof Date) this.#after = await positionAt(from);
    this.#begins = this.#after === 0 || from instanceof Date;
    this.#position = this.#after;
    const sequence = sequenceOf(this.#after);
    // the message that contains the start position may have further events, behind that position: read that message
    // again
    this.#sequence = this.#after === endOf(sequence) ? sequence : Math.max(0, sequence - 1);
  }

  async #next(): Promise<Next> {
    try {
      await this.#began;
      while (!this.#over) {
        const stored = this.#ready[this.#index];
        if (stored === undefined) {
          if (!await this.#fill()) await this.#change();
          continue;
        }
        if (++this.#index === this.#ready.length) this.#take({ sequence: this.#sequence, events: NONE });
        if (stored.position <= this.#after) continue;
        if (this.#key === undefined || stored.key === this.#key) {
          const event = await stored.event;
          if (this.#over) break;
          if (event instanceof CatgaError) throw event;
          this.#position = stored.position;
          return { done: false, value: event };
        }
        this.#position = stored.position;
      }
    } catch (error) {
      this.#end();
      throw error;
    }
    return DONE;
  }

  /** Loads the events of the next message into `#ready`. Resolves with false if there is none yet. */
  async #fill(): Promise<boolean> {
    const feed = this.#feed;
    if (feed.closed) {
      this.#end();
      return true;
    }
    if (feed.losses > this.#losses) throw feed.lastLoss;
    const stored = this.#fromStore.pop();
    if (stored !== undefined) {
      this.#take(stored);
      return true;
    }
    const next = feed.next(this.#sequence);
    if (next === "in the store") {
      const reading = feed.readStore(this.#sequence, { expired: this.#begins, before: this.#read });
      // the log may not answer for long; a follower that ends does not wait for it
      const read = await Promise.race([reading, this.#ended.promise]);
      if (read === undefined) return true;
      const { found, upTo, isWhole } = read;
      this.#read = { ...read, found: [] };
      if (isWhole) this.#begins = false;
      this.#fromStore = found.reverse();
      if (found.length === 0) this.#passed(upTo);
      return found.length > 0 || feed.closed;
    }
    this.#begins = false;
    this.#read = undefined;
    if (next !== undefined) this.#take(next);
    else this.#passed(sequenceOf(feed.end));
    return next !== undefined;
  }

  #take({ sequence, events }: StoredEvents): void {
    this.#sequence = sequence;
    this.#ready = events;
    this.#index = 0;
  }

  /** Records that all events up to this sequence were returned or do not concern the follower. */
  #passed(sequence: number): void {
    if (sequence <= this.#sequence) return;
    this.#sequence = sequence;
    this.#position = Math.max(this.#position ?? 0, endOf(sequence));
  }

  /** Resolves at the next change of the feed, or at the end of the follower. */
  #change(): Promise<void> {
    // no wait if the feed has changed since the caller last looked for a message
    if (this.#over || this.#feed.closed || this.#feed.next(this.#sequence) !== undefined) return Promise.resolve();
    if (this.#feed.losses > this.#losses) return Promise.resolve();
    return new Promise((resolve) => this.#wake = resolve);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#ended.resolve(undefined);
    this.#off();
    this.#ready = NONE;
    this.#fromStore = [];
    this.#feed.remove(this);
    this.changed(0);
  }
}

const NONE: readonly StoredEvent[] = [];
const DONE: Next = { done: true, value: undefined };
