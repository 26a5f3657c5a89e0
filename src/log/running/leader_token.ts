/**
 * Decides which leader of a subscription a node obeys: the leader whose token is in the subscription's last commit. A
 * token that this node has not seen yet is checked against that commit, so that a forged token neither runs anything
 * nor blocks the real leader. The known token is checked again after this process stood still, and for a request that
 * was sent long ago (as over a link that carried nothing for a while): another leader may have taken over in that time,
 * and the message may have been handled.
 */
import { type CatgaError, isCatgaError, unavailable } from "../../error.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Standstill } from "../../ports/standstill.ts";
import { type StoredMessage, textOf } from "../../ports/event_log.ts";
import { readCommit } from "../format/commit.ts";

/**
 * Result of the check of a token. `leader`: the token is that of the leader in the subscription's last commit;
 * `earlier`: that of an earlier leader; an error: the token is unknown, or the commit cannot be read now.
 */
export type TokenCheck = "leader" | "earlier" | CatgaError;

/** Options of a {@link LeaderToken}. */
export interface LeaderTokenOptions {
  readonly service: string;
  readonly name: string;
  readonly clock: Clock;
  /** Times at which this process stood still (was frozen, or on a suspended machine). */
  readonly standstill: Pick<Standstill, "ended" | "looked" | "explain">;
  /** Reads the subscription's last commit, from the leader of the stream. Rejects with a `CatgaError`. */
  record(): Promise<StoredMessage | undefined>;
}

/** The token of a subscription's leader, as far as this node knows it. */
export class LeaderToken {
  readonly #options: LeaderTokenOptions;
  #known = 0;
  /** Time at which the read that confirmed the known token has begun, by the monotonic clock. */
  #confirmed = -Infinity;
  #reading: Promise<number | CatgaError> | undefined;
  #next: Promise<number | CatgaError> | undefined;
  /** Time since which the last commit has had a lower token than the known one, by the monotonic clock. */
  #lowerSince = Infinity;

  constructor(options: LeaderTokenOptions) {
    this.#options = options;
  }

  /**
   * Token of the leader that this node obeys. 0 if no token is known yet, and while the known token must be confirmed
   * again.
   */
  get known(): number {
    return this.#confirmed < this.#options.standstill.ended ? 0 : this.#known;
  }

  /**
   * Approximate present time, by the monotonic clock: the time of the last check for a standstill. Faster than
   * reading the clock.
   */
  get looked(): number {
    return this.#options.standstill.looked;
  }

  /** Time at which the last standstill of this process ended, by the monotonic clock; `-Infinity`: there was none. */
  get stoodUntil(): number {
    return this.#options.standstill.ended;
  }

  /** Duration of the last standstill of this process, in ms, once; 0: there was none since the last call. */
  explainStandstill(): number {
    return this.#options.standstill.explain();
  }

  /** Checks for a standstill, and returns the present time as {@link LeaderToken.looked} does. */
  look(): number {
    void this.#options.standstill.ended; // the getter checks
    return this.looked;
  }

  /**
   * Returns true if a request with this token may be obeyed without a check: the token is the known leader's, and the
   * request was sent, or the token confirmed, in the last {@link TOKEN_TRUSTED_FOR} ms, so that no other leader can
   * have handed out messages. False: {@link LeaderToken.check} must decide. `sentAt`: time at which the request was
   * sent, by the monotonic clock; absent: just now.
   * @decides a node refuses a leader that is none any more
   */
  obeys(token: number, sentAt = Infinity): boolean {
    return token === this.known && this.looked - Math.max(sentAt, this.#confirmed) <= TOKEN_TRUSTED_FOR;
  }

  /** Like {@link LeaderToken.obeys}, but reads the subscription's last commit if needed. Never rejects. */
  async check(token: number, sentAt?: number): Promise<TokenCheck> {
    if (this.obeys(token, sentAt)) return "leader";
    const began = this.#options.clock.monotonic();
    const current = await this.#read();
    if (typeof current !== "number") return token < this.#known ? "earlier" : current;
    this.#learn(current);
    this.#confirmed = Math.max(this.#confirmed, began);
    if (token < this.#known) return "earlier";
    // the token is checked once more, because this process may have stood still during the read
    if (token === this.#known) return token === this.known ? "leader" : await this.check(token, sentAt);
    const { service, name } = this.#options;
    return unavailable(`the record of subscription ${service}/${name} has no leader with this token`);
  }

  #learn(current: number): void {
    const { clock } = this.#options;
    if (current >= this.#known) {
      this.#lowerSince = Infinity;
      this.#known = current;
      return;
    }
    // tokens only grow: a lower token comes from a server that lags behind, or from an older copy of the stream that
    // was restored
    const now = clock.monotonic();
    if (this.#lowerSince === Infinity) this.#lowerSince = now;
    if (now - this.#lowerSince >= LOWER_TOKEN_ACCEPTED_AFTER) {
      this.#lowerSince = Infinity;
      this.#known = current;
    }
  }

  /**
   * Reads the token in the subscription's last commit. A read that has begun before the call does not count: waiting
   * calls share the next read.
   */
  #read(): Promise<number | CatgaError> {
    if (this.#reading === undefined) return this.#reading = this.#get().finally(() => this.#reading = undefined);
    return this.#next ??= this.#reading.then(() => {
      this.#next = undefined;
      return this.#read();
    });
  }

  async #get(): Promise<number | CatgaError> {
    const { service, name, record } = this.#options;
    let message: StoredMessage | undefined;
    try {
      message = await record();
    } catch (error) {
      if (isCatgaError(error)) return error;
      throw error;
    }
    const read = message === undefined ? "there is none" : readCommit(textOf(message));
    if (typeof read !== "string") return read.head.token;
    const text = `the record of subscription ${service}/${name} cannot be read: ${read}`;
    return unavailable(text);
  }
}

/**
 * Maximum time in ms since the token of the known leader was last confirmed, or since the request was sent, for which a
 * request with that token is obeyed without a check. Another leader can exist 0.4 s after the request was sent at the
 * earliest (its sender leads for up to 1.3 s after the last renewal of its lease, and is replaced 1.7 s after it at the
 * earliest); the other leader first asks this node (for up to 3 s) before it hands out anything.
 */
const TOKEN_TRUSTED_FOR = 2_000;
/** Time for which the last commit must have had a lower token before the lower token is accepted, in ms. */
const LOWER_TOKEN_ACCEPTED_AFTER = 5_000;
