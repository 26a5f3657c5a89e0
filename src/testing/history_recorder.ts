/**
 * Records the {@link History} of a run: wraps the apps that a workload calls, the handlers of nodes, and the contexts
 * of handlers. The recorder knows which functions of the program run, and which of them wait for something outside of
 * Catga and virtual time.
 */
import { type Behavior, CatgaError, type Context, fail, type Flow, type Handlers, type Result } from "../../mod.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Batch, EntityContext, Handler, HandlerBody } from "../contract/handler.ts";
import type { Step, StepOptions } from "../contract/flow.ts";
import type { Lock } from "../contract/shared_state.ts";
import { wrapWorkflow } from "../contract/workflow.ts";
import { isRunMessage } from "../contract/contract.ts";
import { collect } from "../dispatch/registry.ts";
import { isRecord } from "../data/checks.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  HandlerAttempt,
  HistoryKind,
  HistoryMember,
  HistoryOperation,
  HistoryOutcome,
  HistorySpan,
  HistoryTerm,
  InjectedFault,
  LockHold,
  NodeProcess,
  WorkflowStep,
} from "./history.ts";
import { outcomeOf } from "./history.ts";

/** Header with which a message carries the number of the operation that sent it, to the attempts of its handler. */
const OPERATION_HEADER = "explore-operation";

/** An entry of the history whose members may still be written, such as its end. */
type Unended<T> = { -readonly [Member in keyof T]: T[Member] };

/** A process of a node, as the history identifies it. */
export interface RecordedProcess {
  readonly node: string;
  /** Number of the node's process, from 1: how often the node has been started. */
  readonly process: number;
}

/** A function of the program that has begun, and may have ended. */
export interface RunningCode {
  readonly label: string;
  readonly of: RecordedProcess | undefined;
  /** Number of calls of Catga, made by the function, that have not ended yet. */
  calls: number;
  hasEnded: boolean;
  /** Functions that are called at the end of the function: they end what the history has of its locks. */
  readonly atEnd: Set<() => void>;
}

/**
 * Returns true if a function runs and waits neither for Catga nor for virtual time: it computes, or waits for
 * something outside.
 */
export function isOutside({ calls, hasEnded }: RunningCode): boolean {
  return calls === 0 && !hasEnded;
}

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

/** Records the history of one run of `explore`. */
export class HistoryRecorder {
  readonly operations: HistoryOperation[] = [];
  readonly attempts: HandlerAttempt[] = [];
  readonly steps: WorkflowStep[] = [];
  readonly locks: LockHold[] = [];
  readonly terms: HistoryTerm[] = [];
  readonly faults: InjectedFault[] = [];
  readonly processes: NodeProcess[] = [];
  /** Called at each beginning and end that is recorded. */
  onMoment: (moment: RecordedMoment) => void = () => {};
  /** Clock whose times the history has. */
  readonly #clock: Clock;
  #origin = 0;
  #place = 0;
  /** True after {@link HistoryRecorder.close}: nothing more is recorded. */
  #closed = false;
  readonly #running = new Set<RunningCode>();
  readonly #dead = new Set<RecordedProcess>();

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

