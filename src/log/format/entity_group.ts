/**
 * A message of the stream of entities: what commands of one entity emitted that were stored together, as `[1, endpoint,
 * first, sentAt, [version, command, …], item, …]`. The entity is in the subject. A command is `[name, id, events,
 * result, fingerprint, correlation, headers]` without what is `null` at its end, an item `[event, payload, form]`: up
 * to 512 of each, the items in the order of their commands. What a command emitted is in one message, so that it is
 * stored as a whole or not at all. A command without a name keeps the other attempts of a send from being applied, or,
 * without an id, too, says that the entity is forgotten.
 *
 * Nothing that was stored is trusted: a message is read as a whole or not at all.
 */
import { isContractName } from "../../contract/contract.ts";
import { decodeText } from "../../data/encoding.ts";
import { isCount, isStrings } from "../../data/checks.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import {
  formOf,
  GROUP_VERSION,
  KnownNames,
  MOST_IN_GROUP,
  orNull,
  parseGroup,
  PLAIN,
  positionOf,
  TAGGED,
  UNDEFINED,
  unreadable,
  type UnreadableGroup,
  whyNoPayload,
} from "./group_text.ts";
import type { LoggedMessage, LoggedMeta } from "./logged_message.ts";
import { readEntitySubject } from "./names.ts";

