/** A call of `lock`: its checked keys and options, and why it stops waiting. */
import { onAbort, type Timer } from "../../ports/clock.ts";
import type { CatgaError } from "../../error.ts";
import { ttlSeconds } from "../../ports/key_value_store.ts";
import { LOCK_TIMEOUT, LOCK_TTL } from "../../contract/declaration/defaults.ts";
import type { Asker } from "../../dispatch/context_host.ts";
import type { LockOptions } from "../../contract/calls/shared_state.ts";
import { lockCancelled, lockTimeout, lockUnavailable } from "./lock_error.ts";
import type { LockHost } from "./lock_host.ts";
import type { LockRecord } from "./lock_record.ts";
import { checkKnown, checkNumber, checkSignal, show } from "../../data/checks.ts";

/** Dependencies of a {@link LockRequest} on its node. */
type LockRequestHost = Pick<LockHost, "clock" | "keys" | "holder">;

/** A running call of `lock`. Its creator must dispose of it. */
export class LockRequest implements Disposable {
  /**
   * The keys to be locked, sorted and without duplicates.
   * @decides a lock of several keys: in which order they are taken
   */
  readonly keys: readonly string[];
  /** Time to live of the lock, in ms, a multiple of 1,000. */
  readonly ttl: number;
  readonly asker: Asker;
  /** False for a `timeout` of 0: the call then fails if a key is taken. */
  readonly mayWait: boolean;
  /** Holder of the key that was tried last, which may be this call; `undefined`: not known. */
  holder: LockRecord | undefined;
  /**
   * The last error with which the store answered a write; if it has answered none, the first error without an answer.
   */
  failure: unknown;
  /** Nonce of this call's record for the key that was tried last. */
  #nonce = "";
  readonly #host: LockRequestHost;
  readonly #started: number;
  readonly #end = new AbortController();
  /** Makes the error for a key after the call has stopped waiting; `undefined` while it waits. */
  #why: ((key: string) => CatgaError) | undefined;
  readonly #timer: Timer | undefined;
  readonly #offAbort: () => void;

  /** Throws a `TypeError` or `RangeError` for invalid keys and options. */
  constructor(host: LockRequestHost, keys: string | readonly string[], options: LockOptions, asker: Asker) {
    checkKnown("lock", options, OPTIONS);
    if (typeof keys !== "string" && !Array.isArray(keys)) {
      throw new TypeError(`a lock needs a key, or an array of them; got ${show(keys)}`);
    }
    this.keys = typeof keys === "string" ? [keys] : [...new Set<string>(keys)].sort();
    const { ttl = LOCK_TTL, timeout = LOCK_TIMEOUT, signal } = options;
    this.ttl = ttlSeconds(ttl, "lock: ttl") * 1_000;
    if (this.keys.length === 0) throw new TypeError("a lock needs a key; got an empty list");
    for (const key of this.keys) host.keys.check(key);
    checkNumber("lock: timeout", timeout, 0, Infinity, "ms");
    checkSignal("lock", signal);
    this.#host = host;
    this.asker = asker;
    this.mayWait = timeout > 0;
    const { clock } = host;
    this.#started = clock.monotonic();
    const cancelled = (key: string) => lockCancelled(key, clock.monotonic() - this.#started, signal?.reason);
    this.#offAbort = onAbort(signal, () => this.giveUp(cancelled));
    if (this.mayWait && timeout !== Infinity) {
      this.#timer = clock.after(timeout, () => this.giveUp((key) => this.timedOut(key)));
    }
  }

  /** Aborts when the call stops waiting; {@link LockRequest.error} returns the reason. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Ends the call's wait. `why`: makes the error for a key. Only the first call of this method has an effect. */
  giveUp(why: (key: string) => CatgaError): void {
    if (this.#end.signal.aborted) return;
    this.#why = why;
    this.#end.abort();
  }

  /**
   * Returns the error because of which the call has stopped waiting for a key. Call only after the signal has
   * aborted.
   */
  error(key: string): CatgaError {
    return this.#why!(key);
  }

  /** Call before a key is tried: nothing is known of its holder. `nonce`: of this call's record for the key. */
  begin(nonce: string): void {
    this.#nonce = nonce;
    this.holder = this.failure = undefined;
  }

  /**
   * Makes the error of a timeout: `LOCK_TIMEOUT`, or `UNAVAILABLE` if the store has failed and no other holder is
   * known: the record in the store may be this call's own, whose acknowledgement was lost.
   */
  timedOut(key: string): CatgaError {
    const { clock } = this.#host;
    const waited = clock.monotonic() - this.#started;
    const known = this.#host.holder(key) ?? this.holder;
    const holder = known?.nonce === this.#nonce ? undefined : known;
    return this.failure !== undefined && holder === undefined
      ? lockUnavailable(key, waited, this.failure)
      : lockTimeout(key, this.mayWait ? waited : 0, clock.now(), holder);
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#offAbort();
  }
}

const OPTIONS: ReadonlySet<string> = new Set<keyof LockOptions>(["ttl", "timeout", "signal"]);