  /** Forgets the running functions of a process that was killed: they no longer count as running. */
  forget(of: RecordedProcess): void {
    this.#dead.add(of);
    for (const code of this.#running) if (code.of === of) this.#running.delete(code);
  }

  /** Returns the functions that run and wait neither for Catga nor for virtual time, on nodes that are not frozen. */
  outside(awake: (node: string) => boolean): RunningCode[] {
    return [...this.#running].filter((code) => isOutside(code) && (code.of === undefined || awake(code.of.node)));
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
    return this.#sender(app, { of, step, leavesOut, by: undefined, code: undefined });
  }

  /** Returns a copy of a process's handlers whose functions are recorded. */
  handlers(handlers: Handlers | undefined, of: RecordedProcess): Handler[] {
    const given = collect(handlers).map(({ handler }) => handler);
    const inner = new Set(given.flatMap((handler) => handler["~handler"].with ?? []));
    return given.filter((handler) => !inner.has(handler)).map((handler) => this.#handler(handler, of));
  }

  /** Makes the outermost behavior of a process's app, which records the attempts of handlers. */
  behavior(of: RecordedProcess): Behavior {
    return async ({ contract, payload, ctx, subscription }, next) => {
      if (isRunMessage(contract.name)) return await next();
      const attempt = this.#attempt(contract, payload, ctx, { of, subscription });
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

  #attempt(
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
    return this.begin<HandlerAttempt>(this.attempts, {
      type: "attempt",
      kind: contract.kind,
      contract: contract.name,
      entity: this.#entities.get(contract.name),
      key: ctx.key ?? keyOf(contract, payload),
      id: ctx.id,
      attempt: ctx.attempt,
      input: batch === undefined ? payload : batch.map((member) => member.payload),
      batch,
      ...of,
      subscription: ctx.position === undefined && batch === undefined ? undefined : subscription,
      position: ctx.position,
      fence: ctx.fence,
      operation: operationOf(ctx.headers),
      outcome: undefined,
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

  // recording what handlers do ---------------------------------------------------------------------------

  #handler(handler: Handler, of: RecordedProcess): Handler {
    const { contract, "~handler": body } = handler;
    if (body.entity !== undefined) this.#entities.set(contract.name, body.entity.definition.name);
    if (body.workflow !== undefined) {
      const { name } = body.workflow.definition;
      return wrapWorkflow(
        handler,
        (fn) => (flow, input) =>
          this.#run(
            { label: `the handler of workflow ${name}`, of },
            (code) => fn(this.#flow(flow, name, of, code), input),
          ),
      );
    }
    const label = `the handler of ${contract.kind} ${contract.name}`;
    const around = (fn: (ctx: Context) => unknown, ctx: Context) =>
      this.#run({ label, of }, (code) => fn(this.#context(ctx, of, code)));
    const { entity } = body;
    const own: Partial<HandlerBody> = entity === undefined
      ? { fn: (payload, ctx) => around((ctx) => body.fn(payload, ctx), ctx) }
      : this.#entity(entity, around);
    return Object.freeze({ contract, "~handler": Object.freeze({ ...body, ...own }) });
  }

  #entity(
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

  /** Runs a function of the program, and records that it runs until it has ended. */
  #run<T>(of: Pick<RunningCode, "label" | "of">, fn: (code: RunningCode) => T): T {
    const code: RunningCode = { ...of, calls: 0, hasEnded: false, atEnd: new Set() };
    const returned = fn(code);
    if (!isThenable(returned)) return returned;
    if (of.of !== undefined && this.#dead.has(of.of)) return returned;
    this.#running.add(code);
    const ended = () => {
      code.hasEnded = true;
      this.#running.delete(code);
      for (const end of code.atEnd) end();
    };
    returned.then(ended, ended);
    return returned;
  }

  #context(ctx: Context, of: RecordedProcess, code: RunningCode): Context {
    const by = this.#attempted.get(ctx);
    return this.#sender(ctx, { of, step: () => undefined, by, code });
  }

  #flow(flow: Flow, workflow: string, of: RecordedProcess, code: RunningCode): Flow {
    const step = <T>(name: string, fn: (step: Step) => T | PromiseLike<T>, options: StepOptions<T> = {}) => {
      const { undo } = options;
      const wrapped = typeof fn !== "function"
        ? fn
        : (step: Step) =>
          this.#step({ type: "step", workflow, run: flow.id, name, attempt: step.attempt }, of, () => fn(step));
      const undoing = typeof undo !== "function" ? {} : {
        undo: (value: T) =>
          this.#step({ type: "undo", workflow, run: flow.id, name, attempt: 0 }, of, () => undo(value)),
      };
      return this.#waits(code, flow.step(name, wrapped as never, { ...options, ...undoing } as never));
    };
    return new Proxy(flow, {
      get: (_, key) => {
        if (key === "step") return step;
        const value = Reflect.get(flow, key);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => this.#waits(code, value.apply(flow, args));
      },
    });
  }

  #step<T>(
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
      returned = this.#run({ label: `the ${fields.type} ${label}`, of }, fn);
    } catch (error) {
      end(thrown(error));
      throw error;
    }
    if (isThenable(returned)) returned.then((value) => end(returnedValue(value)), (error) => end(thrown(error)));
    else end(returnedValue(returned));
    return returned;
  }

  #waits<T>(code: RunningCode | undefined, promise: T): T {
    if (code === undefined || !isThenable(promise)) return promise;
    code.calls++;
    const ended = () => void code.calls--;
    promise.then(ended, ended);
    return promise;
  }

  // recording the calls of apps and contexts -------------------------------------------------------------

  #sender<T extends object>(real: T, at: RecordedCaller): T {
    // the target has the same class, but no members, because a proxy may not replace members of a frozen target
    return new Proxy(Object.create(Object.getPrototypeOf(real)), {
      get: (_, key) => {
        const value = Reflect.get(real, key, real);
        if (key === "cache") return this.#cache(value as object, at);
        if (key === "clock") return this.#clockOf(value as object, at);
        if (typeof value !== "function") return value;
        if (typeof key !== "string" || key.startsWith("~")) return value.bind(real);
        return (...args: unknown[]) => this.#call(key, (args) => value.apply(real, args), args, at);
      },
      has: (_, key) => key in real,
    });
  }

