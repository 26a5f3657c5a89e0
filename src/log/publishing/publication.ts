/** One message on its way into the log, which ends when it is stored, at its deadline, or when its sender gives up. */
import type { AnyContract } from "../../contract/contract.ts";
import type { Result } from "../../contract/result.ts";
import type { ContextHost, ParentMessage } from "../../dispatch/context_host.ts";
import { Deadlined } from "../../ports/deadline_wheel.ts";
import type { DurableMessage, Schedule } from "../../dispatch/remote.ts";
import { cancelled } from "../../dispatch/unfinished.ts";
import { CatgaError, unavailable } from "../../error.ts";

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
export interface PublicationParts extends Pick<DurableMessage, "contract" | "key" | "timeout" | "signal" | "parent"> {
  /** The item of the stream's message, as text. */
  readonly item: string;
  /** What the program gave as its id. */
  readonly id: string | undefined;
  /** How long it is kept, in ms. */
  readonly keep: number;
  readonly planned: Planned | undefined;
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
      : { ok: false, error: unavailable(`${this.#name} was not stored: ${why}${last}`, { cause: error }) };
  }
}
