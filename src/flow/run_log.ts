/**
 * One run as it is stored: its messages are a subject of the stream of entities, in the format of those. Each append
 * expects the last message that its writer has read, so that of two who drive a run one loses. Whether the run has
 * ended, and who drives it, stand in each message, so that its last message alone says so.
 */
import { runType, workflowOf } from "../contract/workflow.ts";
import type { StreamsHost } from "../dispatch/node_host.ts";
import { encodeValue } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import { CatgaError, unavailable } from "../error.ts";
import { entityPattern, entitySubject, readEntitySubject } from "../log/format/names.ts";
import { delay, doubled } from "../ports/clock.ts";
import { type LogStream, messagesFrom, type StoredMessage, untilAnswered } from "../ports/event_log.ts";
import { Journal, type RecordedOutcome, type RunLogMessage, type Started } from "./journal.ts";
import { type EntryFor, NoticeQueue, type StoredNotice } from "./notice_queue.ts";
import { endOf, readMessage, type RunEnd, type RunMessage, RunMessages, storedOf, toStored } from "./run_message.ts";
import type { RunRef } from "./run_ref.ts";
import { StuckNotes } from "./stuck_notes.ts";

/** What is needed to read and write runs. */
export interface RunLogHost extends Pick<StreamsHost, "namespace" | "endpoint" | "clock"> {
  /** The stream of entities, opened. Rejects with a `CatgaError`. */
  stream(): RunStream | Promise<RunStream>;
  /** The numbers of so many events among all that this process stores in this stream. */
  number(events: number): number;
  /** The largest message that the network takes now, in bytes. */
  maxPayload(): number;
}

/** What runs need of the stream. */
export type RunStream = Pick<LogStream, "append" | "at" | "last" | "lasts" | "read" | "purge">;

/** How far a run has been read. */
type RunPlace = Pick<Journal, "sequence" | "entries" | "mark" | "sure">;
/** Gets a message of a run. */
type Take = (stored: RunLogMessage) => void;

/** The runs of a namespace as they are stored. */
export class RunLog {
  readonly #host: RunLogHost;
  /** How often the store may have lost its end. */
  epoch = 0;
  /** Makes messages of runs. */
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

  /** The largest value that an entry may have, in bytes. */
  get mostBytes(): number {
    return this.#host.maxPayload() - 8_192;
  }

  /** The store may have lost its end, and sequences come again. */
  doubt(): void {
    this.epoch++;
  }

  /** True if the store still has the message that was read last. Rejects with `UNAVAILABLE`. */
  async #has(ref: RunRef, place: RunPlace): Promise<boolean> {
    const { epoch } = this;
    if (place.sure === epoch) return true;
    const message = place.sequence === 0 ? undefined : await (await this.#host.stream()).at(place.sequence);
    const has = place.sequence === 0 || (message !== undefined && storedOf(ref, message).mark === place.mark);
    if (epoch !== this.epoch) return await this.#has(ref, place);
    if (has) place.sure = epoch;
    return has;
  }

