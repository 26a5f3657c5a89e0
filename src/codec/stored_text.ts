/**
 * Finds the payloads in stored data, so that a codec can encode or decode each of them: in messages of the log and of
 * entities, in parked messages, and in requests to replay a message. Keys, names and ids stay readable. Other data is
 * left unchanged.
 */
import type { PayloadOf } from "../contract/declaration/payload_codec.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { drivenWorkflow, workflowOf } from "../contract/declaration/workflow.ts";
import { isRecord } from "../data/checks.ts";
import { encode } from "../data/utf8.ts";
import { isTagged } from "../data/tags.ts";
import { parsedJson } from "../data/encoding.ts";
import { isKnownVersion, PLAIN, TAGGED, UNDEFINED } from "../log/format/group_text.ts";
import { categoryOf, readEntitySubject, readScheduleSubject } from "../log/format/names.ts";

/** A payload in stored data, as text, and a function that replaces it there. */
interface PayloadSlot {
  readonly text: string;
  readonly of: PayloadOf;
  set(text: string): void;
}

/** Returns the data stored under a subject with each payload replaced by the text that `change` returns for it. */
export function changePayloads(
  subject: string,
  data: Uint8Array,
  change: (text: string, of: PayloadOf) => MaybePromise<string>,
): MaybePromise<Uint8Array> {
  const value = parsedJson(data);
  const slots = [...slotsIn(subject, value)];
  const texts = slots.map(({ text, of }) => change(text, of));
  const changed = (all: readonly string[]) => {
    if (all.every((text, i) => text === slots[i].text)) return data;
    for (const [i, slot] of slots.entries()) slot.set(all[i]);
    return encode(JSON.stringify(value));
  };
  // the cast is safe: none of the texts is a promise here
  return texts.some((text) => text instanceof Promise)
    ? Promise.all(texts).then(changed)
    : changed(texts as readonly string[]);
}

function* slotsIn(subject: string, value: unknown): Generator<PayloadSlot> {
  if (Array.isArray(value) && isKnownVersion(value[0])) {
    const [, , , , head, ...items] = value;
    if (Array.isArray(head)) yield* entitySlots(subject, head, items);
    else yield* groupSlots(subject, items);
  } else if (isRecord(value) && isRecord(value.message)) yield* parkedSlots(value.message);
  else if (isRecord(value) && value.kind === "replay") yield* requestSlots(value);
}

/** Finds the payloads of durable events, queued commands and schedules. */
function* groupSlots(subject: string, items: readonly unknown[]): Generator<PayloadSlot> {
  const [, namespace] = subject.split(".");
  const contract = programsName(categoryOf(namespace, subject) ?? readScheduleSubject(namespace, subject)?.category);
  for (const item of items) {
    if (!Array.isArray(item)) continue;
    const slot = itemSlot(item, 0, 4, { contract, key: textOf(item[1]) });
    if (slot !== undefined) yield slot;
  }
}

/** Finds the results and the events of an entity's commands, or what a run has recorded. */
function* entitySlots(subject: string, head: readonly unknown[], items: readonly unknown[]): Generator<PayloadSlot> {
  const [, namespace] = subject.split(".");
  const { type, id: key } = readEntitySubject(namespace, subject) ?? { type: "", id: undefined };
  const workflow = workflowOf(type);
  const of = (contract: string | undefined): PayloadOf => ({ contract: workflow ?? contract, key });
  for (const command of head.slice(1)) {
    if (Array.isArray(command) && typeof command[RESULT] === "string") {
      const [name] = command;
      yield { text: command[RESULT], of: of(textOf(name)), set: (text) => void (command[RESULT] = text) };
    }
  }
  for (const item of items) {
    if (!Array.isArray(item)) continue;
    const slot = itemSlot(item, 1, 2, of(`${type}.${item[0]}`));
    if (slot !== undefined) yield slot;
  }
}

/** Returns the workflow instead of a contract that executes its runs. */
function programsName(contract: string | undefined): string | undefined {
  return contract === undefined ? undefined : drivenWorkflow(contract) ?? contract;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/**
 * Finds the payload in an item of a stored message. `payload`, `form`: indexes of the payload and of its form in the
 * item. `undefined`: the payload is `undefined`, or malformed.
 */
function itemSlot(item: unknown[], payload: number, form: number, of: PayloadOf): PayloadSlot | undefined {
  const given = item[form] ?? PLAIN;
  if (given === UNDEFINED || (given === TAGGED && typeof item[payload] !== "string")) return undefined;
  return {
    text: given === TAGGED ? item[payload] as string : JSON.stringify(item[payload] ?? null),
    of,
    set(text) {
      while (item.length <= form) item.push(null);
      item[payload] = isTagged(text) ? text : JSON.parse(text);
      item[form] = isTagged(text) ? TAGGED : PLAIN;
    },
  };
}

function* parkedSlots(message: Record<string, unknown>): Generator<PayloadSlot> {
  const { payload, tagged, earlier, category, key } = message;
  const of: PayloadOf = { contract: programsName(textOf(category)), key: textOf(key) };
  if (payload !== undefined && (tagged !== true || typeof payload === "string")) {
    yield {
      text: tagged === true ? payload as string : JSON.stringify(payload),
      of,
      set(text) {
        message.tagged = isTagged(text);
        message.payload = isTagged(text) ? text : JSON.parse(text);
      },
    };
  }
  for (const each of Array.isArray(earlier) ? earlier : []) {
    if (Array.isArray(each) && typeof each[1] === "string") {
      yield { text: each[1], of, set: (text) => void (each[1] = text) };
    }
  }
}

function* requestSlots(request: Record<string, unknown>): Generator<PayloadSlot> {
  const { payload, plain, of } = request;
  if (plain === undefined && typeof payload !== "string") return;
  const { category, key } = isRecord(of) ? of : {};
  yield {
    text: plain === undefined ? payload as string : JSON.stringify(plain),
    of: { contract: programsName(textOf(category)), key: textOf(key) },
    set(text) {
      delete request.plain;
      request.payload = text;
    },
  };
}

/** Index of the result in a stored command. */
const RESULT = 3;
