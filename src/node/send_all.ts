/**
 * `sendAll`: sends many messages of one contract, of which a limited number are in progress at once, and yields to the
 * event loop in between.
 */
import { type AnyContract, MAX_CONCURRENCY } from "../contract/declaration/contract.ts";
import { SEND_ALL_CONCURRENCY } from "../contract/declaration/defaults.ts";
import type { Result } from "../contract/calls/result.ts";
import { checkSendOptions, type SendOptions } from "../contract/calls/send_options.ts";
import type { SendAllOptions } from "../contract/calls/sender.ts";
import { checkInteger, show } from "../data/checks.ts";
import { afterOrAtEnd, type Clock } from "../ports/clock.ts";

/** The part of the app that {@link sendAll}, which sends many messages, uses. */
interface SendAllHost {
  readonly clock: Clock;
  send(payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** Returns true if every further send would be refused. */
  over(): boolean;
}

/** Sends each payload of an iterable, and resolves with the results in their order (`Sender.sendAll`). */
export async function sendAll(
  { name }: AnyContract,
  payloads: Iterable<unknown>,
  options: SendAllOptions,
  { clock, send, over }: SendAllHost,
): Promise<Result<unknown>[]> {
  const at = `sendAll ${name}`;
  checkSendOptions("sendAll", name, options);
  const { concurrency = SEND_ALL_CONCURRENCY, id, ...each }: SendAllOptions & SendOptions = options;
  checkInteger(`${at}: concurrency`, concurrency, 1, MAX_CONCURRENCY);
  if (id !== undefined) throw new TypeError(`${at}: an id is of one message; got ${show(id)}`);
  if (typeof payloads?.[Symbol.iterator] !== "function") {
    throw new TypeError(`${at}: the payloads must be an array or another iterable; got ${show(payloads)}`);
  }
  const results: Result<unknown>[] = [];
  const left = payloads[Symbol.iterator]();
  // every payload of an array gets its result; another iterable may be endless, so reading it may stop early
  const finite = Array.isArray(payloads);
  const pace = new TurnYield(clock);
  let next = 0;
  /** True if no further payload is read: the iterable is done, has thrown, or was closed. */
  let exhausted = false;
  const close = () => {
    if (exhausted) return;
    exhausted = true;
    left.return?.();
  };
  const sender = async () => {
    try {
      while (!exhausted) {
        exhausted = true; // an iterable that throws, or is done, need not be closed
        const step = left.next();
        if (step.done) return;
        exhausted = false;
        const place = next++;
        // the last payload that is read: its result says why no more are read
        if (!finite && over()) close();
        const result = results[place] = await send(step.value, each);
        if (!finite && result.error !== undefined && over()) close();
        if (pace.spent()) await pace.turn();
      }
    } catch (error) { // after misuse, or an error of the iterable, no sender reads further payloads
      close();
      throw error;
    }
  };
  const senders: Promise<void>[] = [];
  while (!exhausted && senders.length < concurrency) senders.push(sender());
  await Promise.all(senders);
  return results;
}

/**
 * Yields to the event loop if the sends of a `sendAll` have kept it busy for too long: sends to handlers that return at
 * once would never yield, and no timer would fire.
 */
class TurnYield {
  readonly #clock: Clock;
  #sends = 0;
  /** Time at which the timer for the next turn of the event loop was set; -1: none is set. */
  #since = -1;
  #turn: Promise<void> | undefined;
  #next: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Returns true if the next send has to wait for {@link TurnYield.turn}, because sends have kept the event loop busy
   * for too long. Called when a send has ended.
   */
  spent(): boolean {
    if (this.#turn !== undefined) return true;
    if (++this.#sends % CHECK_EVERY !== 0) return false;
    // the wall clock is good enough: if it jumps, the senders only yield to the event loop too early
    if (this.#since >= 0) return Math.abs(this.#clock.now() - this.#since) > MAX_TURN;
    this.#since = this.#clock.now();
    afterOrAtEnd(this.#clock, 0, () => {
      this.#since = -1;
      this.#turn = undefined;
      this.#next?.();
    });
    return false;
  }

  /** Resolves in the next turn of the event loop. All senders that wait share the turn. */
  turn(): Promise<void> {
    return this.#turn ??= new Promise((resolve) => this.#next = resolve);
  }
}

/** Number of sends between two looks at the clock. */
const CHECK_EVERY = 64;
/** Time after which a turn of the event loop has to end, in ms. */
const MAX_TURN = 5;
