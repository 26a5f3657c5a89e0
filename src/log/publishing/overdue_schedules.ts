/**
 * Schedules that were due while the store was full. nats-server (2.15) keeps in memory that their firing is under way,
 * and fires them only after a restart, under another leader of the stream, or when they are written again.
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
import { dueOf, firesWithin, header } from "./stored_schedule.ts";

/** The node, as {@link OverdueSchedules} sees it. */
interface Host extends Pick<StreamsHost, "namespace" | "endpoint" | "clock" | "observer"> {
  readonly random: Random;
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
    if (!isStoreFull(error) || this.#ending.signal.aborted) return;
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
    const stream = await this.#stream();
    await stream.measureTime();
    const until = clock.monotonic() + PATIENCE;
    const subject = `${scheduleSubject(namespace, "fence", endpoint)}.0`;
    const fence = await passFence(stream, subject, { clock, until, signal: this.#ending.signal });
    const began = stream.serverTime - (clock.monotonic() - since) - FULL_UNNOTICED_FOR;
    const crons: StoredMessage[] = []; // each may wait for its moment
    for (let from = 1; from < fence.sequence;) {
      const messages = await stream.read(schedulePattern(namespace), { from, most: MAX_BATCH });
      await Promise.all(
        messages.filter(({ sequence }) => sequence < fence.sequence).map(async (message) => {
          const due = dueOf(message, -Infinity);
          if (due === -Infinity) crons.push(message);
          else if (due <= fence.due) await this.#rewrite(stream, message, due);
        }),
      );
      from = (messages.at(-1)?.sequence ?? Infinity) + 1;
    }
    await Promise.all(crons.map((cron) => this.#rewriteCron(stream, cron, { began, now: fence.due })));
  }

  /** Writes a cron again that was due between two times of the server, when it is not about to fire. */
  async #rewriteCron(stream: LogStream, cron: StoredMessage, { began, now }: { began: number; now: number }) {
    const text = header(cron, "Nats-Schedule")!; // `dueOf` has found it
    const zone = header(cron, "Nats-Schedule-Time-Zone");
    // one that only the server can read may be due at any time
    const next = (after: number) => nextOfCron(text, after, zone) ?? after;
    if (next(Math.max(cron.time, began)) > now) return;
    await delay(this.#host.clock, firesWithin(stream, cron), this.#ending.signal);
    await this.#rewrite(stream, cron, text);
  }

  /** Writes a schedule again as it is, unless it is none of Catga's making. */
  async #rewrite(stream: LogStream, message: StoredMessage, at: number | string): Promise<void> {
    const target = header(message, "Nats-Schedule-Target");
    const zone = header(message, "Nats-Schedule-Time-Zone");
    const ttl = header(message, "Nats-Schedule-TTL");
    if (target === undefined || (ttl !== undefined && !/^\d+s$/.test(ttl))) return;
    this.#ending.signal.throwIfAborted();
    const own = Object.entries(message.headers!).filter(([name]) => !/^nats-/i.test(name)); // it has some
    let written: Appended;
    try {
      written = await stream.append(message.subject, message.data, {
        ...{ timeout: PATIENCE, expect: message.sequence, rollup: true, headers: Object.fromEntries(own) },
        schedule: { at, zone, target, ttl: ttl === undefined ? undefined : Number.parseInt(ttl) * 1_000 },
      });
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError) return; // Catga would not have written it
      throw error;
    }
    if (written.type === "unknown") throw written.error;
    // one that the server takes no more, as it is too large now, must not keep others from firing
    if (written.type === "not stored" && (written.passing || isForbidden(written.error))) throw written.error;
  }
}

/** How long after the last refusal of a full store overdue schedules are looked for, in ms: half of it at least. */
const AFTER = 10_000;
/** How long the store may have been full before a process notices it, in ms. */
const FULL_UNNOTICED_FOR = 60_000;
/** How long a fence, and a write, may take, in ms. */
const PATIENCE = 10_000;
/** Schedules that are read, and written again, at once. */
const MAX_BATCH = 256;
