/**
 * A message of the stream of entities: the events of one or several commands of one entity, stored together, as `[1,
 * endpoint, first, sentAt, [version, command, …], item, …]`. The entity is in the subject. A command is `[name, id,
 * events, result, fingerprint, correlation, headers]` without `null`s at its end, an item `[event, payload, form]`: up
 * to 512 of each, the items in the order of their commands. All events of a command are in one message, so that they
 * are stored as a whole or not at all. A command without a name prevents the other attempts of a send from being
 * applied, or, if it has no id either, says that the entity is forgotten. Stored messages are not trusted: a message is
 * read as a whole or not at all.
 *
 * Behind the commands the head may have `["", "", 0, null, shapes]`: the shapes of the events at their writer. `shapes`
 * has 8 characters for each event name of the message, in the order in which the names first occur: the shape, or dots.
 */
import { isContractName } from "../../contract/declaration/contract.ts";
import { isShape, SHAPE_LENGTH } from "../../contract/schemas/shape.ts";
import { decodeText } from "../../data/encoding.ts";
import { SEALED } from "../../data/tags.ts";
import { isCount, isStrings } from "../../data/checks.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import {
  formOf,
  GROUP_VERSION,
  KnownNames,
  MAX_ITEMS_IN_GROUP,
  NEWEST_GROUP_VERSION,
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

