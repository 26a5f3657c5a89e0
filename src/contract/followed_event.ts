/** Following durable events: options of `follow`, and what a follower returns. */
import type { DurableContract } from "./contract.ts";
import { checkKnown, checkSignal, checkString, show } from "../data/checks.ts";

/** A durable event, as `follow` takes it. */
export interface FollowableEvent<Payload> extends DurableContract<"event", never> {
  /** Has the type of the payload, after the event's schema. */
  on(fn: (payload: Payload) => unknown): unknown;
}

/** Options of `follow`. */
export interface FollowEventsOptions {
  /**
   * Where it begins: `"now"`: events stored after the call; `"start"`: the oldest event that is stored; a position: the
   * events behind it; a time of this process's clock: the events stored since then. `"now"`.
   */
  from?: "now" | "start" | number | Date | undefined;
  /** Only events with this key; all of them. */
  key?: string | undefined;
  /** Ends it when it aborts. None. */
  signal?: AbortSignal | undefined;
}

/**
 * A durable event as a follower gets it. It is frozen, and the same object for all followers of a process: copy what
 * you want to change.
 */
export interface FollowedEvent<T> {
  /** Its position in the log, a safe integer that grows with each event; `from: position` goes on behind it. */
  readonly position: number;
  /** The message id. */
  readonly id: string;
  /** Its key, which is the id of the entity for an event of one; `undefined` without one. */
  readonly key: string | undefined;
  /** The payload, parsed by the event's schema. */
  readonly payload: T;
  /** When it was stored, by the server's clock. */
  readonly stored: Date;
  /** The time that it was scheduled for, as `ctx.due` of its handlers; `undefined`: it was not scheduled. */
  readonly due: Date | undefined;
  /** The headers that it was published with. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The events that `follow` returns, in order. Leave it with `break`, `return()` or the signal. */
export interface EventFollower<T> extends AsyncIterableIterator<FollowedEvent<T>> {
  /**
   * The position up to which it has read: that of the last event that it returned or passed over because of its key, or
   * of the end of the log if there was none behind it. `undefined` until it has begun.
   */
  readonly position: number | undefined;
}

/** Throws a `TypeError` or `RangeError` for invalid options of `follow`. */
export function checkFollowOptions(event: string, options: FollowEventsOptions): void {
  const at = `follow ${event}`;
  checkKnown(at, options, FOLLOW_OPTIONS);
  const { from, key, signal } = options;
  checkSignal(at, signal);
  if (key !== undefined) checkString(`${at}: key`, key);
  if (from === undefined || from === "now" || from === "start") return;
  if (typeof from === "number") {
    if (Number.isSafeInteger(from) && from >= 0) return;
    throw new RangeError(`${at}: a position is a whole number from 0; got ${from}`);
  }
  if (from instanceof Date && !Number.isNaN(from.getTime())) return;
  throw new TypeError(`${at}: from must be "now", "start", a position, or a valid Date; got ${show(from)}`);
}

const FOLLOW_OPTIONS: ReadonlySet<string> = new Set<keyof FollowEventsOptions>(["from", "key", "signal"]);
