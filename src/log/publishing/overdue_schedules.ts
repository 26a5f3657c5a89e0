/**
 * Schedules that were due while the store was full. nats-server (2.15) marks them in memory as firing, and fires them
 * only after a restart, under another leader of the stream, or when they are written again.
 *
 * @module
 */
import { nextOfCron } from "../../data/cron.ts";
import type { StreamsHost } from "../../dispatch/node_host.ts";
import type { CatgaError } from "../../error.ts";
import { delay, jittered, type Random, type Timer } from "../../ports/clock.ts";
import type { Appended, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { isForbidden, isStoreFull } from "../../ports/transport.ts";
import { schedulePattern, scheduleSubject } from "../format/names.ts";
import { passFence } from "./fence.ts";
import { firesWithin, header, storedDue } from "./stored_schedule.ts";

/** Dependencies of {@link OverdueSchedules} on its node. */
interface Host extends Pick<StreamsHost, "namespace" | "endpoint" | "clock" | "observer"> {
  readonly random: Random;
}

/**
 * Stores schedules again that the server no longer fires, after a full store has room again. A schedule for one time
 * then fires at once, under the same id; a cron at its next time. A schedule for one time counts as overdue if it was
 * due before a fence (a schedule that is due at once) and still exists after the fence has fired. When the server will
 * fire a cron is unknown, so each cron with a time since the store became full is stored again. Each write names the
 * sequence of the message that it replaces, so it fails if another process has replaced the schedule or taken it back
 * since this process read it.
 */
export class OverdueSchedules {
  readonly #host: Host;
  readonly #stream: () => LogStream | Promise<LogStream>;
  /**
   * Time at which the full store was first noticed, by the monotonic clock; `undefined`: no schedule is left to check.
   */
  #since: number | undefined;
  #timer: Timer | undefined;
  readonly #ending = new AbortController();

  /** `stream`: returns the opened stream of the log; rejects with a `CatgaError`. */
  constructor(host: Host, stream: () => LogStream | Promise<LogStream>) {
    this.#host = host;
    this.#stream = stream;
  }

  /** Plans a check for overdue schedules if an error was caused by a full store. Call with each error of a write. */
  noteError(error: unknown): void {
    if (!isStoreFull(error) || this.#ending.signal.aborted) return;
    this.#since ??= this.#host.clock.monotonic();
    this.#planCheck();
  }

  close(): void {
    this.#ending.abort();
    this.#timer?.cancel();
  }

  /**
   * Plans the check for overdue schedules after a random pause, so that processes do not store the same schedules at
   * once.
   */
  #planCheck(): void {
    const { clock, random } = this.#host;
    this.#timer?.cancel();
    this.#timer = clock.after(jittered(random, LONGEST_PAUSE), () => void this.#check(), { background: true });
  }

  async #check(): Promise<void> {
    const since = this.#since!; // `#since` is set before the timer that calls this
    this.#since = undefined;
    try {
      await this.#rewriteOverdue(since);
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      this.#host.observer({ type: "fault", during: "firing schedules that are overdue", error });
      if (isForbidden(error as CatgaError)) return; // a stream rejects with CatgaErrors only
      this.#since = since;
      this.#planCheck();
    }
  }

  async #rewriteOverdue(since: number): Promise<void> {
    const { namespace, endpoint, clock } = this.#host;
    const stream = await this.#stream();
    await stream.measureTime();
    const until = clock.monotonic() + TIMEOUT;
    const subject = `${scheduleSubject(namespace, "fence", endpoint)}.0`;
    const fence = await passFence(stream, subject, { clock, until, signal: this.#ending.signal });
    const began = stream.serverTime - (clock.monotonic() - since) - FULL_UNNOTICED_FOR;
    const crons: StoredMessage[] = []; // crons are stored last: each may have to wait for its next firing
    for (let from = 1; from < fence.sequence;) {
      const messages = await stream.read(schedulePattern(namespace), { from, most: MAX_BATCH });
      await Promise.all(
        messages.filter(({ sequence }) => sequence < fence.sequence).map(async (message) => {
          const due = storedDue(message, -Infinity);
          if (due === -Infinity) crons.push(message);
          else if (due <= fence.due) await this.#rewrite(stream, message, due);
        }),
      );
      from = (messages.at(-1)?.sequence ?? Infinity) + 1;
    }
    await Promise.all(crons.map((cron) => this.#rewriteCron(stream, cron, { began, now: fence.due })));
  }

  /**
   * Stores a cron schedule again, so that it goes on firing, if one of its times was between `began` (the store may be
   * full since then) and `now`, by the server's clock. If the cron is about to fire, waits until it has fired.
   */
  async #rewriteCron(stream: LogStream, cron: StoredMessage, { began, now }: { began: number; now: number }) {
    const text = header(cron, "Nats-Schedule")!; // `storedDue` has found it
    const zone = header(cron, "Nats-Schedule-Time-Zone");
    // a cron that only the server can read may be due at any time
    const next = (after: number) => nextOfCron(text, after, zone) ?? after;
    if (next(Math.max(cron.time, began)) > now) return;
    await delay(this.#host.clock, firesWithin(stream, cron), this.#ending.signal);
    await this.#rewrite(stream, cron, text);
  }

  /** Stores a schedule again unchanged, unless Catga did not write it. */
  async #rewrite(stream: LogStream, message: StoredMessage, at: number | string): Promise<void> {
    const target = header(message, "Nats-Schedule-Target");
    const zone = header(message, "Nats-Schedule-Time-Zone");
    const ttl = header(message, "Nats-Schedule-TTL");
    if (target === undefined || (ttl !== undefined && !/^\d+s$/.test(ttl))) return;
    this.#ending.signal.throwIfAborted();
    const own = Object.entries(message.headers!).filter(([name]) => !/^nats-/i.test(name)); // each schedule has headers
    let written: Appended;
    try {
      written = await stream.append(message.subject, message.data, {
        ...{ timeout: TIMEOUT, expect: message.sequence, rollup: true, headers: Object.fromEntries(own) },
        schedule: { at, zone, target, ttl: ttl === undefined ? undefined : Number.parseInt(ttl) * 1_000 },
      });
    } catch (error) {
      // the schedule was not written by Catga: leave it as it is
      if (error instanceof TypeError || error instanceof RangeError) return;
      throw error;
    }
    if (written.type === "unknown") throw written.error;
    // a schedule that the server refuses for good (it may be too large now) is skipped: the others must still be
    // stored
    if (written.type === "not stored" && (written.transient || isForbidden(written.error))) throw written.error;
  }
}

/**
 * Longest pause between the last refusal by a full store and the check for overdue schedules, in ms; the pause is
 * random, from half of this time.
 */
const LONGEST_PAUSE = 10_000;
/** Time for which the store may have been full before this process notices it, in ms. */
const FULL_UNNOTICED_FOR = 60_000;
/** Time limit for firing the fence, and for each write of a schedule, in ms. */
const TIMEOUT = 10_000;
/** Number of schedules that are read and stored again at once. */
const MAX_BATCH = 256;