  /** True if another message has the place of one that a run had. Rejects with `UNAVAILABLE`. */
  async isReplaced(ref: RunRef, sequence: number): Promise<boolean> {
    const message = await (await this.#host.stream()).at(sequence);
    return message !== undefined && message.subject !== this.subject(ref);
  }

  /** The last message of a run that can be read, from the leader. Rejects with `UNAVAILABLE`. */
  async end(ref: RunRef): Promise<RunEnd | undefined> {
    const last = await this.#last(ref);
    if (last === undefined) return undefined;
    const end = endOf(ref, last);
    if (end !== undefined) return end;
    let readable: RunLogMessage | undefined;
    const journal = await this.load(ref, (stored) => {
      if (stored.holder !== undefined) readable = stored;
    });
    if (journal === undefined) return undefined;
    const { sequence, holder, ended, entries: version, mark } = journal;
    return { sequence, ended: ended !== undefined, holder, entries: readable?.entries ?? [], version, mark };
  }

  /** How a run has ended; `undefined`: it has not; "no run": there is none. Rejects with `UNAVAILABLE`. */
  async outcome(ref: RunRef): Promise<RecordedOutcome | "no run" | undefined> {
    const end = await this.end(ref);
    if (end === undefined) return "no run";
    const last = end.entries.at(-1);
    return last?.t === "ended" ? last.outcome : undefined;
  }

  async #last(ref: RunRef): Promise<StoredMessage | undefined> {
    return await (await this.#host.stream()).last(this.subject(ref), { latest: true });
  }

  /**
   * Appends the first message of a run, behind `place`, which is empty. `conflict`: there is such a run. Rejects as
   * {@link RunLog.append}.
   */
  async begin(ref: RunRef, message: RunMessage, place: RunPlace, over: () => boolean): Promise<number | "conflict"> {
    for (let after = place;;) {
      const stored = await this.append(ref, message, after, over);
      if (stored !== "conflict" || await this.start(ref) !== undefined) return stored;
      // what cannot be read is no run
      after = { sequence: (await this.#last(ref))?.sequence ?? 0, entries: 0, mark: "", sure: -1 };
    }
  }

  /** How a run was started. Rejects with `UNAVAILABLE`. */
  async start(ref: RunRef): Promise<Started | undefined> {
    const entry = (await this.first(ref))?.entries[0];
    return entry?.t === "started" ? entry : (await this.load(ref))?.started;
  }

  /** The first entry of a run. */
  async first(ref: RunRef): Promise<RunLogMessage | undefined> {
    const [message] = await (await this.#host.stream()).read(this.subject(ref), { from: 0, most: 1 });
    return message === undefined ? undefined : storedOf(ref, message);
  }

  /**
   * Reads on, up to the last message that the leader has. Resolves with `false` if the run is gone: it was forgotten,
   * or the store has lost it. Rejects with `UNAVAILABLE`.
   *
   * Mostly the last message is the next one, as the number of entries before it says, and the only read: a server that
   * looks for the messages of a run passes over those of the others, one after the other, which takes it a ms with
   * 10,000 runs under way.
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
    let at = sequence;
    for (let pause = 1; at < last.sequence;) {
      const messages = await stream.read(subject, { from: at + 1, most: PART });
      for (const message of messages) {
        if (message.sequence <= at) continue;
        at = message.sequence;
        take(storedOf(ref, message));
      }
      if (at >= last.sequence) break;
      if (messages.length > 0) continue;
      if (pause > MOST_PAUSES) {
        throw unavailable(`${subject} could not be read to its end`);
      }
      await delay(this.#host.clock, pause *= 2);
    }
    return true;
  }

  /** Reads a run from its first message on; `undefined`: there is none. Rejects with `UNAVAILABLE`. */
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
   * The last message of each run that is stored, of a workflow or of all; those that have changed longest ago first.
   * Rejects with `UNAVAILABLE`.
   */
  async all(workflow: string | undefined): Promise<(RunEnd & { readonly ref: RunRef })[]> {
    const { namespace } = this.#host;
    const stream = await this.#host.stream();
    const found = new Map<string, { readonly ref: RunRef; readonly end: RunEnd | undefined }>();
    await stream.lasts(entityPattern(namespace, workflow === undefined ? "*" : runType(workflow)), (message) => {
      const { type, id } = readEntitySubject(namespace, message.subject) ?? { type: "", id: "" };
      const named = workflowOf(type);
      if (named === undefined) return;
      const ref = { workflow: named, run: id };
      found.set(message.subject, { ref, end: endOf(ref, message) });
    });
    const runs: (RunEnd & { readonly ref: RunRef })[] = [];
    for (const { ref, end = await this.end(ref) } of found.values()) {
      if (end !== undefined) runs.push({ ref, ...end });
    }
    return runs;
  }

  /** The ends of runs of a workflow that were stored before a time, in ms since 1970. Rejects with `UNAVAILABLE`. */
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

  /** Removes a run whose last message has this sequence. Rejects with `UNAVAILABLE`. */
  async forget(ref: RunRef, sequence: number): Promise<void> {
    const stream = await this.#host.stream();
    await stream.purge(this.subject(ref), { before: sequence + 1 });
  }

  /**
   * Appends one message behind `place`, however often that takes. `conflict`: another message came before, or the
   * store has lost that place. Rejects with a `CatgaError` when it certainly is not stored and trying again does not
   * help, and when `over` says that nobody wants it any more: with `OUTCOME_UNKNOWN` if it may be stored.
   */
  async append(
    ref: RunRef,
    { text, mark }: RunMessage,
    place: RunPlace,
    over: () => boolean,
  ): Promise<number | "conflict"> {
    const { clock } = this.#host;
    // the run may be read on meanwhile
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
          // an earlier attempt may have been stored
          return unanswered ? await this.#find(ref, mark, after) ?? "conflict" : "conflict";
        }
        if (appended.type === "unknown") {
          unanswered = appended.error;
          silences++;
        } else if (!appended.passing && !unanswered) throw appended.error;
        error = appended.error;
      } catch (thrown) {
        if (!(thrown instanceof CatgaError) || thrown.code !== "UNAVAILABLE") throw thrown;
        error = thrown;
      }
      if (over()) throw unanswered ?? error;
      await delay(clock, doubled(failures, FIRST_PAUSE, LONGEST_PAUSE));
      if (over()) throw unanswered ?? error;
    }
  }

  /** Reads until the stream answers, or `over` says that nobody wants the answer any more. Rejects as the read does. */
  patient<T>(read: () => Promise<T>, over: () => boolean): Promise<T> {
    return untilAnswered(this.#host.clock, read, [FIRST_PAUSE, LONGEST_PAUSE], over);
  }

  /** Cancels a run. Throws `TOO_LARGE` for a reason that does not fit into its end, and the cancels of its children. */
  cancelled(reason: string): EntryFor {
    return (by) => {
      if (!exceeds(encodeValue(reason, "reason"), this.mostBytes)) {
        return { t: "cancelled", code: "CANCELLED", reason, by };
      }
      throw new CatgaError("TOO_LARGE", `the reason for the cancel has ${reason.length} characters: shorten it`);
    };
  }

  /**
   * Appends an entry of somebody who does not drive the run, while it has not ended; with it all that this process
   * tells the run meanwhile. Resolves with `undefined` if the run is over, or was never started. Rejects as {@link
   * RunLog.append}, and with what `entryFor` rejects with.
   */
  tell(ref: RunRef, entryFor: EntryFor, over: () => boolean): Promise<StoredNotice | undefined> {
    return this.#notices.tell(ref, entryFor, over);
  }

  /**
   * News of a message that was told are on their way: without an answer a process stores few messages of a run, so that
   * its driver stores something between them. `answer` ends in time.
   */
  awaitAnswer(ref: RunRef, answer: Promise<void>): void {
    this.#notices.awaitAnswer(ref, answer);
  }

  /** The sequence of a message behind another one. */
  async #find(ref: RunRef, mark: string, after: RunPlace): Promise<number | undefined> {
    let found: number | undefined;
    await this.readOn(ref, after, (stored) => {
      if (stored.mark === mark) found = stored.sequence;
    });
    return found;
  }
}

const PART = 1_000;
const MOST_PAUSES = 1_000; // ms
/** How long the first attempt waits for its answer, in ms, and the longest: a leader that is deposed answers nobody. */
const FIRST_ATTEMPT = 1_000;
const ATTEMPT = 5_000;
const FIRST_PAUSE = 5; // ms
const LONGEST_PAUSE = 500; // ms
