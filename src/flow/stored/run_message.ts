/**
 * Encodes and decodes the messages of a run. They have the format of messages of entities: a run is stored as an entity
 * whose events are its entries. The command in a message names the node that executes the run; its result says whether
 * the run has ended.
 */
import { BEGUN, CALLED, RECORDED } from "../../contract/declaration/contract.ts";
import { runType } from "../../contract/declaration/workflow.ts";
import { isCount } from "../../data/checks.ts";
import { encodeValue } from "../../data/encoding.ts";
import { STORED_DEPTH } from "../../data/value_text.ts";
import {
  commandText,
  entityGroupText,
  type EntityMessage,
  eventText,
  isSealedItem,
  payloadOf,
  readEntityMessage,
  type StoredItem,
} from "../../log/format/entity_group.ts";
import { GROUP_VERSION, NEWEST_GROUP_VERSION } from "../../log/format/group_text.ts";
import type { Clock } from "../../ports/clock.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { entryOf, type JournalEntry, type RunLogMessage, viewIn } from "./journal_entry.ts";
import type { RunRef } from "./run_ref.ts";

/** A message of a run that is to be appended. `mark`: the message's name. */
export interface RunMessage {
  readonly text: string;
  readonly mark: string;
}

/** The state of a run before a message: how many entries the run has, and which node executes it. */
interface MessageOf {
  readonly version: number;
  readonly holder: string;
  /** Time of the message, in ms since 1970; default: now. */
  readonly time?: number;
  /** Version of the format ({@link formatOf}). Default: the oldest. */
  readonly format?: number | undefined;
  /** Sequence of the message with the run's view; `undefined`: the run has none. */
  readonly viewAt?: number | undefined;
}

/**
 * Facts that the last message of a run states: who executes the run, how many entries it has, and whether it has ended.
 */
export interface RunEnd {
  readonly sequence: number;
  readonly ended: boolean;
  readonly holder: string;
  readonly entries: readonly JournalEntry[];
  /** Number of entries that the run has. */
  readonly version: number;
  readonly mark: string;
  /**
   * Sequence of the message with the run's view, which may be this one; `undefined`: the run has none, or an older
   * version of Catga wrote this message.
   */
  readonly viewAt?: number | undefined;
  /** Error which says that only other nodes can read the entries of the message; `undefined`: they were read. */
  readonly undecoded?: CatgaError | undefined;
}

/** The process that writes messages of runs. */
interface RunWriter {
  readonly endpoint: string;
  readonly clock: Clock;
  /**
   * Reserves `events` consecutive numbers for events of this process, which numbers all events that it stores in the
   * stream; returns the first of them.
   */
  number(events: number): number;
}

/**
 * Encodes the messages of runs.
 * @decides what a message of a run looks like
 */
export class RunMessages {
  readonly #writer: RunWriter;

  constructor(writer: RunWriter) {
    this.#writer = writer;
  }

  /** Makes a message of a run with these entries. */
  of(ref: RunRef, entries: readonly JournalEntry[], how: MessageOf): RunMessage {
    const viewAt = entries.some(isShown) ? undefined : how.viewAt;
    const texts = entries.map((entry, i) => entryText(entry, i === entries.length - 1 ? viewAt : undefined));
    const format = Math.max(...entries.map(formatOf));
    return this.ofTexts(ref, texts, { ...how, format }, entries.at(-1)?.t === "ended" ? ENDED : undefined);
  }

