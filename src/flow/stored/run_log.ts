/**
 * The stored messages of runs. The messages of one run have a subject of their own in the stream of entities, and the
 * format of entity messages. Each append expects the last message that its writer has read, so that of two nodes that
 * execute a run one fails. Each message says who executes the run, and whether the run has ended: reading the last
 * message is enough to know.
 */
import { runType, workflowOf } from "../../contract/declaration/workflow.ts";
import type { StreamsHost } from "../../dispatch/node_host.ts";
import { entryLimit, noticeLimit } from "../../data/message_room.ts";
import { readEntityMessage } from "../../log/format/entity_group.ts";
import { encodeValue } from "../../data/encoding.ts";
import { exceeds } from "../../data/utf8.ts";
import { CatgaError, unavailable } from "../../error.ts";
import { entityPattern, entitySubject, readEntitySubject } from "../../log/format/names.ts";
import { delay, doubled } from "../../ports/clock.ts";
import { PAUSES, reading, repeat } from "../../ports/repeat.ts";
import { type LogStream, messagesFrom, precedingOf, type StoredMessage } from "../../ports/event_log.ts";
import { Journal } from "./journal.ts";
import {
  type JournalEntry,
  type NumberedView,
  type RecordedOutcome,
  type RunLogMessage,
  type Started,
  viewIn,
} from "./journal_entry.ts";
import { type EntryFor, NoticeQueue, type StoredNotice } from "./notice_queue.ts";
import {
  endOf,
  isShown,
  markOf,
  readMessage,
  type RunEnd,
  type RunMessage,
  RunMessages,
  storedOf,
  toStored,
  undecodedAt,
  undecodedEnd,
} from "./run_message.ts";
import type { RunRef } from "./run_ref.ts";
import { StuckNotes } from "./stuck_notes.ts";

/** Dependencies of {@link RunLog}, the log of a namespace's runs, on a node. */
export interface RunLogHost extends Pick<StreamsHost, "namespace" | "endpoint" | "clock"> {
  /** Opens the stream of entities, once. Rejects with a `CatgaError`. */
  stream(): RunStream | Promise<RunStream>;
  /**
   * Reserves `events` consecutive numbers for events of this process, which numbers all events that it stores in the
   * stream; returns the first of them.
   */
  number(events: number): number;
  /** Returns the present maximum size of a network message, in bytes. */
  maxPayload(): number;
  /**
   * True for a tool without the cluster's codec: it may append entries to runs that it cannot decode, because each node
   * can read what it writes.
   */
  readonly writesClear?: boolean;
}

/** The methods of the stream of entities that runs use. */
export type RunStream = Pick<LogStream, "append" | "at" | "last" | "lasts" | "read" | "purge">;

/** The view of a run, and the outcome of the run if it has ended. */
export interface ShownRun {
  /** Sequence of the last message of the run. */
  readonly sequence: number;
  readonly outcome: RecordedOutcome | undefined;
  readonly view: NumberedView | undefined;
}

/** The position up to which a run has been read. */
type RunPlace = Pick<Journal, "sequence" | "entries" | "mark" | "sure">;
/** A callback that receives a stored message of a run. */
type Take = (stored: RunLogMessage) => void;

/**
 * The stored runs of a namespace.
 * @decides what is stored of a run, as a list of entries
 */
export class RunLog {
  readonly #host: RunLogHost;
  /** Number of times that the store may have lost its last messages. */
  epoch = 0;
  /** Encodes the messages of runs. */
  readonly messages: RunMessages;
  readonly stuckNotes: StuckNotes;
  readonly #notices: NoticeQueue;

  constructor(host: RunLogHost) {
    this.#host = host;
    this.messages = new RunMessages(host);
    this.stuckNotes = new StuckNotes(host);
    this.#notices = new NoticeQueue(this);
  }

