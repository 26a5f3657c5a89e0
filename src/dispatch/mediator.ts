/**
 * Handlers by contract name, with all that runs around them. Compiled once, when the app starts.
 */
import type { Behavior } from "../contract/behavior.ts";
import { RESULT_TTL } from "../contract/defaults.ts";
import type { AnyContract } from "../contract/contract.ts";
import {
  type EntityBody,
  type Handler,
  handlerFailure,
  type SubscriptionSettings,
  type Thrower,
} from "../contract/handler.ts";
import type { Logger, Observer } from "../contract/observer.ts";
import { type Admission, areAmong, QueuedMessage, type RunNow, watchForDeadlock } from "./admission_deadlock.ts";
import { ContractCounts, Counts, type Timing } from "./contract_counts.ts";
import type { Settling } from "./context_host.ts";
import type { MessageContext } from "./message_context.ts";
import { orRefusal } from "./message_schema.ts";
import type { Registration } from "./registry.ts";
import { AdmissionQueue, TurnBudget } from "./admission_queue.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Clock, Random } from "../ports/clock.ts";
import {
  asResult,
  failure,
  isOfAnotherVersion,
  type Outcome,
  Refusal,
  type RefusalCode,
  SchemaRefusal,
} from "./outcome.ts";
import type { Context } from "../contract/context.ts";
import { type Failure, isFailure, type Result } from "../contract/result.ts";
import { CatgaError, isCatgaError, isErrorCode } from "../error.ts";
import { plainError, plainFailure } from "./error_encoding.ts";
import { isThenable, show } from "../data/checks.ts";

/** The handlers of a node by contract name. */
export class Mediator {
  /** The time that these handlers may take in a turn of the event loop. */
  readonly budget: TurnBudget;
  /** Handlers of durable contracts. Only messages of the log reach those of events. */
  readonly durable: readonly DurableHandler[];
  /** Counts of the node by contract. */
  readonly counts: Counts = new Counts();
  readonly #dispatches: Map<string, Dispatch> = new Map();
  /** Dispatches of contracts that only Catga itself sends. */
  readonly #internal: Map<string, Dispatch> = new Map();
  /** The contracts by which nodes drive runs of workflows. */
  readonly #ofWorkflows: Set<string> = new Set();

