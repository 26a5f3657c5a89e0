/**
 * Appends entries to runs for processes that do not execute them (signals, cancels, ends of children). Messages of one
 * run are appended one after the other, because of several appends at once all but one would be refused. Entries that
 * wait for the same append go into one message. A process stores only a few messages of a run before the node that
 * executes the run has answered, so that the executing node can store messages of its own.
 */
import { exceeds } from "../../data/utf8.ts";
import { CatgaError, unavailable } from "../../error.ts";
import type { Journal } from "./journal.ts";
import type { CalledEntry } from "./journal_entry.ts";
import { entryText, formatOf, type RunEnd, type RunMessage, type RunMessages } from "./run_message.ts";
import { keyOf, type RunRef } from "./run_ref.ts";

/** Dependencies of a {@link NoticeQueue}, a queue of entries for runs, on the log of runs. */
interface NoticeLog {
  readonly epoch: number;
  readonly messages: RunMessages;
  readonly mostBytes: number;
  readonly mostNoticeBytes: number;
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
 * Makes an entry for a run; `by`: the node that executes the run. Called again if another message of the run was stored
 * before the entry, so that what the function has read of the run is still true when the entry is stored.
 */
export type EntryFor = (by: string) => CalledEntry | Promise<CalledEntry>;

/** An entry that a {@link NoticeQueue} has stored in a run that another process executes. */
export interface StoredNotice {
  readonly holder: string;
  readonly sequence: number;
  /** True for the first one of several entries that were stored together. */
  readonly isFirst: boolean;
}

/** An entry that waits until earlier entries of its run are stored. */
interface PendingNotice {
  readonly entryFor: EntryFor;
  readonly over: () => boolean;
  resolve(told: StoredNotice | undefined): void;
  reject(error: unknown): void;
}

/**
 * Queues entries of processes that do not execute the run, until they are stored.
 * @decides how many messages of programs a run takes at once, and may have unanswered
 */
export class NoticeQueue {
  readonly #log: NoticeLog;
  /** By run: entries that wait for the append in progress; a run without an append has no list. */
  readonly #pending = new Map<string, PendingNotice[]>();
  /** By run: sent notices about stored messages, to which the node that executes the run has not answered yet. */
  readonly #unanswered = new Map<string, Set<Promise<void>>>();

  constructor(log: NoticeLog) {
    this.#log = log;
  }

  /** Appends an entry for a process that does not execute the run; {@link RunLog.appendNotice} says more. */
  add(ref: RunRef, entryFor: EntryFor, over: () => boolean): Promise<StoredNotice | undefined> {
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

  /**
   * Delays further messages of the run until `answer` settles, if {@link MAX_UNANSWERED} messages of the run are
   * without an answer; {@link RunLog.awaitAnswer} says more.
   */
  awaitAnswer(ref: RunRef, answer: Promise<void>): void {
    const key = keyOf(ref);
    const all = this.#unanswered.get(key) ?? new Set();
    this.#unanswered.set(key, all);
    // if no answer comes, the subscription of the run's messages calls for the execution of the run
    const own = answer.catch(() => {}).then(() => {
      all.delete(own);
      if (all.size === 0 && this.#unanswered.get(key) === all) this.#unanswered.delete(key);
    });
    all.add(own);
  }

  /**
   * Appends queued entries, one message after the other, because of several appends at once all but one would be
   * refused. Never rejects.
   */
  async #appendAll(ref: RunRef, all: PendingNotice[]): Promise<void> {
    for (let waited = false; all.length > 0; waited = true) {
      const news = this.#unanswered.get(keyOf(ref));
      while (news !== undefined && news.size >= MAX_UNANSWERED) await Promise.race(news);
      const some = all.splice(0, MAX_TOGETHER).filter(({ over, reject }) => {
        const late = waited && over();
        if (late) {
          reject(
            unavailable(
              `run ${ref.run} of ${ref.workflow} is busy: the entry was not stored before its deadline, ` +
                "as other messages of the run came first",
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
   * Appends the entries that fit into one message. The others go back to the front of the queue, and so do all entries
   * if another process has stored a message of the run first. Never rejects.
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
    const { holder, version, viewAt } = end;
    const told: (PendingNotice & { readonly text: string; readonly format: number })[] = [];
    for (const [i, one] of some.entries()) {
      try {
        const entry = one.entryFor(holder);
        if (entry instanceof Promise && told.length > 0) {
          // this entry was made from a read of the run, which an entry before it in the same message would make
          // obsolete: it is made again, as the first entry of the next message
          entry.catch(() => {});
          waiting.unshift(...some.slice(i));
          break;
        }
        const made = await entry;
        told.push({ ...one, text: entryText(made, viewAt), format: formatOf(made) });
      } catch (error) {
        one.reject(error);
      }
    }
    if (told.length === 0) return;
    try {
      const messageOf = () => {
        const format = Math.max(...told.map(({ format }) => format));
        return log.messages.ofTexts(ref, told.map(({ text }) => text), { version, holder, format });
      };
      let message = messageOf();
      while (told.length > 1 && exceeds(message.text, log.mostBytes)) {
        waiting.unshift(...told.splice(told.length >> 1));
        message = messageOf();
      }
      if (exceeds(message.text, log.mostNoticeBytes)) {
        const [limit, name] = [log.mostNoticeBytes, `run ${ref.run} of ${ref.workflow}`];
        throw new CatgaError("TOO_LARGE", `a message to ${name} has more than ${limit} bytes: it was not stored`);
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

/** Maximum number of entries in one message. */
const MAX_TOGETHER = 100;
/** Maximum number of messages of a run that a process stores before the run's executing node has answered. */
const MAX_UNANSWERED = 8;
