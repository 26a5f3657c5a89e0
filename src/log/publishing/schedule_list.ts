/** What is scheduled for later: the messages under subjects of schedules that still fire, or should have. */
import type { Appended, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { nextOfCron } from "../../data/cron.ts";
import type { Observer } from "../../contract/observer.ts";
import type { CatgaError } from "../../error.ts";
import { type Clock, delay, jittered, type Random, type Timer } from "../../ports/clock.ts";
import { isForbidden } from "../../ports/transport.ts";
import { readScheduleSubject, schedulePattern, scheduleSubject } from "../format/names.ts";
import { dueOf, header, markOf, passFence } from "./schedule_write.ts";

/** A schedule that has not fired, or fires again. */
export interface PendingSchedule {
  readonly contract: string;
  readonly id: string;
  /** A time, or the fields of cron. */
  readonly when: string;
  readonly zone: string | undefined;
  /** When it was made, as an ISO string. */
  readonly since: string;
}

/** The time at which it is due next, in ms since 1970; `undefined` for a cron that only the server can read. */
export function nextOf({ when, zone }: Pick<PendingSchedule, "when" | "zone">, now: number): number | undefined {
  const at = Date.parse(when);
  return !Number.isNaN(at) && !/\s/.test(when) ? at : nextOfCron(when, now, zone);
}

/** Reads them in the order in which they were made. */
export async function* pendingSchedules(namespace: string, stream: LogStream): AsyncGenerator<PendingSchedule> {
  for (let from = 1;;) {
    const messages = await stream.read(schedulePattern(namespace), { from });
    for (const message of messages) {
      const pending = pendingOf(namespace, message);
      if (pending !== undefined) yield pending;
    }
    const last = messages.at(-1);
    if (last === undefined) return;
    from = last.sequence + 1;
  }
}

/** What a message schedules; `undefined` for one that was taken back, and for anything else. */
function pendingOf(namespace: string, message: StoredMessage): PendingSchedule | undefined {
  const about = readScheduleSubject(namespace, message.subject);
  const text = header(message, "Nats-Schedule");
  if (about === undefined || text === undefined || markOf(message) !== undefined) return undefined;
  const when = text.startsWith("@at ") ? text.slice(4) : text;
  const since = new Date(message.time).toISOString();
  return { contract: about.category, id: about.id, when, zone: header(message, "Nats-Schedule-Time-Zone"), since };
}

// Schedules that were due while the store was full. nats-server (2.15) keeps in memory that their firing is under way,
// and fires them only after a restart, under another leader of the stream, or when they are written again.

/** The node, as {@link OverdueSchedules} sees it. */
interface Host {
  readonly namespace: string;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
}

/**
 * Writes schedules again that the server does not fire any more, when a full store has room: those that fire once fire
 * at once, under the same id, crons at their next time. One that was due before a fence, and stands when that has
 * fired, is such a schedule; when a cron is due the server alone knows, so each is written that was due since the store
 * was full. Each write expects the message that it replaces: what was replaced or taken back meanwhile stays so.
 */
export class OverdueSchedules {
  readonly #host: Host;
  readonly #stream: () => LogStream | Promise<LogStream>;
  /** When a full store was first noticed, by the monotonic clock; `undefined`: what was due since then is done. */
  #since: number | undefined;
  #timer: Timer | undefined;
  readonly #ending = new AbortController();

  /** `stream`: the log, opened; rejects with a `CatgaError`. */
  constructor(host: Host, stream: () => LogStream | Promise<LogStream>) {
    this.#host = host;
    this.#stream = stream;
  }

  /** To be called with the error of a write, whose cause says whether the store is full. */
  noteError(error: unknown): void {
    const { cause } = error as { readonly cause?: { readonly refusal?: unknown } };
    if (cause?.refusal !== "full" || this.#ending.signal.aborted) return;
    this.#since ??= this.#host.clock.monotonic();
    this.#wait();
  }

  close(): void {
    this.#ending.abort();
    this.#timer?.cancel();
  }

  /** Each process draws its time, so that others find less to do. */
  #wait(): void {
    const { clock, random } = this.#host;
    this.#timer?.cancel();
    this.#timer = clock.after(jittered(random, AFTER), () => void this.#try(), { background: true });
  }

  async #try(): Promise<void> {
    const since = this.#since!; // a timer has it
    this.#since = undefined;
    try {
      await this.#fire(since);
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      this.#host.observer({ type: "fault", during: "firing schedules that are overdue", error });
      if (isForbidden(error as CatgaError)) return; // a stream rejects with no other
      this.#since = since;
      this.#wait();
    }
  }

  async #fire(since: number): Promise<void> {
    const { namespace, endpoint, clock } = this.#host;
    const { signal } = this.#ending;
    const stream = await this.#stream();
    await stream.measureTime();
    const until = clock.monotonic() + PATIENCE;
    const fence = await passFence(stream, `${scheduleSubject(namespace, "fence", endpoint)}.0`, {
      clock,
      until,
      signal,
    });
    const began = stream.serverTime - (clock.monotonic() - since) - MARGIN;
    const write = (message: StoredMessage) => writeAgain(stream, message, { clock, signal, began, now: fence.due });
    const crons: StoredMessage[] = []; // each may wait for its moment
    for (let from = 1; from < fence.sequence;) {
      const messages = await stream.read(schedulePattern(namespace), { from, most: AT_ONCE });
      const standing = messages.filter(({ sequence }) => sequence < fence.sequence);
      const byKind = Map.groupBy(standing, (message) => dueOf(message, -Infinity) === -Infinity);
      crons.push(...byKind.get(true) ?? []);
      await Promise.all((byKind.get(false) ?? []).map(write));
      from = (messages.at(-1)?.sequence ?? Infinity) + 1;
    }
    await Promise.all(crons.map(write));
  }
}

