/** Many sends of one contract, a limited number of them under way at once. */
import type { Clock } from "../ports/clock.ts";
import { type AnyContract, MAX_CONCURRENCY } from "../contract/contract.ts";
import { checkInteger, show } from "../data/checks.ts";
import { checkSendOptions, type SendOptions } from "../contract/send_options.ts";
import type { Result } from "../contract/result.ts";
import type { SendAllOptions } from "../contract/sender.ts";

/** What {@link sendAll} needs of the app. */
export interface SendAllHost {
  readonly clock: Clock;
  send(payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** Whether every further send would be refused. */
  over(): boolean;
}

/** Sends each payload, as `Sender.sendAll` says. */
export async function sendAll(
  { name }: AnyContract,
  payloads: Iterable<unknown>,
  options: SendAllOptions,
  { clock, send, over }: SendAllHost,
): Promise<Result<unknown>[]> {
  const at = `sendAll ${name}`;
  checkSendOptions("sendAll", name, options);
  const { concurrency = 512, ...rest } = options;
  const { id, ...each }: SendOptions = rest;
  checkInteger(`${at}: concurrency`, concurrency, 1, MAX_CONCURRENCY);
  if (id !== undefined) throw new TypeError(`${at}: an id is of one message; got ${show(id)}`);
  if (typeof payloads?.[Symbol.iterator] !== "function") {
    throw new TypeError(`${at}: the payloads must be an array or another iterable; got ${show(payloads)}`);
  }
  const results: Result<unknown>[] = [];
  const left = payloads[Symbol.iterator]();
  // every payload of an array has its result; another iterable may be endless
  const finite = Array.isArray(payloads);
  const pace = new Pace(clock);
  let next = 0;
  let read = false;
  const close = () => {
    if (read) return;
    read = true;
    left.return?.();
  };
  const sender = async () => {
    try {
      while (!read) {
        const step = left.next();
        if (step.done) read = true;
        if (read) return;
        const place = next++;
        const result = results[place] = await send(step.value, each);
        if (!finite && result.error !== undefined && over()) close();
        if (pace.spent()) await pace.turn();
      }
    } catch (error) { // misuse, or an error of the iterable: the other senders stop reading
      close();
      throw error;
    }
  };
  const senders: Promise<void>[] = [];
  while (!read && senders.length < concurrency) senders.push(sender());
  await Promise.all(senders);
  return results;
}

/**
 * Yields to the event loop when the sends have kept it for too long: sends to handlers that return at once would never yield,
 * and no timer would fire.
 */
class Pace {
  readonly #clock: Clock;
  #sends = 0;
  /** When the timer was set that fires in the next turn of the event loop; -1: none is set. */
  #since = -1;
  #turn: Promise<void> | undefined;
  #next: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A send has ended; returns whether the next has to wait for {@link Pace.turn}. */
  spent(): boolean {
    if (this.#turn !== undefined) return true;
    if (++this.#sends % CHECK_EVERY !== 0) return false;
    // a wall clock that jumps only yields too early
    if (this.#since >= 0) return Math.abs(this.#clock.now() - this.#since) > LONGEST;
    this.#since = this.#clock.now();
    this.#clock.after(0, () => {
      this.#since = -1;
      this.#turn = undefined;
      this.#next?.();
    });
    return false;
  }

  /** Resolves in the next turn of the event loop, for all senders that wait for it. */
  turn(): Promise<void> {
    return this.#turn ??= new Promise((resolve) => this.#next = resolve);
  }
}

const CHECK_EVERY = 64; // sends
const LONGEST = 5; // ms
