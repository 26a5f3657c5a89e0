/** Handlers that take turns: so many at once for a handler of its own `concurrency`, one at a time for a key that is `ordered`. */
import type { Clock } from "./clock.ts";
import type { MessageContext } from "./context.ts";
import { CatgaError } from "./error.ts";
import { Gate } from "./gate.ts";
import type { Failure, Result } from "./result.ts";
import type { MaybePromise } from "./schema.ts";

/** Why a message had no turn: it certainly did not run. */
export type NoTurn = "OVERLOADED" | "LATE";

/** The failure of a message that had no turn. Told from what a handler answers by its class, whatever its code is. */
export class Refusal implements Failure {
  readonly ok = false;
  readonly code: NoTurn;
  readonly error: CatgaError;

  constructor(code: NoTurn, ctx: MessageContext) {
    const what = `${ctx.contract.kind} ${ctx.contract.name} did not run on node ${ctx.node}`;
    this.code = code;
    this.error = code === "OVERLOADED"
      ? new CatgaError("OVERLOADED", `${what}: it could not have had its turn before its deadline`, { retryable: true })
      : new CatgaError("UNAVAILABLE", `${what}: its turn had not come when it was given up`, { retryable: true });
  }
}

/** Runs a handler whose turn it is. Never throws, never rejects. */
type RunNow = () => MaybePromise<Result<unknown>>;

/** The turns of one handler. */
export class Turns {
  readonly #clock: Clock;
  readonly #all: Gate | undefined;
  /** Of each key that has somebody running or waiting. */
  readonly #keys: Map<string, Gate> | undefined;

  constructor(clock: Clock, { concurrency, ordered }: { concurrency: number | undefined; ordered: boolean }) {
    this.#clock = clock;
    this.#all = concurrency === undefined ? undefined : new Gate(clock, { limit: concurrency });
    this.#keys = ordered ? new Map() : undefined;
  }

  /** Runs it when its turn has come: of its key first, then of the handler. */
  take(ctx: MessageContext, run: RunNow): MaybePromise<Result<unknown>> {
    const keys = this.#keys;
    const { key } = ctx;
    const next = () => this.#through(this.#all, ctx, run);
    if (keys === undefined || key === undefined) return next();
    let gate = keys.get(key);
    if (gate === undefined) keys.set(key, gate = new Gate(this.#clock, { limit: 1 }));
    const own = gate;
    return this.#through(own, ctx, next, () => {
      if (own.running === 0 && own.waiting === 0) keys.delete(key);
    });
  }

  #through(gate: Gate | undefined, ctx: MessageContext, run: RunNow, left?: () => void): MaybePromise<Result<unknown>> {
    if (gate === undefined) return run();
    const leave = (result: Result<unknown>): Result<unknown> => {
      gate.leave();
      left?.();
      return result;
    };
    const start = (): MaybePromise<Result<unknown>> => {
      const result = run();
      return result instanceof Promise ? result.then(leave) : leave(result);
    };
    if (gate.open) {
      gate.pass();
      return start();
    }
    return new Promise((resolve) => {
      ctx.waiting = true;
      const entered = gate.enter({
        due: ctx.dueAt(this.#clock.monotonic()),
        get gone() {
          return ctx.aborted !== undefined;
        },
        start: () => {
          ctx.waiting = false;
          resolve(start());
        },
        drop: () => resolve(new Refusal("LATE", ctx)),
      });
      if (!entered) resolve(new Refusal("OVERLOADED", ctx));
    });
  }
}
