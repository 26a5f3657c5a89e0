/**
 * One run as it is stored: its messages are a subject of the stream of entities, in the format of those. Each append
 * expects the last message that its writer has read, so that of two who drive a run one loses. Whether the run has
 * ended, and who drives it, stand in each message, so that its last message alone says so.
 */
import type { StreamsHost } from "../dispatch/node_host.ts";
import { BEGUN, CALLED, RECORDED } from "../contract/contract.ts";
import { runType, workflowOf } from "../contract/workflow.ts";
import { isToken } from "../data/checks.ts";
import { encodeValue, parsedJson } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import { STORED_DEPTH } from "../data/value_text.ts";
import { CatgaError, unavailable } from "../error.ts";
import {
  commandText,
  entityGroupText,
  type EntityMessage,
  eventText,
  payloadOf,
  readEntityMessage,
  type StoredItem,
} from "../log/format/entity_group.ts";
import { entityPattern, entitySubject, readEntitySubject } from "../log/format/names.ts";
import { delay, doubled } from "../ports/clock.ts";
import { type LogStream, messagesFrom, type StoredMessage, untilAnswered } from "../ports/event_log.ts";
import {
  type CalledEntry,
  entryOf,
  Journal,
  type JournalEntry,
  type RecordedOutcome,
  type RunLogMessage,
  type Started,
} from "./journal.ts";

/** A run among all. */
export interface RunRef {
  readonly workflow: string;
  readonly run: string;
}

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

/** A message that is to be appended. `mark` names it. */
interface RunMessage {
  readonly text: string;
  readonly mark: string;
}

/** How many entries a run has before a message, and who drives it. */
interface MessageOf {
  readonly version: number;
  readonly holder: string;
}

/** The last message of a run, in short. */
export interface RunEnd {
  readonly sequence: number;
  readonly ended: boolean;
  readonly holder: string;
  readonly entries: readonly JournalEntry[];
  /** How many entries there are. */
  readonly version: number;
  readonly mark: string;
}

/**
 * Makes what a run is told. Called again when something was stored meanwhile: what it has read of the run holds when
 * its entry is stored.
 */
export type EntryFor = (by: string) => CalledEntry | Promise<CalledEntry>;

/** Something that a run was told is stored. */
export interface StoredNotice {
  readonly holder: string;
  readonly sequence: number;
  /** True for one of those that were stored together. */
  readonly isFirst: boolean;
}

/** An entry that is to be stored, in its turn. */
interface Telling {
  readonly entryFor: EntryFor;
  readonly over: () => boolean;
  resolve(told: StoredNotice | undefined): void;
  reject(error: unknown): void;
}

/** How far a run has been read. */
type RunPlace = Pick<Journal, "sequence" | "entries" | "mark" | "sure">;
/** Gets a message of a run. */
type Take = (stored: RunLogMessage) => void;

/** The note that a run is about to be stuck. */
export interface NotedRun {
  readonly ref: RunRef;
  readonly time: number;
  readonly sequence: number;
}

/** The runs of a namespace as they are stored. */
export class RunLog {
  readonly #host: RunLogHost;
  /** How often the store may have lost its end. */
  epoch = 0;
  /** Entries that wait to be stored behind the append that is under way, by run; without one there is no list. */
  readonly #telling = new Map<string, Telling[]>();
  /** News of messages that this process has stored, which the driver has not answered, by run. */
  readonly #unanswered = new Map<string, Set<Promise<void>>>();

