/**
 * History of one entity for operators: the entity's events in order, each with its cause, and the entity's snapshot.
 * This file does not compute the entity's state (a program's `apply` functions do); it returns only the state stored
 * in a snapshot. The stream may contain anything: messages that nodes skip are reported with the reason.
 */
import { REDACT_HEADER } from "../../contract/declaration/redaction.ts";
import { decodeText } from "../../data/encoding.ts";
import { type LogStream, messagesFrom, type StoredMessage } from "../../ports/event_log.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { type EntityGroup, readEntityGroup, saysForgotten } from "../format/entity_group.ts";
import { type LoggedMessage, payloadOf } from "../format/logged_message.ts";
import { entitySubject, snapshotKeys } from "../format/names.ts";
import { positionOf } from "../format/group_text.ts";
import { readSnapshotText, type SnapshotText } from "../format/snapshot_text.ts";

/** Arguments for reading an entity: its type, its id, and the stream that has its events. */
export interface EntityPlace {
  readonly namespace: string;
  readonly stream: LogStream;
  /** The bucket of snapshots; `undefined`: there is none. */
  readonly snapshots: Bucket | undefined;
  readonly type: string;
  readonly id: string;
}

/** Summary of what is stored for an entity: number of events, times, snapshot. */
export interface EntityInfo {
  /** Number of the entity's events. */
  readonly version: number;
  /**
   * Time at which the entity's first event was stored; `undefined`: the entity was forgotten, and its events are
   * gone.
   */
  readonly created: Date | undefined;
  /** Time at which the entity's last event was stored, or at which the entity was forgotten. */
  readonly changed: Date | undefined;
  readonly forgotten: boolean;
  /** The entity's snapshot; a string: the reason why nodes do not use it. */
  readonly snapshot: EntitySnapshot | string | undefined;
  /**
   * True if tools must hide members of one of the entity's events; they then hide the state, too, because it is
   * computed from the events.
   */
  readonly redacts: boolean;
}

/** A state of an entity, stored as a snapshot. */
export interface EntitySnapshot {
  /** Number of events that the state includes. */
  readonly version: number;
  /** `version` of the entity definition whose `apply` functions computed the state. */
  readonly definition: number;
  readonly state: unknown;
}

/** An event of an entity as it is stored, for operators. */
export interface StoredEntityEvent {
  /** Number of the event within its entity, from 1; `undefined`: the event records that the entity was forgotten. */
  readonly version: number | undefined;
  /** Name of the event's contract. */
  readonly event: string;
  readonly position: number;
  readonly time: Date;
  readonly id: string;
  /** The command that emitted the event; `undefined`: the event records that the entity was forgotten. */
  readonly command: { readonly name: string; readonly id: string } | undefined;
  readonly correlationId: string | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly payload: unknown;
}

/** A message with the entity's subject that nodes skip, or a gap in the entity's events. */
export interface EntityFault {
  readonly fault: string;
  readonly position: number;
  readonly time: Date;
}

/**
 * Returns a summary of the entity; `undefined`: nothing is stored for it. Reads all messages of the entity. Rejects
 * like `LogStream.read`.
 * @decides entity history for `catga entity` and the page
 */
export async function entityInfo(place: EntityPlace): Promise<EntityInfo | undefined> {
  let [version, messages, first, last, sequence, forgotten]: [number, number, number?, number?, number?, boolean?] = [
    0,
    0,
  ];
  let redacts = false;
  for await (const step of steps(place)) {
    messages++;
    redacts ||= step.group?.commands.some(({ headers }) => headers?.[REDACT_HEADER] !== undefined) ?? false;
    ({ version, forgotten } = step);
    sequence = step.message.sequence;
    if (step.events.length === 0) continue;
    last = step.message.time;
    first ??= forgotten ? undefined : last;
  }
  if (messages === 0) return undefined;
  return {
    version,
    created: forgotten ? undefined : dateOf(first),
    changed: dateOf(last),
    forgotten: forgotten === true,
    snapshot: await snapshotOf(place, sequence ?? 0),
    redacts,
  };
}

