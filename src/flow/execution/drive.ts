/**
 * A drive: one execution of a run on this node, by replay. The handler runs from its top; recorded steps return their
 * recorded outcomes (`DriveState.sees`), and new steps are performed and recorded (`steps.ts`, `waits.ts`); the steps
 * of a failed run are undone (`undoing.ts`). A drive ends when the run has ended, when all pending calls of the handler
 * wait for a time, a signal, a child run or an operator, or when another node has taken the run over.
 *
 * The rules, each held by `test/simulation/plants_test.ts`:
 * 1. A step begins only when two things are stored: all that the handler has seen, and an entry which says that this
 *    node executes the run. Outcomes that are ready together are stored by one append; so are the outcome of the last
 *    step and the end of the run.
 * 2. Each append expects the last message that was read. If another node has stored, as the executing node, a message
 *    after that one, or if that one is lost, this drive ends at once: a store that has lost its last messages gives
 *    their sequences to other messages.
 * 3. A schedule is stored before the entry that waits for it.
 * 4. A run that fails waits for the outcomes of all steps that began, then undoes them, the latest first. A run whose
 *    handler returns ends at once, and nothing is recorded after its end.
 * 5. The handler sees no entry that was recorded after a cancel; steps with `undo` that may have begun get an outcome,
 *    and are undone. A handler that has not called all recorded steps with `undo` does not undo a cancelled run:
 *    another version does, or the run is stuck. If the handler of a cancelled run throws, steps are undone only if all
 *    steps with `undo` that may have begun are known.
 * 6. The handler sees ends of steps, sleeps and waits in the order of the journal, one at a time, so that each replay
 *    takes the same path through the handler.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { STEP_PAUSES } from "../../contract/declaration/defaults.ts";
import type {
  AgainOptions,
  AnyQuestion,
  AnyWaitable,
  CallbackOptions,
  Flow,
  FlowSendOptions,
  Step,
  WaitOptions,
} from "../../contract/calls/flow.ts";
import { type Failure, isFailure } from "../../contract/calls/result.ts";
import { validate } from "../../contract/schemas/schema.ts";
import type { WorkflowBody } from "../../contract/declaration/workflow_body.ts";
import { outside } from "../../data/async_context.ts";
import { callerIn, NO_HEADERS } from "../../dispatch/carried_headers.ts";
import { MAX_STAGE } from "../../contract/calls/flow.ts";
import { checkKnown, show } from "../../data/checks.ts";
import { CatgaError, isCatgaError, isErrorCode } from "../../error.ts";
import type { Timer } from "../../ports/clock.ts";
import { pausesBefore } from "./attempt_pause.ts";
import type { DueTime } from "./drive_host.ts";
import { type DriveEnd, type DriveOptions, DriveState, markMisuse } from "./drive_state.ts";
import type { DriveTimes } from "./drive_times.ts";
import { FailedAttempts } from "./failed_attempts.ts";
import { isOwn, isUndo, type Journal, TIME_OUT } from "../stored/journal.ts";
import type { RecordedError, ShownEntry } from "../stored/journal_entry.ts";
import { decided, readable, recorded } from "../stored/recorded_error.ts";
import { copyOf, shownValue } from "../stored/recorded_value.ts";
import { RunEnding } from "./run_ending.ts";
import { RunTimeLimit } from "./run_time_limit.ts";
import { parsedInTime } from "./schema_in_time.ts";
import type { OngoingAttempts } from "./step_attempt.ts";
import { Steps } from "./steps.ts";
import { Undoing } from "./undoing.ts";
import { Waits } from "./waits.ts";

/** One execution of a run on this node. */
export class Drive {
  readonly journal: Journal;
  /** Resolves when this execution of the run ends, with the reason. */
  readonly end: Promise<DriveEnd>;
  readonly #body: WorkflowBody;
  readonly #state: DriveState;
  readonly #failures: FailedAttempts;
  readonly #steps: Steps;
  /** Made by the first sleep or wait: most runs have none, and its empty collections would take 1.3 kB of each. */
  #madeWaits: Waits | undefined;
  readonly #timeLimit: RunTimeLimit;
  readonly #ending: RunEnding;
  readonly #undoing: Undoing;
  /**
   * The action that follows as soon as nothing is in progress: undoing the steps, or another attempt of the handler.
   * Set when the handler has failed, or cannot continue.
   */
  #finish: (() => void) | undefined;
  /** The value that `flow.again` has given to the handler; `undefined`: it was not called. */
  #nextLife: NextLife | undefined;
  /** True once the handler has been called in this execution of the run. */
  #runs = false;
  /** Timer that runs while the handler awaits a promise that does not come from a call of `flow`. */
  #stray: Timer | undefined;
  #news: Promise<void> | undefined;
  /** True if entries may have been stored after the read in progress began, so that another read has to follow. */
  #behind = false;
  /** The error of the schema that refused the run's input. */
  #inputRefusal: Error | undefined;
  /** The error because of which another version of the workflow has to execute the run. */
  #refusal: unknown;

