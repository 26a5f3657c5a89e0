/**
 * A run of a handler that did not return at once. The leader of the subscription gets its answer when the handler
 * ends, or at the handler's timeout.
 */
import type { ContextHost } from "../../dispatch/context_host.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import type { CategoryHandlers } from "./category_handlers.ts";
import { answerTo, REPLACED } from "./run_answer.ts";

/** A run of a handler that returned a promise. */
export class PendingRun {
  /**
   * Answer to the leader of the subscription; resolves when the handler has ended or its timeout has passed. Never
   * rejects.
   */
  readonly answer: Promise<Outcome>;
  answered = false;
  /** True if the timeout of the run has passed, or it was aborted before, and its handler goes on. */
  isOverdue = false;
  /** Returns the outcome of a run whose time is over because another handler blocked this process. */
  excuse: (() => Outcome | undefined) | undefined = undefined;
  readonly #ctx: MessageContext;
  readonly #handlers: CategoryHandlers;
  readonly #causes: boolean;
  readonly #resolve: (outcome: Outcome) => void;
  /** True if a leader has had the run aborted, because a later message of its key takes its place. */
  #isReplaced = false;
  #waiting: Set<() => void> | undefined = undefined;

  /**
   * `outer`: context of the leader's request. While the handler waits for a place among the node's concurrent messages,
   * the request gives up its own place. `causes`: true if the leader gets thrown errors.
   */
  constructor(ctx: MessageContext, outer: MessageContext, handlers: CategoryHandlers, causes: boolean) {
    this.#ctx = ctx;
    if (ctx.isAside) outer.stepsAside();
    ctx.execution.watcher = outer;
    this.#handlers = handlers;
    this.#causes = causes;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.answer = promise;
    this.#resolve = resolve;
  }

  /**
   * Starts the deadline, which aborts the run. `ended` is called when the handler has ended, even after the deadline.
   */
  watch(outcome: Promise<Outcome>, ended: () => void): void {
    const { execution } = this.#ctx;
    let over = false;
    // `#settle` is called when the run is aborted, and when the handler has ended
    execution.begin((settled) => this.#settle(settled, over));
    outcome.then((own) => {
      over = true;
      ended();
      execution.end(own);
      for (const wake of this.#waiting ?? []) wake();
    });
  }

  /**
   * Aborts the run, because a later message of its key takes its place. The answer follows when the handler has ended,
   * however long that takes: if it fails, that is no failure of the message.
   */
  replace(): void {
    if (this.answered || this.#isReplaced) return;
    const { contract: { kind, name }, id, execution } = this.#ctx;
    this.#isReplaced = this.isOverdue = true;
    execution.abort(new CatgaError("CANCELLED", `a later ${kind} ${name} of its key takes the place of ${id}`));
  }

  /**
   * Time that has passed since the timeout of the run, in ms; negative if the run was aborted before its timeout;
   * `-Infinity` until the leader has got its answer, that is while the handler waits to begin, or runs within its
   * timeout.
   */
  late(now: number): number {
    return this.answered || this.isOverdue ? -this.#ctx.remaining(now) : -Infinity;
  }

  /** Resolves with true when the handler has ended, with false if it has not ended after `ms`. */
  ended(host: ContextHost, ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (ended: boolean) => {
        timer.cancel();
        this.#waiting!.delete(wake);
        resolve(ended);
      };
      const wake = () => done(true);
      const timer = host.clock.after(Math.max(0, ms), () => done(false));
      (this.#waiting ??= new Set()).add(wake);
    });
  }

  #settle(outcome: Outcome, over: boolean): void {
    if (this.answered) return;
    const ctx = this.#ctx;
    const { aborted, contract, node, execution } = ctx;
    const begun = !ctx.isQueued && execution.stage !== "preparing" && execution.stage !== "claiming";
    if (!begun && !over) return; // the handler has not begun: its outcome follows
    // the node stops: an answer would begin the next attempt beside the handler, whose outcome may follow; the leader
    // of a run that does not end finds the process gone
    if (aborted?.code === "CLOSED" && !over) return;
    // it keeps its slot until it has ended; the leader is told meanwhile that it goes on
    if (this.#isReplaced && !over) return;
    if (this.#handlers.isLimited && !over && aborted?.code === "TIMEOUT") return void (this.isOverdue = true);
    this.answered = true;
    // the reason of the abort is more useful than the error with which an aborted handler ends
    if (aborted === undefined || !begun || (over && (outcome instanceof Refusal || outcome.ok))) {
      return this.#resolve(answerTo(outcome, ctx, this.#causes, this.#handlers.outage));
    }
    if (this.#isReplaced) return this.#resolve(REPLACED);
    if (aborted.code === "TIMEOUT") {
      // the timeout is a behavior's: its error names the behavior's limit
      if (aborted.node !== undefined) return this.#resolve({ ok: false, error: aborted });
      const excused = this.excuse?.();
      if (excused !== undefined) return this.#resolve(excused);
      const message = `the handler of ${contract.name} did not end within ${this.#handlers.timeout} ms on node ${node}`;
      return this.#resolve({ ok: false, error: new CatgaError("TIMEOUT", message, { node }) });
    }
    const message = `${contract.kind} ${contract.name} was running on node ${node} when that stopped`;
    this.#resolve({ ok: false, error: new CatgaError("OUTCOME_UNKNOWN", message, { node, cause: aborted }) });
  }
}
