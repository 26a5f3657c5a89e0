/**
 * What a subscription has put aside: messages that wait for their next attempt or behind another of their key, and dead letters. Their
 * keys are `parkedKey(…)`, in the bucket `catga_<ns>_parked`. Anybody with access can write one, so it is validated.
 */
import { isContractName } from "../../contract/contract.ts";
import { isTooDeep } from "../../data/encoding.ts";
import { isCount, isNotNegative, isRecord, isStrings } from "../../data/checks.ts";
import { type LoggedMessage, type LoggedMeta, unusable } from "./logged_message.ts";

/** A message that was put aside. */
export interface ParkedEntry {
  /** The token of the leader that put it aside. */
  readonly token: number;
  readonly message: LoggedMessage;
  /** Attempts that were made. */
  readonly attempts: number;
  /** What the last attempt failed with; `undefined`: it waits behind another of its key. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
  /** When it is to be tried again, in ms since 1970 by the clock of the leader that put it aside; 0: as soon as it is the first of its key. */
  readonly due: number;
  /** When it became a dead letter, in ms since 1970; 0: it is none. */
  readonly dead: number;
  /** A request of an operator, which the leader carries out. */
  readonly request?: "replay" | "discard" | undefined;
}

/**
 * The text of an entry. The message of its error is cut to `mostOfError` characters, its code to 200: with a large payload it must fit
 * into the store.
 */
export function writeParked(entry: ParkedEntry, mostOfError = 1_000): string {
  const { message, error, request, ...rest } = entry;
  const { key, meta, payload, ...always } = message;
  return JSON.stringify({
    v: 1,
    ...rest,
    ...(error === undefined ? {} : { error: [cut(error.code, 200), cut(error.message, mostOfError)] }),
    ...(request === undefined ? {} : { request }),
    message: {
      ...always,
      ...(key === undefined ? {} : { key }),
      ...(meta === undefined ? {} : { meta }),
      ...(payload === undefined ? {} : { payload }),
    },
  });
}

/** A dead letter in place of an entry that is too large, with its key, and so that no handler is given a payload which is not its own. */
export function withoutPayload({ token, message, attempts, error, dead }: ParkedEntry, now: number): ParkedEntry {
  const { position, category, id, key, time } = message;
  const why = error === undefined
    ? "it is too large to be put aside"
    : `${error.code}; and it is too large to be put aside`;
  const payload = unusable("left out: it is too large to be put aside", "");
  return {
    token,
    message: { position, category, id, key, payload, tagged: true, meta: undefined, time },
    attempts,
    error: { code: "TOO_LARGE", message: why },
    due: 0,
    dead: dead || now,
  };
}

/** Parses the entry of a position. Returns a string that says what is wrong with it if it is invalid. */
export function readParked(position: number, text: string): ParkedEntry | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "no JSON";
  }
  if (!isRecord(value)) return "no object";
  if (isTooDeep(value)) return "nested too deeply";
  const { v, token, attempts, error, due, dead, request } = value;
  if (v !== 1) return "of another version";
  if (!isCount(token) || !isCount(attempts) || !isNotNegative(due) || !isNotNegative(dead)) {
    return "no token, attempts or times";
  }
  if (error !== undefined && !(Array.isArray(error) && typeof error[0] === "string" && typeof error[1] === "string")) {
    return "no error";
  }
  if (request !== undefined && request !== "replay" && request !== "discard") return "another request";
  const message = readMessage(value.message);
  if (typeof message === "string") return message;
  if (message.position !== position) return "its position is not that of its key";
  return {
    token,
    message,
    attempts,
    error: error === undefined ? undefined : { code: error[0], message: error[1] },
    due,
    dead,
    ...(request === undefined ? {} : { request }),
  };
}

function readMessage(value: unknown): LoggedMessage | string {
  if (!isRecord(value)) return "no message";
  const { position, category, id, key, payload, tagged, meta, time } = value;
  if (
    !isCount(position) || typeof category !== "string" || !isContractName(category) || typeof id !== "string" ||
    !isNotNegative(time)
  ) {
    return "no position, category, id or time";
  }
  if (key !== undefined && typeof key !== "string") return "no key";
  if (typeof tagged !== "boolean" || (tagged && typeof payload !== "string")) return "no payload";
  if (meta !== undefined && !isMeta(meta)) return "no headers";
  return { position, category, id, key, payload, tagged, meta, time };
}

function isMeta(value: unknown): value is LoggedMeta {
  if (!isRecord(value)) return false;
  const { c, a, h, k } = value;
  return (c === undefined || typeof c === "string") && (a === undefined || typeof a === "string") &&
    (h === undefined || isStrings(h)) &&
    (k === undefined || isNotNegative(k));
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}
