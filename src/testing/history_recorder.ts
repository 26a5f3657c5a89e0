/**
 * Records the {@link History} of a run: wraps the apps that a workload calls, the handlers of nodes, and the contexts
 * of handlers.
 */
import { type Behavior, CatgaError, type Context, fail, type Flow, type Handlers, type Result } from "../../mod.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Batch, EntityContext, Handler, HandlerBody } from "../contract/declaration/handler.ts";
import type { Step, StepOptions } from "../contract/calls/flow.ts";
import type { Lock } from "../contract/calls/shared_state.ts";
import { wrapWorkflow } from "../contract/declaration/workflow.ts";
import { isRunMessage } from "../contract/declaration/contract.ts";
import { limitName, type NamedLimit } from "../contract/nodes/announcement.ts";
import { collect } from "../dispatch/registry.ts";
import type { EndedTransaction } from "../contract/nodes/attached_store.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  HandlerAttempt,
  HistoryMember,
  HistoryOperation,
  HistoryOutcome,
  HistorySpan,
  HistoryTerm,
  InjectedFault,
  LimitSlot,
  LockHold,
  NodeProcess,
  StoreTransaction,
  WorkflowStep,
} from "./history.ts";
import { outcomeOf } from "./history.ts";
import { callOptions, callTarget, operationOf, payloadKey, REFUSABLE, withOperationHeader } from "./recorded_call.ts";
import { isThenable, type RecordedProcess, type RunningFunction, RunningFunctions } from "./running_functions.ts";

/** An entry of the history whose members may still be written, such as its end. */
type Unended<T> = { -readonly [Member in keyof T]: T[Member] };

type Cause = HandlerAttempt | WorkflowStep;

/**
 * A moment at which faults may be aimed: something has begun or ended. `retry`: the second or a later attempt of a
 * handler or a step has begun.
 */
export interface RecordedMoment {
  readonly type: "operation" | "attempt" | "retry" | "step" | "lock";
  readonly at: "begins" | "ends";
  /** Kind and name of the thing that has begun or ended, such as `command Charge` or `step Order.charge`. */
  readonly label: string;
  readonly node: string;
}

/**
 * Records the history of one run of `explore`.
 * @decides what is written into a history
 */
export class HistoryRecorder {
  readonly operations: HistoryOperation[] = [];
  readonly attempts: HandlerAttempt[] = [];
  readonly steps: WorkflowStep[] = [];
  readonly locks: LockHold[] = [];
  readonly transactions: StoreTransaction[] = [];
  readonly terms: HistoryTerm[] = [];
  readonly faults: InjectedFault[] = [];
  readonly processes: NodeProcess[] = [];
  /** Functions of the program that run. */
  readonly running = new RunningFunctions();
  /** Called at each beginning and end that is recorded. */
  onMoment: (moment: RecordedMoment) => void = () => {};
  /** Clock whose times the history has. */
  readonly #clock: Clock;
  #origin = 0;
  #place = 0;
  /** True after {@link HistoryRecorder.close}: nothing more is recorded. */
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins the times of the history at 0. Called when the workload begins. */
  start(): void {
    this.#origin = this.#clock.monotonic();
  }

  /** Ends the recording: nothing is added to the history any more. Called when the run of the seed has ended. */
  close(): void {
    this.#closed = true;
  }

  /** Time since the workload began, in ms of virtual time. */
  get now(): number {
    return this.#clock.monotonic() - this.#origin;
  }