  subject({ workflow, run }: RunRef): string {
    return entitySubject(this.#host.namespace, runType(workflow), run);
  }

  get now(): number {
    return this.#host.clock.now();
  }

  get monotonic(): number {
    return this.#host.clock.monotonic();
  }

  /** Maximum size of a value in an entry, in bytes. */
  get mostBytes(): number {
    return entryLimit(this.#host.maxPayload());
  }

  /** Maximum size of a message of a process that does not execute the run: the next life can hand its entry over. */
  get mostNoticeBytes(): number {
    return noticeLimit(this.#host.maxPayload());
  }

  /**
   * Marks the messages read so far as doubtful, because the store may have lost its last messages and may use their
   * sequences again.
   */
  doubt(): void {
    this.epoch++;
  }

  /** Returns true if the store still has the message of the run that was read last. Rejects with `UNAVAILABLE`. */
  async #has(ref: RunRef, place: RunPlace): Promise<boolean> {
    const { epoch } = this;
    if (place.sure === epoch) return true;
    const message = place.sequence === 0 ? undefined : await (await this.#host.stream()).at(place.sequence);
    const has = place.sequence === 0 || (message !== undefined && markOf(ref, message) === place.mark);
    if (epoch !== this.epoch) return await this.#has(ref, place);
    if (has) place.sure = epoch;
    return has;
  }

  /**
   * Returns true if the message with this sequence does not belong to the run: the run's message of this sequence is
   * lost. Rejects with `UNAVAILABLE`.
   */
  async isReplaced(ref: RunRef, sequence: number): Promise<boolean> {
    const message = await (await this.#host.stream()).at(sequence);
    return message !== undefined && message.subject !== this.subject(ref);
  }

  /**
   * Returns the last well-formed message of a run, from the stream's leader; `undefined`: there is none. Rejects with
   * `UNAVAILABLE`, also if only other nodes can read the message.
   */
  async end(ref: RunRef): Promise<RunEnd | undefined> {
    const last = await this.#last(ref);
    if (last === undefined) return undefined;
    const end = endOf(ref, last);
    const mayAppend = end?.undecoded === undefined || (this.#host.writesClear && end.mark !== "");
    if (!mayAppend) throw end.undecoded;
    if (end !== undefined) return end;
    let readable: RunLogMessage | undefined;
    const journal = await this.load(ref, (stored) => {
      if (stored.holder !== undefined) readable = stored;
    });
    if (journal === undefined) return undefined;
    const { sequence, holder, ended, entries: version, mark, view } = journal;
    const facts = { sequence, ended: ended !== undefined, holder, version, mark, viewAt: view?.at };
    return { ...facts, entries: readable?.entries ?? [] };
  }

  /**
   * Returns the facts that the last message of a run states, in the clear if only other nodes can read it; `undefined`:
   * there is no such run. Rejects with `UNAVAILABLE`.
   */
  async lastFacts(ref: RunRef): Promise<Pick<RunEnd, "sequence" | "ended"> | undefined> {
    const last = await this.#last(ref);
    return last && (endOf(ref, last) ?? await this.#endBefore(ref, last.sequence));
  }

  /**
   * Returns the last well-formed message of a run whose last message, with this sequence, is malformed; also if only
   * other nodes can read the run. Rejects with `UNAVAILABLE`.
   */
  async #endBefore(ref: RunRef, sequence: number): Promise<RunEnd | undefined> {
    try {
      return await this.end(ref);
    } catch (error) {
      if (undecodedAt(error) === undefined) throw error;
      return undecodedEnd(sequence, error as CatgaError);
    }
  }

  /**
   * Returns the outcome of a run; `undefined`: the run has not ended; "no run": there is no such run. Rejects with
   * `UNAVAILABLE`.
   */
  async outcome(ref: RunRef): Promise<RecordedOutcome | "no run" | undefined> {
    const end = await this.end(ref);
    if (end === undefined) return "no run";
    const last = end.entries.at(-1);
    return last?.t === "ended" ? last.outcome : undefined;
  }

  /**
   * Returns what a run shows, and its outcome if it has ended; `undefined`: there is no such run. Usually the last
   * message of the run has the view, or names the message that has it. `known`: what an earlier read returned. Rejects
   * with `UNAVAILABLE`.
   */
  async shown(ref: RunRef, known?: ShownRun): Promise<ShownRun | undefined> {
    const end = await this.end(ref);
    if (end === undefined) return undefined;
    const { sequence, viewAt, entries } = end;
    if (known?.sequence === sequence) return known;
    const last = entries.at(-1);
    const outcome = last?.t === "ended" ? last.outcome : undefined;
    const own = viewAt === sequence ? lastView(entries, end) : undefined;
    const view = own ?? (viewAt === undefined ? undefined : await this.#viewAt(ref, viewAt));
    if (view !== undefined) return { sequence, outcome, view };
    const journal = await this.load(ref);
    return journal && { sequence: journal.sequence, outcome: journal.ended, view: journal.view };
  }

  /** Returns the view in the message with this sequence; `undefined`: the message is gone, or has none. */
  async #viewAt(ref: RunRef, sequence: number): Promise<ShownRun["view"]> {
    const message = await (await this.#host.stream()).at(sequence);
    const end = message?.subject === this.subject(ref) ? endOf(ref, message) : undefined;
    return end && lastView(end.entries, end);
  }

  async #last(ref: RunRef): Promise<StoredMessage | undefined> {
    return await (await this.#host.stream()).last(this.subject(ref), { latest: true });
  }

  /**
   * Appends the first message of a run, and resolves with its sequence. `place` stands for a run of which nothing was
   * read: its sequence is 0. Resolves with "conflict" if the run exists. Rejects with a `CatgaError`: with
   * `OUTCOME_UNKNOWN` if the message may be stored. `over`: as of {@link RunLog.append}.
   */
  async begin(ref: RunRef, message: RunMessage, place: RunPlace, over: () => boolean): Promise<number | "conflict"> {
    for (let after = place;;) {
      const stored = await this.append(ref, message, after, over);
      if (stored !== "conflict" || await this.start(ref) !== undefined) return stored;
      // a run whose messages are malformed counts as not started: append the first message after these messages
      const sequence = (await this.#last(ref))?.sequence ?? 0;
      after = { sequence, entries: 0, mark: "", sure: -1 };
    }
  }

  /** Returns the first entry of a run; `undefined`: there is no run. Rejects with `UNAVAILABLE`. */
  async start(ref: RunRef): Promise<Started | undefined> {
    const entry = (await this.first(ref))?.entries[0];
    return entry?.t === "started" ? entry : (await this.load(ref))?.started;
  }

  /** Returns the first message of a run; `undefined`: there is none. */
  async first(ref: RunRef): Promise<RunLogMessage | undefined> {
    const [message] = await (await this.#host.stream()).read(this.subject(ref), { from: 0, most: 1 });
    return message === undefined ? undefined : storedOf(ref, message);
  }

  /**
   * Reads the messages of a run after `place`, up to the last one that the leader has. Resolves with `false` if the run
   * is gone: it was forgotten, or the store has lost it. Rejects with `UNAVAILABLE`.
   *
   * The last message is read first. It says how many entries the run has before it; if these are the entries up to
   * `place`, as usual, no other read is needed. That saves time, because a server that searches for the messages of a
   * run passes over those of other runs, one after the other: 1 ms with 10,000 runs under way. So the last messages
   * that are {@link FAR} from those before them, as a signal that came after days, are read one by one, by sequence.
   */
  async readOn(ref: RunRef, place: RunPlace, take: Take): Promise<boolean> {
    const { sequence, entries } = place;
    const stream = await this.#host.stream();
    const subject = this.subject(ref);
    const last = await stream.last(subject, { latest: true });
    if (last === undefined || last.sequence < sequence || !await this.#has(ref, place)) return false;
    if (last.sequence === sequence) return true;
    const next = readMessage(ref, last);
    if (next?.version === entries) {
      take(toStored(last, next));
      return true;
    }
    const tail = await this.#tail(stream, ref, last, sequence);
    const [first] = tail;
    const [preceding, before] = tail.length > 1 ? [precedingOf(first), rangeOf(ref, first)?.from] : [];
    // a server that has found as many messages as it was asked for looks for no further one; but if the last messages
    // are near, it finds those, too, that came meanwhile: who appends behind many that come loses to fewer of them
    let most = before === undefined ? PART : Math.min(PART, Math.max(1, before - entries));
    let at = sequence;
    // both must say so: any process may write another number into a message, and in a copy sequences may be others
    let precedes = false;
    for (let pause = 1; at < first.sequence && !precedes;) {
      const messages = await stream.read(subject, { from: at + 1, most });
      for (const message of messages) {
        if (message.sequence <= at) continue;
        at = message.sequence;
        take(storedOf(ref, message));
      }
      if (at >= first.sequence) break;
      if (messages.length > 0) {
        precedes = at === preceding && before !== undefined &&
          rangeOf(ref, messages[messages.length - 1])?.to === before;
        most = PART;
        continue;
      }
      if (pause > MAX_READ_PAUSE) {
        throw unavailable(`${subject} could not be read to its end`);
      }
      await delay(this.#host.clock, pause *= 2);
    }
    for (const message of tail) if (message.sequence > at) take(storedOf(ref, message));
    return true;
  }

  /**
   * Returns the last messages of a run, the last one at least: up to {@link MOST_FAR}, each of which but the first is
   * {@link FAR} from the one before it.
   */
  async #tail(stream: RunStream, ref: RunRef, last: StoredMessage, after: number): Promise<StoredMessage[]> {
    const tail = [last];
    while (tail.length < MOST_FAR) {
      const [{ sequence, subject }] = tail;
      const preceding = precedingOf(tail[0]) ?? sequence;
      if (preceding <= after || sequence - preceding < FAR) break;
      const message = await stream.at(preceding);
      // of an earlier life it may be purged, and in a copy of a stream sequences may be others
      if (message?.subject !== subject) break;
      const to = rangeOf(ref, message)?.to;
      if (to === undefined || to !== rangeOf(ref, tail[0])?.from) break;
      tail.unshift(message);
    }
    return tail;
  }

  /** Reads a whole run, from its first message; `undefined`: there is no such run. Rejects with `UNAVAILABLE`. */
  async load(ref: RunRef, each?: Take): Promise<Journal | undefined> {
    const journal = new Journal();
    journal.sure = this.epoch;
    const found = await this.readOn(ref, journal, (stored) => {
      journal.apply(stored);
      each?.(stored);
    });
    return found && journal.started !== undefined ? journal : undefined;
  }

  /**
   * Returns the last message of each stored run, of one workflow or of all, the least recently changed run first; of a
   * run that only other nodes can read, what the message states in the clear. Rejects with `UNAVAILABLE`.
   */
  async all(workflow: string | undefined): Promise<(RunEnd & { readonly ref: RunRef })[]> {
    const { namespace } = this.#host;
    const stream = await this.#host.stream();
    const found = new Map<
      string,
      { readonly ref: RunRef; readonly sequence: number; readonly end: RunEnd | undefined }
    >();
    await stream.lasts(entityPattern(namespace, workflow === undefined ? "*" : runType(workflow)), (message) => {
      const { type, id } = readEntitySubject(namespace, message.subject) ?? { type: "", id: "" };
      const named = workflowOf(type);
      if (named === undefined) return;
      const ref = { workflow: named, run: id };
      found.set(message.subject, { ref, sequence: message.sequence, end: endOf(ref, message) });
    });
    const runs: (RunEnd & { readonly ref: RunRef })[] = [];
    for (const { ref, sequence, end = await this.#endBefore(ref, sequence) } of found.values()) {
      if (end !== undefined) runs.push({ ref, ...end });
    }
    return runs;
  }

  /**
   * Yields the ends of a workflow's runs, the oldest end first, if the end was stored before a time (`before`, in ms
   * since 1970): the run, the sequence of the message with the end, and the time `until` which the run is kept. Rejects
   * with `UNAVAILABLE`.
   */
  async *ends(
    workflow: string,
    before: number,
  ): AsyncIterableIterator<{ readonly ref: RunRef; readonly sequence: number; readonly until: number }> {
    const { namespace } = this.#host;
    const stream = await this.#host.stream();
    for await (const message of messagesFrom(stream, entityPattern(namespace, runType(workflow)), 0, PART)) {
      if (message.time > before) return;
      const run = readEntitySubject(namespace, message.subject)?.id;
      if (run === undefined) continue;
      const last = endOf({ workflow, run }, message)?.entries.at(-1);
      if (last?.t === "ended") yield { ref: { workflow, run }, sequence: message.sequence, until: last.until };
    }
  }

  /** Returns the entries of the run's message with this sequence; none if there is none. Rejects with `UNAVAILABLE`. */
  async entriesAt(ref: RunRef, sequence: number): Promise<readonly JournalEntry[]> {
    const message = await (await this.#host.stream()).at(sequence);
    return message?.subject === this.subject(ref) ? storedOf(ref, message).entries : [];
  }

  /** Removes the messages of a run up to the one with this sequence. Rejects with `UNAVAILABLE`. */
  async forget(ref: RunRef, sequence: number): Promise<void> {
    const stream = await this.#host.stream();
    await stream.purge(this.subject(ref), { before: sequence + 1 });
  }

  /**
   * Appends one message to a run, after the message at `place`, and tries again until it is stored; resolves with its
   * sequence. Resolves with "conflict" if another message was stored first, or if the store has lost the message at
   * `place`. Rejects with a `CatgaError` if the message is certainly not stored and another attempt would not help, or
   * if `over` returns true after a failed attempt: with `OUTCOME_UNKNOWN` if the message may be stored.
   */
  async append(
    ref: RunRef,
    { text, mark }: RunMessage,
    place: RunPlace,
    over: () => boolean,
  ): Promise<number | "conflict"> {
    const { clock } = this.#host;
    // `place` is copied, because the run may be read further during the append
    const { sequence: expect, entries, mark: last, sure } = place;
    const after: RunPlace = { sequence: expect, entries, mark: last, sure };
    const subject = this.subject(ref);
    let unanswered: CatgaError | undefined;
    for (let [failures, silences] = [0, 0];; failures++) {
      let error: CatgaError;
      try {
        const stream = await this.#host.stream();
        if (after.sure !== this.epoch && !await this.#has(ref, after)) return "conflict";
        place.sure = after.sure;
        const timeout = doubled(silences, FIRST_ATTEMPT, ATTEMPT);
        const appended = await stream.append(subject, text, { timeout, expect });
        if (appended.type === "stored") return appended.sequence;
        if (appended.type === "conflict") {
          // an earlier attempt may have stored the message
          return unanswered ? await this.#find(ref, mark, after) ?? "conflict" : "conflict";
        }
        if (appended.type === "unknown") {
          unanswered = appended.error;
          silences++;
        } else if (!appended.transient) {
          // an attempt without an answer may have been stored; the message is too large for another one, for instance,
          // since the server's limit was lowered
          const earlier = unanswered && await this.#find(ref, mark, after);
          if (earlier !== undefined) return earlier;
          throw unanswered ?? appended.error;
        }
        error = appended.error;
      } catch (thrown) {
        if (!(thrown instanceof CatgaError) || thrown.code !== "UNAVAILABLE") throw thrown;
        error = thrown;
      }
      if (over()) throw unanswered ?? error;
      await delay(clock, doubled(failures, ...PAUSES.read));
      if (over()) throw unanswered ?? error;
    }
  }

  /** Calls `read` until the stream answers, or `over` returns true. Rejects with the error of the last `read`. */
  patient<T>(read: () => Promise<T>, over: () => boolean): Promise<T> {
    return repeat(read, reading(this.#host.clock, over));
  }

  /**
   * Makes the entry that cancels a run. Throws `TOO_LARGE` if the reason does not fit into the run's end and the
   * cancels of its children.
   */
  cancelled(reason: string): EntryFor {
    return (by) => {
      if (!exceeds(encodeValue(reason, "reason"), this.mostBytes)) {
        return { t: "cancelled", code: "CANCELLED", reason, by };
      }
      throw new CatgaError("TOO_LARGE", `the reason for the cancel has ${reason.length} characters: shorten it`);
    };
  }

  /**
   * Appends an entry to a run that has not ended. For callers that do not execute the run: the executing node uses
   * {@link RunLog.append}. Entries for one run that this process wants to store at the same time go into one message.
   * Resolves with `undefined` if the run has ended, or was never started. Rejects with a `CatgaError`
   * (`OUTCOME_UNKNOWN`: the entry may be stored), or with an error of `entryFor`. `over`: returns true when no further
   * attempt is to follow a failed one.
   */
  appendNotice(ref: RunRef, entryFor: EntryFor, over: () => boolean): Promise<StoredNotice | undefined> {
    return this.#notices.add(ref, entryFor, over);
  }

  /**
   * Counts a stored message as unanswered until `answer` settles: the answer of the run's executing node to the notice
   * about it. While too many are unanswered, this process stores no other message of the run, so that the executing
   * node can store one. `answer` has to settle even if that node sends none: messages of the run may wait for it.
   */
  awaitAnswer(ref: RunRef, answer: Promise<void>): void {
    this.#notices.awaitAnswer(ref, answer);
  }

  /**
   * Returns the sequence of the message with this name (`mark`) after `after`, a position in the run; `undefined`: it
   * is not stored.
   */
  async #find(ref: RunRef, mark: string, after: RunPlace): Promise<number | undefined> {
    let found: number | undefined;
    await this.readOn(ref, after, (stored) => {
      if (stored.mark === mark) found = stored.sequence;
    });
    return found;
  }
}

/**
 * Returns the number of entries of a run before a message, and up to its end, which can be read without the codec;
 * `undefined`: the message is malformed.
 */
function rangeOf(
  { workflow }: RunRef,
  { data }: StoredMessage,
): { readonly from: number; readonly to: number } | undefined {
  const read = readEntityMessage(runType(workflow), data);
  return "reason" in read ? undefined : { from: read.version, to: read.version + read.items.length };
}

/** Returns the last view among the entries of a message. `version`: number of entries of the run up to its end. */
function lastView(entries: readonly JournalEntry[], { version }: Pick<RunEnd, "version">): ShownRun["view"] {
  const index = entries.findLastIndex(isShown);
  return index < 0 ? undefined : viewIn(entries[index], version - entries.length + index);
}

const PART = 1_000;
/** Number of sequences between two messages of a run from which on a read by sequence takes the server less time. */
const FAR = 4_000;
/** Maximum number of messages that are read one by one. */
const MOST_FAR = 8;
const MAX_READ_PAUSE = 1_000; // ms, the pause after which a read that finds nothing fails
/**
 * Timeout of the first attempt to append, in ms; doubled after each unknown outcome up to `ATTEMPT`. A server that no
 * longer leads the stream never answers.
 */
const FIRST_ATTEMPT = 1_000;
/** Longest timeout of an attempt to append, in ms. */
const ATTEMPT = 5_000;