/** A command whose events are stored in a message. */
export interface EntityCommand {
  /** Name of the command's contract; empty: no command emitted the message (see `withoutName`). */
  readonly name: string;
  /**
   * Id of the command. If the command has no name: id of the send whose attempts are over, or empty, if the message
   * says that the entity is forgotten.
   */
  readonly id: string;
  /** Number of the message's events that this command emitted. */
  readonly events: number;
  /** Result of the command, as text of `encodeValue`; `undefined`: the command's result is the value `undefined`. */
  readonly result: string | undefined;
  /**
   * Fingerprint of the command's payload; `undefined`: Catga made the command's id, so no other payload has this id.
   */
  readonly fingerprint: string | undefined;
  /** Correlation id of the command; absent: the command's own id. */
  readonly correlation: string | undefined;
  /** Headers of the command that are passed on with messages sent by handlers. */
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** The process that published a message of an entity, and when. */
export interface EntityOrigin {
  /** Endpoint of the publishing process. */
  readonly endpoint: string;
  /**
   * Sequence number of the message's first event within the publishing process; no two messages of a process have the
   * same number.
   */
  readonly first: number;
  /** Time at which the publishing process made the message, by its wall clock, in ms since 1970. */
  readonly sentAt: number;
  /** Version of the format. Default: {@link GROUP_VERSION}. */
  readonly format?: number | undefined;
}

/** A message of the stream of entities, parsed and checked. */
export interface EntityMessage {
  /** Unique identity of the message, as {@link markOf} makes it. */
  readonly mark: string;
  readonly endpoint: string;
  readonly first: number;
  /** Number of events of the entity before this message. */
  readonly version: number;
  readonly commands: readonly EntityCommand[];
  readonly items: readonly StoredItem[];
  /** The shapes of the events' contracts at their writer, as {@link shapesText} writes them; `undefined`: unknown. */
  readonly shapes: string | undefined;
}

/**
 * A stored event: the event's name (without the entity's name), its payload, and the payload's form ({@link PLAIN},
 * {@link TAGGED} or {@link UNDEFINED}).
 */
export type StoredItem = readonly [event: string, payload: unknown, form?: 0 | 1 | 2];

/** A message of the stream of entities as subscribers receive it. */
export interface EntityGroup extends Omit<EntityMessage, "items" | "shapes"> {
  readonly messages: readonly LoggedMessage[];
}

/** Name of the only event that remains of a forgotten entity; the event's payload is `{ id }`. */
export const FORGOTTEN_EVENT = "forgotten";

/**
 * Makes the mark that identifies a message: its publisher's endpoint and the number of its first event, which no
 * other message shares.
 */
export function markOf({ endpoint, first }: Pick<EntityOrigin, "endpoint" | "first">): string {
  return `${endpoint}.${first}`;
}

/** Returns true if a message says that its entity is forgotten. */
export function saysForgotten({ commands: [{ name, id, events }] }: Pick<EntityMessage, "commands">): boolean {
  return name === "" && id === "" && events === 1;
}

/** Encodes a command for {@link entityGroupText}. */
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
 * Encodes an event for {@link entityGroupText}. `event`: a name that `isContractName` accepts. `text`: the payload as
 * `encodeValue` writes it; `undefined` for the payload `undefined`.
 */
export function eventText(event: string, text: string | undefined): string {
  const form = formOf(text);
  if (form === PLAIN) return `["${event}",${text}]`;
  return `["${event}",${form === TAGGED ? JSON.stringify(text) : "null"},${form}]`;
}

/**
 * Encodes the shapes of events for {@link entityGroupText}. `shapes`: of each event name of the message, in the order
 * in which the names first occur; `undefined`: the event has no shape.
 */
export function shapesText(shapes: readonly (string | undefined)[]): string {
  return shapes.every((shape) => shape === undefined) ? "" : shapes.map((shape) => shape ?? NO_SHAPE).join("");
}

/**
 * Encodes a message of the stream of entities from texts of {@link commandText}, {@link eventText} and
 * {@link shapesText}.
 */
export function entityGroupText(
  { endpoint, first, sentAt, format = GROUP_VERSION }: EntityOrigin,
  version: number,
  commands: readonly string[],
  events: readonly string[],
  shapes = "",
): string {
  const after = events.length === 0 ? "" : `,${events.join()}`;
  const behind = shapes === "" ? "" : `,["","",0,null,"${shapes}"]`;
  return `[${format},"${endpoint}",${first},${sentAt},[${version},${commands.join()}${behind}]${after}]`;
}

/**
 * Makes the nameless command of a message that ends the attempts of a send. An empty `send`: the message says that
 * the entity is forgotten.
 */
export function withoutName(send: string): EntityCommand {
  return {
    ...{ name: "", id: send, events: send === "" ? 1 : 0, result: undefined, fingerprint: undefined },
    ...{ correlation: undefined, headers: undefined },
  };
}

/**
 * Parses and checks a message of the stream of entities. `known`: names already checked, shared by calls for messages
 * of one entity type, for speed. Never throws.
 */
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
  if (items.length > MAX_ITEMS_IN_GROUP) {
    return unreadable(`it has ${items.length} events; ${MAX_ITEMS_IN_GROUP} at most`);
  }
  const commands: EntityCommand[] = [];
  let events = 0;
  for (let i = 1; i < head.length; i++) {
    const command = readCommand(head[i], known);
    if (command === undefined) return unreadable("its head is malformed");
    events += command.events;
    commands.push(command);
  }
  const shapes = commands.length > 1 ? shapesIn(commands.at(-1)!) : undefined;
  if (shapes !== undefined) commands.pop();
  if (events !== items.length) return unreadable(`it has ${items.length} events; its commands emitted ${events}`);
  for (let index = 0; index < items.length; index++) {
    const wrong = whyMalformed(type, items[index], known);
    if (wrong !== undefined) return unreadable(`event ${index}: ${wrong}`);
  }
  // the casts are safe, because `whyMalformed` has found no malformed item
  return {
    mark: markOf({ endpoint, first }),
    endpoint,
    first,
    version,
    commands,
    items: items as readonly StoredItem[],
    shapes,
  };
}

/**
 * Decodes the payload of an event. Throws if the payload's text cannot be decoded, which can happen only if the event
 * was not emitted by a handler: anybody with access can write to the stream.
 */
export function payloadOf([, payload, form]: StoredItem): unknown {
  return form === UNDEFINED ? undefined : form === TAGGED ? decodeText(payload as string) : payload;
}

/** Returns true if a message has a payload or result that a codec encoded, and that was not decoded here. */
export function isSealedMessage({ items, commands }: EntityMessage): boolean {
  return items.some(isSealedItem) || commands.some(({ result }) => result?.startsWith(SEALED));
}

/** Returns true if a codec encoded the payload of a stored event, and it was not decoded here. */
export function isSealedItem([, payload, form]: StoredItem): boolean {
  return form === TAGGED && (payload as string).startsWith(SEALED);
}

