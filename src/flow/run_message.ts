/**
 * Encodes and decodes the messages of a run. They have the format of messages of entities: a run is stored as an entity
 * whose events are its entries. The command in a message names the node that executes the run; its result says whether
 * the run has ended.
 */
import { BEGUN, CALLED, RECORDED } from "../contract/contract.ts";
import { runType } from "../contract/workflow.ts";
import { encodeValue } from "../data/encoding.ts";
import { STORED_DEPTH } from "../data/value_text.ts";
import {
  commandText,
  entityGroupText,
  type EntityMessage,
  eventText,
  isSealedMessage,
  payloadOf,
  readEntityMessage,
  type StoredItem,
} from "../log/format/entity_group.ts";
import type { Clock } from "../ports/clock.ts";
import type { StoredMessage } from "../ports/event_log.ts";
import { entryOf, type JournalEntry, type RunLogMessage } from "./journal_entry.ts";
import type { RunRef } from "./run_ref.ts";

/** A message of a run that is to be appended. `mark`: the message's name. */
export interface RunMessage {
  readonly text: string;
  readonly mark: string;
}

/** What a message says of its run: how many entries the run has before the message, and which node executes the run. */
interface MessageOf {
  readonly version: number;
  readonly holder: string;
  /** Time of the message, in ms since 1970; default: now. */
  readonly time?: number;
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

/** Encodes the messages of runs. */
export class RunMessages {
  readonly #writer: RunWriter;

  constructor(writer: RunWriter) {
    this.#writer = writer;
  }

  /** Makes a message of a run with these entries. */
  of(ref: RunRef, entries: readonly JournalEntry[], how: MessageOf): RunMessage {
    return this.ofTexts(ref, entries.map(entryText), how, entries.at(-1)?.t === "ended" ? ENDED : undefined);
  }

  /**
   * Makes a message of a run with entries that are given as texts. The message ends the run only if `result` says so.
   */
  ofTexts(
    { workflow, run }: RunRef,
    texts: readonly string[],
    { version, holder, time }: MessageOf,
    result?: typeof ENDED,
  ): RunMessage {
    const { endpoint, clock } = this.#writer;
    const origin = { endpoint, first: this.#writer.number(texts.length), sentAt: time ?? clock.now() };
    const own = { name: workflow, id: run, events: texts.length, result, fingerprint: holder };
    const head = commandText({ ...own, correlation: undefined, headers: undefined });
    return { text: entityGroupText(origin, version, [head], texts), mark: `${endpoint}.${origin.first}` };
  }
}

/** Returns true for an entry after which some node has to execute the run. */
export function isCalled({ t }: JournalEntry): boolean {
  return CALLS.has(t);
}

/** Encodes an entry as it is stored. */
export function entryText(entry: JournalEntry): string {
  return eventText(eventOf(entry), encodeValue(entry, "entry", STORED_DEPTH));
}

function eventOf(entry: JournalEntry): string {
  if (entry.t === "started" && entry.by !== "") return BEGUN;
  return isCalled(entry) ? CALLED : RECORDED;
}

const CALLS: ReadonlySet<string> = new Set(["started", "signalled", "cancelled", "told", "retried", "skipped"]);

/** Decodes a stored message of a run. A message that cannot be read has no entries. */
export function storedOf(ref: RunRef, message: StoredMessage): RunLogMessage {
  return toStored(message, readMessage(ref, message));
}

/** Combines a stored message of a run with its parsed content; `undefined`: it could not be read. */
export function toStored({ sequence, time }: StoredMessage, read: EntityMessage | undefined): RunLogMessage {
  return {
    sequence,
    time,
    holder: read === undefined ? undefined : read.commands[0].fingerprint ?? "",
    entries: read === undefined ? [] : entriesOf(read),
    mark: read?.mark ?? "",
  };
}

/** Parses a stored message of a run; `undefined`: it cannot be read. */
export function readMessage({ workflow }: RunRef, { data }: StoredMessage): EntityMessage | undefined {
  const read = readEntityMessage(runType(workflow), data);
  return "reason" in read ? undefined : read;
}

/** Returns true if a codec encoded the message of a run, and it was not decoded here. */
export function isUndecoded(ref: RunRef, message: StoredMessage): boolean {
  const read = readMessage(ref, message);
  return read !== undefined && isSealedMessage(read);
}

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

/** Returns the facts that the last message of a run states; `undefined`: the message cannot be read. */
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

/** The result field of the message that ends a run. */
const ENDED = "ended";
