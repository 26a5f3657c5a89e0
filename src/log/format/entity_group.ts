/**
 * A message of the stream of entities: all that one command emitted, as `[1, endpoint, first, sentAt, head, item, …]`, with up to 512 items (none
 * in one that only keeps earlier appends from being stored) of the form `[event, payload, form]`. The entity is in the subject; the head is
 * `[version, command, fingerprint, result, correlation, headers, name]`. What a command emitted is one message, so that it is stored as
 * a whole or not at all.
 *
 * Nothing that was stored is trusted: a message is read as a whole or not at all.
 */
import { isContractName } from "../../contract/contract.ts";
import { isStrings } from "../../data/is_strings.ts";
import { isCount } from "../../data/numbers.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import {
  formOf,
  GROUP_VERSION,
  parseGroup,
  PLAIN,
  TAGGED,
  UNDEFINED,
  unreadable,
  type UnreadableGroup,
  whyNoPayload,
} from "./group_text.ts";
import type { LoggedMessage, LoggedMeta } from "./logged_message.ts";
import { readEntitySubject } from "./names.ts";
import { MOST_IN_GROUP, positionOf } from "./position.ts";

/** What all events of a message have in common: the command that emitted them. */
export interface EntityHead {
  /** How many events the entity had before. */
  readonly version: number;
  /** The id of the command; in a message without events the send whose attempts are over; empty in the one that says that the entity is forgotten. */
  readonly command: string;
  /** Of the command's payload. */
  readonly fingerprint: string;
  /** The command's result as `encodeValue` writes it; `undefined` for the result `undefined`. */
  readonly result: string | undefined;
  /** The correlation id. */
  readonly correlation: string | undefined;
  /** The headers that go on with what handlers send. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** The name of the command's contract; empty in a message that no command emitted. */
  readonly name: string;
}

/** The head of a message that no command emitted. `send`: the one whose attempts are over. */
export function headWithoutCommand(version: number, send = ""): EntityHead {
  return {
    version,
    command: send,
    fingerprint: "",
    result: undefined,
    correlation: undefined,
    headers: undefined,
    name: "",
  };
}

/** Who makes a message, and when. */
export interface EntityOrigin {
  /** The process. */
  readonly endpoint: string;
  /** The number of the first event among all that this process emits. */
  readonly first: number;
  /** By its wall clock, in ms since 1970. */
  readonly sentAt: number;
}

/** An event that is to be written. */
export interface EntityItem {
  /** The name of the contract without that of the entity. */
  readonly event: string;
  /** Its payload, as `encodeValue` writes it; `undefined` for the payload `undefined`. */
  readonly text: string | undefined;
}

/** A message as it was read. */
export interface EntityGroup {
  readonly type: string;
  readonly id: string;
  readonly head: EntityHead;
  /** As subscribers get them. */
  readonly messages: readonly LoggedMessage[];
}

/** The event that remains of an entity that was forgotten; its payload is `{ id }`. */
export const FORGOTTEN_EVENT = "forgotten";

/** Whether a message says that its entity is forgotten. */
export function saysForgotten({ type, head, messages }: EntityGroup): boolean {
  return head.command === "" && messages[0]?.category === `${type}.${FORGOTTEN_EVENT}`;
}

/** The text of a message. */
export function entityGroupText(
  { endpoint, first, sentAt }: EntityOrigin,
  { version, command, fingerprint, result, correlation, headers, name }: EntityHead,
  items: readonly EntityItem[],
): string {
  const head = JSON.stringify([
    version,
    command,
    fingerprint,
    result ?? null,
    correlation ?? null,
    headers ?? null,
    name,
  ]);
  const after = items.length === 0 ? "" : `,${items.map(itemText).join()}`;
  return `[${GROUP_VERSION},${JSON.stringify(endpoint)},${first},${sentAt},${head}${after}]`;
}

/** What a message of the stream of entities holds, or why it cannot be read. Never throws. `entity`: whose subject it has, if that is known. */
export function readEntityGroup(
  namespace: string,
  message: Pick<StoredMessage, "sequence" | "subject" | "time" | "data">,
  entity: { readonly type: string; readonly id: string } | undefined = readEntitySubject(namespace, message.subject),
): EntityGroup | UnreadableGroup {
  if (entity === undefined) return unreadable("its subject is not that of an entity");
  const parsed = parseGroup(message.data);
  if ("reason" in parsed) return parsed;
  const { endpoint, first, items } = parsed;
  const head = readHead(parsed.head);
  if (head === undefined) return unreadable("its head is malformed");
  if (items.length > MOST_IN_GROUP) return unreadable(`it has ${items.length} events; ${MOST_IN_GROUP} at most`);
  const { type, id } = entity;
  const { command, correlation, headers } = head;
  const meta: LoggedMeta = {
    c: correlation ?? command,
    ...(command === "" ? {} : { a: command }),
    ...(headers === undefined ? {} : { h: headers }),
    k: 0,
  };
  const messages: LoggedMessage[] = new Array(items.length);
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    const wrong = whyMalformed(type, item);
    if (wrong !== undefined) return unreadable(`event ${index}: ${wrong}`);
    const [event, payload, form] = item as readonly [string, unknown, (0 | 1 | 2)?];
    messages[index] = {
      position: positionOf(message.sequence, index),
      category: `${type}.${event}`,
      id: `${endpoint}.v${first + index}`,
      key: id,
      payload: form === UNDEFINED ? undefined : payload,
      tagged: form === TAGGED,
      meta,
      time: message.time,
    };
  }
  return { type, id, head, messages };
}

/** Longest id of a command, in characters: that of users (256), and what is made. */
const MAX_ID = 512;

function itemText({ event, text }: EntityItem): string {
  const [name, form] = [JSON.stringify(event), formOf(text)];
  if (form === PLAIN) return `[${name},${text}]`;
  return `[${name},${form === TAGGED ? JSON.stringify(text) : "null"},${form}]`;
}

/** `undefined` for a malformed one. */
function readHead(value: unknown): EntityHead | undefined {
  if (!Array.isArray(value) || value.length !== 7) return undefined;
  const [version, command, fingerprint, result, correlation, headers, name] = value;
  if (!isCount(version)) return undefined;
  if (typeof command !== "string" || command.length > MAX_ID || typeof fingerprint !== "string") return undefined;
  if (fingerprint.length > MAX_ID || (result !== null && typeof result !== "string")) return undefined;
  if (correlation !== null && typeof correlation !== "string") return undefined;
  if (headers !== null && !isStrings(headers)) return undefined;
  if (typeof name !== "string" || (name !== "" && !isContractName(name))) return undefined;
  return {
    version,
    command,
    fingerprint,
    result: result ?? undefined,
    correlation: correlation ?? undefined,
    headers: headers ?? undefined,
    name,
  };
}

/** What is wrong with an item; `undefined`: nothing. */
function whyMalformed(type: string, item: unknown): string | undefined {
  if (!Array.isArray(item) || item.length < 2 || item.length > 3) return "it is not an array of 2 or 3 elements";
  const [event, payload, form] = item;
  if (typeof event !== "string" || !isContractName(`${type}.${event}`)) return "its name is not that of an event";
  return whyNoPayload(payload, form);
}
