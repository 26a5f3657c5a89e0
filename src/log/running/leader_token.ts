/**
 * The leader that a node obeys: the one whose token stands in the subscription's record. A token that this node has not
 * seen is checked against the record, so that one that somebody made up neither runs anything nor keeps the leader's
 * own messages out. So is the known one after this process stood still, and for what was sent long ago, as over a link
 * that carried nothing for a while: others may have taken over meanwhile, and handled what was handed out before.
 */
import { type CatgaError, isCatgaError, unavailable } from "../../error.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Standstill } from "../../ports/standstill.ts";
import { type StoredMessage, textOf } from "../../ports/event_log.ts";
import { readCommit } from "../format/commit.ts";

/** Result of the check of a token: the leader's, an earlier one's, or an error if that is unknown now. */
export type TokenCheck = "leader" | "earlier" | CatgaError;

/** Options of a {@link LeaderToken}. */
export interface LeaderTokenOptions {
  readonly service: string;
  readonly name: string;
  readonly clock: Clock;
  /** When this process last stood still, see `Standstill`. */
  readonly standstill: Pick<Standstill, "ended" | "looked">;
  /** The subscription's last commit, from the stream's leader. Rejects with a `CatgaError`. */
  record(): Promise<StoredMessage | undefined>;
}

/** The token of a subscription's leader, as one node knows it. */
export class LeaderToken {
  readonly #options: LeaderTokenOptions;
  #known = 0;
  /** When the read began that has confirmed it, by the monotonic clock. */
  #confirmed = -Infinity;
  #reading: Promise<number | CatgaError> | undefined;
  #next: Promise<number | CatgaError> | undefined;
  /** Since when the record has had a lower token than the known one, by the monotonic clock. */
  #lowerSince = Infinity;

  constructor(options: LeaderTokenOptions) {
    this.#options = options;
  }

  /** The token of the leader that is obeyed; 0 before the first, and when it has to be confirmed. */
  get known(): number {
    return this.#confirmed < this.#options.standstill.ended ? 0 : this.#known;
  }

  /** When {@link LeaderToken.known} was last read, about, by the monotonic clock. */
  get looked(): number {
    return this.#options.standstill.looked;
  }

  /**
   * Returns true if a request is certainly that of the leader. `sentAt`: when it was sent, by the monotonic clock; now
   * if unknown.
   */
  obeys(token: number, sentAt = Infinity): boolean {
    return token === this.known && this.looked - Math.max(sentAt, this.#confirmed) <= TOKEN_TRUSTED_FOR;
  }

  /** Checks what {@link LeaderToken.obeys} is not sure of. Never rejects. */
  async check(token: number, sentAt?: number): Promise<TokenCheck> {
    if (this.obeys(token, sentAt)) return "leader";
    const began = this.#options.clock.monotonic();
    const current = await this.#read();
    if (typeof current !== "number") return token < this.#known ? "earlier" : current;
    this.#learn(current);
    this.#confirmed = Math.max(this.#confirmed, began);
    if (token < this.#known) return "earlier";
    // it may have stood still during the read
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
    // tokens grow, so that a lower one was read from a server that lags behind; unless an older copy of the bucket was
    // brought back
    const now = clock.monotonic();
    if (this.#lowerSince === Infinity) this.#lowerSince = now;
    if (now - this.#lowerSince >= LAG) {
      this.#lowerSince = Infinity;
      this.#known = current;
    }
  }

  /** The token in the record, by a read that begins from now on: one read for all who ask meanwhile. */
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
 * How long ago a request of the known leader may have been sent, or its token read, in ms: another one leads 0.6 s
 * later at the soonest, and asks this node before it hands out anything, for up to 3 s.
 */
const TOKEN_TRUSTED_FOR = 2_000;
/** How long the record must have had a lower token until that is believed, in ms. */
const LAG = 5_000;