  constructor(options: DriveOptions) {
    this.#body = options.body;
    this.journal = options.journal;
    const state = this.#state = new DriveState(options, {
      onIdle: () => this.#onIdle(),
      couldTakeSignal: () => this.#madeWaits?.couldTakeSignal() ?? false,
      undoable: () => this.#steps.undoable,
      needsOutcome: (step) => this.#steps.needsOutcome(step),
      onNews: () => this.#onNews(),
      stopped: (why, end) => this.#steps.stopped(why, end),
    });
    this.end = state.end;
    this.#failures = new FailedAttempts(state);
    this.#steps = new Steps(state, this.#failures);
    this.#timeLimit = new RunTimeLimit(state);
    this.#ending = new RunEnding(state, this.#steps);
    this.#undoing = new Undoing(state, this.#steps, this.#failures, this.#ending);
  }

  /** Begins the execution of the run. */
  begin(): void {
    const { journal } = this;
    if (journal.ended !== undefined) return this.#ending.announce();
    if (journal.takeovers >= MAX_TAKEOVERS) {
      const message = `the processes that drove it ended ${journal.takeovers} times without recording anything`;
      return this.#state.recorder.recordStuck("", { code: "HANDLER_FAILED", message });
    }
    this.#timeLimit.start();
    this.#runHandler();
    this.#state.activity.askForTurn();
  }

  get over(): boolean {
    return this.#state.over;
  }

  get #waits(): Waits {
    return this.#madeWaits ??= new Waits(this.#state);
  }

  /** The names of the steps, sleeps and waits that the handler has called in this execution of the run. */
  get names(): ReadonlySet<string> {
    return this.#state.names;
  }

  /** Attempts that were in progress when the handler had to restart: the next execution of the run continues them. */
  get handedOver(): OngoingAttempts {
    return this.#state.handedOver;
  }

  /** Time at which this node was last known to execute the run, by the monotonic clock. */
  get confirmedAt(): number {
    return this.#state.recorder.confirmedAt;
  }

  /** Names of steps with an `undo` that may have begun and have no outcome; `undefined`: not known. */
  get begun(): readonly string[] | undefined {
    return this.#state.begun;
  }

  /**
   * Schedules of the run: schedules that may be stored without being recorded (`unrecorded`), schedules that fire so
   * late that they are removed at the end of the run (`late`), and schedules that were stored again for another node
   * (`givenBack`).
   */
  get times(): Pick<DriveTimes, "unrecorded" | "late" | "givenBack"> {
    return this.#state.times;
  }

  /**
   * A promise while messages of other processes keep this node from appending entries to the run; `undefined` while
   * they do not. The promise resolves when the delayed append is stored, or this execution of the run has ended.
   */
  get starved(): Promise<void> | undefined {
    return this.#state.recorder.starved;
  }

  /** The schedules of the run that are known to have fired. */
  get due(): readonly DueTime[] {
    return this.#state.times.due;
  }

  /**
   * The error because of which this version of the workflow refused the run; set if this execution of the run ended
   * with a refusal.
   */
  get refusal(): unknown {
    return this.#refusal;
  }

  /**
   * The error of the store because of which this execution of the run ended; `undefined`: it ended for another reason,
   * or goes on.
   */
  get error(): unknown {
    return this.#state.error;
  }

  /** Reads the entries that other processes have stored for the run. `due`: a schedule that has fired. */
  readNews(due?: DueTime): Promise<void> {
    if (this.over) return Promise.resolve();
    if (due !== undefined) this.#state.times.timerFired(due);
    if (due?.step === TIME_OUT) this.#timeLimit.scheduleFired();
    this.#behind = true;
    return this.#news ??= this.#readAll().finally(() => this.#news = undefined);
  }

  /** Reads stored entries until a read finds none: a read may miss an entry that is stored while the read runs. */
  async #readAll(): Promise<void> {
    while (this.#behind && !this.over) {
      this.#behind = false;
      if (!await this.#state.recorder.readNews()) {
        // the execution is not suspended meanwhile: a schedule that has fired would be lost
        return void this.#state.activity.timer(NEWS, () => void this.readNews(), this.#state.leaving);
      }
    }
  }

  /**
   * Lets the execution end when the attempts in progress have outcomes; no more attempts begin. Called when the node
   * stops.
   */
  leave(): void {
    this.#state.leaving = true;
    this.#state.activity.askForTurn();
  }

  /** Ends the execution of the run at once, and aborts attempts in progress. */
  stop(): void {
    this.#state.stop("shutdown");
  }

  #runHandler(): void {
    if (pausesBefore(this.#state, "", () => this.#runHandler())) return;
    this.#runs = true;
    const flow = this.#flow();
    // the handler does not run in the async context of the event that caused this call
    outside(() => this.#input().then((input) => this.#body.fn(flow, input as never))).then(
      (returned) => isFailure(returned) ? this.#failed(returned) : this.#returned(returned),
    ).catch((thrown) => {
      const error = readable(thrown);
      if (isFailure(error)) this.#failed(error);
      else if (isCatgaError(error)) this.#failed({ ok: false, error });
      else this.#threw(error);
    }).finally(() => this.#state.activity.askForTurn());
  }

  /** Parses the input of the run by the workflow's schema. Rejects if the schema refuses it. */
  async #input(): Promise<unknown> {
    const { definition: { input, name } } = this.#body;
    const given = this.journal.started!.input;
    if (input === undefined) return given;
    const parsed = await validate(input, given, "INVALID_MESSAGE", name);
    if (parsed.ok) return parsed.value;
    throw this.#inputRefusal = new Error(parsed.error.message, { cause: parsed.error.cause });
  }

  #flow(): Flow {
    const steps = this.#steps;
    const { headers = NO_HEADERS, started } = this.journal;
    const flow = {
      ...{ id: this.#state.ref.run, version: started!.version, headers },
      // the cast is safe: a step reads the progress that it has reported itself
      step: (name, fn, options = {}) => steps.step(name, fn as (step: Step) => ReturnType<typeof fn>, options),
      transaction: (store, name, fn, options = {}) => steps.transaction(store, name, fn, options),
      send: (contract: unknown, payload?: unknown, options: FlowSendOptions<never> = {}) =>
        steps.send(contract as AnyContract, payload, options),
      // the cast is safe: `Steps.map` resolves with what the declarations of `map` say
      map: steps.map.bind(steps) as unknown as Flow["map"],
      sleep: (name, until) => this.#waits.sleep(name, until),
      wait: (signals: AnyWaitable | readonly AnyWaitable[], options: WaitOptions = {}) =>
        this.#waits.wait(signals, options),
      callback: (name: string, options: CallbackOptions<unknown> = {}) => this.#waits.callback(name, options),
      ask: (question: AnyQuestion, run: string, payload?: unknown, options: FlowSendOptions<never> = {}) =>
        steps.ask(question, run, payload, options),
      stage: (name) => this.#show("stage", () => ({ t: "staged", stage: stageOf(name) })),
      show: (value) =>
        this.#show("show", () => ({ t: "shown", view: shownValue("show", value, this.#state.host.log.mostBytes) })),
      again: (input?: unknown, options: AgainOptions = {}) => this.#again(input, options),
    } as Omit<Flow, "caller">;
    return Object.defineProperty(flow, "caller", CALLER) as Flow;
  }

  /** Records a view that the handler shows. `method`: the method of `flow` that was called. */
  #show(method: string, viewOf: () => ShownEntry): void {
    const state = this.#state;
    let view: ShownEntry;
    try {
      view = viewOf();
      state.checkOutside(method);
    } catch (misuse) {
      markMisuse(misuse);
      throw misuse;
    }
    if (!this.#handlerIsOver && !state.isHalting) state.recorder.show(view);
  }

  #again(input: unknown, options: AgainOptions): NextLife {
    const state = this.#state;
    try {
      checkKnown("again", options, AGAIN_OPTIONS);
      const { children = "cancel" } = options;
      if (children !== "cancel" && children !== "leave") {
        throw new TypeError(`again: children is "cancel" or "leave"; got ${show(children)}`);
      }
      state.checkOutside("again");
      if (state.phase === "undoing") throw new TypeError("again: a run whose steps are undone does not begin anew");
      return this.#nextLife = new NextLife(input, children);
    } catch (misuse) {
      markMisuse(misuse);
      throw misuse;
    }
  }

  /**
   * True once the handler has called, in this execution of the run, all recorded steps, and all steps with an `undo`
   * that an earlier process may have begun.
   */
  get #hasReachedAllBegunSteps(): boolean {
    const { outcomes, failing, children, failures, strays } = this.journal;
    // once the entry `failing` is recorded, all steps that had begun have an outcome
    if (failing === undefined && !this.#state.hasReachedAllBegun) return false;
    const ended = [...outcomes].flatMap(([name, { index }]) =>
      strays.has(name) || index > (failing?.index ?? Infinity) ? [] : [name]
    );
    const open = [...children.keys(), ...failures.keys()].filter((name) => !isOwn(name) && !isUndo(name));
    return [...ended, ...open].every((name) => this.#state.names.has(name));
  }

  /** True if the execution of the run has ended, or its handler has. */
  get #handlerIsOver(): boolean {
    return this.over || this.#state.phase !== "handler";
  }

  #returned(value: unknown): void {
    const state = this.#state;
    if (this.#handlerIsOver) return;
    if (state.isHalting) return this.#fails(); // a cancelled or failing run fails even if its handler returns
    if (value !== this.#nextLife && this.#nextLife !== undefined) {
      const misuse = new TypeError("flow.again was called, and something else is returned: return flow.again(input)");
      markMisuse(misuse);
      return this.#threw(misuse);
    }
    state.phase = "finishing";
    this.#madeWaits?.abandon();
    state.calls.clear();
    if (value instanceof NextLife) return this.#beginAnew(value);
    const { definition: { output, name } } = this.#body;
    if (output === undefined) return this.#endWithValue(value);
    state.activity.work(async () => {
      const parsed = await parsedInTime(state.host, { name, schema: output }, value, "INVALID_RESPONSE");
      if (state.over) return;
      if (state.isHalting) return state.recorder.restart(); // a cancel that was stored meanwhile comes first
      if (parsed?.ok) return this.#endWithValue(parsed.value);
      const message = `the schema of its output took longer than ${state.host.app.timeout} ms`;
      this.#state.recorder.recordStuck(
        "",
        parsed === undefined ? { code: "TIMEOUT", message } : recorded(parsed.error),
      );
    });
  }

  /** Lets the run begin anew, once its input is checked and its children are cancelled. */
  #beginAnew({ input: given, children }: NextLife): void {
    const state = this.#state;
    const { definition, definition: { input: schema, name } } = this.#body;
    let input: unknown;
    try {
      input = copyOf(given, "the input of again", state.host.log.mostBytes / 2);
    } catch (error) {
      return state.recorder.recordStuck("", recorded(error));
    }
    // the handler has returned: it sees none of the ends that come to it while the input is checked
    const left = { unseen: new Set(state.ends.unseen), givenBack: new Set(this.#madeWaits?.givenBack) };
    const begin = () => this.#ending.beginAnew(input, definition, left);
    const open = children === "cancel" ? this.#steps.openChildren : [];
    if (schema === undefined && open.length === 0) return begin();
    state.activity.work(async () => {
      if (schema !== undefined) {
        const parsed = await parsedInTime(state.host, { name, schema }, input, "INVALID_MESSAGE");
        if (state.over) return;
        const late = {
          code: "TIMEOUT",
          message: `the schema of its input took longer than ${state.host.app.timeout} ms`,
        };
        if (!parsed?.ok) return state.recorder.recordStuck("", parsed === undefined ? late : recorded(parsed.error));
      }
      if (open.length > 0) {
        // children are cancelled only if the run certainly comes to this place: all that led here is stored
        if (!await state.recorder.stored()) return;
        if (state.isHalting) return state.recorder.restart();
        await Promise.all(open.map((child) => child.cancelForGood(`${state.label} has begun anew`)));
      }
      if (!state.over) begin();
    });
  }

  #endWithValue(value: unknown): void {
    try {
      this.#ending.endWith({ ok: true, value: copyOf(value, "the result", this.#state.host.log.mostBytes) });
    } catch (error) {
      this.#state.recorder.recordStuck("", recorded(error));
    }
  }

  #failed({ error }: Failure): void {
    if (this.#handlerIsOver) return;
    if (error.code === "CLOSED") return this.#threw(error);
    let recordable: RecordedError;
    try {
      recordable = decided(this.#declared(error), this.#state.label, this.#state.host.log.mostBytes);
    } catch (tooLarge) {
      return this.#threw(tooLarge);
    }
    this.#fails(recordable);
  }

  /**
   * Returns the error that the handler failed with, or `INVALID_RESPONSE` instead if the workflow does not declare its
   * code.
   */
  #declared(error: CatgaError): CatgaError {
    const { definition: { failures, name } } = this.#body;
    if (failures === undefined || failures.includes(error.code) || isErrorCode(error.code)) return error;
    const message = `the handler of workflow ${name} failed with ${show(error.code)}, which is none of its failures: ` +
      `${failures.join(", ")}; ${error.message}`;
    return new CatgaError("INVALID_RESPONSE", message, { details: error.details, cause: error });
  }

  /**
   * Lets the run fail: its steps are undone as soon as nothing is in progress. The run ends with `error`, unless
   * another error, or a cancel, is recorded before undoing begins; without `error`, with the error or cancel that is
   * recorded.
   */
  #fails(error?: RecordedError): void {
    this.#finish = () => this.#undo(error, this.journal.cancelled !== undefined);
    this.#state.failed = true;
    this.#madeWaits?.abandon();
  }

  #threw(error: unknown): void {
    if (this.#handlerIsOver) return;
    this.#state.handlerThrew();
    // the handler of a run that is neither cancelled nor failing is called again; a run that another version of the
    // workflow may take over is left to that version, which undoes the steps that have begun
    if (!this.#state.isHalting || this.#mayBeTaken(error)) return this.#runAgain(error);
    // other branches of the handler may still call the remaining steps
    this.#finish = () => this.#hasReachedAllBegunSteps ? this.#undoing.begin() : this.#runAgain(error);
  }

  #runAgain(error: unknown): void {
    const state = this.#state;
    // no wait ends by its timeout now: a stored signal has precedence, and a wait after the thrown error might take it
    this.#waits.stop();
    if (this.#mayBeTaken(error)) {
      this.#refusal = error;
      return state.activity.askForTurn();
    }
    state.activity.work(async () => {
      await this.#failures.record("", error, { attempts: HANDLER_ATTEMPTS, delay: STEP_PAUSES });
      // the handler is called from its top once more, and replays the recorded entries
      state.recorder.restart();
    });
  }

  /**
   * Returns true if a node with another version of the workflow is to execute the run: such a node lives, or the run
   * has to wait for one. `error`: the error that the handler threw.
   */
  #mayBeTaken(error: unknown): boolean {
    const { host, ref, refusedBy } = this.#state;
    if (isCatgaError(error) && error.code === "CLOSED") return false; // CLOSED: this process stops
    const fate = host.afterRefusal(ref, this.journal, new Set(refusedBy));
    if (fate !== "waits") return fate !== "stuck";
    if (this.#state.isHalting && this.#hasReachedAllBegunSteps) return false; // this version can undo all begun steps
    // the handler is called a few times again before another version takes the run over, because its error may be
    // temporary
    return error === this.#inputRefusal || this.#failures.isLast("", error, ATTEMPTS_BEFORE_WAIT);
  }

  /** Lets pending calls continue, after entries of other processes were applied to the run. */
  #onNews(): void {
    const state = this.#state;
    if (state.over) return;
    const { cancelled } = this.journal;
    if (cancelled !== undefined && state.phase === "handler") this.#steps.cancelled(cancelled.error.message);
    if (this.#undoing.isSkipped) return state.recorder.restart();
    for (const call of [...state.calls]) if (state.calls.has(call)) call.go();
  }

  #onIdle(): void {
    const state = this.#state;
    const { journal } = this;
    // in a turn in which nothing is in progress, all attempts have ended, and their outcomes are stored
    if (this.#refusal !== undefined) return state.stop("refused");
    if (state.phase === "handler") {
      // the handler of a cancelled or failing run has reached all the calls that it can reach
      if (
        (journal.failing ?? journal.cancelled) !== undefined && this.#runs && this.#finish === undefined &&
        (state.calls.size > 0 || state.halted > 0)
      ) {
        this.#finish = () => this.#undo(undefined, true);
      }
      if (this.#finish !== undefined) {
        if (this.#steps.open) return this.#suspend();
        state.phase = "finishing";
        state.byCancel = journal.cancelled !== undefined;
        return this.#finish();
      }
    }
    if (state.calls.size > 0) this.#suspend();
    else if (state.phase === "handler") this.#strays();
  }

  /**
   * Undoes the steps. `error`: the error with which the run then ends, unless the journal has one already. `isHalted`:
   * the run is cancelled, and its handler has not ended. If such a handler has not called a step that may have to be
   * undone, a node of another version undoes the run; if there is none, the run becomes stuck.
   */
  #undo(error: RecordedError | undefined, isHalted: boolean): void {
    const state = this.#state;
    const { host, ref, refusedBy } = state;
    const { begun, done } = this.#missing;
    const [step] = isHalted ? [...begun, ...done] : [];
    if (step === undefined) return this.#undoing.begin(error);
    const message = `the handler does not get to ${step}, which may have to be undone`;
    if (host.afterRefusal(ref, this.journal, new Set(refusedBy)) !== "stuck") {
      this.#refusal = new Error(message);
      return state.stop("refused");
    }
    const [open] = begun;
    if (open === undefined) return this.#undoing.begin(error, true);
    const failures = this.journal.failures.get(open);
    if (failures !== undefined && failures.next === undefined) return this.#suspend(); // it is stuck already
    const advice = `deploy a handler that calls ${open}, and retry, or skip "${open}"`;
    state.recorder.recordStuck(open, { code: "HANDLER_FAILED", message: `${message}: ${advice}` });
  }

  /**
   * Recorded steps with an `undo` which the handler has not called although they may have to be undone, by name.
   * `begun`: steps without an outcome, except steps whose child runs are recorded, because such a child is cancelled
   * with the run; `done`: steps that have succeeded.
   */
  get #missing(): { readonly begun: readonly string[]; readonly done: readonly string[] } {
    const { names, notReached } = this.#state;
    const { children, outcomes, undone, failures, failing } = this.journal;
    const failed = [...failures].flatMap(([step, { undo }]) => undo ? [step] : []);
    const done = [...outcomes].flatMap(([step, { ok, undo }]) => ok && undo && !undone.has(step) ? [step] : []);
    const isMissing = (step: string) => !names.has(step);
    // once `failing` is recorded, all steps that had begun have an outcome
    const open = new Set([...notReached, ...failed.filter(isMissing)]);
    const begun = failing === undefined ? [...open].filter((step) => !children.has(step)) : [];
    return { begun, done: done.filter(isMissing) };
  }

  /**
   * Fails the handler's attempt if the handler awaits something other than a call of `flow` for as long as the app's
   * timeout: otherwise nobody would notice that the handler never continues.
   */
  #strays(): void {
    const state = this.#state;
    const { names: { size }, host: { app: { timeout } } } = state;
    this.#stray ??= state.activity.timer(timeout, () => {
      this.#stray = undefined;
      // an attempt is in progress, or a call of `flow` is pending, so this check will be repeated later
      if (this.#finish !== undefined || state.activity.isGoingOn || state.calls.size + state.halted > 0) return;
      if (state.names.size > size) this.#strays();
      else this.#threw(new Error(`it ${STRAYS}, for ${timeout} ms`));
    }, true);
  }

  #suspend(): void {
    const state = this.#state;
    if (state.tooLong && this.journal.cancelled === undefined) {
      const message =
        `${state.label} has ${this.journal.length} entries: return flow.again(input) before it is so long`;
      return state.recorder.recordStuck("", { code: "TOO_LARGE", message });
    }
    if (this.#timeLimit.isKept) state.stop("suspended");
    else this.#timeLimit.schedule();
  }
}

