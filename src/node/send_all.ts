/** Many sends of one contract, so many under way at once. */
import type { Clock } from "../ports/clock.ts";
import type { AnyContract } from "../contract/contract.ts";
import { checkInteger, MAX_CONCURRENCY, show } from "../contract/checks.ts";
import { checkSendOptions, type SendOptions } from "../contract/send_options.ts";
import type { Result } from "../contract/result.ts";
import type { SendAllOptions } from "../contract/sender.ts";

/** How each is sent. */
export interface Each {
  readonly clock: Clock;
  send(payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** Whether all that would be sent from now on is refused. */
  over(): boolean;
}

/** Sends each payload, as `Sender.sendAll` says. */
export async function sendAll(
  { name }: AnyContract,
  payloads: Iterable<unknown>,
  options: SendAllOptions,
  { clock, send, over }: Each,
): Promise<Result<unknown>[]> {
  const at = `sendAll ${name}`;
  const { concurrency = 512, ...each } = options;
  checkInteger(`${at}: concurrency`, concurrency, 1, MAX_CONCURRENCY);
  if ("id" in each) throw new TypeError(`${at}: an id is of one message; got ${show(each.id)}`);
  checkSendOptions("sendAll", name, each);
  if (typeof payloads?.[Symbol.iterator] !== "function") {
    throw new TypeError(`${at}: the payloads must be an array or another iterable; got ${show(payloads)}`);
  }
  const results: Result<unknown>[] = [];
  const left = payloads[Symbol.iterator]();
  // of an array each payload has its result; what else is iterable may have no end
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
    } catch (error) { // misuse, or the payloads' own: the others read no further
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
 * Gives the event loop back when the sends have kept it for too long: those to handlers that return at once would for ever,
 * and no timer would fire.
 */
class Pace {
  readonly #clock: Clock;
  #sends = 0;
  /** Since when a timer of no delay has not fired; -1: none is set. */
  #since = -1;
  #turn: Promise<void> | undefined;
  #next: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A send has ended; whether the event loop is to be given back before the next. */
  spent(): boolean {
    if (this.#turn !== undefined) return true;
    if (++this.#sends % LOOK !== 0) return false;
    // a wall clock that jumps does no harm
    if (this.#since >= 0) return Math.abs(this.#clock.now() - this.#since) > LONG;
    this.#since = this.#clock.now();
    this.#clock.after(0, () => {
      this.#since = -1;
      this.#turn = undefined;
      this.#next?.();
    });
    return false;
  }

  /** Resolves in the next turn of the event loop, for all who wait for it. */
  turn(): Promise<void> {
    return this.#turn ??= new Promise((resolve) => this.#next = resolve);
  }
}

const LOOK = 64; // sends
const LONG = 5; // ms