  #call(method: string, call: (args: unknown[]) => unknown, args: unknown[], at: RecordedCaller): unknown {
    const target = targetOf(method, args);
    if (target === undefined) return this.#waits(at.code, call(args));
    if (method === "lead") return this.#lead(call, args, at);
    if (REFUSABLE.has(method) && at.step() === undefined && at.leavesOut?.()) {
      return Promise.resolve(fail("UNAVAILABLE", "explore has left this out"));
    }
    const operation = this.begin<HistoryOperation>(this.operations, {
      number: this.operations.length,
      method,
      ...target,
      options: optionsOf(method, args),
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
      returned = call(HEADERS.has(method) ? withHeader(args, operation.number) : args);
    } catch (error) {
      end(thrown(error));
      throw error;
    }
    if (!isThenable(returned)) {
      end({ type: "ok", value: undefined });
      return returned;
    }
    if (method === "lock") returned = (returned as Promise<Lock>).then((lock) => this.#held(lock, args[0], at));
    (returned as Promise<unknown>).then(
      (value) => end(isResult(value) ? outcomeOf(value) : { type: "ok", value: method === "lock" ? undefined : value }),
      (error) => end(thrown(error)),
    );
    return this.#waits(at.code, returned);
  }

  #held(lock: Lock, keys: unknown, at: RecordedCaller): Lock {
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
    const releaseNow = () => (release(), this.#waits(at.code, lock.release()));
    return new Proxy(Object.create(Object.getPrototypeOf(lock)), {
      get: (_, key) => {
        if (key === "release" || key === Symbol.asyncDispose) return releaseNow;
        const value = Reflect.get(lock, key, lock);
        return typeof value === "function" ? value.bind(lock) : value;
      },
      has: (_, key) => key in lock,
    });
  }

  #lead(call: (args: unknown[]) => unknown, [name, fn, options]: unknown[], { of }: RecordedCaller): unknown {
    if (typeof fn !== "function") return call([name, fn, options]);
    const recorded = async (signal: AbortSignal) => {
      const term = this.begin<HistoryTerm>(this.terms, { name: String(name), ...of });
      const end = () => this.end<HistoryTerm>(term);
      signal.addEventListener("abort", end, { once: true });
      await Promise.resolve(fn(signal)).finally(end);
    };
    return call([name, recorded, options]);
  }