/** The value that `flow.again` gives to the handler, which returns it to have the run begin anew. */
class NextLife {
  readonly input: unknown;
  readonly children: "cancel" | "leave";

  constructor(input: unknown, children: "cancel" | "leave") {
    this.input = input;
    this.children = children;
  }
}

const AGAIN_OPTIONS: ReadonlySet<string> = new Set<keyof AgainOptions>(["children"]);

/**
 * The getter of {@link Flow.caller}, one for all runs: V8 would keep what the getter of a literal sees, the whole run,
 * until the next major collection. A property of the object itself, so that a copy of `flow` has it, too.
 */
const CALLER: PropertyDescriptor & ThisType<Pick<Flow, "headers">> = {
  configurable: true,
  enumerable: true,
  get() {
    return callerIn(this.headers);
  },
};

/** Checks the text of a stage. Throws a `TypeError` if it is invalid. */
function stageOf(stage: unknown): string {
  if (typeof stage === "string" && stage !== "" && stage.length <= MAX_STAGE && stage.isWellFormed()) return stage;
  throw new TypeError(`stage: it is a text of 1 to ${MAX_STAGE} characters; got ${show(stage)}`);
}

const STRAYS = "has awaited what no call of flow returned, or the schema of its input has not ended";
/** Maximum number of attempts of a workflow's handler that throws. */
const HANDLER_ATTEMPTS = 10;
/** Number of attempts of a handler that throws before the run waits for another version of the workflow: some 3 s. */
const ATTEMPTS_BEFORE_WAIT = 3;
/**
 * Number of nodes that may take a run over one after the other, without recording an entry, before an operator has to
 * decide.
 */
const MAX_TAKEOVERS = 20;
/** Pause, in ms, before new entries of the run are read again after a failed read. */
const NEWS = 500;
