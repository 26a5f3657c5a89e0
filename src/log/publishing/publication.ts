/** One message on its way into the log: it ends when it is stored, at its deadline, or when its sender gives up. */
import type { AnyContract } from "../../contract/contract.ts";
import type { Result } from "../../contract/result.ts";
import type { ContextHost, ParentMessage } from "../../dispatch/context_host.ts";
import { type Clock, Deadlined } from "../../ports/clock.ts";
import type { Schedule } from "../../dispatch/remote.ts";
import { cancelled } from "../../dispatch/execution.ts";
import { CatgaError } from "../../error.ts";
import type { LogAbilities, LogStream } from "../../ports/event_log.ts";

/** Dependencies of a {@link Publication} on its app: a drain waits for it. */
export type PublicationHost = Pick<ContextHost, "wheel" | "underWay">;

/** A schedule that is to be stored. */
export interface Planned {
  readonly schedule: Schedule;
  /** When it is due: a moment of the monotonic clock; or cron. */
  readonly due: number | string;
  /** What names it, and the subject that says so. */
  readonly id: string;
  readonly subject: string;
}

/** How far the message of the stream is that holds a publication. */
export interface Attempted {
  /** True if it may have been stored, as far as is known. */
  readonly ambiguous: boolean;
  /** What the last attempt failed with. */
  readonly error: CatgaError | undefined;
  /** A publication in it has ended. */
  left(): void;
}

/** Arguments of a publication. */
export interface PublicationParts {
  readonly contract: AnyContract;
  /** The item of the stream's message, as text. */
  readonly item: string;
  /** What the program gave as its id. */
  readonly id: string | undefined;
  readonly key: string | undefined;
  /** How long it is kept, in ms. */
  readonly keep: number;
  readonly planned: Planned | undefined;
  /** In ms. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly parent: ParentMessage | undefined;
}

/** A message on its way into the log. */
export class Publication extends Deadlined {
  readonly contract: AnyContract;
  readonly id: string | undefined;
  readonly key: string | undefined;
  readonly keep: number;
  readonly planned: Planned | undefined;
  /** Settles once. */
  readonly result: Promise<Result<void>>;
  /** Empty once it has ended. */
  item: string;
  /** The message of the stream that it is in; `undefined`: it waits. */
  attempted: Attempted | undefined;
  readonly #host: PublicationHost;
  readonly #ended: (publication: Publication) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #execution: ParentMessage["execution"] | undefined;
  #settle: ((result: Result<void>) => void) | undefined;
  #cancel: (() => void) | undefined;

  /** `ended` is called once. */
  constructor(host: PublicationHost, parts: PublicationParts, ended: (publication: Publication) => void) {
    super(host.wheel.now() + parts.timeout);
    this.contract = parts.contract;
    this.id = parts.id;
    this.key = parts.key;
    this.keep = parts.keep;
    this.planned = parts.planned;
    this.item = parts.item;
    this.#host = host;
    this.#ended = ended;
    this.#signal = parts.signal;
    // events are not aborted with their handler: it may still publish what it did
    this.#execution = parts.contract.kind === "event" ? undefined : parts.parent?.execution;
    this.result = new Promise((resolve) => this.#settle = resolve);
    host.underWay.begin();
    host.wheel.add(this);
    if (parts.signal !== undefined) {
      this.#cancel = () => this.abort(cancelled(this.contract));
      parts.signal.addEventListener("abort", this.#cancel, { once: true });
    }
    this.#execution?.adopt(this);
  }

  /** True if it has its result. */
  get over(): boolean {
    return this.#settle === undefined;
  }

  /** Gives it its result, unless it has one. */
  end(result: Result<void>): void {
    const settle = this.#settle;
    if (settle === undefined) return;
    this.#settle = undefined;
    this.#host.wheel.delete(this);
    if (this.#cancel !== undefined) this.#signal!.removeEventListener("abort", this.#cancel);
    this.#execution?.release(this);
    this.#ended(this);
    this.item = "";
    settle(result); // before it ends: code that waits for it may start something that a drain has to wait for
    this.#host.underWay.end();
    this.attempted?.left();
  }

  override expire(): void {
    this.end(this.#failed("its deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    if (reason.code === "CANCELLED") this.end({ ok: false, error: reason });
    else if (reason.code === "CLOSED" && !this.attempted?.ambiguous) {
      this.end({ ok: false, error: new CatgaError("CLOSED", `${this.#name} was not stored: ${reason.message}`) });
    } else this.end(this.#failed(reason.message));
  }

  /** It can no longer be stored for certain, or no longer be found out whether it is. */
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
      : {
        ok: false,
        error: new CatgaError("UNAVAILABLE", `${this.#name} was not stored: ${why}${last}`, {
          retryable: true,
          cause: error,
        }),
      };
  }
}

// When a message is to be handled, as the stream has it, and what the server must be able to do for it.

/** When a schedule is due that is made now: a moment of this process's monotonic clock; or cron. A date is meant by its wall clock. */
export function dueOf(schedule: Schedule, clock: Clock): number | string {
  if ("cron" in schedule) return schedule.cron.trim();
  return clock.monotonic() + ("delay" in schedule ? schedule.delay : schedule.at.getTime() - clock.now());
}

/** The time of the server in ms since 1970, certainly not before that moment, and now at the earliest; or cron. */
export function timeOf(due: number | string, clock: Clock, { latestServerTime }: LogStream): number | string {
  return typeof due === "string" ? due : Math.ceil(latestServerTime + Math.max(0, due - clock.monotonic()));
}

/** The options that a program gave, for an error. */
export function textOf(schedule: Schedule): string {
  if ("delay" in schedule) return `delay ${schedule.delay}`;
  if ("at" in schedule) return `at ${schedule.at.toISOString()}`;
  const { cron, zone } = schedule;
  return `cron ${JSON.stringify(cron)}${zone === undefined ? "" : ` and zone ${JSON.stringify(zone)}`}`;
}

/** Why the server cannot store such a schedule; `undefined` if it can, as far as is known. */
export function unsupported(due: number | string, abilities: LogAbilities | undefined): string | undefined {
  if (abilities === undefined) return undefined;
  const { version } = abilities;
  if (typeof due === "string") {
    return abilities.cron ? undefined : `a cron needs nats-server 2.14 or later; this server is ${version}`;
  }
  return abilities.at ? undefined : `a delay, or a time, needs nats-server 2.12 or later; this server is ${version}`;
}
