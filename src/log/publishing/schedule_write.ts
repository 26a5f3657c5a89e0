/**
 * Stores a schedule in place of an existing one so that it certainly stays stored.
 *
 * The problem: nats-server (2.15) lists all due schedules and fires them one after the other (3,000 take 0.1 s). While
 * a schedule is on that list, the server accepts a new message in its place; firing the old schedule then removes the
 * new message, or, if the old schedule is a cron, moves the new message's time to the cron's next time.
 *
 * The solution: each write names the message that it replaces (compare-and-set). If the old schedule cannot have been
 * due, the write is safe. Otherwise there are three steps. 1: the new schedule is written "held", with a time
 * {@link HELD} ms from now. 2: a fence is awaited (a schedule that is due at once, and fires after all that were on the
 * server's list). 3: the new schedule is written with its own time, in place of the held message or, if that was
 * removed, once more. Step 3 could make the schedule fire twice if the held message fired at the same time; so if the
 * held message is about to fire, step 3 waits until that time has passed, and for another fence. If this process dies
 * between the steps, the old schedule has fired, or the new one is stored and fires at most {@link HELD} ms late.
 */
import { nextOfCron } from "../../data/cron.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { type Clock, delay, doubled } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import type { AppendOptions, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { isForbidden } from "../../ports/transport.ts";
import { asTransient, ATTEMPT_TIMEOUT, type Fence, passFence } from "./fence.ts";
import {
  cronOf,
  firesWithin,
  header,
  HELD_HEADER,
  isHeld,
  latestOf,
  ONCE,
  type PausedCron,
  pausedCronOf,
  pausedHeaders,
  storedDue,
} from "./stored_schedule.ts";

/** Options of {@link overwrite}: the stream, and how long it may be tried. */
export interface OverwriteOptions {
  readonly clock: Clock;
  /** Returns the opened stream. `again`: true after a failed attempt. */
  stream(again: boolean): LogStream | Promise<LogStream>;
  /** Text that no other writer uses; names this writer's fences (see the file's comment). */
  readonly mark: string;
  /** Time limit of the whole operation, in ms: less than the time for which the stream remembers a message's id. */
  readonly timeout: number;
  /** Returns true if no caller waits any more. The operation then ends, unless its message was stored. */
  abandoned?(): boolean;
}

/** A schedule, or a mark, that is to be stored in place of a schedule. */
export interface Replacement {
  /**
   * Makes the message to be stored. `version`: number of this operation's writes that were stored before. `notBefore`:
   * earliest time at which a schedule for one time may fire, by the server's clock. `replaced`: the schedule of another
   * writer in whose place it is stored; `undefined`: none, or it has fired.
   */
  write(
    stream: LogStream,
    options: { version: number; notBefore: number; replaced?: StoredMessage | undefined },
  ): Written;
  /** Returns true if a stored message is this replacement, stored by an earlier attempt. */
  isOwn(found: StoredMessage): boolean;
  /** Returns true if the stored message of another writer must not be replaced. */
  yieldsTo(found: StoredMessage): boolean;
  /**
   * True if the replacement is to be stored even if no schedule exists under the subject; the first attempt then
   * assumes that none exists. False: without a schedule to replace, nothing is stored.
   */
  readonly alone: boolean;
  /**
   * True: before it replaces a schedule that may be firing now, the operation waits (for {@link MAX_FENCES} fences at
   * most) until the schedule has fired, because the caller needs to know if it has fired. (A server may accept a
   * message in place of a schedule that is firing already; then both take effect.)
   */
  readonly patient: boolean;
  /**
   * True: a schedule whose longest wait is over now, or soon, fires (the operation waits for that, for
   * {@link MAX_FENCES} fences at most), and is not replaced: else one that is replaced again and again never fires.
   */
  readonly letsFire?: boolean;
  /** True: a paused cron fires again. False or absent: a cron that replaces a paused one is paused, too. */
  readonly resumes?: boolean;
  /** Verb that errors use for the operation, such as "stored". */
  readonly done: string;
}

/** A message to be written: its data and options. */
interface Written {
  readonly data: string | Uint8Array;
  readonly options: Pick<AppendOptions, "id" | "ttl" | "schedule" | "headers">;
}

/**
 * Stores a replacement under a subject, so that it stays until it fires or another write replaces it. Resolves with
 * true when it is stored; with false if there was no schedule to replace, or if the existing message must stay
 * ({@link Replacement.yieldsTo}). Rejects with a `CatgaError`: `OUTCOME_UNKNOWN` if the message may have been stored,
 * `UNAVAILABLE` if it was not.
 */