  #cache(cache: object, at: RecordedCaller): object {
    return new Proxy(cache, {
      get: (_, key) => {
        const value = Reflect.get(cache, key, cache);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => this.#call(`cache.${String(key)}`, (args) => value.apply(cache, args), args, at);
      },
    });
  }

  /** Wraps a clock, so that timers which the code sets on it count as waits for virtual time until they fire. */
  #clockOf(clock: object, { code }: RecordedCaller): object {
    if (code === undefined) return clock;
    return new Proxy({}, {
      get: (_, key) => {
        const value = Reflect.get(clock, key, clock);
        if (typeof value !== "function") return value;
        if (key !== "after") return (...args: unknown[]) => this.#waits(code, value.apply(clock, args));
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
  readonly code: RunningCode | undefined;
}

/**
 * Returns the contract, or the name, that a call of a method is about; `undefined`: the call is not recorded in the
 * history.
 */
function targetOf(
  method: string,
  [first, second, third]: unknown[],
): Pick<HistoryOperation, "kind" | "contract" | "key" | "id" | "input"> | undefined {
  if (method.startsWith("cache.")) {
    return { kind: "cache", contract: String(first), key: String(first), id: undefined, input: second };
  }
  if (method === "lock") {
    const contract = String(first);
    return { kind: "lock", contract, key: contract, id: undefined, input: second };
  }
  if (method === "lead") {
    return { kind: "lock", contract: String(first), key: undefined, id: undefined, input: undefined };
  }
  if (!METHODS.has(method) || typeof first !== "object" || first === null) return undefined;
  const { kind, name } = first as { kind?: HistoryKind; name?: string };
  if (typeof name !== "string") return undefined;
  if (method === "load") {
    return { kind: "entity", contract: name, key: String(second), id: undefined, input: undefined };
  }
  if (method === "tell") {
    const { workflow } = first as { workflow?: string };
    return { kind: "signal", contract: `${workflow}.${name}`, key: String(second), id: undefined, input: third };
  }
  if (method === "result" || method === "cancel") {
    return { kind: "workflow", contract: name, key: String(second), id: String(second), input: third };
  }
  const options = third as { id?: string; key?: string } | undefined;
  const id = options?.id;
  if (kind === "workflow") return { kind, contract: name, key: id, id, input: second };
  const key = options?.key ?? keyOf(first as AnyContract, second);
  return { kind: kind ?? "command", contract: name, key, id, input: second };
}

const METHODS: ReadonlySet<string> = new Set([
  ...["send", "sendAll", "publish", "enqueue", "broadcast", "stream", "start", "result", "tell", "cancel"],
  ...["unschedule", "load"],
]);
/** Returns the options of a call: its third argument, or for a signal the fourth. */
function optionsOf(method: string, args: readonly unknown[]): Readonly<Record<string, unknown>> | undefined {
  const options = args[method === "tell" ? 3 : method === "lock" ? 1 : 2];
  return isRecord(options) ? { ...options } : undefined;
}

/** Methods that resolve with a `Result`, and whose messages may be refused. */
const REFUSABLE: ReadonlySet<string> = new Set(["send", "publish", "enqueue", "start", "tell", "cancel"]);
/** Methods whose third argument may have headers. */
const HEADERS: ReadonlySet<string> = new Set(["send", "publish", "enqueue", "broadcast"]);

function withHeader([contract, payload, options]: unknown[], number: number): unknown[] {
  if (options !== undefined && (typeof options !== "object" || options === null)) return [contract, payload, options];
  const { headers } = (options ?? {}) as { headers?: Record<string, string> };
  return [contract, payload, { ...options as object, headers: { ...headers, [OPERATION_HEADER]: `${number}` } }];
}

function operationOf(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers[OPERATION_HEADER];
  return text === undefined ? undefined : Number(text);
}

/** Returns the key that a contract makes of a payload; `undefined`: it makes none, or its function throws. */
function keyOf({ options }: AnyContract, payload: unknown): string | undefined {
  const key = options?.key;
  if (key === undefined) return undefined;
  try {
    return String(key(payload as never));
  } catch {
    return undefined; // an error of the key function is ignored: Catga reports it to the sender
  }
}

function isThenable(value: unknown): value is Promise<unknown> {
  return value instanceof Promise;
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