  /** Adds an entry to a list of the history, which begins now. Returns the entry. */
  begin<T extends HistorySpan>(list: T[], fields: Omit<T, keyof HistorySpan>): Unended<T> {
    // cast: the caller gives the members that are missing here
    const span = { began: this.#place++, ended: undefined, start: this.now, end: undefined, ...fields } as Unended<T>;
    if (!this.#closed) list.push(span as T);
    return span;
  }

  /** Ends an entry of the history now, unless it has ended already. */
  end<T extends HistorySpan>(span: Unended<T>, fields: Partial<T> = {}): void {
    if (span.ended !== undefined || this.#closed) return;
    Object.assign(span, { ended: this.#place++, end: this.now }, fields);
  }

  /**
   * Returns an app for the workload: that of a node, with its calls recorded as operations. `step`: returns the name of
   * the step that calls; `leavesOut`: returns true if the next call outside of steps is to be refused.
   */
  app<T extends object>(
    app: T,
    of: RecordedProcess,
    { step, leavesOut }: { step(): string | undefined; leavesOut(): boolean },
  ): T {
    return this.#recordedSender(app, { of, step, leavesOut, by: undefined, code: undefined });
  }

  /** Records a transaction of a store that begins now, once it has ended. */
  transaction(store: string): (ended: EndedTransaction) => void {
    const { began, start } = this.begin<HistorySpan>([], {});
    return ({ outcome, ordered, recorded, effects }) => {
      const copied = recorded.map(({ kind, contract, key, id }) => ({ kind, contract, key, id }));
      const fields = { store, outcome, ordered, recorded: copied, effects: [...effects] };
      const transaction = this.begin<StoreTransaction>(this.transactions, fields);
      this.end(transaction, { began, start });
    };
  }

  /** Returns a copy of a process's handlers whose functions are recorded. */
  handlers(handlers: Handlers | undefined, of: RecordedProcess): Handler[] {
    const given = collect(handlers).map(({ handler }) => handler);
    const inner = new Set(given.flatMap((handler) => handler["~handler"].with ?? []));
    for (const { contract, "~handler": { subscription } } of given) {
      if (subscription?.limits !== undefined) {
        this.#limits.set(limitsKey(of, contract, subscription.name), subscription.limits);
      }
    }
    return given.filter((handler) => !inner.has(handler)).map((handler) => this.#recordedHandler(handler, of));
  }

  /** Makes the outermost behavior of a process's app, which records the attempts of handlers. */
  behavior(of: RecordedProcess): Behavior {
    return async ({ contract, payload, ctx, subscription }, next) => {
      if (isRunMessage(contract.name)) return await next();
      const attempt = this.#beginAttempt(contract, payload, ctx, { of, subscription });
      this.#attempted.set(ctx, attempt);
      const type = attempt.attempt > 1 ? "retry" : "attempt";
      this.#moment(type, "begins", attempt.kind, attempt.contract, of.node);
      const result = await next();
      this.end<HandlerAttempt>(attempt, { outcome: outcomeOf(result) });
      this.#moment(type, "ends", attempt.kind, attempt.contract, of.node);
      return result;
    };
  }

  readonly #attempted = new WeakMap<object, HandlerAttempt>();
  /** Names of entities, by the names of their commands. */
  readonly #entities = new Map<string, string>();
  /** Limits of the handlers of each process, by contract and subscription. */
  readonly #limits = new Map<string, readonly NamedLimit[]>();
  /** Names of limits that the workload changes as an operator does: what counts of them is not known here. */
  readonly #changedLimits = new Set<string>();

  #beginAttempt(
    contract: AnyContract,
    payload: unknown,
    ctx: Context,
    { of, subscription }: { readonly of: RecordedProcess; readonly subscription: string | undefined },
  ): Unended<HandlerAttempt> {
    const members = Array.isArray(payload) && ctx.position === undefined && subscription !== undefined &&
        payload.every((member) => typeof member?.position === "number")
      ? payload as unknown as Batch<unknown>
      : undefined;
    const batch = members?.map(({ id, key, position, attempt, payload, headers }): HistoryMember => ({
      ...{ id, key, position, attempt, payload, operation: operationOf(headers) },
    }));
    const single = ctx.position === undefined ? [] : [{ position: ctx.position, payload }];
    const slots = this.#slotsOf(this.#limits.get(limitsKey(of, contract, subscription)), contract, batch ?? single);
    return this.begin<HandlerAttempt>(this.attempts, {
      type: "attempt",
      kind: contract.kind,
      contract: contract.name,
      entity: this.#entities.get(contract.name),
      key: ctx.key ?? payloadKey(contract, payload),
      id: ctx.id,
      attempt: ctx.attempt,
      input: batch === undefined ? payload : batch.map((member) => member.payload),
      batch,
      ...of,
      subscription: ctx.position === undefined && batch === undefined ? undefined : subscription,
      ...(slots.length > 0 && { slots }),
      position: ctx.position,
      fence: ctx.fence,
      operation: operationOf(ctx.headers),
      outcome: undefined,
    });
  }

  /** Returns the slots that messages have in limits with `running`. */
  #slotsOf(
    limits: readonly NamedLimit[] = [],
    { name }: AnyContract,
    messages: readonly Pick<HistoryMember, "position" | "payload">[],
  ): LimitSlot[] {
    return limits.flatMap((limit, i) => {
      const id = limitName(name, limit, i);
      if (limit.running === Infinity || this.#changedLimits.has(id)) return [];
      return messages.flatMap(({ position, payload }): LimitSlot[] => {
        const key = limit.key && keyIn(limit.key, payload);
        if (key === undefined && limit.key !== undefined) return [];
        return [{ limit: id, key, running: limit.running, position }];
      });
    });
  }

  #moment(type: RecordedMoment["type"], at: RecordedMoment["at"], kind: string, name: string, node: string): void {
    if (this.#closed) return;
    const moment: RecordedMoment = { type, at, label: `${kind} ${name}`, node };
    const { now } = this;
    if (this.#instant.at !== now) this.#instant = { at: now, moments: [] };
    this.#instant.moments.push(moment);
    this.onMoment(moment);
  }

  #instant: { at: number; moments: RecordedMoment[] } = { at: -1, moments: [] };

  /** Moments that have been recorded at the present time of the virtual clock. */
  get instant(): readonly RecordedMoment[] {
    return this.#instant.at === this.now ? this.#instant.moments : [];
  }

  // The methods that record what handlers do:

  #recordedHandler(handler: Handler, of: RecordedProcess): Handler {
    const { contract, "~handler": body } = handler;
    if (body.entity !== undefined) this.#entities.set(contract.name, body.entity.definition.name);
    if (body.workflow !== undefined) {
      const { name } = body.workflow.definition;
      return wrapWorkflow(
        handler,
        (fn) => (flow, input) =>
          this.running.run(
            { label: `the handler of workflow ${name}`, of },
            (code) => fn(this.#recordedFlow(flow, name, of, code), input),
          ),
      );
    }
    const label = `the handler of ${contract.kind} ${contract.name}`;
    const around = (fn: (ctx: Context) => unknown, ctx: Context) =>
      this.running.run({ label, of }, (code) => fn(this.#recordedContext(ctx, of, code)));
    const { entity } = body;
    const own: Partial<HandlerBody> = entity === undefined
      ? { fn: (payload, ctx) => around((ctx) => body.fn(payload, ctx), ctx) }
      : this.#recordedEntity(entity, around);
    return Object.freeze({ contract, "~handler": Object.freeze({ ...body, ...own }) });
  }

  #recordedEntity(
    entity: NonNullable<HandlerBody["entity"]>,
    around: (fn: (ctx: Context) => unknown, ctx: Context) => unknown,
  ): Partial<HandlerBody> {
    const recorded: typeof entity = Object.freeze({
      definition: entity.definition,
      decide: (loaded: Parameters<typeof entity.decide>[0], payload: unknown, ctx: Context) =>
        around((ctx) => entity.decide(loaded, payload, ctx), ctx),
    });
    return {
      entity: recorded,
      // cast: the context belongs to a running app, which loads and stores entities
      fn: (payload, ctx) => (ctx as EntityContext)["~decide"](recorded, payload),
    };
  }

  #recordedContext(ctx: Context, of: RecordedProcess, code: RunningFunction): Context {
    const by = this.#attempted.get(ctx);
    return this.#recordedSender(ctx, { of, step: () => undefined, by, code });
  }

  #recordedFlow(flow: Flow, workflow: string, of: RecordedProcess, code: RunningFunction): Flow {
    const step = <T>(name: string, fn: (step: Step) => T | PromiseLike<T>, options: StepOptions<T> = {}) => {
      const { undo } = options;
      const wrapped = typeof fn !== "function"
        ? fn
        : (step: Step) =>
          this.#recordedStep({ type: "step", workflow, run: flow.id, name, attempt: step.attempt }, of, () => fn(step));
      const undoing = typeof undo !== "function" ? {} : {
        undo: (value: T) =>
          this.#recordedStep({ type: "undo", workflow, run: flow.id, name, attempt: 0 }, of, () => undo(value)),
      };
      return this.running.waits(code, flow.step(name, wrapped as never, { ...options, ...undoing } as never));
    };
    return new Proxy(flow, {
      get: (_, key) => {
        if (key === "step") return step;
        const value = Reflect.get(flow, key);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => this.running.waits(code, value.apply(flow, args));
      },
    });
  }

  #recordedStep<T>(
    fields: Pick<WorkflowStep, "type" | "workflow" | "run" | "name" | "attempt">,
    of: RecordedProcess,
    fn: () => T,
  ): T {
    const span = this.begin<WorkflowStep>(this.steps, { ...fields, ...of, outcome: undefined });
    const label = `${fields.workflow}.${fields.name}`;
    const moment = fields.attempt > 1 ? "retry" : "step";
    this.#moment(moment, "begins", fields.type, label, of.node);
    const end = (outcome: HistoryOutcome) => {
      this.end<WorkflowStep>(span, { outcome });
      this.#moment(moment, "ends", fields.type, label, of.node);
    };
    let returned: T;
    try {
      returned = this.running.run({ label: `the ${fields.type} ${label}`, of }, fn);
    } catch (error) {
      end(thrown(error));
      throw error;
    }
    if (isThenable(returned)) returned.then((value) => end(returnedValue(value)), (error) => end(thrown(error)));
    else end(returnedValue(returned));
    return returned;
  }

  // The methods that record calls of apps and contexts:

  #recordedSender<T extends object>(real: T, at: RecordedCaller): T {
    // the target has the same class, but no members, because a proxy may not replace members of a frozen target
    return new Proxy(Object.create(Object.getPrototypeOf(real)), {
      get: (_, key) => {
        const value = Reflect.get(real, key, real);
        if (key === "cache") return this.#recordedCache(value as object, at);
        if (key === "clock") return this.#recordedClock(value as object, at);
        if (typeof value !== "function") return value;
        if (typeof key !== "string" || key.startsWith("~")) return value.bind(real);
        return (...args: unknown[]) => this.#recordedCall(key, (args) => value.apply(real, args), args, at);
      },
      has: (_, key) => key in real,
    });
  }

  #recordedCall(method: string, call: (args: unknown[]) => unknown, args: unknown[], at: RecordedCaller): unknown {
    if (method === "limit") this.#changedLimits.add(String(args[1]));
    const target = callTarget(method, args);
    if (target === undefined) return this.running.waits(at.code, call(args));
    if (method === "lead") return this.#recordedLead(call, args, at);
    if (REFUSABLE.has(method) && at.step() === undefined && at.leavesOut?.()) {
      return Promise.resolve(fail("UNAVAILABLE", "explore has left this out"));
    }
    const operation = this.begin<HistoryOperation>(this.operations, {
      number: this.operations.length,
      method,
      ...target,
      options: callOptions(method, args),
      node: at.of.node,
      step: at.step(),
      by: at.by,
      outcome: undefined,
    });
    const { kind, contract } = operation;
    this.#moment("operation", "begins", kind, contract, at.of.node);
    const end = (outcome: HistoryOutcome) => {
      this.end<HistoryOperation>(operation, { outcome });
      this.#moment("operation", "ends", kind, contract, at.of.node);
    };
    let returned: unknown;
    try {
      returned = call(withOperationHeader(method, args, operation.number));
    } catch (error) {
      end(thrown(error));
      throw error;
    }
    if (!isThenable(returned)) {
      end({ type: "ok", value: undefined });
      return returned;
    }
    if (method === "lock") returned = (returned as Promise<Lock>).then((lock) => this.#recordedLock(lock, args[0], at));
    (returned as Promise<unknown>).then(
      (value) => end(isResult(value) ? outcomeOf(value) : { type: "ok", value: method === "lock" ? undefined : value }),
      (error) => end(thrown(error)),
    );
    return this.running.waits(at.code, returned);
  }

  #recordedLock(lock: Lock, keys: unknown, at: RecordedCaller): Lock {
    const hold = this.begin<LockHold>(this.locks, {
      ...{ keys: (Array.isArray(keys) ? [...keys] : [String(keys)]).sort(), token: lock.token, ...at.of },
      ...{ endedBy: undefined, by: at.by },
    });
    const [key] = hold.keys;
    this.#moment("lock", "begins", "lock", key, at.of.node);
    const end = (endedBy: "release" | "loss") => {
      at.code?.atEnd.delete(release);
      this.end<LockHold>(hold, { endedBy });
      this.#moment("lock", "ends", "lock", key, at.of.node);
    };
    const release = () => end("release");
    at.code?.atEnd.add(release); // a handler's locks are released at its end, if not before
    // the lock is lost already if its lease ended while the holder was frozen, before the holder got the lock
    if (lock.signal.aborted) end("loss");
    else lock.signal.addEventListener("abort", () => end("loss"), { once: true });
    const releaseNow = () => (release(), this.running.waits(at.code, lock.release()));
    return new Proxy(Object.create(Object.getPrototypeOf(lock)), {
      get: (_, key) => {
        if (key === "release" || key === Symbol.asyncDispose) return releaseNow;
        const value = Reflect.get(lock, key, lock);
        return typeof value === "function" ? value.bind(lock) : value;
      },
      has: (_, key) => key in lock,
    });
  }

  #recordedLead(call: (args: unknown[]) => unknown, [name, fn, options]: unknown[], { of }: RecordedCaller): unknown {
    if (typeof fn !== "function") return call([name, fn, options]);
    const recorded = async (signal: AbortSignal) => {
      const term = this.begin<HistoryTerm>(this.terms, { name: String(name), ...of });
      const end = () => this.end<HistoryTerm>(term);
      signal.addEventListener("abort", end, { once: true });
      await Promise.resolve(fn(signal)).finally(end);
    };
    return call([name, recorded, options]);
  }

  #recordedCache(cache: object, at: RecordedCaller): object {
    return new Proxy(cache, {
      get: (_, key) => {
        const value = Reflect.get(cache, key, cache);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) =>
          this.#recordedCall(`cache.${String(key)}`, (args) => value.apply(cache, args), args, at);
      },
    });
  }

  /** Wraps a clock, so that timers which the code sets on it count as waits for virtual time until they fire. */
  #recordedClock(clock: object, { code }: RecordedCaller): object {
    if (code === undefined) return clock;
    return new Proxy({}, {
      get: (_, key) => {
        const value = Reflect.get(clock, key, clock);
        if (typeof value !== "function") return value;
        if (key !== "after") return (...args: unknown[]) => this.running.waits(code, value.apply(clock, args));
        return (ms: number, callback: () => void, options?: object) => {
          let isSet = true;
          const end = () => {
            if (isSet) code.calls--;
            isSet = false;
          };
          const timer = value.call(clock, ms, () => (end(), callback()), options);
          code.calls++;
          return { cancel: () => (end(), timer.cancel()) };
        };
      },
    });
  }
}

