/**
 * Stores schedules under their subjects and takes them back. Each write gets a mark (a text that no other writer uses),
 * by which the writer recognizes its own message. A drain waits for these writes.
 */
import type { StreamsHost } from "../../dispatch/node_host.ts";
import type { LogStream } from "../../ports/event_log.ts";
import type { PublicationHost } from "./publication.ts";
import { overwrite, type OverwriteOptions } from "./schedule_write.ts";
import type { NamedSchedule } from "./stream_message.ts";
import { unschedule } from "./unschedule.ts";

/** The stream of the log, opened when it is first needed (`stream_source.ts`). */
export interface LogSource {
  /** Returns the opened stream. Rejects with a `CatgaError`. */
  get(): LogStream | Promise<LogStream>;
  /** Returns the stream after a failed attempt: it is made anew if it is gone. Rejects with a `CatgaError`. */
  again(): LogStream | Promise<LogStream>;
}

/** Options of a {@link ScheduleStore}. */
export interface ScheduleStoreOptions extends Pick<StreamsHost, "endpoint" | "clock"> {
  /** The node, whose drain waits for all writes. */
  readonly host: Pick<PublicationHost, "underWay">;
  /** The stream in which schedules are stored. */
  readonly source: LogSource;
}

/** The schedules that one process stores and takes back. */
export class ScheduleStore {
  readonly #options: ScheduleStoreOptions;
  #marks = 0;

  constructor(options: ScheduleStoreOptions) {
    this.#options = options;
  }

  /**
   * Stores a schedule, replacing a schedule with the same name. Rejects with a `CatgaError`. `limit`: time limit in
   * ms; `abandoned`: returns true when no sender waits any more.
   */
  replace({ subject, replacement }: NamedSchedule, limit: number, abandoned: () => boolean): Promise<unknown> {
    return this.#trying(limit, (options) => overwrite(subject, replacement, { ...options, abandoned }));
  }

  /**
   * Takes back the schedule under this subject, so that it does not fire. Resolves with true if it will not fire; with
   * false if it has fired or never existed. Rejects with a `CatgaError`. `limit`: time limit in ms, a minute at most.
   */
  takeBack(subject: string, limit: number): Promise<boolean> {
    return this.#trying(limit, (options) => unschedule(subject, options));
  }

  async #trying<T>(limit: number, work: (options: OverwriteOptions) => Promise<T>): Promise<T> {
    const { endpoint, clock, host, source } = this.#options;
    const stream = (again: boolean) => again ? source.again() : source.get();
    const mark = `${endpoint}.${this.#marks++}`;
    // less than the time for which a mark, and a message's id, are kept in the stream
    const timeout = Math.min(limit, 60_000);
    host.underWay.begin(); // a drain waits for `work`
    try {
      return await work({ clock, stream, mark, timeout });
    } finally {
      host.underWay.end();
    }
  }
}
