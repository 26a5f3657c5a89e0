/**
 * A message that is being published to the log. The publication ends when the message is stored, at its deadline, or
 * when its sender gives up.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { ContextHost, ParentMessage } from "../../dispatch/context_host.ts";
import { Deadlined } from "../../ports/deadline_wheel.ts";
import type { DurableMessage, Schedule } from "../../dispatch/remote.ts";
import { cancelled } from "../../dispatch/outcome.ts";
import { CatgaError, unavailable } from "../../error.ts";

/** Dependencies of a {@link Publication} on its app. A drain of the app waits for all publications. */
export type PublicationHost = Pick<ContextHost, "wheel" | "underWay">;

/** The schedule of a message that is published for a later time. */
export interface PlannedSchedule {
  readonly schedule: Schedule;
  /** Time at which the message is due, by the monotonic clock; a string: a cron expression. */
  readonly due: number | string;
  /** Time by which it is due at the latest, however often it is replaced, by the monotonic clock; absent: none. */
  readonly latest?: number | undefined;
  /** Id of the schedule. */
  readonly id: string;
  /** Subject of the schedule, which contains its id. */
  readonly subject: string;
}

/**
 * Outcome so far of the attempts to store one message of the stream. The message may contain several publications
 * (messages that the program published), each of which reads this outcome.
 */
export interface Attempted {
  /** True if an attempt that got no answer may have stored the message. */
  readonly ambiguous: boolean;
  /** Error of the last attempt to store the message. */
  readonly error: CatgaError | undefined;
  /**
   * Called when one of the publications in the message has given up: if all have, the message is not sent again.
   */
  publicationGaveUp(): void;
}

/** The queue in which a publication waits to be sent. */
interface WaitingQueue {
  /** Notes that a waiting publication has ended, so that the queue can remove it. */
  publicationEnded(): void;
}

/** Counts the publications of one process that have not ended, because their number is limited. */
export class PublishBacklog {
  /** Number of published messages that wait or are being sent. */
  messages = 0;
  /** Number of characters of the published messages that wait or are being sent. */
  chars = 0;
  readonly #limit: number;

  /** `limit`: maximum number of messages that wait or are being sent. */
  constructor(limit: number = MAX_WAITING) {
    this.#limit = limit;
  }

  /** True if no further message may be published now. */
  get isFull(): boolean {
    return this.messages >= this.#limit || this.chars > MAX_WAITING_CHARS;
  }
}

/** Arguments of a {@link Publication}. */
export interface PublicationParts extends Pick<DurableMessage, "contract" | "key" | "timeout" | "signal" | "parent"> {
  /** The published message, encoded as an item of a message of the stream. */
  readonly item: string;
  /** Id of the message given by the program; `undefined`: none. */
  readonly id: string | undefined;
  /** Time for which the log keeps the message, in ms. */
  readonly keep: number;
  readonly planned: PlannedSchedule | undefined;
}

/** A message that is being published to the log. */
export class Publication extends Deadlined {
  readonly contract: AnyContract;
  readonly id: string | undefined;
  readonly key: string | undefined;
  readonly keep: number;
  readonly planned: PlannedSchedule | undefined;
  /** The publication's result; resolves once, when the publication ends. */
  readonly result: Promise<Result<void>>;
  /** The published message, encoded; emptied when the publication has ended. */
  item: string;
  /** The message of the stream that contains this publication; `undefined`: the publication still waits to be sent. */
  attempted: Attempted | undefined;
  readonly #host: PublicationHost;
  readonly #backlog: PublishBacklog;
  readonly #lane: WaitingQueue;
  readonly #signal: AbortSignal | undefined;
  readonly #execution: ParentMessage["execution"] | undefined;
  #settle: ((result: Result<void>) => void) | undefined;
  #cancel: (() => void) | undefined;

  /** `lane`: queue in which the publication waits to be sent. */
  constructor(host: PublicationHost, backlog: PublishBacklog, lane: WaitingQueue, parts: PublicationParts) {
    super(host.wheel.now() + parts.timeout);
    this.contract = parts.contract;
    this.id = parts.id;
    this.key = parts.key;
    this.keep = parts.keep;
    this.planned = parts.planned;
    this.item = parts.item;
    this.#host = host;
    this.#backlog = backlog;
    this.#lane = lane;
    this.#signal = parts.signal;
    // a handler's abort ends its publications of commands, but not of events
    this.#execution = parts.contract.kind === "event" ? undefined : parts.parent?.execution;
    this.result = new Promise((resolve) => this.#settle = resolve);
    host.underWay.begin();
    host.wheel.add(this);
    backlog.messages++;
    backlog.chars += this.item.length;
    if (parts.signal !== undefined) {
      this.#cancel = () => this.abort(cancelled(this.contract));
      parts.signal.addEventListener("abort", this.#cancel, { once: true });
    }
    this.#execution?.adopt(this);
  }

  /** True if the publication has ended. */
  get over(): boolean {
    return this.#settle === undefined;
  }

  /**
   * Ends the publication with this result. Does nothing if the publication has ended already. Called when the attempts
   * to store its message have ended.
   */
  end(result: Result<void>): void {
    const settle = this.#settle;
    if (settle === undefined) return;
    this.#settle = undefined;
    this.#host.wheel.delete(this);
    if (this.#cancel !== undefined) this.#signal!.removeEventListener("abort", this.#cancel);
    this.#execution?.release(this);
    this.#backlog.messages--;
    this.#backlog.chars -= this.item.length;
    if (this.attempted === undefined) this.#lane.publicationEnded();
    this.item = "";
    // settled before `underWay.end()`: the code that awaits the result may start work for which a drain must wait
    settle(result);
    this.#host.underWay.end();
  }

  override expire(): void {
    this.#giveUp(this.#failed("its deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    if (reason.code === "CANCELLED") this.#giveUp({ ok: false, error: reason });
    else if (reason.code === "CLOSED" && !this.attempted?.ambiguous) {
      this.#giveUp({ ok: false, error: new CatgaError("CLOSED", `${this.#name} was not stored: ${reason.message}`) });
    } else this.#giveUp(this.#failed(reason.message));
  }

  /** Ends the publication before the attempts to store it have ended. */
  #giveUp(result: Result<void>): void {
    if (this.over) return;
    this.end(result);
    this.attempted?.publicationGaveUp();
  }

  /**
   * Ends the publication with an error: `OUTCOME_UNKNOWN` if the message may have been stored; another code if it is
   * certainly not stored.
   */
  fail(why: string): void {
    this.end(this.#failed(why));
  }

  get #name(): string {
    return `${this.contract.kind} ${this.contract.name}`;
  }

  #failed(why: string): Result<void> {
    const error = this.attempted?.error;
    const last = error === undefined ? "" : `; last error: ${error.message}`;
    return this.attempted?.ambiguous
      ? {
        ok: false,
        error: new CatgaError("OUTCOME_UNKNOWN", `${this.#name} may have been stored: ${why}${last}`, { cause: error }),
      }
      : { ok: false, error: unavailable(`${this.#name} was not stored: ${why}${last}`, { cause: error }) };
  }
}

/** Maximum number of messages of one process that wait for the log or are being sent. */
const MAX_WAITING = 262_144;
/** Maximum number of characters of one process's messages that wait for the log or are being sent. */
const MAX_WAITING_CHARS = 64 * 1_048_576;