/** The running code from which calls of a wrapped app or context come. */
interface RecordedCaller {
  readonly of: RecordedProcess;
  step(): string | undefined;
  leavesOut?(): boolean;
  readonly by: Cause | undefined;
  /** Function that makes the call; `undefined`: the workload makes it. */
  readonly code: RunningFunction | undefined;
}

function isResult(value: unknown): value is Result<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { ok?: unknown }).ok === "boolean" &&
    ("value" in value || "error" in value);
}

function thrown(error: unknown): HistoryOutcome {
  if (error instanceof CatgaError) return { type: "failed", code: error.code, message: error.message };
  return { type: "thrown", message: error instanceof Error ? error.message : String(error), error };
}

/** Returns the outcome of a step whose function returned this value: a returned failure is a failed outcome. */
function returnedValue(value: unknown): HistoryOutcome {
  if (isResult(value)) return outcomeOf(value);
  return { type: "ok", value };
}

function limitsKey(
  { node, process }: RecordedProcess,
  { name }: AnyContract,
  subscription: string | undefined,
): string {
  return JSON.stringify([node, process, name, subscription]);
}

/** Returns the key of a payload in a limit; `undefined`: the function throws, or returns none, which Catga logs. */
function keyIn(of: (payload: never) => unknown, payload: unknown): string | undefined {
  try {
    const key = of(payload as never);
    return typeof key === "string" ? key : undefined;
  } catch {
    return undefined;
  }
}