/** Yields the entity's events behind a version, in order, and the faults among them. Rejects like `LogStream.read`. */
export async function* entityEvents(
  place: EntityPlace,
  { after = 0 }: { readonly after?: number } = {},
): AsyncGenerator<StoredEntityEvent | EntityFault> {
  for await (const { message, group, events, fault, version, forgotten } of steps(place)) {
    // a fault behind the version `after` is yielded; an event up to `after` is not
    if (!forgotten && (version < after || (version === after && events.length > 0))) continue;
    const time = new Date(message.time);
    if (fault !== undefined) yield { fault, position: positionOf(message.sequence, 0), time };
    if (group === undefined) continue;
    const { version: before } = group;
    const commands = group.commands.flatMap((command) => Array.from({ length: command.events }, () => command));
    for (const [index, event] of events.entries()) {
      if (!forgotten && before + index + 1 <= after) continue;
      const { name, id, correlation, headers } = commands[index];
      yield {
        version: forgotten ? undefined : before + index + 1,
        event: event.category,
        position: event.position,
        time,
        id: event.id,
        command: name === "" ? undefined : { name, id },
        correlationId: correlation,
        headers,
        payload: payloadOf(event),
      };
    }
  }
}

/** A message of the entity's subject, as nodes interpret it. */
interface HistoryStep {
  readonly message: StoredMessage;
  /** The parsed message; `undefined`: it is unreadable. */
  readonly group: EntityGroup | undefined;
  /** Events of the message that nodes apply. */
  readonly events: readonly LoggedMessage[];
  readonly fault: string | undefined;
  /** Version of the entity after this message. */
  readonly version: number;
  readonly forgotten: boolean;
}

/**
 * Interprets the entity's messages as nodes do (`src/entities/`): a message that does not continue the events before
 * it is skipped.
 */
async function* steps({ namespace, stream, type, id }: EntityPlace): AsyncGenerator<HistoryStep> {
  let [version, forgotten] = [0, false];
  const subject = entitySubject(namespace, type, id);
  for await (const message of messagesFrom(stream, subject, 1, MAX_BATCH)) {
    const group = readEntityGroup(namespace, message);
    if ("reason" in group) {
      yield { message, group: undefined, events: [], fault: group.reason, version, forgotten };
      continue;
    }
    const { messages: all } = group;
    let [events, fault]: [readonly LoggedMessage[], string?] = [all];
    if (saysForgotten(group)) {
      [version, forgotten] = [group.version, true];
      events = all.slice(0, 1);
    } else if (forgotten || group.version < version) {
      fault = `it continues version ${group.version}; the entity ${forgotten ? "was forgotten" : `is at ${version}`}`;
      events = [];
    } else {
      if (group.version > version) fault = `events ${version + 1} to ${group.version} are missing`;
      version = group.version + all.length;
    }
    yield { message, group, events, fault, version, forgotten };
  }
}

/**
 * Returns the entity's snapshot if it belongs to the events of this stream; a string: why it is not used; `undefined`:
 * there is none. `last`: sequence of the entity's last message.
 */
async function snapshotOf(
  { stream, snapshots, type, id }: EntityPlace,
  last: number,
): Promise<EntitySnapshot | string | undefined> {
  const keys = snapshots === undefined ? [] : snapshotKeys(type, id);
  const entries = await Promise.all(keys.map((key) => snapshots!.get(key)));
  const found = entries.flatMap((entry) => entry === undefined ? [] : readSnapshotText(entry.value) ?? UNREADABLE);
  if (found.length === 0) return undefined;
  const { created } = await stream.state() ?? {};
  const fitting = found.filter((read) => typeof read === "object" && read.id === id && read.created === created);
  // different program versions may each have made a snapshot: the latest one is returned
  const [read] = (fitting as SnapshotText[]).filter(({ sequence }) => sequence <= last).toSorted((a, b) =>
    b.version - a.version
  );
  if (read === undefined) return found.every((each) => each === UNREADABLE) ? UNREADABLE : "it is not of these events";
  try {
    const value = read.state === "" ? undefined : decodeText(read.state);
    return { version: read.version, definition: read.definition, state: value };
  } catch {
    return "its state cannot be read";
  }
}

const UNREADABLE = "it cannot be read";

function dateOf(time: number | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(time);
}

/** Number of messages that are read at once; each may have 1 MB or more. */
const MAX_BATCH = 100;
