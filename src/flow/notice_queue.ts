/**
 * What this process tells runs, appended one message after the other: of several appends at once all but one would be
 * refused. Entries that wait go into one message. Few messages of a run are stored before its driver answers their
 * news, so that the driver comes to store its own.
 */
import { exceeds } from "../data/utf8.ts";
import { unavailable } from "../error.ts";
import type { CalledEntry, Journal } from "./journal.ts";
import { entryText, type RunEnd, type RunMessage, type RunMessages } from "./run_message.ts";
import { keyOf, type RunRef } from "./run_ref.ts";

/** The part of {@link RunLog} that a queue of notices uses. */
interface NoticeLog {
  readonly epoch: number;
  readonly messages: RunMessages;
  readonly mostBytes: number;
  end(ref: RunRef): Promise<RunEnd | undefined>;
  append(
    ref: RunRef,
    message: RunMessage,
    place: Pick<Journal, "sequence" | "entries" | "mark" | "sure">,
    over: () => boolean,
  ): Promise<number | "conflict">;
  patient<T>(read: () => Promise<T>, over: () => boolean): Promise<T>;
}

/**
 * Makes what a run is told. Called again when something was stored meanwhile: what it has read of the run holds when
 * its entry is stored.
 */
export type EntryFor = (by: string) => CalledEntry | Promise<CalledEntry>;

/** Something that a run was told is stored. */
export interface StoredNotice {
  readonly holder: string;
  readonly sequence: number;
  /** True for one of those that were stored together. */
  readonly isFirst: boolean;
}

/** An entry that is to be stored, in its turn. */
interface PendingNotice {
  readonly entryFor: EntryFor;
  readonly over: () => boolean;
  resolve(told: StoredNotice | undefined): void;
  reject(error: unknown): void;
}

/** Entries of others than the driver, on their way to the store. */
export class NoticeQueue {
  readonly #log: NoticeLog;
  /** Entries that wait to be stored behind the append that is under way, by run; without one there is no list. */
  readonly #pending = new Map<string, PendingNotice[]>();
  /** News of messages that this process has stored, which the driver has not answered, by run. */
  readonly #unanswered = new Map<string, Set<Promise<void>>>();

  constructor(log: NoticeLog) {
    this.#log = log;
  }

  /** Like {@link RunLog.tell}. */
  tell(ref: RunRef, entryFor: EntryFor, over: () => boolean): Promise<StoredNotice | undefined> {
    return new Promise((resolve, reject) => {
      const notice = { entryFor, over, resolve, reject };
      const key = keyOf(ref);
      const before = this.#pending.get(key);
      if (before !== undefined) return void before.push(notice);
      const all = [notice];
      this.#pending.set(key, all);
      void this.#appendAll(ref, all);
    });
  }

  /** Like {@link RunLog.awaitAnswer}. At most {@link MAX_UNANSWERED} messages of a run have no answer. */
  awaitAnswer(ref: RunRef, answer: Promise<void>): void {
    const key = keyOf(ref);
    const all = this.#unanswered.get(key) ?? new Set();
    this.#unanswered.set(key, all);
    // a driver that does not answer is found by its subscription
    const own = answer.catch(() => {}).then(() => {
      all.delete(own);
      if (all.size === 0 && this.#unanswered.get(key) === all) this.#unanswered.delete(key);
    });
    all.add(own);
  }

  /** Appends one message after the other: of several at once all but one would be refused. Never rejects. */
  async #appendAll(ref: RunRef, all: PendingNotice[]): Promise<void> {
    for (let waited = false; all.length > 0; waited = true) {
      const news = this.#unanswered.get(keyOf(ref));
      while (news !== undefined && news.size >= MAX_UNANSWERED) await Promise.race(news);
      const some = all.splice(0, MAX_TOGETHER).filter(({ over, reject }) => {
        const late = waited && over();
        if (late) {
          reject(
            unavailable(
              `run ${ref.run} of ${ref.workflow} has too many entries waiting: this one was not stored before its deadline`,
            ),
          );
        }
        return !late;
      });
      if (some.length > 0) await this.#append(ref, some, all);
    }
    this.#pending.delete(keyOf(ref));
  }

  /**
   * Appends what goes into one message. The others, and all if something else was stored meanwhile, are put in front of
   * those that wait. Never rejects.
   */
  async #append(ref: RunRef, some: readonly PendingNotice[], waiting: PendingNotice[]): Promise<void> {
    const log = this.#log;
    const { epoch } = log;
    let end: RunEnd | undefined;
    try {
      end = await log.patient(() => log.end(ref), () => some.every(({ over }) => over()));
    } catch (error) {
      return some.forEach(({ reject }) => reject(error));
    }
    if (end === undefined || end.ended) return some.forEach(({ resolve }) => resolve(undefined));
    const { holder, version } = end;
    const told: (PendingNotice & { readonly text: string })[] = [];
    for (const [i, one] of some.entries()) {
      try {
        const entry = one.entryFor(holder);
        if (entry instanceof Promise && told.length > 0) {
          // it reads the run: nothing may be stored before it
          entry.catch(() => {});
          waiting.unshift(...some.slice(i));
          break;
        }
        told.push({ ...one, text: entryText(await entry) });
      } catch (error) {
        one.reject(error);
      }
    }
    if (told.length === 0) return;
    try {
      const messageOf = () => log.messages.ofTexts(ref, told.map(({ text }) => text), { version, holder });
      let message = messageOf();
      while (told.length > 1 && exceeds(message.text, log.mostBytes)) {
        waiting.unshift(...told.splice(told.length >> 1));
        message = messageOf();
      }
      const place = { sequence: end.sequence, entries: version, mark: end.mark, sure: epoch };
      const sequence = await log.append(ref, message, place, () => told.every(({ over }) => over()));
      if (sequence === "conflict") waiting.unshift(...told);
      else for (const [i, { resolve }] of told.entries()) resolve({ holder, sequence, isFirst: i === 0 });
    } catch (error) {
      for (const { reject } of told) reject(error);
    }
  }
}

/** How many entries are stored together. */
const MAX_TOGETHER = 100;
/** How many messages a process stores for a run whose driver has not answered their news. */
const MAX_UNANSWERED = 8;
