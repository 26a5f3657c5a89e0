/** Following durable events: the options of `app.follow`, and the iterator of events that it returns. */
import type { DurableContract } from "./contract.ts";
import { checkKnown, checkSignal, checkString, show } from "../data/checks.ts";

/** A durable event, as `follow` takes it. */
export interface FollowableEvent<Payload> extends DurableContract<"event", never> {
  /** Compile time only: carries the type of the payload that the event's schema returns. */
  on(fn: (payload: Payload) => unknown): unknown;
}

/** Options of `follow`, which reads durable events without a subscription. */
export interface FollowEventsOptions {
  /**
   * The first event to return: `"now"`: events stored after the call; `"start"`: the oldest event that is still stored;
   * a position: the events after it; a time of this process's clock: the events stored since then. Default: `"now"`.
   */
  from?: "now" | "start" | number | Date | undefined;
  /** Only events with this key. Default: all events. */
  key?: string | undefined;
  /** Aborting this signal ends the follower. Default: none. */
  signal?: AbortSignal | undefined;
}

/**
 * A durable event as a follower gets it. It is frozen, and all followers of a process get the same object: copy the
 * parts that you want to change.
 */
export interface FollowedEvent<T> {
  /**
   * The event's position in the log, a safe integer that grows with each event. `from: position` continues after this
   * event.
   */
  readonly position: number;
  /** The message id. */
  readonly id: string;
  /** The event's key: for an event of an entity, the entity's id; `undefined` without a key. */
  readonly key: string | undefined;
  /** The payload, parsed by the event's schema. */
  readonly payload: T;
  /** Time at which the event was stored, by the server's clock. */
  readonly stored: Date;
  /** The time for which the event was scheduled; `undefined`: it was not scheduled. */
  readonly due: Date | undefined;
  /** The headers that the event was published with. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The events that `follow` returns, in the order of the log. End it with `break`, `return()` or the signal. */
export interface EventFollower<T> extends AsyncIterableIterator<FollowedEvent<T>> {
  /**
   * The position up to which the follower has read: the position of the last event that it returned or skipped because
   * of its key, or the end of the log if it has read the log to its end. `undefined` until the follower has begun to
   * read.
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
