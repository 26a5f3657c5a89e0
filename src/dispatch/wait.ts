/** A wait for the user's code that ends with the message it is for, so that nothing that never settles is waited for for ever. */
import type { ContextHost, ParentMessage } from "./context_host.ts";
import type { AnyContract } from "../contract/contract.ts";
import { Deadlined } from "./deadline_wheel.ts";
import { CatgaError } from "../error.ts";

/** What is waited for, until it is given up. What the work gives after that has no effect. */
export class Wait<T> extends Deadlined {
  /** What the work gives, or what was made of the reason to give it up. */
  readonly outcome: Promise<T>;
  readonly #giveUp: (reason: CatgaError) => void;

  /** `givenUp` gives the outcome when the message is given up first; `ended` is called once. */
  constructor(
    due: number,
    work: Promise<T>,
    { givenUp, ended }: { givenUp(reason: CatgaError): T | Promise<T>; ended(): void },
  ) {
    super(due);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let over = false;
    const end = (settle: () => void) => {
      if (over) return;
      over = true;
      settle(); // first: whoever waits for it may go on with something that a drain waits for
      ended();
    };
    this.outcome = promise;
    this.#giveUp = (reason) => end(() => resolve(givenUp(reason)));
    work.then((value) => end(() => resolve(value)), (error) => end(() => reject(error)));
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", "the deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    this.#giveUp(reason);
  }
}

/** A message that is being sent. */
export interface Sent {
  readonly contract: AnyContract;
  /** What is left of its time, in ms. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly parent: ParentMessage | undefined;
}

/**
 * What the work gives, or what `givenUp` makes of the reason when the message's deadline passes, its sender gives up, or the
 * app stops before that. A drain waits for it.
 */
export function untilDeadline<T>(
  host: Pick<ContextHost, "wheel" | "pending" | "idle">,
  { contract, timeout, signal, parent }: Sent,
  work: Promise<T>,
  givenUp: (reason: CatgaError) => T | Promise<T>,
): Promise<T> {
  // what a handler that was given up on has done may still be told
  const execution = contract.kind === "event" ? undefined : parent?.execution;
  const onAbort = () => wait.abort(cancelled(contract));
  const ended = () => {
    host.wheel.delete(wait);
    signal?.removeEventListener("abort", onAbort);
    execution?.release(wait);
    if (--host.pending === 0) host.idle();
  };
  const wait = new Wait(host.wheel.now() + timeout, work, { givenUp, ended });
  host.pending++;
  host.wheel.add(wait);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  execution?.adopt(wait);
  return wait.outcome;
}

/** The error of a send whose caller gave up. */
export function cancelled(contract: AnyContract): CatgaError {
  return new CatgaError("CANCELLED", `the sender of ${contract.kind} ${contract.name} gave up`);
}
