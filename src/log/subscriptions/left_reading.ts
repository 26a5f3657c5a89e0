/**
 * The second reader of a subscription's leader: reads messages that were left behind (`left_behind.ts`), or passed by
 * (`passed_messages.ts`), again from the log, as far as there is room for them. It has a consumer of its own only while
 * it reads or waits.
 */
import { isReadable, readGroup } from "../format/group.ts";
import { sequenceOf } from "../format/group_text.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { categoryPattern } from "../format/names.ts";
import type { LogLoss } from "../../ports/event_log.ts";
import type { Place } from "../format/commit.ts";
import type { Ledger } from "./ledger.ts";
import type { ReaderTurn } from "./left_behind.ts";
import { LeaderReading, type ReadingOptions } from "./reading.ts";

/** Options of a {@link LeftReading}. */
export interface LeftReadingOptions extends Pick<ReadingOptions, "clock" | "stream" | "namespace" | "fault"> {
  readonly ledger: Pick<Ledger, "place">;
  /** The messages that were left, and how far they are read again. */
  readonly left: LeftMessages;
  /** Says what is to be done next. */
  turn(): ReaderTurn;
  /** Contracts whose messages the subscription reads. */
  categories(): readonly string[];
  /** Returns true if no more messages fit into memory. */
  isFull(): boolean;
  /** Called with messages read, in order. `size`: size of each message in the log, in bytes. */
  onMessages(messages: readonly LoggedMessage[], size: number): void;
  /** Called when messages of the log were removed before they were brought. */
  onLoss(loss: LogLoss): void;
}

/** Messages of the log that the first reader has left: `LeftBehind` and `PassedMessages`. */
export interface LeftMessages {
  readonly size: number;
  /** Position from which the reader is to begin; `undefined`: it does not read. */
  readonly place: number | undefined;
  /** The contract that is furthest behind, with the position up to which its messages were taken. */
  readonly furthest: { readonly category: string; readonly from: number } | undefined;
  readTo(position: number, caughtUp: boolean, read: number): void;
  rest(): void;
}

/** Reads what a leader has left in the log. */
export class LeftReading {
  readonly #options: LeftReadingOptions;
  #reading: LeaderReading | undefined;
  /** How far {@link LeftReading.#reading} has come, and how far the first reader had when it began. */
  #at: { place: Place } = { place: { created: "", read: 0, time: 0, epoch: 0 } };
  #first = 0;
  #isPaused = false;
  /**
   * The next message in the log of the contract whose key is furthest behind: no older one is left there. `undefined`:
   * there is none, or it is not known yet.
   */
  furthest: LoggedMessage | undefined = undefined;
  /** Time at which it was looked for, by the monotonic clock. */
  #lookedFor = -Infinity;

  constructor(options: LeftReadingOptions) {
    this.#options = options;
  }

  /** Begins to read, waits, reads on, or closes. Call when the number of messages in hand may have changed. */
  look(): void {
    const { left, isFull } = this.#options;
    if (this.#reading !== undefined) left.readTo(this.#at.place.read, this.#reading.caughtUp, this.#first);
    this.#findFurthest();
    if (left.size === 0 && this.#reading === undefined) return;
    const turn = this.#options.turn();
    if (turn === "rest") return this.close();
    if (turn === "begin") this.#begin(left.place!); // the turn is to begin there
    const waits = turn === "wait" || isFull();
    if (waits === this.#isPaused) return;
    this.#isPaused = waits;
    if (waits) this.#reading?.pause();
    else this.#reading?.resume();
  }

  close(): void {
    if (this.#reading === undefined) return;
    this.#reading.close();
    this.#reading = undefined;
    this.#options.left.rest();
  }

  /** Looks every 10 s for {@link LeftReading.furthest}, which the log may be about to remove. */
  #findFurthest(): void {
    const { clock, stream, namespace, left, fault } = this.#options;
    if (left.size === 0) {
      this.furthest = undefined;
      this.#lookedFor = -Infinity;
      return;
    }
    const now = clock.monotonic();
    if (now - this.#lookedFor < FIND) return;
    const { furthest } = left;
    if (furthest === undefined) return; // a new leader does not know it yet
    this.#lookedFor = now;
    const { category, from } = furthest;
    stream.read(categoryPattern(namespace, stream.name, category), { from: sequenceOf(from + 1), most: 1 }).then(
      ([found]) => {
        const group = found === undefined ? [] : readGroup(namespace, found);
        this.furthest = isReadable(group) && left.size > 0 ? group.find(({ position }) => position > from) : undefined;
      },
      fault,
    );
  }

  #begin(read: number): void {
    const { clock, stream, namespace, ledger, fault, onMessages, onLoss, categories } = this.#options;
    this.#reading?.close();
    const { created, epoch, read: first } = ledger.place;
    this.#first = first;
    this.#isPaused = false;
    const at = this.#at = { place: { created: read === 0 ? "" : created, read, time: 0, epoch } };
    const reading = this.#reading = new LeaderReading({
      clock,
      stream,
      namespace,
      onMessages: (messages, size) => {
        if (this.#reading !== reading) return;
        onMessages(messages, size);
      },
      // the first reader acts on what follows
      onForgotten: () => {},
      onGarbage: () => {},
      onEnd: () => {},
      onLoss: (loss, { back }) => back ? this.close() : onLoss(loss),
      settled: () => true,
      fault,
    }, at);
    reading.follow(categories());
  }
}

/** Interval at which the oldest message that is left behind is looked for, in ms. */
const FIND = 10_000;
