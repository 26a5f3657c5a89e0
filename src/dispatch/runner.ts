/**
 * Runs handlers: for senders in this process, for requests that came over the wire, and for events. Every run has a context
 * of its own, with the deadline and the cancellation of its message.
 */
import { type ContextHost, type Envelope, NO_HEADERS } from "./context_host.ts";
import { MessageContext } from "./message_context.ts";
import type { AnyContract } from "../contract/contract.ts";
import { abandoned, type Execution } from "./execution.ts";
import { type Dispatch, type HandlerRun, type Mediator, parseAnswer, parsePayload } from "./mediator.ts";
import type { Observer } from "../contract/observer.ts";
import { CatgaError } from "../error.ts";
import { keyOf } from "./routing_key.ts";
import { noHandlerHere } from "./failures.ts";
import type { Meta, RemoteRequest } from "./remote.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { TurnBudget } from "./turn_budget.ts";
import { orRefusal, refusalOf } from "./preparation.ts";
import { asResult, type Outcome, Refusal } from "./outcome.ts";
import { cancelled } from "./wait.ts";

/** A message from the wire that was taken. */
export interface Receipt {
  readonly ctx: MessageContext;
  readonly result: MaybePromise<Outcome>;
}

/** An event from the wire. */
export interface EventSource {
  /** What one of its handlers is told about it. */
  envelope(): Envelope;
}

/** What a {@link Runner} is made of. */
export interface RunnerOptions {
  readonly host: ContextHost;
  readonly mediator: Mediator;
  readonly observer: Observer;
  /** How long an event's handler has until its signal aborts, in ms. */
  readonly timeout: number;
}

/** Runs the handlers of one node. */
export class Runner {
  readonly #host: ContextHost;
  readonly #mediator: Mediator;
  readonly #observer: Observer;
  readonly #timeout: number;

  constructor({ host, mediator, observer, timeout }: RunnerOptions) {
    this.#host = host;
    this.#mediator = mediator;
    this.#observer = observer;
    this.#timeout = timeout;
  }

  /** What of a turn of the event loop its handlers may have. */
  get budget(): TurnBudget {
    return this.#mediator.budget;
  }

  /**
   * Runs a request in this process for a sender in this process: with deadline and cancellation, the answer parsed. Also
   * the way in which the router reaches this node's own handlers.
   */
  local(request: RemoteRequest, attempt: number): Promise<Outcome> {
    const dispatch = this.#mediator.find(request.contract.name);
    if (dispatch === undefined) return Promise.resolve(noHandlerHere(request.contract));
    const { signal, parent, admit } = request;
    const ctx = new MessageContext(
      this.#host,
      dispatch.contract,
      request.timeout,
      this.envelope(request.meta, attempt),
    );
    const { execution } = ctx;
    execution.key = request.key;
    execution.payload = request.payload;
    const abort = () => ctx.abort(cancelled(request.contract));
    parent?.execution.adopt(execution);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    const run = () => runAll(dispatch, request.parsed, ctx);
    const handled = admit === undefined ? run() : admit(ctx, run);
    const answered = request.contract.options.output === undefined
      ? handled
      : andThen(handled, (outcome) => answerOf(request.contract, outcome, execution));
    const ended = (outcome: Outcome): Outcome => {
      signal?.removeEventListener("abort", abort);
      parent?.execution.release(execution);
      return outcome;
    };
    // of what has ended already nothing is left that could be waited for, or given up
    if (!(answered instanceof Promise) && execution.untouched) return Promise.resolve(ended(answered));
    return execution.outcome(Promise.resolve(answered), ended);
  }

  /**
   * Runs a request that came over the wire: parses the payload, checks the answer (and answers with the original: the
   * sender parses it). `undefined` when there is no handler. Never throws, never rejects.
   */
  receive(name: string, payload: unknown, timeout: number, envelope: Envelope): Receipt | undefined {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined) return undefined;
    const { contract, runs } = dispatch;
    const ctx = new MessageContext(this.#host, contract, timeout, envelope);
    const { input, output, ordered, idempotent } = contract.options;
    if (idempotent) ctx.execution.payload = payload;
    const result = input === undefined && output === undefined && contract.kind !== "event" && !ordered
      ? runs[0](payload, ctx)
      : runParsed(dispatch, payload, ctx);
    return { ctx, result };
  }

