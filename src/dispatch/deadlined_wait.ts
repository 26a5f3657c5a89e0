/**
 * Waits for code of the program (handlers, schemas, behaviors). A wait ends when its message ends, so that code that
 * never settles blocks neither a send nor a drain.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import { CatgaError } from "../error.ts";
import type { ContextHost, ParentMessage } from "./context_host.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import { cancelled } from "./outcome.ts";

/** A wait for the promise `work` that can be aborted. Once it is aborted, the outcome of `work` has no effect. */
export class DeadlinedWait<T> extends Deadlined {
  /** Settles like `work`, or with the value of `onAbort` if the wait is aborted first. */
  readonly outcome: Promise<T>;
  readonly #abort: (reason: CatgaError) => void;

  /**
   * `due`: time at which the wait is aborted with `TIMEOUT`, by the monotonic clock. `onAbort`: returns the outcome if
   * the wait is aborted before `work` has settled. `ended`: called once, when the wait has ended in any way.
   */
  constructor(
    due: number,
    work: Promise<T>,
    { onAbort, ended }: { onAbort(reason: CatgaError): T | Promise<T>; ended(): void },
  ) {
    super(due);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let over = false;
    const end = (settle: () => void) => {
      if (over) return;
      over = true;
      settle(); // called first: code that waits for the outcome may start something that a drain has to wait for
      ended();
    };
    this.outcome = promise;
    this.#abort = (reason) => end(() => resolve(onAbort(reason)));
    work.then((value) => end(() => resolve(value)), (error) => end(() => reject(error)));
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", "the deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    this.#abort(reason);
  }
}

/** A message that is being sent. */
interface Sent {
  readonly contract: AnyContract;
  /** The time until the message's deadline, in ms. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly parent: ParentMessage | undefined;
}

/**
 * Settles like `work`; or with the value of `onAbort` if, before that, the message's deadline passes, its sender
 * aborts, or the app stops. A drain waits until this promise has settled.
 */
export function untilDeadline<T>(
  host: Pick<ContextHost, "wheel" | "underWay">,
  { contract, timeout, signal, parent }: Sent,
  work: Promise<T>,
  onAbort: (reason: CatgaError) => T | Promise<T>,
): Promise<T> {
  // an event that a handler publishes is not aborted together with the handler, which may still publish events about
  // its work
  const execution = contract.kind === "event" ? undefined : parent?.execution;
  const cancel = () => wait.abort(cancelled(contract));
  const ended = () => {
    host.wheel.delete(wait);
    signal?.removeEventListener("abort", cancel);
    execution?.release(wait);
    host.underWay.end();
  };
  const wait = new DeadlinedWait(host.wheel.now() + timeout, work, { onAbort, ended });
  host.underWay.begin();
  host.wheel.add(wait);
  if (signal?.aborted) cancel();
  else signal?.addEventListener("abort", cancel, { once: true });
  execution?.adopt(wait);
  return wait.outcome;
}