/** A command whose events are in a message. */
export interface EntityCommand {
  /** The name of its contract; empty for what no command emitted. */
  readonly name: string;
  /** Its id; without a name the send whose attempts are over, or nothing: the entity is forgotten. */
  readonly id: string;
  /** How many of the message's events are its own. */
  readonly events: number;
  /** Its result as `encodeValue` writes it; `undefined` for the result `undefined`. */
  readonly result: string | undefined;
  /** Fingerprint of its payload; `undefined`: Catga made its id, which no other payload has. */
  readonly fingerprint: string | undefined;
  /** The correlation id, if it is not its own. */
  readonly correlation: string | undefined;
  /** The headers that go on with what handlers send. */
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** Publisher of a message, and time. */
export interface EntityOrigin {
  /** The process. */
  readonly endpoint: string;
  /** The number of the first event among all that this process emits; no two of its messages have the same. */
  readonly first: number;
  /** By its wall clock, in ms since 1970. */
  readonly sentAt: number;
}

/** A message, parsed and checked. */
export interface EntityMessage {
  /** The message among all that there ever were: its publisher and that one's number, as {@link markOf} makes it. */
  readonly mark: string;
  readonly endpoint: string;
  readonly first: number;
  /** How many events the entity had before. */
  readonly version: number;
  readonly commands: readonly EntityCommand[];
  readonly items: readonly StoredItem[];
}

/** An event as it is stored: the name of its contract without that of the entity, the payload, and the form of that. */
export type StoredItem = readonly [event: string, payload: unknown, form?: 0 | 1 | 2];

/** A message as subscribers get it. */
export interface EntityGroup extends Omit<EntityMessage, "items"> {
  readonly messages: readonly LoggedMessage[];
}

/** The event that remains of an entity that was forgotten; its payload is `{ id }`. */
export const FORGOTTEN_EVENT = "forgotten";

/** Mark of a message: no two have the same publisher and number. */
export function markOf({ endpoint, first }: Pick<EntityOrigin, "endpoint" | "first">): string {
  return `${endpoint}.${first}`;
}

/** Returns true if a message says that its entity is forgotten. */
export function saysForgotten({ commands: [{ name, id, events }] }: Pick<EntityMessage, "commands">): boolean {
  return name === "" && id === "" && events === 1;
}

/** A command as text, for {@link entityGroupText}. */
export function commandText({ name, id, events, result, fingerprint, correlation, headers }: EntityCommand): string {
  let text = `["${name}",${JSON.stringify(id)},${events}`;
  const last = headers !== undefined ? 4 : correlation !== undefined ? 3 : fingerprint !== undefined ? 2 : 1;
  if (last > 1 || result !== undefined) text += `,${orNull(result)}`;
  if (last > 1) text += `,${orNull(fingerprint)}`;
  if (last > 2) text += `,${orNull(correlation)}`;
  if (last > 3) text += `,${JSON.stringify(headers)}`;
  return `${text}]`;
}

/**
 * An event as text, for {@link entityGroupText}. `event`: its name, as `isContractName` has it; `text`: its payload, as
 * `encodeValue` writes it; `undefined` for the payload `undefined`.
 */
export function eventText(event: string, text: string | undefined): string {
  const form = formOf(text);
  if (form === PLAIN) return `["${event}",${text}]`;
  return `["${event}",${form === TAGGED ? JSON.stringify(text) : "null"},${form}]`;
}

/** The text of a message, of texts of {@link commandText} and {@link eventText}. */
export function entityGroupText(
  { endpoint, first, sentAt }: EntityOrigin,
  version: number,
  commands: readonly string[],
  events: readonly string[],
): string {
  const after = events.length === 0 ? "" : `,${events.join()}`;
  return `[${GROUP_VERSION},"${endpoint}",${first},${sentAt},[${version},${commands.join()}]${after}]`;
}

/** The command of a message that ends a send, or, without one, says that the entity is forgotten. */
export function withoutName(send: string): EntityCommand {
  return {
    ...{ name: "", id: send, events: send === "" ? 1 : 0, result: undefined, fingerprint: undefined },
    ...{ correlation: undefined, headers: undefined },
  };
}

/** Parses and checks a message. `known`: for several of one type. Never throws. */
export function readEntityMessage(
  type: string,
  data: Uint8Array,
  known: KnownNames = new KnownNames(),
): EntityMessage | UnreadableGroup {
  const parsed = parseGroup(data, known);
  if ("reason" in parsed) return parsed;
  const { endpoint, first, head, items } = parsed;
  if (!Array.isArray(head) || head.length < 2 || !isCount(head[0])) return unreadable("its head is malformed");
  const [version] = head;
  if (items.length > MOST_IN_GROUP) return unreadable(`it has ${items.length} events; ${MOST_IN_GROUP} at most`);
  const commands: EntityCommand[] = [];
  let events = 0;
  for (let i = 1; i < head.length; i++) {
    const command = readCommand(head[i], known);
    if (command === undefined) return unreadable("its head is malformed");
    events += command.events;
    commands.push(command);
  }
  if (events !== items.length) return unreadable(`it has ${items.length} events; its commands emitted ${events}`);
  for (let index = 0; index < items.length; index++) {
    const wrong = whyMalformed(type, items[index], known);
    if (wrong !== undefined) return unreadable(`event ${index}: ${wrong}`);
  }
  // all of them are well formed
  return {
    mark: markOf({ endpoint, first }),
    endpoint,
    first,
    version,
    commands,
    items: items as readonly StoredItem[],
  };
}

/** The payload of an event. Throws for a tagged text that cannot be decoded: no handler's event was stored so. */
export function payloadOf([, payload, form]: StoredItem): unknown {
  return form === UNDEFINED ? undefined : form === TAGGED ? decodeText(payload as string) : payload;
}

/** Reads a message of the stream of entities; returns the reason if it cannot be read. Never throws. */
export function readEntityGroup(
  namespace: string,
  message: Pick<StoredMessage, "sequence" | "subject" | "time" | "data">,
): EntityGroup | UnreadableGroup {
  const entity = readEntitySubject(namespace, message.subject);
  if (entity === undefined) return unreadable("its subject is not that of an entity");
  const { type, id } = entity;
  const read = readEntityMessage(type, message.data);
  if ("reason" in read) return read;
  const { mark, endpoint, first, version, commands, items } = read;
  const messages: LoggedMessage[] = [];
  for (const command of commands) {
    const meta = metaOf(command);
    for (let n = 0; n < command.events; n++) {
      const index = messages.length;
      const [event, payload, form] = items[index];
      messages.push({
        position: positionOf(message.sequence, index),
        category: `${type}.${event}`,
        id: `${endpoint}.v${first + index}`,
        key: id,
        payload: form === UNDEFINED ? undefined : payload,
        tagged: form === TAGGED,
        meta,
        time: message.time,
      });
    }
  }
  return { mark, endpoint, first, version, commands, messages };
}

/**
 * Returns a test for messages of this version that have no event of these categories. It searches the text instead of
 * parsing it: a subscription follows few of the messages of an entity, the leader of a workflow one in four.
 */
export function withoutEvents(categories: Iterable<string>): (data: Uint8Array) => boolean {
  const begins = `[${GROUP_VERSION},"`;
  const events = [...categories].map((category) => `[${JSON.stringify(category.slice(category.indexOf(".") + 1))},`);
  return (data) => {
    const text = decoder.decode(data);
    return text.startsWith(begins) && !events.some((event) => text.includes(event));
  };
}

const decoder = new TextDecoder();

/** Longest id of a command, in characters: that of users (256), and what is made. */
const MAX_ID = 512;

function metaOf({ id, correlation, headers }: EntityCommand): LoggedMeta {
  return {
    c: correlation ?? id,
    ...(id === "" ? {} : { a: id }),
    ...(headers === undefined ? {} : { h: headers }),
    k: 0,
  };
}

/** `undefined` for a malformed one. */
function readCommand(value: unknown, known: KnownNames): EntityCommand | undefined {
  if (!Array.isArray(value) || value.length < 3 || value.length > 7) return undefined;
  const [name, id, events, result, fingerprint, correlation, headers] = value;
  if (name !== known.command) {
    if (typeof name !== "string" || (name !== "" && !isContractName(name))) return undefined;
    known.command = name;
  }
  if (typeof id !== "string" || id.length > MAX_ID || !isCount(events)) return undefined;
  if (!isText(result) || !isText(fingerprint) || !isText(correlation)) return undefined;
  if (headers !== undefined && headers !== null && !isStrings(headers)) return undefined;
  // not by spreading: a load reads thousands of them
  return {
    name,
    id,
    events,
    result: result ?? undefined,
    fingerprint: fingerprint ?? undefined,
    correlation: correlation ?? undefined,
    headers: headers ?? undefined,
  };
}

function isText(value: unknown): value is string | null | undefined {
  return value === undefined || value === null || typeof value === "string";
}

/** Reason why an item is invalid; `undefined`: it is valid. */
function whyMalformed(type: string, item: unknown, known: KnownNames): string | undefined {
  if (!Array.isArray(item) || item.length < 2 || item.length > 3) return "it is not an array of 2 or 3 elements";
  const [event, payload, form] = item;
  if (event !== known.event) {
    if (typeof event !== "string" || !isContractName(`${type}.${event}`)) return "its name is not that of an event";
    known.event = event;
  }
  return whyNoPayload(payload, form);
}