  /** Runs every handler of an event from this process, in a later turn. */
  publish(name: string, payload: unknown, envelope: Envelope): void {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined || dispatch.contract.kind !== "event") return;
    const { contract, runs, nodeRuns } = dispatch;
    for (const run of [...runs, ...nodeRuns]) {
      const ctx = new MessageContext(this.#host, contract, this.#timeout, envelope);
      const handled = new Promise<void>((resolve) => this.#host.clock.soon(resolve)).then(() =>
        ctx.aborted === undefined
          ? withParsed(contract, payload, ctx, (parsed) => run(parsed, ctx))
          : new Refusal("DRAINING", ctx)
      );
      ctx.run(handled, (outcome) => this.#ended(ctx, outcome));
    }
  }

  /**
   * Gives `take` each handler of an event from the wire: those of which each service has one run, or those of every node. It
   * is called when its turn has come; `source` makes an envelope for it. They never throw, and their results never reject.
   */
  deliver(
    name: string,
    payload: unknown,
    { source, each }: { source: EventSource; each: "service" | "node" },
    take: (begin: () => Receipt) => void,
  ): void {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined || dispatch.contract.kind !== "event") return;
    const { contract, runs, nodeRuns } = dispatch;
    for (const run of each === "node" ? nodeRuns : runs) {
      take(() => this.#hear(contract, run, payload, source.envelope()));
    }
  }

  #hear(contract: AnyContract, run: HandlerRun, payload: unknown, envelope: Envelope): Receipt {
    const ctx = new MessageContext(this.#host, contract, this.#timeout, envelope);
    const result = contract.options.input === undefined ? run(payload, ctx) : runEvent(contract, run, payload, ctx);
    if (!(result instanceof Promise)) this.#ended(ctx, result);
    else result.then((outcome) => this.#ended(ctx, outcome));
    return { ctx, result };
  }

  /** Nobody waits for what comes of an event. */
  #ended(ctx: MessageContext, outcome: Outcome): void {
    const failure = asResult(outcome);
    if (failure.ok || failure.error.code === "HANDLER_FAILED") return; // that one was seen where it was thrown
    this.#observer({ type: "fault", during: `event ${ctx.contract.name} (${ctx.id})`, error: failure.error });
  }

  /** What a message that did not come over the wire is called, and carries. */
  envelope(meta: Meta | undefined, attempt = 1): Envelope {
    const call = this.#host.nextCall();
    return {
      call,
      id: meta?.id ?? call,
      attempt,
      correlation: meta?.correlation,
      causation: meta?.causation,
      ancestry: meta?.ancestry ?? [],
      headers: meta?.headers ?? NO_HEADERS,
      key: meta?.key,
    };
  }
}

/** Every handler of a contract; for a command or a query there is one. An event's result is its first failure. */
function runAll(dispatch: Dispatch, parsed: unknown, ctx: MessageContext): MaybePromise<Outcome> {
  const { contract, runs, nodeRuns } = dispatch;
  if (contract.kind !== "event") return runs[0](parsed, ctx);
  const all = [...runs, ...nodeRuns];
  const handle = (run: HandlerRun) => all.length === 1 ? run(parsed, ctx) : ctx.apart((own) => run(parsed, own));
  return Promise.all(all.map(handle)).then((outcomes) =>
    // when some ran it was not refused, whatever became of the others
    outcomes.every((outcome) => outcome instanceof Refusal)
      ? outcomes[0]
      : outcomes.map(asResult).find(({ ok }) => !ok) ?? { ok: true, value: undefined }
  );
}

/** Not async, and at once where the schemas are: what computes for long is to do so in its own turn. */
function runParsed(dispatch: Dispatch, payload: unknown, ctx: MessageContext): MaybePromise<Outcome> {
  const { contract } = dispatch;
  return withParsed(contract, payload, ctx, (parsed) => {
    try {
      if (contract.options.ordered) ctx.execution.key = ctx.envelope.key ?? keyOf(contract, payload);
    } catch (cause) {
      const message = `the key of ${contract.name} cannot be made of this payload`;
      return { ok: false, error: new CatgaError("INVALID_MESSAGE", message, { cause, node: ctx.node }) };
    }
    return andThen(runAll(dispatch, parsed, ctx), (outcome) => checkAnswer(contract, outcome, ctx));
  });
}

function runEvent(
  contract: AnyContract,
  run: HandlerRun,
  payload: unknown,
  ctx: MessageContext,
): MaybePromise<Outcome> {
  return withParsed(contract, payload, ctx, (parsed) => run(parsed, ctx));
}

function withParsed(
  contract: AnyContract,
  payload: unknown,
  ctx: MessageContext,
  run: (parsed: unknown) => MaybePromise<Outcome>,
): MaybePromise<Outcome> {
  const parsed = parsePayload(contract, payload);
  if (!(parsed instanceof Promise)) return parsed.ok ? run(parsed.value) : parsed;
  ctx.execution.preparing = true;
  return orRefusal(ctx, parsed).then((checked) => {
    if (checked instanceof Refusal || !checked.ok) return checked;
    if (ctx.aborted !== undefined) return refusalOf(ctx, ctx.aborted);
    ctx.execution.preparing = false;
    return run(checked.value);
  });
}

/** What a handler gave, as it gave it, when the contract's schema takes it. */
function checkAnswer(contract: AnyContract, outcome: Outcome, ctx: MessageContext): MaybePromise<Outcome> {
  return andThen(
    answerOf(contract, outcome, ctx.execution),
    (checked) => checked instanceof Refusal || checked.ok ? outcome : checked,
  );
}

/** What a handler gave, as the contract's schema makes it; a failure at the deadline, for the handler has run. */
function answerOf(contract: AnyContract, outcome: Outcome, execution: Execution): MaybePromise<Outcome> {
  if (outcome instanceof Refusal) return outcome;
  const answer = parseAnswer(contract, outcome);
  return answer instanceof Promise ? execution.until<Outcome>(answer, (reason) => abandoned(contract, reason)) : answer;
}

function andThen<T, R>(given: MaybePromise<T>, then: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return given instanceof Promise ? given.then(then) : then(given);
}
