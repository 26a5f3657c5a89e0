/** The options of one send, publish or broadcast, and their check. */
import type { Route } from "./node_info.ts";
import { checkRoute, checkTimes } from "./checks.ts";
import { checkKnown, checkSignal, checkString, checkStrings, checkToken, show } from "../data/checks.ts";

/** Options of one `send`. */
export interface SendOptions {
  /**
   * The message id, 1 to 256 characters: the handler's `ctx.id`; Catga makes one otherwise. All sends of an idempotent command
   * with this id get one result.
   */
  id?: string | undefined;
  /**
   * Of a command of an entity that is sent again with its `id`: when it was sent first. The events of the entity since then are looked through
   * for it; without this, those of the last two minutes.
   */
  firstSent?: Date | undefined;
  /** The routing key; what the contract's `key` returns for the payload. */
  key?: string | undefined;
  /** The id of the only node that may handle it, in every attempt; any node. */
  node?: string | undefined;
  /** How a node is chosen; the contract's, else the app's. */
  route?: Route | undefined;
  /** How long it may take, retries included, in ms: 1 to 2^31 - 1; the contract's, else the app's. */
  timeout?: number | undefined;
  /** How many further attempts after the first: 0 to 1,000; the contract's, else the app's. */
  retries?: number | undefined;
  /** Ends the send when it aborts: `CANCELLED`, and the handler's `ctx.signal` aborts. None. */
  signal?: AbortSignal | undefined;
  /** Sent with the message; the handler's `ctx.headers`. None. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** The arguments after the contract: payload and options; a payload that may be `undefined` (or `void`) may be left out. */
export type SendArgs<In, Options = SendOptions> = undefined extends In ? [payload?: NoInfer<In>, options?: Options]
  : [payload: NoInfer<In>, options?: Options];

/** Options of one `publish`. */
export type PublishOptions = Pick<SendOptions, "id" | "headers" | "signal">;

/** Options of one `broadcast`: every node gets one attempt, so that there is no route, and no retry. */
export type BroadcastOptions = Omit<SendOptions, "route" | "retries" | "firstSent">;

/** Throws if the options of a send, a publish or a broadcast are invalid. */
export function checkSendOptions(method: string, name: string, options: SendOptions): void {
  const at = `${method} ${name}`;
  const known = OPTIONS_OF[method] ?? SEND_OPTIONS;
  const later = method === "publish" && LATER.find((option) => Object.hasOwn(options, option));
  if (later) {
    throw new TypeError(`${at}: ${later} is of a durable event: give ${name} durable: true, too`);
  }
  checkKnown(at, options, known);
  checkSending(at, options);
}

/** Throws if the options that all that is sent has in common are invalid. */
export function checkSending(at: string, options: SendOptions): void {
  const { id, key, node, route, signal, headers, firstSent } = options;
  if (id !== undefined) checkId(at, id);
  if (firstSent !== undefined) checkFirstSent(at, firstSent, id);
  if (key !== undefined) checkString(`${at}: key`, key);
  if (node !== undefined) checkToken(`${at}: node`, node);
  if (route !== undefined) checkRoute(`${at}: route`, route);
  checkTimes(`${at}: `, options);
  checkSignal(at, signal);
  if (headers !== undefined) checkStrings(`${at}: headers`, headers);
}

function checkFirstSent(at: string, firstSent: Date, id: string | undefined): void {
  if (!(firstSent instanceof Date) || Number.isNaN(firstSent.getTime())) {
    throw new TypeError(`${at}: firstSent must be a valid Date; got ${show(firstSent)}`);
  }
  if (id === undefined) throw new TypeError(`${at}: firstSent is of a command that is sent again: give its id, too`);
}

/** Throws if a value is no message id. */
export function checkId(at: string, id: string): void {
  if (typeof id === "string" && id !== "" && id.length <= MAX_ID) return;
  throw new TypeError(`${at}: id must be a string of 1 to ${MAX_ID} characters; got ${show(id)}`);
}

/** Longest message id, in characters. */
export const MAX_ID = 256;

const SEND_OPTIONS = new Set(["id", "firstSent", "key", "node", "route", "timeout", "retries", "signal", "headers"]);

/** What only what is stored can be told. */
const LATER = ["delay", "at"];

const OPTIONS_OF: Readonly<Record<string, ReadonlySet<string>>> = {
  sendAll: new Set([...SEND_OPTIONS, "concurrency"]),
  publish: new Set(["id", "headers", "signal"]),
  broadcast: new Set(["id", "key", "node", "timeout", "signal", "headers"]),
};