export function overwrite(subject: string, replacement: Replacement, options: OverwriteOptions): Promise<boolean> {
  return new Overwriting(subject, replacement, options).run();
}

class Overwriting {
  readonly #subject: string;
  readonly #replacement: Replacement;
  readonly #options: OverwriteOptions;
  readonly #until: number;
  /**
   * Number of this operation's writes that were stored. Each version has its own message id, by which the stream
   * detects a repeated write whose answer was lost.
   */
  #version = 0;
  /** Due time of the earliest write of this version that got no answer; `undefined`: all writes got one. */
  #unanswered: number | undefined;
  /**
   * Time, by the server's clock, from which on the new message, if stored, may have fired and so may no longer exist;
   * `undefined`: no write is known to have stored it.
   */
  #goneFrom: number | undefined;
  /** The replaced schedule; `undefined`: none. */
  #replaced: StoredMessage | undefined;
  /** Due time of the replaced schedule, by the server's clock. */
  #replacedDue = Infinity;
  /** The paused cron that is replaced; `undefined`: the replaced message is none. */
  #paused: PausedCron | undefined;
  /** Cron expression of the replaced schedule, or of one replaced by an earlier write; `undefined`: no cron. */
  #replacedCron: string | undefined;
  /**
   * Latest time to which the replaced cron, by firing, may have moved the new message; `Infinity`: it cannot have moved
   * the message.
   */
  #movedTo = Infinity;
  /** Due time of the last schedule of another writer that was found under the subject. */
  #foundDue = Infinity;
  /** A schedule that was due before the last fence and still exists after the fence: the server will not fire it. */
  #stuck: { readonly found: StoredMessage; readonly fence: number } | undefined;
  /**
   * Server time of the first message of this operation that it found under the subject after the last message of
   * another writer; `undefined`: none was found since.
   */
  #firstOwnTime: number | undefined;
  /** True if a fence has fired since the last message of another writer was replaced. */
  #fenced = false;
  /** Number of fences that this operation has stored. */
  #fences = 0;

  constructor(subject: string, replacement: Replacement, options: OverwriteOptions) {
    this.#subject = subject;
    this.#replacement = replacement;
    this.#options = options;
    this.#until = options.clock.monotonic() + options.timeout;
  }

