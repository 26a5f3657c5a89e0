/**
 * History of one entity, for operators: its events in order with what caused them, and its snapshot. Its state is what
 * the `apply` functions of a program make of the events, and not known here, apart from that of the snapshot. Anything
 * may stand in the stream: what nodes pass over is reported as such, with the reason.
 */
import { REDACT_HEADER } from "../../contract/redaction.ts";
import { decodeText } from "../../data/encoding.ts";
import { type LogStream, messagesFrom, type StoredMessage } from "../../ports/event_log.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { type EntityGroup, readEntityGroup, saysForgotten } from "../format/entity_group.ts";
import { type LoggedMessage, payloadOf } from "../format/logged_message.ts";
import { entitySubject, snapshotKeys } from "../format/names.ts";
import { positionOf } from "../format/group_text.ts";
import { readSnapshotText, type SnapshotText } from "../format/snapshot_text.ts";

/** An entity and its stream. */
export interface EntityPlace {
  readonly namespace: string;
  readonly stream: LogStream;
  /** The bucket of snapshots; `undefined`: there is none. */
  readonly snapshots: Bucket | undefined;
  readonly type: string;
  readonly id: string;
}

/** An entity as a whole. */
export interface EntityInfo {
  /** How many events it has had. */
  readonly version: number;
  /** When its first event was stored; `undefined` for one that was forgotten, whose events are gone. */
  readonly created: Date | undefined;
  /** When its last event was stored, or that it was forgotten. */
  readonly changed: Date | undefined;
  readonly forgotten: boolean;
  /** A string: why it is not used. */
  readonly snapshot: EntitySnapshot | string | undefined;
  /** True if tools hide members of an event of it, and so the state, which was made of them. */
  readonly redacts: boolean;
}

/** A state that was stored. */
export interface EntitySnapshot {
  /** How many events are part of the state. */
  readonly version: number;
  /** The `version` of the definition that made it. */
  readonly definition: number;
  readonly state: unknown;
}

/** An event of an entity. */
export interface StoredEntityEvent {
  /** The number of the event; `undefined` for the one that says that the entity was forgotten. */
  readonly version: number | undefined;
  /** The name of its contract. */
  readonly event: string;
  readonly position: number;
  readonly time: Date;
  readonly id: string;
  /** The command that emitted it; `undefined` for the one that says that the entity was forgotten. */
  readonly command: { readonly name: string; readonly id: string } | undefined;
  readonly correlationId: string | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly payload: unknown;
}

/** A message of the entity's subject that nodes pass over, or events that are missing. */
export interface EntityFault {
  readonly fault: string;
  readonly position: number;
  readonly time: Date;
}

/**
 * The entity as a whole; `undefined`: nothing is stored of it. Reads all of its messages. Rejects as `LogStream.read`.
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

/** Its events behind a version, in order, and what is wrong in between. Rejects as `LogStream.read`. */
export async function* entityEvents(
  place: EntityPlace,
  { after = 0 }: { readonly after?: number } = {},
): AsyncGenerator<StoredEntityEvent | EntityFault> {
  for await (const { message, group, events, fault, version, forgotten } of steps(place)) {
    // what cannot be read behind that version comes with what follows it
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

/** A message of the entity's subject, and what nodes make of it. */
interface HistoryStep {
  readonly message: StoredMessage;
  /** `undefined` if it cannot be read. */
  readonly group: EntityGroup | undefined;
  /** Events that are applied. */
  readonly events: readonly LoggedMessage[];
  readonly fault: string | undefined;
  /** Version of the entity after this message. */
  readonly version: number;
  readonly forgotten: boolean;
}

/** As `entities/` takes them: a message that does not continue the events before it is passed over. */
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

/** Its snapshot, if it is of this stream. `last`: the sequence of its last message. */
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
  // the latest one of those that program versions have made
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

/** Messages that are read at once: each may have 1 MB, or more. */
const MAX_BATCH = 100;
