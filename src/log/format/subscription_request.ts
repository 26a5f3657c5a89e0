/**
 * Requests of nodes and operators to a subscription's leader: messages of the stream `catga_<ns>_subscriptions`, under
 * `requestSubject(…)`. The leader carries requests out in the order in which they are stored; its commits contain the
 * sequence of the last request that it has carried out. Anybody with access can write a request, so requests are
 * validated.
 */
import { isContractName } from "../../contract/declaration/contract.ts";
import { isCount, isRecord } from "../../data/checks.ts";
import { decodeText, isTooDeep } from "../../data/encoding.ts";
import { isTagged } from "../../data/tags.ts";
import { formOf, PLAIN } from "./group_text.ts";
import { readRecord } from "./record_text.ts";

/**
 * A request to a subscription's leader.
 * @decides requests of operators to a leader: rewind, replay, discard
 */
export type SubscriptionRequest = LetterRequest | RewindRequest | JoinRequest;

/** A request to run a dead letter again, or to discard it. */
export interface LetterRequest {
  readonly kind: "replay" | "discard";
  /** Id of the dead letter. */
  readonly message: string;
  /** Time since which the message is dead: the request has no effect on a later death of the same message. */
  readonly dead: number;
  /** New payload of the message, as `encodeValue` writes it; absent: the payload stays unchanged. */
  readonly payload?: string;
  /** Contract and key of the message, for the codec of the payload; absent: the request has no payload. */
  readonly of?: LetterSubject;
}

/** The contract and the key to which the payload of a {@link LetterRequest} belongs. */
export interface LetterSubject {
  readonly category: string;
  readonly key: string | undefined;
}

/** A request to handle all messages of the log behind a position again. */
export interface RewindRequest {
  readonly kind: "rewind";
  readonly to: number;
}

/**
 * A request to read further contracts (categories). Each begins behind its given position, or behind the leader's
 * position if that is greater.
 */
export interface JoinRequest {
  readonly kind: "join";
  readonly began: Readonly<Record<string, number>>;
}

/** Encodes a request. A payload without tags is embedded as JSON, because as a string it could need twice its size. */
export function writeRequest(request: SubscriptionRequest): string {
  if (request.kind !== "replay" || formOf(request.payload) !== PLAIN) return JSON.stringify({ v: 1, ...request });
  const { payload, ...rest } = request;
  return `${JSON.stringify({ v: 1, ...rest }).slice(0, -1)},"plain":${payload}}`;
}

/** Parses a request. Returns a string that says what is wrong if it is invalid. */
export function readRequest(text: string): SubscriptionRequest | string {
  const value = readRecord(text);
  if (typeof value === "string") return value;
  const { kind, message, dead, payload, plain, to, began } = value;
  switch (kind) {
    case "replay":
    case "discard":
      if (typeof message !== "string" || !isCount(dead)) return "no dead letter";
      if (kind === "replay" && plain !== undefined) {
        return isTooDeep(plain) ? "no payload" : { kind, message, dead, payload: JSON.stringify(plain) };
      }
      if (payload === undefined || kind === "discard") return { kind, message, dead };
      return isPayload(payload) ? { kind, message, dead, payload } : "no payload";
    case "rewind":
      return isCount(to) ? { kind, to } : "no position";
    case "join":
      return isRecord(began) && Object.entries(began).every(([name, at]) => isContractName(name) && isCount(at))
        ? { kind, began: Object.fromEntries(Object.entries(began)) as Record<string, number> }
        : "no categories";
    default:
      return "another request";
  }
}

function isPayload(text: unknown): text is string {
  if (typeof text !== "string") return false;
  try {
    decodeText(text);
    return !isTooDeep(JSON.parse(isTagged(text) ? text.slice(1) : text));
  } catch {
    return false;
  }
}