  /**
   * Makes a message of a run with entries that are given as texts. The message ends the run only if `result` says so.
   */
  ofTexts(
    { workflow, run }: RunRef,
    texts: readonly string[],
    { version, holder, time, format }: MessageOf,
    result?: typeof ENDED,
  ): RunMessage {
    const { endpoint, clock } = this.#writer;
    const origin = { endpoint, first: this.#writer.number(texts.length), sentAt: time ?? clock.now(), format };
    const own = { name: workflow, id: run, events: texts.length, result, fingerprint: holder };
    const head = commandText({ ...own, correlation: undefined, headers: undefined });
    return { text: entityGroupText(origin, version, [head], texts), mark: `${endpoint}.${origin.first}` };
  }
}

/** Returns true for an entry after which some node has to execute the run. */
export function isCalled({ t }: JournalEntry): boolean {
  return CALLS.has(t);
}

/** Returns true for an entry with a view of the run. */
export function isShown(entry: JournalEntry): boolean {
  return viewIn(entry, 0) !== undefined;
}

/**
 * Encodes an entry as it is stored. `viewAt`: sequence of the message with the run's view. The last entry of each
 * message states it, so that whoever reads the last message of a run finds the view by one more read.
 */
export function entryText(entry: JournalEntry, viewAt?: number): string {
  const stored = viewAt === undefined ? entry : { ...entry, viewAt };
  return eventText(eventOf(entry), encodeValue(stored, "entry", STORED_DEPTH));
}

function eventOf(entry: JournalEntry): string {
  // the node that stores `again` executes the run. The message that called for the run before is removed some day, and
  // a message that is removed before it is acknowledged is not delivered again: so this one calls for it
  if ((entry.t === "started" || entry.t === "again") && entry.by !== "") return BEGUN;
  return isCalled(entry) ? CALLED : RECORDED;
}

const CALLS: ReadonlySet<string> = new Set([
  ...["started", "signalled", "asked", "completed", "cancelled", "told", "retried", "skipped", "tried"],
]);

/**
 * Returns the version of the format that a message with this entry has. A node that does not know an entry passes it
 * over; one that would go wrong then must not read it.
 */
export function formatOf({ t }: JournalEntry): number {
  return NOT_PASSED_OVER.has(t) ? NEWEST_GROUP_VERSION : GROUP_VERSION;
}

/**
 * Types of entries of later versions of Catga without which a run is executed wrongly: it would take other signals,
 * begin a life again, or run steps again that have their outcome.
 */
const NOT_PASSED_OVER: ReadonlySet<string> = new Set([
  ...["asked", "answered", "again", "carried", "listed", "secret", "completed", "tried"],
]);

/**
 * Decodes a stored message of a run. A malformed message has no entries. Throws `UNAVAILABLE` if only other nodes can
 * read the message: {@link undecodedAt}.
 */
export function storedOf(ref: RunRef, message: StoredMessage): RunLogMessage {
  return toStored(message, readMessage(ref, message));
}

/** Combines a stored message of a run with its parsed content; `undefined`: the message is malformed. */
export function toStored({ sequence, time }: StoredMessage, read: EntityMessage | undefined): RunLogMessage {
  return {
    sequence,
    time,
    holder: read === undefined ? undefined : read.commands[0].fingerprint ?? "",
    entries: read === undefined ? [] : entriesOf(read),
    mark: read?.mark ?? "",
  };
}

/**
 * Parses a stored message of a run; `undefined`: the message is malformed, and is passed over. Throws `UNAVAILABLE` if
 * only other nodes can read the message ({@link undecodedAt}): a run whose messages were partly passed over would
 * perform steps again.
 */
export function readMessage(ref: RunRef, message: StoredMessage): EntityMessage | undefined {
  const read = readEntityMessage(runType(ref.workflow), message.data);
  if (!("reason" in read)) {
    // the result of a run's message is a mark that no reader needs
    if (!read.items.some(isSealedItem)) return read;
    throw undecoded(ref, message, "the codec of this node cannot decode", "is its key missing?");
  }
  if (read.version === undefined) return undefined;
  throw undecoded(ref, message, "this version of Catga cannot read", read.reason);
}

/** Returns the name of a stored message of a run, which can be read without the codec; "" if it is malformed. */
export function markOf({ workflow }: RunRef, { data }: StoredMessage): string {
  const read = readEntityMessage(runType(workflow), data);
  return "reason" in read ? "" : read.mark;
}

function undecoded({ workflow, run }: RunRef, { time }: StoredMessage, what: string, why: string): CatgaError {
  const error = new CatgaError("UNAVAILABLE", `${what} run ${run} of ${workflow}: ${why}`);
  UNDECODED_AT.set(error, time);
  return error;
}

/**
 * For an error that says that only other nodes can read a message of a run, because this node's codec cannot decode the
 * message, or because a later version of Catga wrote it: time at which the message was stored, in ms since 1970.
 * `undefined`: another error.
 */
export function undecodedAt(error: unknown): number | undefined {
  return isCatgaError(error) ? UNDECODED_AT.get(error) : undefined;
}

/** Errors of {@link undecoded}, each with the time at which the message was stored. */
const UNDECODED_AT = new WeakMap<CatgaError, number>();

function entriesOf({ items }: EntityMessage): readonly JournalEntry[] {
  return items.flatMap((item) => entryIn(item) ?? []);
}

function entryIn(item: StoredItem): JournalEntry | undefined {
  try {
    return entryOf(payloadOf(item));
  } catch {
    return undefined; // the tags of the payload are invalid
  }
}

/**
 * Returns the facts that the last message of a run states; `undefined`: the message is malformed. Of a message that
 * only other nodes can read, with {@link RunEnd.undecoded}, what it states in the clear.
 */
export function endOf(ref: RunRef, message: StoredMessage): RunEnd | undefined {
  const { sequence } = message;
  let read: EntityMessage | undefined;
  let undecoded: CatgaError | undefined;
  try {
    read = readMessage(ref, message);
  } catch (error) {
    undecoded = error as CatgaError; // `readMessage` throws nothing else
    const clear = readEntityMessage(runType(ref.workflow), message.data);
    if ("reason" in clear) return undecodedEnd(sequence, undecoded);
    read = clear;
  }
  if (read === undefined) return undefined;
  const { commands: [{ fingerprint = "", result }], items, mark } = read;
  const entries = undecoded === undefined ? entriesOf(read) : [];
  // the message that ends a run is the only one with a result
  const ended = undecoded === undefined ? entries.at(-1)?.t === "ended" : result !== undefined;
  const version = read.version + items.length;
  return {
    sequence,
    ended,
    holder: fingerprint,
    entries,
    version,
    mark,
    viewAt: viewAtIn(sequence, entries),
    undecoded,
  };
}

/** Returns the sequence of the message with the run's view, as the message with this sequence states it. */
function viewAtIn(sequence: number, entries: readonly JournalEntry[]): number | undefined {
  if (entries.some(isShown)) return sequence;
  const { viewAt } = (entries.at(-1) ?? {}) as { readonly viewAt?: unknown }; // any process may have written the entry
  return isCount(viewAt) ? viewAt : undefined;
}

/** Returns what is known of the last message of a run of which only other nodes can read anything. */
export function undecodedEnd(sequence: number, undecoded: CatgaError): RunEnd {
  return { sequence, ended: false, holder: "", entries: [], version: 0, mark: "", undecoded };
}

/** The result field of the message that ends a run. */
const ENDED = "ended";
