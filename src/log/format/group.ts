/**
 * A message of the stream: it contains the messages that one process published in one category (of one contract) while
 * that process's previous message of the stream was being stored. It is a JSON text, `[1, endpoint, first, sentAt,
 * head, item, …]`, with up to 512 items of the form `[payload, key, id, meta, form]`, whose trailing defaults are left
 * out; `form` says how the payload is encoded ({@link formOf}). The category is in the subject. A firing schedule
 * appends such a message with one item, and its head names the schedule. Stored messages are not trusted: a message is
 * read as a whole or not at all.
 */
import { isShape } from "../../contract/schemas/shape.ts";
import { isCount, isRecord, isStringArray } from "../../data/checks.ts";
import { type CountedCron, dueOfFiring, isNeedlessFiring, parseCron } from "../../data/cron.ts";
import { parsedJson } from "../../data/encoding.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import { readEntityGroup } from "./entity_group.ts";
import {
  formOf,
  GROUP_VERSION,
  MAX_ITEMS_IN_GROUP,
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
import { type LoggedMessage, type LoggedMeta, whyNoMeta } from "./logged_message.ts";
import { categoryOf } from "./names.ts";

/** Members that all items of a stored message share. */
export interface GroupHead {
  /** Endpoint of the process that published the message. */
  readonly endpoint: string;
  /**
   * Sequence number of the message's first item within the publishing process; an item without an id gets one made
   * from this number.
   */
  readonly first: number;
  /** Time at which the publishing process made the message, by its wall clock, in ms since 1970. */
  readonly sentAt: number;
  /** Time for which the message is kept, in ms; `undefined`: 7 days; 0: for ever. */
  readonly keep: number | undefined;
  /**
   * The schedule that appended the message; `undefined`: a process published it. `counted`: its cron, if nats-server
   * also fires it at times that Catga does not promise, around changes to and from daylight saving time
   * ({@link isNeedlessFiring}); readers skip these firings.
   */
  readonly schedule: GroupSchedule | undefined;
  /** True if the message has queued commands, not events. */
  readonly queued?: boolean;
  /** Name of the contract's shape at the publisher; `undefined`: unknown. */
  readonly shape?: string | undefined;
}

/** A schedule, as stored in the head of the message that it appends. */
interface GroupSchedule {
  readonly id: string;
  /** Due time of the schedule, in ms since 1970; 0: the schedule is a cron, which fires repeatedly. */
  readonly due: number;
  readonly counted?: CountedCron | undefined;
  /** Cron expression and time zone of a cron that nats-server interprets as Catga does; absent for other schedules. */
  readonly cron?: { readonly cron: string; readonly zone?: string | undefined } | undefined;
}

/** A message of the program, to be written as an item of a message of the stream. */
export interface GroupItem {
  /** Payload as `encodeValue` writes it; `undefined` for the payload `undefined`. */
  readonly text: string | undefined;
  readonly key: string | undefined;
  /** Id of the item given by the program; `undefined`: readers make one from publisher and number. */
  readonly id: string | undefined;
  readonly meta: ItemMeta | undefined;
}

/** Metadata of an item, without the members that the message's head has for all items. */
type ItemMeta = Omit<LoggedMeta, "d" | "k" | "w">;

/** Encodes an item for {@link groupText}. */
export function itemText({ text, key, id, meta }: GroupItem): string {
  const form = formOf(text);
  if (form === PLAIN && id === undefined && meta === undefined) {
    return key === undefined ? `[${text}]` : `[${text},${JSON.stringify(key)}]`;
  }
  const payload = form === PLAIN ? text : form === TAGGED ? JSON.stringify(text) : "null";
  let made = `[${payload},${orNull(key)}`;
  if (id !== undefined || meta !== undefined || form !== PLAIN) made += `,${orNull(id)}`;
  if (meta !== undefined || form !== PLAIN) made += `,${meta === undefined ? "null" : JSON.stringify(meta)}`;
  return form === PLAIN ? `${made}]` : `${made},${form}]`;
}

/**
 * Encodes a message of the stream. `items`: texts of {@link itemText}, joined by commas.
 * @decides what a message of the stream looks like
 */
export function groupText(
  { endpoint, first, sentAt, keep, schedule, queued, shape }: GroupHead,
  items: string,
): string {
  const isDefault = keep === undefined && schedule === undefined && !queued && shape === undefined;
  const head = isDefault ? "0" : JSON.stringify({
    k: keep,
    s: schedule === undefined ? undefined : [schedule.id, schedule.due],
    c: schedule?.counted && [schedule.counted.cron, schedule.counted.zone, schedule.counted.server],
    n: schedule?.cron && [schedule.cron.cron, ...schedule.cron.zone === undefined ? [] : [schedule.cron.zone]],
    q: queued ? 1 : undefined,
    w: shape,
  });
  return `[${GROUP_VERSION},${JSON.stringify(endpoint)},${first},${sentAt},${head},${items}]`;
}

/** Makes the id of an item (a published message) that the process has published without an id. */
export function madeId(endpoint: string, number: number): string {
  return `${endpoint}.e${number}`;
}

/**
 * Makes the id of a message that a schedule has appended; each firing gets its own id. `due`: due time of the schedule;
 * 0: a cron, whose ids contain the time at which the message was stored instead.
 */
function firedId({ id, due }: GroupSchedule, stored: number): string {
  return `${id}@${due === 0 ? stored : due}`;
}

/** Returns the time for which a scheduled message was due, in ms since 1970. */
function timeFor({ due, counted, cron = counted }: GroupSchedule, stored: number): number {
  if (due !== 0) return due;
  return cron === undefined ? Math.floor(stored / 1_000) * 1_000 : dueOfFiring(cron, stored);
}

/**
 * Reads the messages (events or queued commands) that a stored message contains, both of the log's stream and of the
 * stream of entities. Returns the reason if it cannot be read. Returns an empty list if a cron fired at a time that
 * Catga does not promise, around a change to or from daylight saving time ({@link isNeedlessFiring}). Never throws.
 */
export function readGroup(
  namespace: string,
  message: Pick<StoredMessage, "sequence" | "subject" | "time" | "data">,
): readonly LoggedMessage[] | UnreadableGroup {
  const category = categoryOf(namespace, message.subject);
  if (category === undefined) {
    const events = readEntityGroup(namespace, message);
    return "messages" in events ? events.messages : events;
  }
  const parsed = parseGroup(message.data);
  if ("reason" in parsed) return parsed;
  const { endpoint, first, head, items } = parsed;
  const common = readHead(head);
  if (common === undefined) return unreadable("its head is malformed");
  const count = items.length;
  if (count < 1 || count > MAX_ITEMS_IN_GROUP) {
    return unreadable(`it has ${count} items, not 1 to ${MAX_ITEMS_IN_GROUP}`);
  }
  const { keep, schedule, shape } = common;
  if (schedule !== undefined && count !== 1) return unreadable("a schedule has more than one item");
  if (schedule?.counted !== undefined && isNeedlessFiring(schedule.counted, message.time)) return [];
  const shared: LoggedMeta | undefined = head === 0 ? undefined : {
    ...(schedule === undefined ? {} : { d: timeFor(schedule, message.time) }),
    ...(keep === undefined ? {} : { k: keep }),
    ...(shape === undefined ? {} : { w: shape }),
  };
  const kept = keep === undefined && shape === undefined && schedule === undefined ? undefined : shared;
  const messages: LoggedMessage[] = new Array(count);
  for (let index = 0; index < count; index++) {
    const item = items[index];
    const wrong = whyMalformed(item);
    if (wrong !== undefined) return unreadable(`item ${index}: ${wrong}`);
    const [payload, key, id, meta, form] = item as WireItem;
    messages[index] = {
      position: positionOf(message.sequence, index),
      category,
      id: schedule !== undefined ? firedId(schedule, message.time) : id ?? madeId(endpoint, first + index),
      key: key ?? undefined,
      payload: form === UNDEFINED ? undefined : payload,
      tagged: form === TAGGED,
      meta: meta == null ? kept : readMeta(meta, shared),
      time: message.time,
    };
  }
  return messages;
}

/**
 * Returns true if the process with this endpoint made the stored message, with `first` as the number of the first item.
 * Never throws.
 */
export function isPublication(data: Uint8Array, { endpoint, first }: Pick<GroupHead, "endpoint" | "first">): boolean {
  const parsed = parseGroup(data);
  return "items" in parsed && parsed.endpoint === endpoint && parsed.first === first;
}

/** Returns true if a stored message has queued commands, not events. Never throws. */
export function isQueued(data: Uint8Array): boolean {
  const parsed = parseGroup(data);
  return "head" in parsed && isRecord(parsed.head) && parsed.head.q === 1;
}

/**
 * Returns true if an unreadable message is an answer of the JetStream API that was stored in the stream. Readers skip
 * such messages, so that a flood of them does not fill a subscription with dead letters. Never throws.
 */
export function isAnswer(data: Uint8Array): boolean {
  const value = parsedJson(data);
  if (!isRecord(value)) return false;
  const { type, stream, seq } = value;
  return typeof type === "string"
    ? type.startsWith("io.nats.jetstream.api.")
    : typeof stream === "string" && isCount(seq);
}

/** Returns true if {@link readGroup} could read the message. */
export function isReadable(group: readonly LoggedMessage[] | UnreadableGroup): group is readonly LoggedMessage[] {
  return Array.isArray(group);
}

/** An item (one published message) of a message of the stream, parsed and checked. */
type WireItem = readonly [
  payload: unknown,
  key?: string | null,
  id?: string | null,
  meta?: ItemMeta | null,
  form?: 0 | 1 | 2,
];

/** Maximum length of a message id, in characters: 256 for ids given by users, and more that a schedule adds. */
const MAX_ID = 300;

/** Parses the head of a stored message; `undefined`: malformed. */
function readHead(head: unknown): Pick<GroupHead, "keep" | "schedule" | "shape"> | undefined {
  if (head === 0) return { keep: undefined, schedule: undefined, shape: undefined };
  if (!isRecord(head)) return undefined;
  const { k: keep, s, c, n, w: shape } = head;
  if (shape !== undefined && !isShape(shape)) return undefined;
  if (keep !== undefined && !(typeof keep === "number" && keep >= 0 && keep < Infinity)) return undefined;
  if (s === undefined) return { keep, schedule: undefined, shape };
  if (!Array.isArray(s) || s.length !== 2) return undefined;
  const [id, due] = s;
  if (!isId(id) || !isCount(due)) return undefined;
  if (c !== undefined && !(isStringArray(c) && c.length === 3)) return undefined;
  if (n !== undefined && !(isStringArray(n) && (n.length === 1 || n.length === 2))) return undefined;
  return { keep, schedule: { id, due, counted: c && readCounted(c), cron: n && { cron: n[0], zone: n[1] } }, shape };
}

function readCounted([cron, zone, server]: readonly string[]): CountedCron | undefined {
  try {
    for (const pattern of [cron, server]) parseCron(pattern, zone);
  } catch {
    return undefined; // the runtime does not know the cron's time zone: each firing counts
  }
  return { cron, zone, server };
}

/**
 * Returns the cron of a schedule if nats-server also fires it at times that Catga does not promise, around changes to
 * and from daylight saving time ({@link isNeedlessFiring}); else `undefined`. Never throws.
 */
export function countedCron(data: Uint8Array): CountedCron | undefined {
  const parsed = parseGroup(data);
  return "head" in parsed ? readHead(parsed.head)?.schedule?.counted : undefined;
}

/** Returns why an item is invalid; `undefined`: it is valid. */
function whyMalformed(item: unknown): string | undefined {
  if (!Array.isArray(item) || item.length < 1 || item.length > 5) return "it is not an array of 1 to 5 elements";
  if (item.length === 1) return undefined;
  const [payload, key, id, meta, form] = item;
  if (key !== null && typeof key !== "string") return "its key is not a string";
  if (id != null && !isId(id)) return "its id is not a string of 1 to 300 characters";
  return (meta == null ? undefined : whyNoMeta(meta)) ?? whyNoPayload(payload, form);
}

/** Reads the metadata of an item; unknown members are dropped. */
function readMeta({ c, a, h }: ItemMeta, shared: LoggedMeta | undefined): LoggedMeta {
  return {
    ...(c === undefined ? {} : { c }),
    ...(a === undefined ? {} : { a }),
    ...(h === undefined ? {} : { h }),
    ...shared,
  };
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_ID;
}
