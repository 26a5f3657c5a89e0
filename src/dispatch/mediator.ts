/** Local dispatch: from a contract's name to its handler, through schemas and behaviors. Compiled once, at the start. */
import type { Behavior } from "../contract/behavior.ts";
import { type BehaviorTools, fold, type Run } from "./pipeline.ts";
import type { Clock } from "../ports/clock.ts";
import type { Context } from "../contract/context.ts";
import type { MessageContext } from "./message_context.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Handler } from "../contract/handler.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import type { Observer } from "../contract/observer.ts";
import type { Registration } from "./registry.ts";
import type { Failure, Result } from "../contract/result.ts";
import { isThenable, type MaybePromise, validate } from "../contract/schema.ts";
import { TurnBudget } from "./turn_budget.ts";
import type { Admission } from "./admission.ts";
import { ConcurrencyLimit } from "./concurrency_limit.ts";
import { KeyQueue } from "./key_queue.ts";
import { orRefusal } from "./preparation.ts";
import { asResult, type Outcome, Refusal } from "./outcome.ts";

/** Calls a handler: takes a payload that has been parsed, never throws and never rejects. */
export type HandlerRun = (payload: unknown, ctx: MessageContext) => MaybePromise<Outcome>;

/** All handlers of one contract: a single one for a command or a query, any number for an event. */
export interface Dispatch {
  readonly contract: AnyContract;
  /** Of an event: the handlers of which each service has one run. */
  readonly runs: readonly HandlerRun[];
  /** Of an event: the handlers that every node runs. */
  readonly nodeRuns: readonly HandlerRun[];
  /** Of a command or a query: its handler, when nothing stands around that. */
  readonly call: Call | undefined;
}

/** The handlers of a node by contract name. */
export class Mediator {
  /** What of a turn of the event loop these handlers may have. */
  readonly budget: TurnBudget;
  readonly #dispatches: Map<string, Dispatch> = new Map();

