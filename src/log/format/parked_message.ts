/**
 * A parked message: a message of a subscription that waits in the store for its next attempt, or is dead, with its last
 * error. This file defines the text that is stored in the stream `catga_<ns>_subscriptions`, under `parkedSubject(…)`.
 * The subscription's commits say whether the message is still parked, and until when. Anybody with access can write
 * such a text, so it is validated.
 */
import { MAX_CAUSE } from "../../data/cause_text.ts";
import { isContractName } from "../../contract/declaration/contract.ts";
import { isCount, isNotNegative, isRecord, isStringArray } from "../../data/checks.ts";
import { isTooDeep } from "../../data/encoding.ts";
import { messageId } from "./commit.ts";
import { type LoggedMessage, type LoggedMeta, unusable, whyNoMeta } from "./logged_message.ts";
import { readRecord } from "./record_text.ts";

/** Failure of an attempt to handle a message. `cause`: the error that the handler threw, if it is kept. */
export interface FailedWith {
  readonly code: string;
  readonly message: string;
  readonly cause?: string | undefined;
  /**
   * Time since which a service that the handler calls has been unavailable, in ms since 1970. Failed attempts do not
   * count until the outage has lasted for the handler's option `outage`. Absent: the failure is not due to an outage.
   */
  readonly outage?: number | undefined;
  /**
   * Names of the contract's shapes that have refused the message; the message waits for a node with another shape.
   * Absent: it does not.
   */
  readonly refusedBy?: readonly string[] | undefined;
}

/** A message that waits in the store for its next attempt, or is dead. */
export interface ParkedMessage {
  readonly message: LoggedMessage;
  /**
   * Failure of the message's last attempt; `undefined`: none failed, and the message waits behind another message of
   * its key.
   */
  readonly error: FailedWith | undefined;
}

/** A message that a subscription has parked, as lists have it: without payload and cause if it is large. */
export interface ListedMessage extends ParkedMessage {
  readonly in: "store";
  readonly loaded: boolean;
  /** Size of its text in the store, in bytes. */
  readonly size: number;
  /** If it is large: its keys in limits, by the functions that return them; absent: not known. */
  readonly keys?: KeysByFunction | undefined;
}

/** Keys of a message in limits, by the functions that return them. */
export type KeysByFunction = ReadonlyMap<(payload: never) => unknown, string>;

/**
 * Encodes a parked message for the store. The text of its error is cut to `mostOfError` characters, the error's code to
 * 200, so that a large payload has room. If `mostOfError` is 0, the error's cause, and the payloads that operators'
 * edits have replaced (`LoggedMessage.earlier`), are left out, too.
 */
export function writeParked({ message, error }: ParkedMessage, mostOfError = 1_000): string {
  const { position, category, id, key, payload, tagged, meta, time } = message;
  const earlier = mostOfError === 0 ? undefined : message.earlier;
  return JSON.stringify({
    v: 1,
    error: error && errorText(error, mostOfError),
    // JSON leaves out undefined members
    message: { position, category, id, tagged, time, key, meta, earlier, payload },
  });
}

function errorText({ code, message, cause, outage, refusedBy }: FailedWith, most: number): readonly unknown[] {
  const text = [cut(code, 200), cut(message, most)];
  const why = cause === undefined || most === 0 ? null : cause;
  if (outage !== undefined) return [...text, why, outage, ...(refusedBy === undefined ? [] : [refusedBy])];
  return why === null ? text : [...text, why];
}

/**
 * Makes a replacement for a message that is too large to be parked, without its payload, which the log still has
 * ({@link isLeftOut}). No handler receives the replacement, because its payload cannot be decoded.
 */
export function withoutPayload({ message, error }: ParkedMessage): ParkedMessage {
  const payload = message.earlier === undefined ? LEFT_OUT : unusable("left out: the edited payload is too large", "");
  return { message: { ...message, payload, tagged: true, meta: undefined }, error };
}

/** Returns true if the payload of a parked message was left out, and has to be read from the log. */
export function isLeftOut({ payload, tagged }: LoggedMessage): boolean {
  return tagged && payload === LEFT_OUT;
}

const LEFT_OUT = unusable("left out: it is too large to be put aside", "");

/**
 * Parses the text of the parked message (waiting for its next attempt, or dead) with this id. Returns a string that
 * says what is wrong if it is invalid.
 */
export function readParked(id: string, text: string): ParkedMessage | string {
  const value = readRecord(text);
  if (typeof value === "string") return value;
  if (isTooDeep(value)) return "nested too deeply";
  const { error } = value;
  if (error !== undefined && !(Array.isArray(error) && typeof error[0] === "string" && typeof error[1] === "string")) {
    return "no error";
  }
  const message = readMessage(value.message);
  if (typeof message === "string") return message;
  if (messageId(message) !== id) return "another message than its subject says";
  return { message, error: error === undefined ? undefined : readError(error) };
}

function readError([code, message, cause, outage, refusedBy]: readonly unknown[]): FailedWith {
  const known = {
    ...{ code: `${code}`, message: `${message}` },
    ...(isNotNegative(outage) ? { outage } : {}),
    ...(isNotNegative(outage) && isStringArray(refusedBy) ? { refusedBy } : {}),
  };
  return typeof cause === "string" ? { ...known, cause: cause.slice(0, MAX_CAUSE) } : known;
}

function readMessage(value: unknown): LoggedMessage | string {
  if (!isRecord(value)) return "no message";
  const { position, category, id, key, payload, tagged, meta, time, earlier } = value;
  if (
    !isCount(position) || typeof category !== "string" || !isContractName(category) || typeof id !== "string" ||
    !isNotNegative(time)
  ) {
    return "no position, category, id or time";
  }
  if (key !== undefined && typeof key !== "string") return "no key";
  if (typeof tagged !== "boolean" || (tagged && typeof payload !== "string")) return "no payload";
  const wrong = meta === undefined ? undefined : whyNoMeta(meta);
  if (wrong !== undefined) return wrong;
  if (earlier === undefined) {
    return { position, category, id, key, payload, tagged, meta: meta as LoggedMeta | undefined, time };
  }
  if (!Array.isArray(earlier) || !earlier.every(isEarlier)) return "no earlier payloads";
  return { position, category, id, key, payload, tagged, meta: meta as LoggedMeta | undefined, time, earlier };
}

function isEarlier(value: unknown): value is readonly [number, string] {
  return Array.isArray(value) && isNotNegative(value[0]) && typeof value[1] === "string";
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}