  async run(): Promise<boolean> {
    const { clock } = this.#options;
    let last: CatgaError | undefined;
    for (let attempt = 0;; attempt++) {
      if (this.#goneFrom === undefined && this.#options.abandoned?.()) throw this.#notDone(last);
      try {
        const opening = this.#options.stream(last !== undefined);
        const stream = opening instanceof Promise ? await opening : opening;
        const measuring = stream.measureTime();
        if (measuring !== undefined) await measuring;
        const first = attempt === 0 && this.#replacement.alone;
        const found = first ? undefined : await stream.last(this.#subject, { latest: true });
        const done = await this.#next(stream, found);
        if (done !== undefined) return done;
        last = undefined;
        if (clock.monotonic() < this.#until) continue;
      } catch (error) {
        if (error instanceof RefusedSchedule) throw error.error;
        if (!isCatgaError(error) || error.code !== "UNAVAILABLE") throw error;
        last = error;
        if (isForbidden(error)) throw this.#notDone(error);
      }
      const pause = doubled(attempt, ...PAUSES.read);
      if (clock.monotonic() + pause >= this.#until) throw this.#notDone(last);
      await delay(clock, pause);
    }
  }

  /**
   * Takes the next step. `found`: the message that is stored under the subject. Resolves with the operation's result,
   * or with `undefined` if another step must follow.
   */
  async #next(stream: LogStream, found: StoredMessage | undefined): Promise<boolean | undefined> {
    if (found === undefined) return await this.#whenNothing(stream);
    if (this.#replacement.isOwn(found)) return await this.#whenOwn(stream, found);
    if (this.#replacement.yieldsTo(found)) return false;
    if (this.#goneFrom !== undefined) return true; // another writer has replaced the new message after it was stored
    const due = this.#foundDue = storedDue(found, Infinity);
    if (this.#stuck?.found.sequence !== found.sequence) {
      this.#stuck = undefined;
      if (this.#replacement.patient && due <= stream.latestServerTime + NEAR && this.#fences < MAX_FENCES) {
        const passed = await this.#fence(stream);
        if (passed.due >= due + NEAR) this.#stuck = { found, fence: passed.sequence };
        return undefined;
      }
    }
    const { clock } = this.#options;
    const soon = stream.latestServerTime + SOON;
    if (this.#replacement.letsFire && due <= soon && latestOf(found) <= soon && this.#fences < MAX_FENCES) {
      await delay(clock, Math.max(0, due + NEAR - stream.serverTime));
      await this.#fence(stream);
      return undefined;
    }
    const firing = this.#replacement.patient ? 0 : firesWithin(stream, found);
    if (firing > 0 && clock.monotonic() + firing < this.#until) {
      await delay(clock, firing);
      return undefined;
    }
    this.#replaced = found;
    this.#replacedDue = this.#dueOfReplaced(stream, found);
    this.#replacedCron = cronOf(found);
    this.#paused = this.#replacement.resumes ? undefined : pausedCronOf(found);
    this.#fenced = false;
    this.#movedTo = Infinity;
    this.#firstOwnTime = undefined;
    if (!await this.#write(stream, found.sequence, { held: this.#mayBeFiring(stream) })) return undefined;
    return this.#mayBeFiring(stream) ? undefined : true;
  }

  async #whenNothing(stream: LogStream): Promise<boolean | undefined> {
    // the schedule was removed, or it has fired, which removes its replacement
    if (!this.#replacement.alone) return false;
    // a cron that fires does not remove the schedule that has replaced it, but brings that schedule's time forward: so
    // a new schedule that is gone has fired itself
    const moved = this.#replacedCron !== undefined && this.#goneFrom !== Infinity;
    if (this.#goneFrom !== undefined && (moved || this.#goneFrom <= stream.latestServerTime)) {
      throw new RefusedSchedule(
        this.#unknown("it has fired, or the schedule that it replaced has fired and removed it", undefined),
      );
    }
    this.#replaced = undefined;
    this.#replacedDue = Infinity;
    this.#replacedCron = undefined;
    this.#paused = undefined;
    return await this.#write(stream, 0, { held: false }) ? true : undefined;
  }

  async #whenOwn(stream: LogStream, found: StoredMessage): Promise<boolean | undefined> {
    if (this.#unanswered !== undefined) {
      this.#unanswered = undefined;
      this.#version++;
    }
    this.#goneFrom ??= storedDue(found, Infinity);
    this.#firstOwnTime ??= found.time;
    if (!this.#fenced && this.#mayBeFiring(stream)) {
      await this.#fence(stream);
      this.#fenced = true;
      const [cron, { latestServerTime: now }] = [this.#replacedCron, stream];
      // the next time is computed without the cron's time zone, which is enough to know if it is near
      if (cron !== undefined && this.#goneFrom !== Infinity) this.#movedTo = nextOfCron(cron, now) ?? now + 1_000;
      return undefined;
    }
    if (this.#replacement.patient && this.#firstOwnTime >= this.#foundDue && !await this.#hasNotFired(stream, found)) {
      throw new RefusedSchedule(this.#unknown("it was due when the server had the request", undefined));
    }
    if (!isHeld(found)) return true;
    const fires = Math.min(this.#movedTo, storedDue(found, Infinity));
    if (fires > stream.latestServerTime + ATTEMPT_TIMEOUT) {
      return await this.#write(stream, found.sequence, { held: false }) ? true : undefined;
    }
    // wait until the held message must have fired: if it fired during the next write, it would fire twice
    await delay(this.#options.clock, Math.max(0, fires + NEAR - stream.serverTime));
    await this.#fence(stream);
    this.#movedTo = Infinity;
    return undefined;
  }

  /**
   * Resolves with true if the schedule replaced by this writer's message has certainly not fired: a fence has fired
   * before it, so the server will not fire it ({@link Overwriting.#stuck}), and no new leader of the stream has fired
   * it since that fence.
   */
  async #hasNotFired(stream: LogStream, own: StoredMessage): Promise<boolean> {
    const target = this.#stuck && header(this.#stuck.found, "Nats-Schedule-Target");
    if (target === undefined) return false;
    for (let from = this.#stuck!.fence; from < own.sequence;) {
      const messages = await stream.read(target, { from });
      if (messages.some((each) => header(each, "Nats-Scheduler") === this.#subject)) return false;
      from = (messages.at(-1)?.sequence ?? Infinity) + 1;
    }
    return true;
  }

  /** Returns true if the server may have begun to fire the replaced schedule. */
  #mayBeFiring({ latestServerTime }: LogStream): boolean {
    return this.#replacedDue <= latestServerTime + NEAR;
  }

  /** Returns the due time of the message found, or of the schedule that it has replaced; `-Infinity`: unknown. */
  #dueOfReplaced(stream: LogStream, found: StoredMessage): number {
    if (isHeld(found)) return -Infinity;
    const due = storedDue(found, -Infinity);
    if (due !== -Infinity) return due;
    // `Infinity` if both crons are equal: the firing of the old cron can only move the new message to its own next time
    const { at, zone } = this.#replacement.write(stream, { version: 0, notBefore: 0 }).options.schedule ?? {};
    const same = at === header(found, "Nats-Schedule") && zone === header(found, "Nats-Schedule-Time-Zone");
    return same ? Infinity : due;
  }

  /**
   * Writes the new message if the last message of the subject has the sequence `expect`. `held`: writes it with a later
   * time, see the file's comment. Resolves with true if it was stored; with false if the caller must read the subject's
   * last message to find out what happened.
   */
  async #write(stream: LogStream, expect: number, { held }: { readonly held: boolean }): Promise<boolean> {
    const notBefore = held ? stream.latestServerTime + HELD : 0;
    const { data, options } = this.#stayingPaused(
      this.#replacement.write(stream, { version: this.#version, notBefore, replaced: this.#replaced }),
    );
    const written = await stream.append(this.#subject, data, {
      ...options,
      timeout: this.#attemptTimeout,
      expect,
      rollup: true,
      headers: held ? { ...options.headers, [HELD_HEADER]: this.#replacedCron ?? ONCE } : options.headers,
    });
    const due = typeof options.schedule?.at === "number" ? options.schedule.at : Infinity;
    const first = Math.min(due, this.#unanswered ?? due);
    if (written.type === "stored") {
      this.#goneFrom = written.duplicate ? first : due;
      this.#unanswered = undefined;
      this.#version++;
      return !written.duplicate;
    }
    if (written.type === "unknown") this.#unanswered = first;
    else if (written.type === "not stored" && !written.transient) throw new RefusedSchedule(written.error);
    if (written.type !== "conflict") throw asTransient(written.error);
    return false;
  }

  /** Has a cron that replaces a paused one be paused, too. */
  #stayingPaused({ data, options }: Written): Written {
    const { schedule, ...others } = options;
    if (this.#paused === undefined || typeof schedule?.at !== "string") return { data, options };
    const { at, zone, target, ttl } = schedule;
    return {
      data,
      options: { ...others, headers: pausedHeaders({ ...this.#paused, schedule: { at, zone, target, ttl } }) },
    };
  }

  #fence(stream: LogStream): Promise<Fence> {
    const { clock, mark } = this.#options;
    return passFence(stream, `${this.#subject}.${mark}.${this.#fences++}`, { clock, until: this.#until });
  }

  get #attemptTimeout(): number {
    return Math.max(1, Math.min(ATTEMPT_TIMEOUT, this.#until - this.#options.clock.monotonic()));
  }

  #notDone(cause: CatgaError | undefined): CatgaError {
    if (this.#unanswered !== undefined || this.#goneFrom !== undefined) {
      return this.#unknown("no answer in time", cause);
    }
    const why = cause === undefined ? "" : `: ${cause.message}`;
    return new CatgaError("UNAVAILABLE", `schedule ${this.#subject} was not ${this.#replacement.done}${why}`, {
      retryable: cause === undefined || !isForbidden(cause),
      cause,
    });
  }

  #unknown(why: string, cause: CatgaError | undefined): CatgaError {
    const last = cause === undefined ? "" : `: ${cause.message}`;
    const message = `schedule ${this.#subject} may have been ${this.#replacement.done}: ${why}${last}`;
    return new CatgaError("OUTCOME_UNKNOWN", message, { cause });
  }
}

/** The server's refusal of the new message, for a reason because of which another attempt would fail, too. */
class RefusedSchedule extends Error {
  readonly error: CatgaError;

  constructor(error: CatgaError) {
    super(error.message);
    this.error = error;
  }
}

/**
 * Delay of a held message (see the file's comment), in ms. If the message is never written with its own time, it
 * fires at most so late. The delay is longer than a fence takes.
 */
const HELD = 10_000;
/** Maximum difference between the clocks of a cluster's servers, in ms. */
const NEAR = 50;
/** Time before which a schedule is not replaced any more that is to fire, in ms: most writes take less. */
const SOON = 250;
/**
 * Maximum number of fences for which the operation waits for an old schedule to fire: the schedule may not be due at
 * the first fence, or its firing may fail.
 */
const MAX_FENCES = 3;