  constructor(
    registrations: readonly Registration[],
    behaviors: readonly Behavior[],
    observer: Observer,
    tools: BehaviorTools,
  ) {
    const budget = this.budget = new TurnBudget(tools.clock);
    for (const { handler } of registrations) {
      const { contract } = handler;
      const { runs, nodeRuns } = this.#dispatches.get(contract.name) ?? { runs: [], nodeRuns: [] };
      const call = new Call(handler, observer);
      const run = compile(handler, behaviors, call, { ...tools, budget });
      const own = handler["~handler"].each === "node";
      this.#dispatches.set(contract.name, {
        contract,
        runs: own ? runs : [...runs, run],
        nodeRuns: own ? [...nodeRuns, run] : nodeRuns,
        call: run === call.run ? call : undefined,
      });
    }
  }

  /** The names of the contracts with handlers, sorted. */
  get names(): readonly string[] {
    return [...this.#dispatches.keys()].sort();
  }

  /** Everything there is for a contract. */
  find(name: string): Dispatch | undefined {
    return this.#dispatches.get(name);
  }

  /** The commands and queries with handlers, sorted by name. */
  get requests(): readonly AnyContract[] {
    return this.names.map((name) => this.#dispatches.get(name)!.contract).filter(({ kind }) => kind !== "event");
  }

  /** The events with handlers. */
  get events(): readonly Dispatch[] {
    return [...this.#dispatches.values()].filter(({ contract }) => contract.kind === "event");
  }
}

/** The payload as the handler will see it. */
export function parsePayload(contract: AnyContract, payload: unknown): MaybePromise<Result<unknown>> {
  const { input } = contract.options;
  return input === undefined
    ? { ok: true, value: payload }
    : validate(input, payload, "INVALID_MESSAGE", contract.name);
}

/** The answer as the sender will see it; a failure stays what it is. */
export function parseAnswer(contract: AnyContract, result: Result<unknown>): MaybePromise<Result<unknown>> {
  const { output } = contract.options;
  return output === undefined || !result.ok
    ? result
    : validate(output, result.value, "INVALID_RESPONSE", contract.name);
}

/** The call of one handler. */
export class Call {
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  readonly #contract: AnyContract;
  readonly #observer: Observer;

  constructor({ contract, "~handler": { fn } }: Handler, observer: Observer) {
    this.fn = fn;
    this.#contract = contract;
    this.#observer = observer;
  }

  /** Calls it: never throws, never rejects. */
  readonly run: Run<MessageContext> = (payload, ctx) => {
    try {
      return this.result(this.fn(payload, ctx), ctx);
    } catch (error) {
      return this.failure(error, ctx);
    }
  };

  /** What it returned as a result. Throws what a getter of that throws. */
  result(returned: unknown, ctx: MessageContext): MaybePromise<Result<unknown>> {
    // what database clients call a promise is often just something with a `then`, or a class of their own
    return isThenable(returned) ? this.#settled(Promise.resolve(returned), ctx) : toResult(returned);
  }

  #settled(returned: Promise<unknown>, ctx: MessageContext): Promise<Result<unknown>> {
    return returned.then((value) => this.success(value, ctx), (error) => this.failure(error, ctx));
  }

  /** What it came to as a result. */
  success(value: unknown, ctx: MessageContext): Result<unknown> {
    try {
      return toResult(value);
    } catch (error) { // a getter of what it gave
      return this.failure(error, ctx);
    }
  }

  /** What it threw as a result. */
  failure(error: unknown, ctx: MessageContext): Failure {
    return failed(this.#contract, error, ctx, this.#observer);
  }
}

/** From the outside in: the order of its key, its claim, its concurrency, its behaviors. */
function compile(
  { contract, "~handler": { behaviors, concurrency } }: Handler,
  around: readonly Behavior[],
  call: Call,
  { budget, ...tools }: BehaviorTools & { budget: TurnBudget },
): HandlerRun {
  const { clock } = tools;
  const { ordered = false, idempotent = false } = contract.options;
  const folded = aroundHandler(contract, [...around, ...behaviors], call, tools);
  const limited = concurrency === undefined
    ? folded
    : admitted(new ConcurrencyLimit(clock, budget, concurrency), folded);
  const once = idempotent === false ? limited : guarded(idempotent === true ? {} : idempotent, clock, limited);
  // the order of a key is that of arrival, not the one in which claims are acknowledged
  return ordered ? admitted(new KeyQueue(clock, budget), once) : once;
}

/** A handler and the behaviors around it: until one of them has called it, it has not begun, and will not when it is given up. */
function aroundHandler(
  contract: AnyContract,
  behaviors: readonly Behavior[],
  call: Call,
  tools: BehaviorTools,
): HandlerRun {
  if (behaviors.length === 0) return call.run;
  const begin: Run<MessageContext> = (payload, ctx) => {
    const { execution } = ctx;
    if (execution.preparing && execution.aborted !== undefined) return { ok: false, error: execution.aborted };
    execution.preparing = false;
    return call.run(payload, ctx);
  };
  const folded = fold(contract, behaviors, begin, (error, ctx) => call.failure(error, ctx), tools);
  return (payload, ctx) => {
    ctx.execution.preparing = true;
    const result = folded(payload, ctx);
    return result instanceof Promise ? orRefusal(ctx, result) : result;
  };
}

function admitted(by: { admit: Admission }, run: HandlerRun): HandlerRun {
  return (payload, ctx) => by.admit(ctx, () => run(payload, ctx));
}

/** Once for each message id: who comes second waits for the result, before it waits for one of the handler's places. */
function guarded({ ttl = RESULT_TTL }: { ttl?: number }, clock: Clock, run: HandlerRun): HandlerRun {
  return async (payload, ctx) => {
    let refusal: Refusal | undefined;
    const { execution } = ctx;
    execution.claiming = true;
    const now = clock.monotonic();
    const left = ctx.remaining(now);
    const result = await ctx.claims.guard({
      contract: ctx.contract.name,
      id: ctx.id,
      payload: execution.payload,
      ttl,
      due: now + left - Math.min(CLAIM_MARGIN, left / 10),
      signal: execution.sender,
      lost: (reason) => execution.loseClaim(reason),
    }, async (fence, check) => {
      execution.claiming = false;
      execution.fence = fence;
      execution.checkClaim = check;
      const outcome = await run(payload, ctx);
      execution.checkClaim = undefined;
      if (outcome instanceof Refusal) refusal = outcome;
      // before the result is kept: should that be another attempt's, that one may wait for these locks
      await execution.releaseLocks();
      return asResult(outcome);
    });
    if (refusal !== undefined) return refusal;
    // this node stops before anybody is known to have run it: another one may
    return execution.claiming && result.error?.code === "CLOSED" ? new Refusal("DRAINING", ctx) : result;
  };
}

/** How long before its deadline a message gives up on its claim, in ms: so that its sender still hears that it did not run. */
const CLAIM_MARGIN = 50;

/** How long the result of an idempotent command is kept, in ms: a day. */
const RESULT_TTL = 86_400_000;

function toResult(returned: unknown): Result<unknown> {
  return isFailure(returned) ? returned : { ok: true, value: returned };
}

function isFailure(returned: unknown): returned is Failure {
  return typeof returned === "object" && returned !== null && (returned as Failure).ok === false &&
    isCatgaError((returned as Failure).error);
}

function failed(contract: AnyContract, error: unknown, ctx: MessageContext, observer: Observer): Failure {
  if (isCatgaError(error)) return { ok: false, error };
  observer({ type: "handler-failed", contract: contract.name, id: ctx.id, error });
  return {
    ok: false,
    error: new CatgaError(
      "HANDLER_FAILED",
      `the handler of ${contract.name} threw on node ${ctx.node} (message ${ctx.id}); the log of that node says what`,
      { cause: error, node: ctx.node },
    ),
  };
}