/** Reads a message of the stream of entities. Returns the reason if it cannot be read. Never throws. */
export function readEntityGroup(
  namespace: string,
  message: Pick<StoredMessage, "sequence" | "subject" | "time" | "data">,
): EntityGroup | UnreadableGroup {
  const entity = readEntitySubject(namespace, message.subject);
  if (entity === undefined) return unreadable("its subject is not that of an entity");
  const { type, id } = entity;
  const read = readEntityMessage(type, message.data);
  if ("reason" in read) return read;
  const { mark, endpoint, first, version, commands, items, shapes } = read;
  const shapeOf = shapes === undefined ? undefined : shapesByEvent(items, shapes);
  const messages: LoggedMessage[] = [];
  for (const command of commands) {
    let meta = metaOf(command, undefined);
    for (let n = 0; n < command.events; n++) {
      const index = messages.length;
      const [event, payload, form] = items[index];
      const shape = shapeOf?.get(event);
      if (meta.w !== shape) meta = metaOf(command, shape);
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
 * Returns a predicate for stored messages: true if the message has a known format version, has no event of these
 * contracts, and does not say that an entity is forgotten.
 * The predicate searches the text, which is cheaper than parsing it, because most messages have no event for the
 * subscription that reads them: for the subscription of a workflow, three in four.
 */
export function withoutEvents(categories: Iterable<string>): (data: Uint8Array) => boolean {
  const begins = [GROUP_VERSION, NEWEST_GROUP_VERSION].map((version) => `[${version},"`);
  const names = [...categories].map((category) => category.slice(category.indexOf(".") + 1));
  const events = [...names, FORGOTTEN_EVENT].map((name) => `[${JSON.stringify(name)},`);
  return (data) => {
    const text = decoder.decode(data);
    return begins.some((begin) => text.startsWith(begin)) && !events.some((event) => text.includes(event));
  };
}

const decoder = new TextDecoder();

/** Maximum length of a command's id, in characters: 256 for ids given by users, and more that Catga adds. */
const MAX_ID = 512;

/** Stands for the shape of an event that has none. */
const NO_SHAPE = ".".repeat(SHAPE_LENGTH);

/** `shape`: the shape of the event's contract at its writer; `undefined`: unknown. */
function metaOf({ id, correlation, headers }: EntityCommand, shape: string | undefined): LoggedMeta {
  return {
    c: correlation ?? id,
    ...(id === "" ? {} : { a: id }),
    ...(headers === undefined ? {} : { h: headers }),
    k: 0,
    ...(shape === undefined ? {} : { w: shape }),
  };
}

/**
 * Returns the text of {@link shapesText} that stands in place of the last command; `undefined`: it is a command. The
 * text is not checked: a node that finds an entity unreadable where others read it would decide on another state.
 */
function shapesIn({ name, id, events, fingerprint }: EntityCommand): string | undefined {
  return name === "" && id === "" && events === 0 ? fingerprint : undefined;
}

/** Returns the shapes of events by name, as far as they are known. */
function shapesByEvent(items: readonly StoredItem[], shapes: string): ReadonlyMap<string, string | undefined> {
  const byEvent = new Map<string, string | undefined>();
  for (const [event] of items) {
    if (byEvent.has(event)) continue;
    const shape = shapes.slice(byEvent.size * SHAPE_LENGTH, (byEvent.size + 1) * SHAPE_LENGTH);
    byEvent.set(event, isShape(shape) ? shape : undefined);
  }
  return byEvent;
}

/** Parses a command of a stored message; `undefined`: malformed. */
function readCommand(value: unknown, known: KnownNames): EntityCommand | undefined {
  if (!Array.isArray(value) || value.length < 3 || value.length > 7) return undefined;
  const [name, id, events, result, fingerprint, correlation, headers] = value;
  if (name !== known.command && name !== "") {
    if (typeof name !== "string" || !isContractName(name)) return undefined;
    known.command = name;
  }
  if (typeof id !== "string" || id.length > MAX_ID || !isCount(events)) return undefined;
  if (!isText(result) || !isText(fingerprint) || !isText(correlation)) return undefined;
  if (headers !== undefined && headers !== null && !isStrings(headers)) return undefined;
  // the members are named one by one, because a spread is slower and a load reads thousands of commands
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

/** Returns why a stored event is invalid; `undefined`: it is valid. */
function whyMalformed(type: string, item: unknown, known: KnownNames): string | undefined {
  if (!Array.isArray(item) || item.length < 2 || item.length > 3) return "it is not an array of 2 or 3 elements";
  const [event, payload, form] = item;
  if (event !== known.event) {
    if (typeof event !== "string" || !isContractName(`${type}.${event}`)) return "its name is not that of an event";
    known.event = event;
  }
  return whyNoPayload(payload, form);
}
