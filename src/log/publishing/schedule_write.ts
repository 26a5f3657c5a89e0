/**
 * Puts a message with a time, or a cron, under the subject of a schedule, in the place of what stands there, so that it
 * stays there.
 *
 * nats-server (2.15) takes in hand all schedules that are due, and fires one after the other: 3,000 take 0.1 s.
 * Meanwhile it accepts a message in the place of a schedule that it has in hand, and the firing then removes that
 * message; that of a cron moves its time instead. So each write expects the message that it replaces (compare-and-set).
 * If that cannot have been due, the write stays. Else the message is written so that it does not fire before the rest
 * is done (held); a fence is awaited, which is a schedule of its own that is due at once, and fires after all that the
 * server had in hand; then the message is written as it is to be, or again if it was removed: not shortly before the
 * held one may fire, which the cron may have moved to its own next time, but after a fence behind that time. If this
 * process dies meanwhile, the old schedule has fired, or the new one is there, at most {@link HELD} late.
 */
import { nextOfCron } from "../../data/cron.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { type Clock, delay, doubled } from "../../ports/clock.ts";
import type { AppendOptions, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { isForbidden } from "../../ports/transport.ts";
import { ATTEMPT_TIMEOUT, type Fence, passFence, passing } from "./fence.ts";
import { cronOf, dueOf, firesWithin, header, HELD_HEADER, isHeld, ONCE } from "./stored_schedule.ts";

/** What {@link overwrite} needs. */
export interface OverwriteOptions {
  readonly clock: Clock;
  /** The stream, opened; `again`: an attempt failed. */
  stream(again: boolean): LogStream | Promise<LogStream>;
  /** What nobody else writes: it names the fences. */
  readonly mark: string;
  /** How long to try, in ms: less than the stream remembers an id. */
  readonly timeout: number;
  /** Returns true if nobody waits for it any more: it ends, unless the message was stored. */
  abandoned?(): boolean;
}

/** The message that is put there. */
export interface Replacement {
  /** The message as it is written now: one that fires once does not before the time `notBefore` of the server. */
  write(stream: LogStream, options: { version: number; notBefore: number }): Written;
  /** Returns true if a stored message is this one. */
  isOwn(found: StoredMessage): boolean;
  /** Returns true if a message of somebody else is left in its place. */
  yieldsTo(found: StoredMessage): boolean;
  /** True if it is put where nothing stands, too, which is tried first. */
  readonly alone: boolean;
  /**
   * True if a schedule that may fire now is left to fire, as far as possible, because it matters whether it did:
   * several servers accept a message in the place of one whose firing is on its way already, and then both stand.
   */
  readonly patient: boolean;
  /** What becomes of it, for errors: "stored". */
  readonly done: string;
}

/** A message as it is written. */
interface Written {
  readonly data: string;
  readonly options: Pick<AppendOptions, "id" | "ttl" | "schedule">;
}

/**
 * Resolves with whether the message was put there, to stay until it fires or somebody replaces it. `false`: nothing was
 * there, or what it yields to. Rejects with a `CatgaError`: `OUTCOME_UNKNOWN` if it may have been put there,
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
   * How often it was stored: each time it has another id, by which a repeat of a write without an answer is recognized.
   */
  #version = 0;
  /** When the earliest write of this version is due that had no answer. */
  #unanswered: number | undefined;
  /** From which time of the server on it may have fired, and be gone; `undefined`: it was not stored yet. */
  #goneFrom: number | undefined;
  /** When what it replaced was due, by the server's clock. */
  #replacedDue = Infinity;
  /** The cron that it replaced, or that may have been in that place before. */
  #replacedCron: string | undefined;
  /** The latest time to which the firing of that cron may have moved it; `Infinity`: it has not. */
  #movedTo = Infinity;
  /** When that was due which stood there last. */
  #foundDue = Infinity;
  /** The schedule that was due before the last fence and still stands: the server does not fire it any more. */
  #stuck: { readonly found: StoredMessage; readonly fence: number } | undefined;
  /** When it was first stored in that place, by the server's clock. */
  #time: number | undefined;
  #fenced = false;
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
      if (this.#goneFrom === undefined && this.#options.abandoned?.()) throw this.#failed(last);
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
        if (isForbidden(error)) throw this.#failed(error);
      }
      const pause = doubled(attempt, 20, 500);
      if (clock.monotonic() + pause >= this.#until) throw this.#failed(last);
      await delay(clock, pause);
    }
  }

  /** The next step, by what stands there; resolves with the result, or `undefined` if another step follows. */
  async #next(stream: LogStream, found: StoredMessage | undefined): Promise<boolean | undefined> {
    if (found === undefined) return await this.#whenNothing(stream);
    if (this.#replacement.isOwn(found)) return await this.#whenOwn(stream, found);
    if (this.#replacement.yieldsTo(found)) return false;
    if (this.#goneFrom !== undefined) return true; // a later one has replaced it
    const due = this.#foundDue = dueOf(found, Infinity);
    if (this.#stuck?.found.sequence !== found.sequence) {
      this.#stuck = undefined;
      if (this.#replacement.patient && due <= stream.latestServerTime + NEAR && this.#fences < MOST_AWAITED) {
        const passed = await this.#fence(stream);
        if (passed.due >= due + NEAR) this.#stuck = { found, fence: passed.sequence };
        return undefined;
      }
    }
    const { clock } = this.#options;
    const firing = this.#replacement.patient ? 0 : firesWithin(stream, found);
    if (firing > 0 && clock.monotonic() + firing < this.#until) {
      await delay(clock, firing);
      return undefined;
    }
    this.#replacedDue = this.#dueOf(stream, found);
    this.#replacedCron = cronOf(found);
    this.#fenced = false;
    this.#movedTo = Infinity;
    this.#time = undefined;
    if (!await this.#write(stream, found.sequence, this.#mayBeInHand(stream))) return undefined;
    return this.#mayBeInHand(stream) ? undefined : true;
  }

  async #whenNothing(stream: LogStream): Promise<boolean | undefined> {
    if (!this.#replacement.alone) return false; // it has gone, or fired and took along what was in its place
    // the firing of a cron removes nothing: it moved this one, which has fired already
    const moved = this.#replacedCron !== undefined && this.#goneFrom !== Infinity;
    if (this.#goneFrom !== undefined && (moved || this.#goneFrom <= stream.latestServerTime)) {
      throw new RefusedSchedule(this.#unknown("it has fired, or what it replaced has fired and removed it", undefined));
    }
    this.#replacedDue = Infinity;
    this.#replacedCron = undefined;
    return await this.#write(stream, 0, false) ? true : undefined;
  }

  async #whenOwn(stream: LogStream, found: StoredMessage): Promise<boolean | undefined> {
    if (this.#unanswered !== undefined) {
      this.#unanswered = undefined;
      this.#version++;
    }
    this.#goneFrom ??= dueOf(found, Infinity);
    this.#time ??= found.time;
    if (!this.#fenced && this.#mayBeInHand(stream)) {
      await this.#fence(stream);
      this.#fenced = true;
      const [cron, { latestServerTime: now }] = [this.#replacedCron, stream];
      // whatever its zone: what matters is whether that is soon
      if (cron !== undefined && this.#goneFrom !== Infinity) this.#movedTo = nextOfCron(cron, now) ?? now + 1_000;
      return undefined;
    }
    if (this.#replacement.patient && this.#time >= this.#foundDue && !await this.#hasNotFired(stream, found)) {
      throw new RefusedSchedule(this.#unknown("it was due when the server had the request", undefined));
    }
    if (!isHeld(found)) return true;
    const fires = Math.min(this.#movedTo, dueOf(found, Infinity));
    if (fires > stream.latestServerTime + ATTEMPT_TIMEOUT) {
      return await this.#write(stream, found.sequence, false) ? true : undefined;
    }
    // it might fire while it is written as it is to be, and then again
    await delay(this.#options.clock, Math.max(0, fires + NEAR - stream.serverTime));
    await this.#fence(stream);
    this.#movedTo = Infinity;
    return undefined;
  }

  /**
   * Resolves with true if what an own message has replaced certainly has not fired: the server fires it no more, and a
   * new leader of the stream, which would fire it, has not done so in the meantime.
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

  /** Returns true if the server may have had in hand what was replaced. */
  #mayBeInHand({ latestServerTime }: LogStream): boolean {
    return this.#replacedDue <= latestServerTime + NEAR;
  }

  /** When a message is due, or what had been in its place: `-Infinity` if that is not known. */
  #dueOf(stream: LogStream, found: StoredMessage): number {
    if (isHeld(found)) return -Infinity;
    const due = dueOf(found, -Infinity);
    if (due !== -Infinity) return due;
    // a cron that fires while the same cron takes its place moves it to the time that it has
    const { at, zone } = this.#replacement.write(stream, { version: 0, notBefore: 0 }).options.schedule ?? {};
    const same = at === header(found, "Nats-Schedule") && zone === header(found, "Nats-Schedule-Time-Zone");
    return same ? Infinity : due;
  }

  /** Writes the message. Resolves with whether it was stored; if not, what is there now says why. */
  async #write(stream: LogStream, expect: number, held: boolean): Promise<boolean> {
    const notBefore = held ? stream.latestServerTime + HELD : 0;
    const { data, options } = this.#replacement.write(stream, { version: this.#version, notBefore });
    const written = await stream.append(this.#subject, data, {
      ...options,
      timeout: this.#attemptTimeout,
      expect,
      rollup: true,
      headers: held ? { [HELD_HEADER]: this.#replacedCron ?? ONCE } : undefined,
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
    else if (written.type === "not stored" && !written.passing) throw new RefusedSchedule(written.error);
    if (written.type !== "conflict") throw passing(written.error);
    return false;
  }

  #fence(stream: LogStream): Promise<Fence> {
    const { clock, mark } = this.#options;
    return passFence(stream, `${this.#subject}.${mark}.${this.#fences++}`, { clock, until: this.#until });
  }

  get #attemptTimeout(): number {
    return Math.max(1, Math.min(ATTEMPT_TIMEOUT, this.#until - this.#options.clock.monotonic()));
  }

  #failed(cause: CatgaError | undefined): CatgaError {
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

/** A refusal that does not pass. */
class RefusedSchedule extends Error {
  readonly error: CatgaError;

  constructor(error: CatgaError) {
    super(error.message);
    this.error = error;
  }
}

/** How late a message fires at most that is held and never written as it is to be, in ms: longer than a fence takes. */
const HELD = 10_000;
/** How far the clocks of the servers of a cluster may be apart, in ms. */
const NEAR = 50;
/**
 * How often a schedule is left to fire: one that is not due at the first time, and one whose firing failed, has not
 * gone then.
 */
const MOST_AWAITED = 3;