  constructor(
    registrations: readonly Registration[],
    behaviors: readonly Behavior[],
    observer: Observer,
    tools: BehaviorTools,
  ) {
    const budget = this.budget = new TurnBudget(tools.clock);
    const durable: DurableHandler[] = [];
    this.durable = durable;
    for (const { handler } of registrations) {
      const { contract } = handler;
      const { subscription } = handler["~handler"];
      const { runs, nodeRuns } = this.#dispatches.get(contract.name) ?? { runs: [], nodeRuns: [] };
      const counts = this.counts.of(contract);
      const call = new HandlerCall(handler, observer, counts);
      // what drives workflows is no message of the program's
      const driven = handler["~handler"].workflow !== undefined;
      if (driven) this.#ofWorkflows.add(contract.name);
      const around = driven ? [] : behaviors;
      const run = compile(handler, around, call, { ...tools, subscription: subscription?.name, budget });
      if (subscription !== undefined) {
        const entity = handler["~handler"].entity !== undefined;
        durable.push({ contract, settings: subscription, run: counted(counts, run, tools.clock), entity });
        if (contract.kind === "event") continue;
      }
      const own = handler["~handler"].each === "node";
      this.#dispatches.set(contract.name, {
        contract,
        runs: own ? runs : [...runs, run],
        nodeRuns: own ? [...nodeRuns, run] : nodeRuns,
        call: run === call.run ? call : undefined,
        entity: handler["~handler"].entity !== undefined,
        always: driven ? ALWAYS : undefined,
        counts,
      });
    }
  }

  /** The names of the contracts with handlers, sorted. */
  get names(): readonly string[] {
    return this.#contracts.map(({ name }) => name);
  }

  /** Kinds of {@link Mediator.names}, a letter each. */
  get kinds(): string {
    return this.#contracts.map(({ kind }) => kind[0]).join("");
  }

  /** The contracts with handlers, sorted by name. */
  get handled(): readonly AnyContract[] {
    return this.#contracts;
  }

  /** The names of the contracts that {@link Mediator.find} finds. */
  get served(): readonly string[] {
    return [...this.#dispatches.keys(), ...this.#internal.keys()];
  }

  /** The handlers of a contract that messages reach without the log; `undefined` if it has none here. */
  find(name: string): Dispatch | undefined {
    return this.#dispatches.get(name) ?? this.#internal.get(name);
  }

  /** Handles a contract that only Catga itself sends: it is none of {@link Mediator.names}. */
  serve(contract: AnyContract, run: HandlerRun, how: Pick<Dispatch, "always" | "lasts"> = {}): void {
    const own = { contract, runs: [run], nodeRuns: [], call: undefined, entity: false, ...how };
    this.#internal.set(contract.name, { ...own, counts: new ContractCounts(contract) });
  }

  /** The commands, queries and streams of the program with handlers, sorted by name. */
  get requests(): readonly AnyContract[] {
    return this.#contracts.filter(({ kind, name }) => kind !== "event" && !this.#ofWorkflows.has(name));
  }

  /** The names of the commands of entities, sorted. */
  get ofEntities(): readonly string[] {
    return this.requests.map(({ name }) => name).filter((name) => this.find(name)?.entity);
  }

  /** The events with handlers. */
  get events(): readonly Dispatch[] {
    return [...this.#dispatches.values()].filter(({ contract }) => contract.kind === "event");
  }

  /** Contracts with handlers, once each, sorted by name. */
  get #contracts(): readonly AnyContract[] {
    const contracts = new Map(
      [...this.durable, ...this.#dispatches.values()].map(({ contract }) => [contract.name, contract]),
    );
    return [...contracts.values()].sort((a, b) => a.name < b.name ? -1 : 1);
  }
}

/** Nothing that comes to it needs a turn, as messages for a run of a workflow, which wait for what runs. */
export const ALWAYS = (): boolean => true;

/** A handler of a durable contract. */
export interface DurableHandler {
  readonly contract: AnyContract;
  readonly settings: SubscriptionSettings;
  /** With all that runs around it. */
  readonly run: HandlerRun;
  /** True if its contract is a command of an entity. */
  readonly entity: boolean;
}

/** The handlers of one contract: one of a command or a query, any number of an event. */
export interface Dispatch {
  readonly contract: AnyContract;
  /** The one handler of a command or a query; of an event, those that run once in each service. */
  readonly runs: readonly HandlerRun[];
  /** Handlers of an event that run on every node. */
  readonly nodeRuns: readonly HandlerRun[];
  /** Handler of a command or a query, if nothing runs around it. */
  readonly call: HandlerCall | undefined;
  /** True if it is a command of an entity. */
  readonly entity: boolean;
  /** Returns true for a payload that needs no turn: it begins nothing of the program, or waits for what runs. */
  readonly always?: ((payload: unknown) => boolean) | undefined;
  /** How long it may run, in ms: it waits for its turn only while its sender will wait as long; any time. */
  readonly lasts?: number | undefined;
  /** Counts its messages. */
  readonly counts: ContractCounts;
}

/** Wraps a handler, from the outside in: the order of its key, its claim, its concurrency, its behaviors. */
function compile(
  { contract, "~handler": { behaviors, concurrency } }: Handler,
  around: readonly Behavior[],
  call: HandlerCall,
  { budget, ...tools }: BehaviorTools & { budget: TurnBudget },
): HandlerRun {
  const { clock } = tools;
  const { ordered = false, idempotent = false } = contract.options;
  const folded = aroundHandler(contract, [...around, ...behaviors], call, tools);
  const limited = concurrency === undefined
    ? folded
    : admitted(new ConcurrencyLimit(clock, budget, concurrency), folded);
  const once = idempotent === false ? limited : runOnce(idempotent === true ? {} : idempotent, clock, limited);
  // the order of a key is that of arrival, not the one in which claims are acknowledged
  return ordered ? admitted(new KeyQueue(clock, budget), once) : once;
}

/**
 * A handler and the behaviors around it. If the message is aborted before one of them has called the handler, it does
 * not begin.
 */
function aroundHandler(
  contract: AnyContract,
  behaviors: readonly Behavior[],
  call: HandlerCall,
  tools: BehaviorTools,
): HandlerRun {
  if (behaviors.length === 0) return call.run;
  const begin: RunHandler<MessageContext> = (payload, ctx) => {
    const { execution } = ctx;
    if (execution.stage === "preparing" && execution.aborted !== undefined) {
      return { ok: false, error: execution.aborted };
    }
    execution.stage = "handler";
    return call.run(payload, ctx);
  };
  const folded = fold(contract, behaviors, begin, (error, ctx) => call.thrown(error, ctx, "behavior"), tools);
  return (payload, ctx) => {
    ctx.execution.stage = "preparing";
    const result = folded(payload, ctx);
    // once the handler has begun, what it has done counts, and nothing is refused
    return result instanceof Promise && ctx.execution.stage === "preparing" ? orRefusal(ctx, result) : result;
  };
}

/** A handler of the log that is counted, and timed. */
function counted(counts: ContractCounts, run: HandlerRun, clock: Clock): HandlerRun {
  return (payload, ctx) => {
    const timing = counts.timing(clock);
    const outcome = run(payload, ctx);
    if (!(outcome instanceof Promise)) {
      counts.end(outcome, timing);
      return outcome;
    }
    counts.inHand++;
    return outcome.then((later) => {
      counts.endInHand(later, timing);
      return later;
    });
  };
}

function admitted(by: { admit: Admission }, run: HandlerRun): HandlerRun {
  return (payload, ctx) => by.admit(ctx, () => run(payload, ctx));
}

// Messages of one key run one at a time, in order of arrival; those of other keys run beside them.

/** The messages of an ordered contract at its handler, by key. */
export class KeyQueue {
  readonly #clock: Clock;
  readonly #budget: TurnBudget;
  /** Limits by key; a key has one while a message of it runs or waits. */
  readonly #limits: Map<string, ConcurrencyLimit> = new Map();

  constructor(clock: Clock, budget: TurnBudget) {
    this.#clock = clock;
    this.#budget = budget;
  }

  /** How many keys have a message that runs or waits. */
  get size(): number {
    return this.#limits.size;
  }

  /**
   * Runs it after those of its key that came before it; at once if it has no key. As {@link ConcurrencyLimit.admit}.
   */
  admit(ctx: MessageContext, run: RunNow): MaybePromise<Outcome> {
    const { key } = ctx.execution;
    if (key === undefined) return run();
    const limits = this.#limits;
    let limit = limits.get(key);
    if (limit === undefined) limits.set(key, limit = new ConcurrencyLimit(this.#clock, this.#budget, 1));
    const own = limit;
    return own.admit(ctx, run, () => {
      if (own.unused && limits.get(key) === own) limits.delete(key);
    });
  }
}

// The handler of an idempotent command: one recorded result for each message id.

/**
 * Runs the handler under a claim of the message id, and records its result. A second message with the id waits for the
 * recorded result, and takes no place of the handler meanwhile. `ttl`: how long the result is kept, in ms.
 */
export function runOnce({ ttl = RESULT_TTL }: { ttl?: number | undefined }, clock: Clock, run: HandlerRun): HandlerRun {
  return async (payload, ctx) => {
    let refusal: Refusal | undefined;
    const { execution } = ctx;
    execution.stage = "claiming";
    const now = clock.monotonic();
    const left = ctx.remaining(now);
    const result = await ctx.claims.guard({
      contract: ctx.contract.name,
      id: ctx.id,
      payload: execution.payload,
      ttl,
      due: now + left - Math.min(CLAIM_MARGIN, left / 10),
      adopt: (attempt) => execution.claim(attempt),
      lost: (reason) => execution.loseClaim(reason),
    }, (fence, check) => {
      execution.stage = "handler";
      execution.fence = fence;
      execution.checkClaim = check;
      const ended = (outcome: Outcome): MaybePromise<Result<unknown>> => {
        execution.checkClaim = undefined;
        if (outcome instanceof Refusal) refusal = outcome;
        // before the result is recorded: another attempt, whose result would be recorded instead, may wait for these
        // locks
        const released = execution.releaseLocks();
        return released === undefined ? asResult(outcome) : released.then(() => asResult(outcome));
      };
      const ran = run(payload, ctx);
      return ran instanceof Promise ? ran.then(ended) : ended(ran);
    });
    if (refusal !== undefined) return refusal;
    // the node stops while the claim is acquired: the handler has not run here, and another node may run it
    return execution.stage === "claiming" && result.error?.code === "CLOSED" ? new Refusal("DRAINING", ctx) : result;
  };
}

/**
 * The time between giving up the claim and the deadline, in ms: the sender still receives that the handler did not run.
 */
const CLAIM_MARGIN = 50;

// At most so many runs at once, whoever sends; further messages wait in order of arrival.

/** The concurrency limit of one handler, or of one key. */
export class ConcurrencyLimit {
  readonly #clock: Clock;
  readonly #budget: TurnBudget;
  readonly #queue: AdmissionQueue;
  /** The messages that run. */
  readonly #holders: Set<MessageContext> = new Set();

  constructor(clock: Clock, budget: TurnBudget, limit: number) {
    this.#clock = clock;
    this.#budget = budget;
    this.#queue = new AdmissionQueue(clock, { limit, budget });
  }

  /** True if no message runs or waits. */
  get unused(): boolean {
    return this.#queue.running === 0 && this.#queue.waiting === 0;
  }

  /**
   * Runs it when fewer than `limit` run, at once if so; or returns a {@link Refusal}. `left` is called when it has
   * ended or was refused. Never throws, never rejects.
   */
  admit(ctx: MessageContext, run: RunNow, left?: () => void): MaybePromise<Outcome> {
    const queue = this.#queue;
    const leave = (outcome: Outcome): Outcome => {
      this.#holders.delete(ctx);
      if (outcome instanceof Refusal) queue.stepAside();
      else queue.leave();
      left?.();
      return outcome;
    };
    const start = (): MaybePromise<Outcome> => {
      this.#holders.add(ctx);
      const result = run();
      this.#budget.spent();
      return result instanceof Promise ? result.then(leave) : leave(result);
    };
    if (queue.open) {
      queue.occupy();
      return start();
    }
    const begin = (): MaybePromise<Outcome> => {
      // after a pause of the process its claim may be lost, though no timer has run yet
      return ctx.aborted === undefined ? start() : leave(new Refusal("LATE", ctx));
    };
    return new Promise<RefusalCode | undefined>((resolve) => {
      const drop = resolve;
      // an aborted message is not aborted again: nothing would take it out of the queue
      if (ctx.aborted !== undefined) return drop("LATE");
      const message = new QueuedMessage(ctx, this.#clock, {
        start: () => resolve(undefined),
        drop,
      });
      ctx.wait(message);
      if (!queue.enter(message)) drop("OVERLOADED");
      else watchForDeadlock(this.#clock, message, ctx.ancestry, () => this.#heldBy(ctx.ancestry));
    }).then((dropped) => {
      // here, not where its turn comes: there it would run in the async context of the message that has ended
      if (dropped !== undefined) {
        left?.();
        return new Refusal(dropped, ctx);
      }
      if (!this.#budget.over) return begin();
      return new Promise<void>((resolve) => this.#budget.nextTurn(resolve)).then(begin);
    });
  }

  /** Returns true if as many run as may, and all of them are among these runs. */
  #heldBy(runs: readonly string[]): boolean {
    return this.#queue.full && areAmong(runs, this.#holders);
  }
}

// One handler as a function that neither throws nor rejects: what it throws becomes `HANDLER_FAILED`.

/** A handler with all that runs around it: takes a parsed payload, never throws, never rejects. */
export type HandlerRun = (payload: unknown, ctx: MessageContext) => MaybePromise<Outcome>;

/** The call of one handler, with nothing around it. */
export class HandlerCall {
  /** The user's function. */
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  /** Counts of its contract. */
  readonly counts: ContractCounts;
  /** If it decides commands of an entity, which it does without the user's function: with this. */
  readonly entity: EntityBody | undefined;
  readonly #contract: AnyContract;
  readonly #observer: Observer;

  constructor({ contract, "~handler": { fn, entity } }: Handler, observer: Observer, counts: ContractCounts) {
    this.fn = fn;
    this.counts = counts;
    this.entity = entity;
    this.#contract = contract;
    this.#observer = observer;
  }

  /** Calls it. Never throws, never rejects. */
  readonly run: RunHandler<MessageContext> = (payload, ctx) => {
    try {
      return this.result(this.fn(payload, ctx), ctx);
    } catch (error) {
      return this.failure(error, ctx);
    }
  };

  /** Has its entity decide a command that was sent in this process: one promise. */
  decide(
    entity: EntityBody,
    payload: unknown,
    ctx: MessageContext,
    timing: Timing | undefined,
  ): Promise<Result<unknown>> {
    return new Promise((resolve) => {
      const { counts } = this;
      counts.localBegun++;
      // no turn was waited for, so that the outcome is no refusal
      ctx.execution.begin(resolve as (outcome: Outcome) => void);
      this.decideLater(entity, payload, ctx).then((result) => ctx.execution.end(counts.localEnd(result, timing)));
    });
  }

  /** Has its entity decide a command: no promise at all. */
  decideLater(entity: EntityBody, payload: unknown, ctx: MessageContext): EntityOutcome {
    const decision = new EntityOutcome(this, ctx);
    try {
      ctx.decide(entity, payload, decision);
    } catch (error) {
      decision.reject(error);
    }
    return decision;
  }

  /** The result of what it returned. Throws what a getter of that throws. */
  result(returned: unknown, ctx: MessageContext): MaybePromise<Result<unknown>> {
    // a thenable may be no Promise, or a class derived from it, as those of some database clients are
    return isThenable(returned) ? this.#settled(Promise.resolve(returned), ctx) : this.#toResult(returned);
  }

  #settled(returned: Promise<unknown>, ctx: MessageContext): Promise<Result<unknown>> {
    return returned.then((value) => this.success(value, ctx), (error) => this.failure(error, ctx));
  }

  /** The result of what its promise was resolved with. Never throws. */
  success(value: unknown, ctx: MessageContext): Result<unknown> {
    try {
      return this.#toResult(value);
    } catch (error) { // thrown by a getter of the value
      return this.failure(error, ctx);
    }
  }

  /** The result of what it threw. */
  failure(error: unknown, ctx: MessageContext): Failure {
    const failed = this.#checked(this.thrown(error, ctx, "handler"));
    // nothing is stored of a command whose entity cannot be read here
    return this.entity !== undefined && isOfAnotherVersion(error) ? new SchemaRefusal(failed.error, true) : failed;
  }

  #toResult(returned: unknown): Result<unknown> {
    return isFailure(returned) ? this.#checked(plainFailure(returned)) : { ok: true, value: returned };
  }

  /** Its failure, or `INVALID_RESPONSE` if the contract has `failures` and this is none of them. */
  #checked(failed: Failure): Failure {
    const { name, options: { failures } } = this.#contract;
    const { code, message, final } = failed.error;
    if (failures === undefined || isErrorCode(code) || failures.includes(code)) return failed;
    const what = `the handler of ${name} failed with ${code}, which is none of its failures (${failures.join(", ")})`;
    return failure("INVALID_RESPONSE", `${what}: ${message}`, { cause: failed.error, final });
  }

  /**
   * The result of what the handler, or a behavior around it, threw: a `CatgaError`, or what `fail` made, as it is
   * (`error_encoding.ts`); anything else is observed, and becomes `HANDLER_FAILED`.
   */
  thrown(error: unknown, ctx: MessageContext, by: Thrower): Failure {
    try {
      if (isCatgaError(error)) {
        const plain = plainError(error);
        const { kind, options: { durable } } = this.#contract;
        if (durable && OUT_OF_REACH.has(plain.code)) ctx.execution.passedOn = plain;
        // what is final for a message that it sent need not be for this one
        return { ok: false, error: durable && kind === "event" && plain.final ? notFinal(plain) : plain };
      }
      if (isFailure(error)) return plainFailure(error);
    } catch {
      // a proxy, or an error with getters, that cannot even be looked at: it is anything else
    }
    const { id, correlationId } = ctx;
    const behavior = by === "behavior" ? { behavior: true } as const : {};
    this.#observer({ type: "handler-failed", contract: this.#contract.name, ...behavior, id, correlationId, error });
    return { ok: false, error: handlerFailure(this.#contract, ctx, error, by) };
  }
}

function notFinal(error: CatgaError): CatgaError {
  const { code, message, retryable, details, node } = error;
  return new CatgaError(code, message, { retryable, details, node, cause: error });
}

/** Codes of sends that something out of reach failed with. */
const OUT_OF_REACH: ReadonlySet<string> = new Set(["UNAVAILABLE", "NO_HANDLER", "OVERLOADED", "TIMEOUT"]);

/**
 * Outcome of a command that its entity decides, like a promise that calls one back at once. A class, for many live at
 * once (docs/internals/measurements.md).
 */
export class EntityOutcome implements Settling {
  readonly #call: HandlerCall;
  readonly #ctx: MessageContext;
  #result: Result<unknown> | undefined = undefined;
  #ended: ((result: Result<unknown>) => void) | undefined = undefined;

  constructor(call: HandlerCall, ctx: MessageContext) {
    this.#call = call;
    this.#ctx = ctx;
  }

  resolve(value: unknown): void {
    this.#end(this.#call.success(value, this.#ctx));
  }

  reject(reason: unknown): void {
    this.#end(this.#call.failure(reason, this.#ctx));
  }

  then(ended: (result: Result<unknown>) => void): void {
    if (this.#result === undefined) this.#ended = ended;
    else ended(this.#result);
  }

  #end(result: Result<unknown>): void {
    this.#result = result;
    this.#ended?.(result);
  }
}

// Behaviors around a handler, as one function: outermost first, each with the next ones as its `next`.

/** Tools of an app for its behaviors. */
export interface BehaviorTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger | undefined;
  /** Subscription of the handler, if its contract is durable. */
  readonly subscription?: string | undefined;
}

/** A handler as the mediator calls it: never throws, never rejects. */
export type RunHandler<Ctx extends Context> = (payload: unknown, ctx: Ctx) => MaybePromise<Result<unknown>>;

/**
 * Folds behaviors around a handler. `caught` makes a result of an error that a behavior throws. Without behaviors it
 * returns the handler itself: an app that has none pays nothing.
 */
export function fold<Ctx extends Context>(
  contract: AnyContract,
  behaviors: readonly Behavior[],
  run: RunHandler<Ctx>,
  caught: (error: unknown, ctx: Ctx) => Result<unknown>,
  { clock, random, logger, subscription }: BehaviorTools,
): RunHandler<Ctx> {
  return behaviors.reduceRight<RunHandler<Ctx>>((inner, behavior) => {
    const checked = (result: Result<unknown>, ctx: Ctx): Result<unknown> => {
      try {
        if (typeof result?.ok === "boolean") return result.ok ? result : plainFailure(result);
        throw new TypeError(
          `a behavior around ${contract.name} must return a result, what next() gives or fail(…); got ${show(result)}`,
        );
      } catch (error) {
        return caught(error, ctx);
      }
    };
    // not async: an async function, and one as `next`, take as long as all else around a handler
    return (payload, ctx) => {
      try {
        const message = { contract, payload, ctx, subscription, clock, random, logger };
        const result = behavior(message, () => {
          const next = inner(payload, ctx);
          return next instanceof Promise ? next : Promise.resolve(next);
        });
        if (!isThenable(result)) return checked(result, ctx);
        return Promise.resolve(result).then((result) => checked(result, ctx), (error) => caught(error, ctx));
      } catch (error) {
        return caught(error, ctx);
      }
    };
  }, run);
}