/** Writes a schedule again that was due between two times of the server, unless it is none of Catga's making. */
async function writeAgain(
  stream: LogStream,
  message: StoredMessage,
  { clock, signal, began, now }: {
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly began: number;
    readonly now: number;
  },
): Promise<void> {
  const [text, target, zone, ttl] = SCHEDULE.map((name) => header(message, name));
  if (text === undefined || target === undefined || (ttl !== undefined && !/^\d+s$/.test(ttl))) return;
  const keep = ttl === undefined ? undefined : Number.parseInt(ttl) * 1_000;
  const once = dueOf(message, -Infinity);
  const isCron = once === -Infinity;
  // one that only the server can read may be due at any time
  const next = (after: number) => nextOfCron(text, after, zone) ?? after;
  if ((isCron ? next(Math.max(message.time, began)) : once) > now) return;
  // a cron that is written just after its due moment, before it has fired, would be due at the next one
  const isNear = () => isCron && next(stream.serverTime - LATE) < stream.latestServerTime + SOON;
  for (let waits = 0; waits < MOST_WAITS && isNear(); waits++) await delay(clock, LATE, signal);
  signal.throwIfAborted();
  const own = Object.entries(message.headers!).filter(([name]) => !/^nats-/i.test(name)); // it has some
  let written: Appended;
  try {
    written = await stream.append(message.subject, message.data, {
      ...{ timeout: PATIENCE, expect: message.sequence, rollup: true, headers: Object.fromEntries(own) },
      schedule: { at: isCron ? text : once, zone, target, ttl: keep },
    });
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return; // Catga would not have written it
    throw error;
  }
  if (written.type === "unknown") throw written.error;
  // one that the server takes no more, as it is too large now, must not keep others from firing
  if (written.type === "not stored" && (written.passing || isForbidden(written.error))) throw written.error;
}

const SCHEDULE = ["Nats-Schedule", "Nats-Schedule-Target", "Nats-Schedule-Time-Zone", "Nats-Schedule-TTL"];
/** How long after the last refusal of a full store overdue schedules are looked for, in ms: half of it at least. */
const AFTER = 10_000;
/** How long the store may have been full before a process notices it, in ms. */
const MARGIN = 60_000;
/** How long a fence, and a write, may take, in ms. */
const PATIENCE = 10_000;
/** Schedules that are read, and written again, at once. */
const AT_ONCE = 256;
/** How late a cron fires at most, and how long a write of it takes, in ms. */
const LATE = 1_000;
const SOON = 500;
/** How often a moment is waited for at which a cron is not about to fire; one of each second has none. */
const MOST_WAITS = 5;