  constructor(host: RunLogHost) {
    this.#host = host;
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

  /**
   * Notes that a run is about to be stuck: before it is, so that it is found without reading the others. Rejects with a
   * `CatgaError`.
   */
  async noteStuck(ref: RunRef): Promise<void> {
    const stream = await this.#host.stream();
    const appended = await stream.append(this.#stuckSubject(ref), JSON.stringify(ref), { timeout: ATTEMPT });
    if (appended.type !== "stored" && appended.type !== "conflict") throw appended.error;
  }

  /**
   * The runs that were noted as stuck, those noted first come first. They may have gone on since. Rejects with
   * `UNAVAILABLE`.
   */
  async noted(): Promise<NotedRun[]> {
    const stream = await this.#host.stream();
    const found = new Map<string, NotedRun>();
    await stream.lasts(entityPattern(this.#host.namespace, STUCK), ({ subject, sequence, time, data }) => {
      const ref = readRef(data);
      if (ref !== undefined && this.#stuckSubject(ref) === subject) found.set(subject, { ref, time, sequence });
    });
    return [...found.values()];
  }

  /** A run that was noted as stuck is not any more. Rejects with `UNAVAILABLE`. */
  async unnote(ref: RunRef, sequence: number): Promise<void> {
    await (await this.#host.stream()).purge(this.#stuckSubject(ref), { before: sequence + 1 });
  }

  #stuckSubject({ workflow, run }: RunRef): string {
    return entitySubject(this.#host.namespace, STUCK, `${workflow}/${run}`);
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

  /** A message with these entries. */
  message(ref: RunRef, entries: readonly JournalEntry[], how: MessageOf): RunMessage {
    return this.#message(ref, entries.map(entryText), how, entries.at(-1)?.t === "ended" ? ENDED : undefined);
  }

  #message(
    { workflow, run }: RunRef,
    texts: readonly string[],
    { version, holder }: MessageOf,
    result?: string,
  ): RunMessage {
    const { endpoint, clock, number } = this.#host;
    const origin = { endpoint, first: number(texts.length), sentAt: clock.now() };
    const own = { name: workflow, id: run, events: texts.length, result, fingerprint: holder };
    const head = commandText({ ...own, correlation: undefined, headers: undefined });
    return { text: entityGroupText(origin, version, [head], texts), mark: `${endpoint}.${origin.first}` };
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
    return new Promise((resolve, reject) => {
      const telling = { entryFor, over, resolve, reject };
      const key = keyOf(ref);
      const before = this.#telling.get(key);
      if (before !== undefined) return void before.push(telling);
      const all = [telling];
      this.#telling.set(key, all);
      void this.#tellAll(ref, all);
    });
  }

  /**
   * News of a message that was told are on their way: without an answer a process stores at most
   * {@link MAX_UNANSWERED} messages of a run, so that its driver stores something between them. `answer` ends in time.
   */
  awaitAnswer(ref: RunRef, answer: Promise<void>): void {
    const key = keyOf(ref);
    const all = this.#unanswered.get(key) ?? new Set();
    this.#unanswered.set(key, all);
    // a driver that does not answer is found by its subscription
    const own = answer.catch(() => {}).then(() => {
      all.delete(own);
      if (all.size === 0 && this.#unanswered.get(key) === all) this.#unanswered.delete(key);
    });
    all.add(own);
  }

  /** Appends one message after the other: of several at once all but one would be refused. Never rejects. */
  async #tellAll(ref: RunRef, all: Telling[]): Promise<void> {
    for (let waited = false; all.length > 0; waited = true) {
      const news = this.#unanswered.get(keyOf(ref));
      while (news !== undefined && news.size >= MAX_UNANSWERED) await Promise.race(news);
      const some = all.splice(0, MOST_TOGETHER).filter(({ over, reject }) => {
        const late = waited && over();
        if (late) reject(unavailable(`run ${ref.run} of ${ref.workflow} was told too much at once: this had no turn`));
        return !late;
      });
      if (some.length > 0) await this.#tell(ref, some, all);
    }
    this.#telling.delete(keyOf(ref));
  }

  /**
   * Appends what goes into one message. The others, and all if something else was stored meanwhile, are put in front of
   * those that wait. Never rejects.
   */
  async #tell(ref: RunRef, some: readonly Telling[], waiting: Telling[]): Promise<void> {
    const { epoch } = this;
    let end: RunEnd | undefined;
    try {
      end = await this.patient(() => this.end(ref), () => some.every(({ over }) => over()));
    } catch (error) {
      return some.forEach(({ reject }) => reject(error));
    }
    if (end === undefined || end.ended) return some.forEach(({ resolve }) => resolve(undefined));
    const { holder, version } = end;
    const told: (Telling & { readonly text: string })[] = [];
    for (const [i, one] of some.entries()) {
      try {
        const entry = one.entryFor(holder);
        if (entry instanceof Promise && told.length > 0) {
          // it reads the run: nothing may be stored before it
          entry.catch(() => {});
          waiting.unshift(...some.slice(i));
          break;
        }
        told.push({ ...one, text: entryText(await entry) });
      } catch (error) {
        one.reject(error);
      }
    }
    if (told.length === 0) return;
    try {
      const messageOf = () => this.#message(ref, told.map(({ text }) => text), { version, holder });
      let message = messageOf();
      while (told.length > 1 && exceeds(message.text, this.mostBytes)) {
        waiting.unshift(...told.splice(told.length >> 1));
        message = messageOf();
      }
      const place = { sequence: end.sequence, entries: version, mark: end.mark, sure: epoch };
      const sequence = await this.append(ref, message, place, () => told.every(({ over }) => over()));
      if (sequence === "conflict") waiting.unshift(...told);
      else for (const [i, { resolve }] of told.entries()) resolve({ holder, sequence, isFirst: i === 0 });
    } catch (error) {
      for (const { reject } of told) reject(error);
    }
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

/** The key of a run among those of a node. */
export function keyOf({ workflow, run }: RunRef): string {
  return `${workflow}/${run}`;
}

/** Whether an entry calls for somebody to go on. */
export function isCalled({ t }: JournalEntry): boolean {
  return CALLS.has(t);
}

function entryText(entry: JournalEntry): string {
  return eventText(eventOf(entry), encodeValue(entry, "entry", STORED_DEPTH));
}

function eventOf(entry: JournalEntry): string {
  if (entry.t === "started" && entry.by !== "") return BEGUN;
  return isCalled(entry) ? CALLED : RECORDED;
}

const CALLS: ReadonlySet<string> = new Set(["started", "signalled", "cancelled", "told", "retried", "skipped"]);

/** A message of a run, read. What cannot be read has no entries. */
export function storedOf(ref: RunRef, message: StoredMessage): RunLogMessage {
  return toStored(message, readMessage(ref, message));
}

function toStored({ sequence, time }: StoredMessage, read: EntityMessage | undefined): RunLogMessage {
  return {
    sequence,
    time,
    holder: read === undefined ? undefined : read.commands[0].fingerprint ?? "",
    entries: read === undefined ? [] : entriesOf(read),
    mark: read?.mark ?? "",
  };
}

function readMessage({ workflow }: RunRef, { data }: StoredMessage): EntityMessage | undefined {
  const read = readEntityMessage(runType(workflow), data);
  return "reason" in read ? undefined : read;
}

function entriesOf({ items }: EntityMessage): readonly JournalEntry[] {
  return items.flatMap((item) => entryIn(item) ?? []);
}

function entryIn(item: StoredItem): JournalEntry | undefined {
  try {
    return entryOf(payloadOf(item));
  } catch {
    return undefined; // its tags are invalid
  }
}

/** The last message of a run, in short. */
export function endOf(ref: RunRef, message: StoredMessage): RunEnd | undefined {
  const read = readMessage(ref, message);
  if (read === undefined) return undefined;
  const entries = entriesOf(read);
  return {
    sequence: message.sequence,
    ended: entries.at(-1)?.t === "ended",
    holder: read.commands[0].fingerprint ?? "",
    entries,
    version: read.version + read.items.length,
    mark: read.mark,
  };
}

function readRef(data: Uint8Array): RunRef | undefined {
  const { workflow, run } = (parsedJson(data) ?? {}) as Partial<RunRef>;
  // each is a part of a subject
  return isToken(workflow) && typeof run === "string" && run.isWellFormed() ? { workflow, run } : undefined;
}

/** The result of the command of a run's last message. */
const ENDED = "ended";
/** In place of a type: the runs that are stuck, or were. */
const STUCK = "-stuck";
const PART = 1_000;
/** How many entries are stored together that a run is told. */
const MOST_TOGETHER = 100;
/** How many messages a process stores for a run whose driver has not answered their news. */
const MAX_UNANSWERED = 8;
const MOST_PAUSES = 1_000; // ms
/** How long the first attempt waits for its answer, in ms, and the longest: a leader that is deposed answers nobody. */
const FIRST_ATTEMPT = 1_000;
const ATTEMPT = 5_000;
const FIRST_PAUSE = 5; // ms
const LONGEST_PAUSE = 500; // ms
