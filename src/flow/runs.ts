/**
 * The runs of workflows, as one node starts, drives, reaches and shows them. Opens nothing until it is first needed.
 */
import type { AnyContract } from "../contract/contract.ts";
import type { Context } from "../contract/context.ts";
import { describe } from "../contract/definition.ts";
import type {
  AnySignal,
  AnyWorkflow,
  ResultOptions,
  RunInfo,
  RunsOptions,
  StartOptions,
  TellOptions,
} from "../contract/flow.ts";
import type { NodeInfo } from "../contract/node_info.ts";
import type { Result } from "../contract/result.ts";
import type { MessageHeaders, RunSpan } from "../contract/run_tracer.ts";
import { checkTimes } from "../contract/durable_messages.ts";
import { type Schema, validate } from "../contract/schema.ts";
import { ALONE, AWAITS_VERSION, type SendOptions } from "../contract/send_options.ts";
import { type ContractShapes, isShapedWorkflow } from "../contract/shape.ts";
import { afterRefusedMessage, type ShapedNode, shapeName, untriedNodes } from "../contract/shape_rules.ts";
import { type RunContracts, runContracts, runType, startName } from "../contract/workflow.ts";
import type {
  RefusedRun,
  RunDue,
  RunJoin,
  RunJoined,
  RunsAsked,
  StartedRuns,
  TriedVersions,
  WorkflowBody,
  WorkflowDefinition,
} from "../contract/workflow_body.ts";
import {
  checkKnown,
  checkNumber,
  checkSignal,
  checkString,
  checkStrings,
  disown,
  isCount,
  isRecord,
  isStringArray,
  isStrings,
  LATEST,
  MAX_TIMEOUT,
  show,
} from "../data/checks.ts";
import { decodeText, encodeValue } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import { fingerprint } from "../data/fingerprint.ts";
import { fewAtOnce } from "../data/queues.ts";
import { NO_HEADERS, withCarried } from "../dispatch/carried_headers.ts";
import type { DurableLog, Schedule } from "../dispatch/remote.ts";
import type { NodeRuns, StreamsHost } from "../dispatch/node_host.ts";
import { CatgaError, isCatgaError, unavailable } from "../error.ts";
import { sequenceOf } from "../log/format/group_text.ts";
import { openStream } from "../log/format/streams.ts";
import {
  afterOrAtEnd,
  type Clock,
  type ClockWithEnd,
  delay,
  onAbort,
  together,
  token,
  within,
} from "../ports/clock.ts";
import { openOnce } from "../ports/open_once.ts";
import type { LogStream } from "../ports/event_log.ts";
import type { Transport } from "../ports/transport.ts";
import { errorOf, readable, recorded, UNSTORED } from "./recorded_error.ts";
import { ownOf } from "./recorded_value.ts";
import { wakeId } from "./step_attempt.ts";
import { type DeliveredCall, Drives, type DrivesHost, LEASE } from "./driven_runs.ts";
import {
  type CalledEntry,
  entryOf,
  Journal,
  type JournalEntry,
  type Parent,
  type RecordedError,
  type RecordedOutcome,
  type Started,
  UNKNOWN_SHAPE,
} from "./journal.ts";
import { Results } from "./results.ts";
import { startSweep } from "./run_sweep.ts";
import type { DriveApp, RefusedRunFate } from "./drive_host.ts";
import { checkRunsOptions, runInfos } from "./run_infos.ts";
import { StuckRuns } from "./stuck_watch.ts";
import type { RunLease } from "./run_leases.ts";
import { type EntryFor, RunLog, type RunRef, type StoredNotice } from "./run_log.ts";

/** How a run is started. */
interface StartHow {
  readonly shape?: string | undefined;
  readonly parent?: Parent;
  readonly headers?: MessageHeaders | undefined;
}

/** What runs need of their node. */
export interface RunsHost extends DriveApp, StreamsHost {
  readonly transport: Transport | undefined;
  /** The workflows that this node handles. */
  readonly handled: readonly WorkflowBody[];
  readonly shapes: ContractShapes;
  maxPayload(): number;
  nodes(): readonly NodeInfo[];
  /** The shape of a contract on another node; `undefined`: unknown. */
  shapeAt(node: NodeInfo, contract: string): string | undefined;
  /** Calls back when {@link RunsHost.nodes} has changed. Returns a function that removes the listener. */
  onNodes(listener: () => void): () => void;
  /** The log of this node, for schedules. */
  durable(): Promise<DurableLog>;
  sendInternal(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
}

/** The runs of a namespace, as one node sees them. */
export class Runs implements DrivesHost, NodeRuns {
  readonly app: RunsHost;
  readonly endpoint: string;
  /** With the stream's wall clock, once it is open: what a run waits for is due at the same time at each node. */
  readonly clock: Clock;
  readonly log: RunLog;
  readonly soon: (callback: () => void) => void;
  readonly #drives: Drives;
  readonly #results: Results;
  readonly #stuck: StuckRuns;
  readonly #sweeps: readonly (() => void)[];
  readonly #bodies: ReadonlyMap<string, WorkflowBody>;
  readonly #contracts = new Map<string, RunContracts>();
  /** Those who wait for the ends of runs. */
  readonly #waits = new Set<(result: Result<unknown>) => void>();
  #stream: LogStream | undefined;
  #offDoubt: (() => void) | undefined;
  readonly #open = openOnce(async () => {
    const stream = await openStream(this.app, "entities");
    this.#offDoubt = stream.onDoubt(() => {
      this.log.doubt();
      this.#drives.doubt();
    });
    return this.#stream = stream;
  });
  /** Workflows whose runs are about to be brought on. */
  readonly #losing = new Set<string>();
  #numbers = 0;
  #closed = false;

  constructor(host: RunsHost) {
    this.app = host;
    const { endpoint, namespace, transport } = host;
    this.endpoint = endpoint;
    const clock: ClockWithEnd = {
      now: () => this.#stream?.serverTime ?? host.clock.now(),
      monotonic: () => host.clock.monotonic(),
      after: (ms, callback, options) => host.clock.after(ms, callback, options),
      afterOrAtEnd: (ms, callback) => afterOrAtEnd(host.clock, ms, callback),
      soon: (callback) => host.clock.soon(callback),
    };
    this.clock = clock;
    this.soon = together(clock);
    this.#bodies = new Map(host.handled.map((body) => [body.definition.name, body]));
    this.log = new RunLog({
      ...{ namespace, endpoint, clock },
      stream: () => this.#stream ?? this.#open(),
      // its publisher numbers what it stores for entities by itself: these are apart
      number: (events) => NUMBERS + (this.#numbers += events) - events,
      maxPayload: () => host.maxPayload(),
    });
    this.#stuck = new StuckRuns(this.log, clock, this.app.observer);
    this.#drives = new Drives(this);
    this.#sweeps = [...this.#bodies.values()].map(({ definition }) => startSweep(this, definition));
    this.#results = new Results({
      ...{ namespace, clock, transport, soon: this.soon },
      onGone: (listener) => this.#onGone(listener),
      drives: (ref) => this.#drives.drives(ref),
      read: (ref) => this.#outcome(ref),
    });
  }

  get latest(): number {
    return this.#stream?.latestServerTime ?? this.clock.now();
  }

  // what the internal handlers of a workflow call --------------------------------------------------

  async started(body: WorkflowBody, starts: StartedRuns): Promise<void> {
    if (starts.length === 1) return await this.called(body, starts[0].payload, starts[0]);
    const { name: workflow } = body.definition;
    const all = starts.flatMap((start) => {
      const [by, run] = [holderOf(start.payload), start.key];
      return by === undefined || run === undefined ? [] : [{ start, by, run, sequence: sequenceOf(start.position) }];
    });
    await Promise.all([...Map.groupBy(all, ({ by }) => by)].map(async ([holder, own]) => {
      const over = await this.#areOver(workflow, holder, own.map(({ run, sequence }) => [run, sequence]));
      for (const [i, { start, run }] of own.entries()) {
        if (over?.[i] !== 1) starts.fail(start, "UNAVAILABLE", `run ${run} of ${workflow} goes on`, { details: ALONE });
      }
    }));
  }

  async called(
    body: WorkflowBody,
    payload: unknown,
    { key: run, position, stored }: Pick<Context, "key" | "position" | "stored">,
  ): Promise<void> {
    const by = holderOf(payload);
    if (by === undefined || run === undefined || position === undefined) return;
    const ref = { workflow: body.definition.name, run };
    awaited(ref, await this.#drives.call(body, { ref, sequence: sequenceOf(position), stored: stored?.getTime() }, by));
  }

  async due(body: WorkflowBody, due: RunDue, ctx: Context): Promise<void> {
    const { run: named, step, at, start, cron, shape, headers, lease } = due;
    if (lease !== undefined) {
      if (!isStringArray(lease.runs) || typeof lease.by !== "string") return;
      return await this.#drives.leaseOver({ workflow: body.definition.name, ...lease });
    }
    // the id of a firing is the name of its schedule, and its time
    const run = cron ? ctx.id.slice(startName("").length) : named;
    const ref = { workflow: body.definition.name, run };
    if (start === undefined) {
      return awaited(ref, await this.#drives.call(body, { ref, sequence: 0, due: { step, at } }));
    }
    const how = { shape, headers: isStrings(headers) ? headers : undefined };
    const started = await this.#start(body.definition, run, start === "" ? undefined : decodeText(start), how);
    if (!started.ok && UNSTORED.has(started.error.code)) throw started.error;
    if (started.ok) return;
    this.#fault(`starting run ${run} of ${ref.workflow} at its time (${started.error.code})`, started.error);
  }

  async join(body: WorkflowBody, join: RunJoin): Promise<RunJoined> {
    const { name: workflow } = body.definition;
    if ("asked" in join) return this.#over(workflow, join.asked);
    if ("leased" in join) return isStringArray(join.leased) ? await this.#drives.putOff(workflow, join.leased) : [];
    const { run, sequence, stored, due, news, tried } = join;
    const ref = { workflow, run };
    if (news) return await this.#drives.news(body, { ref, sequence });
    return await this.#drives.call(body, { ref, sequence, stored, due, tried: isTried(tried) ? tried : undefined });
  }

  lost(workflow: string): void {
    const body = this.#bodies.get(workflow);
    if (body === undefined || this.#losing.has(workflow)) return;
    this.#losing.add(workflow);
    // streams that have lost their ends are noticed one after the other
    this.clock.after(AFTER_LOSS, () => {
      this.#losing.delete(workflow);
      void this.#bringAll(body);
    }, { background: true });
  }

  // what programs call ------------------------------------------------------------------------------

  async start(
    workflow: AnyWorkflow,
    input: unknown,
    options: StartOptions = {},
    parent?: Context,
  ): Promise<Result<string, never>> {
    const definition = definitionOf("start", workflow);
    const { name } = definition;
    const what = `start ${name}`;
    checkStartOptions(what, options, definition);
    const { tracer, node, carried } = this.app;
    const { headers: own } = options;
    const headers = withCarried(carried, parent?.headers ?? NO_HEADERS, own);
    const span = tracer?.start({ node, workflow: name, headers, own, ctx: parent });
    const all = { ...options, headers: span?.headers ?? headers };
    const started = await this.#patient(what, this.#startAt(what, definition, input, all));
    span?.end(started);
    return started;
  }

  async #startAt(
    what: string,
    definition: WorkflowDefinition,
    input: unknown,
    { id, at, cron, zone, headers }: StartOptions,
  ): Promise<Result<string, never>> {
    const refused = await this.#refusedInput(definition, input, "UNAVAILABLE");
    if (refused !== undefined) return refused;
    let text: string;
    let run = id;
    try {
      text = input === undefined ? "" : encodeValue(input, "input");
      run ??= definition.id === undefined ? token(this.app.random, 16) : definition.id(input as never);
      checkRun(`${what}: the id that its contract makes of the input`, run);
      if (cron !== undefined) checkRun(`${what}: the id of a run of this cron`, `${run}@${this.clock.now()}`);
    } catch (cause) {
      disown(run);
      return notStarted(definition.name, cause);
    }
    if (exceeds(text, this.log.mostBytes)) {
      const why = "its input is too large: store it elsewhere, and start with a reference";
      return failed("TOO_LARGE", `workflow ${definition.name} was not started: ${why}`);
    }
    if (headers !== undefined && exceeds(text + JSON.stringify(headers), this.log.mostBytes)) {
      return failed("TOO_LARGE", `workflow ${definition.name} was not started: its headers are too large`);
    }
    const later = at !== undefined && at.getTime() > this.app.clock.now() ? at : undefined;
    const ref = { workflow: definition.name, run };
    const known = later && await this.log.patient(() => this.log.start(ref), this.#until()).catch(asError);
    if (isCatgaError(known)) return { ok: false, error: known as CatgaError<never> };
    if (cron !== undefined || (later !== undefined && known === undefined)) {
      const due: RunDue = {
        ...{ run, step: "", at: later?.getTime() ?? 0, start: text },
        ...(later ? {} : { cron: true }),
        ...(headers === undefined ? {} : { headers }),
        ...this.#shapeOf(definition),
      };
      const when: Schedule = later === undefined ? { cron: cron!, zone } : { at: later };
      const stored = await this.#schedule(definition.name, startName(run), due, when);
      return stored.ok ? { ok: true, value: run } : stored;
    }
    // as other nodes and later runs read it
    const given = text === "" ? undefined : decodeText(text);
    return await this.#start(definition, run, given, { ...this.#shapeOf(definition), headers });
  }

  async result(workflow: AnyWorkflow, run: string, options: ResultOptions = {}): Promise<Result<unknown>> {
    const { name } = definitionOf("result", workflow);
    const at = `result ${name}`;
    checkRun(`${at}: run`, run, MAX_CHILD);
    checkKnown(at, options, RESULT_OPTIONS);
    const { timeout = this.app.timeout, signal } = options;
    checkNumber(`${at}: timeout`, timeout, 1, MAX_TIMEOUT, "ms");
    checkSignal(at, signal);
    const ref = { workflow: name, run };
    const { promise, resolve } = Promise.withResolvers<Result<unknown>>();
    const off = this.#results.wait(ref, (end) => resolve(end === "no run" ? noRun(ref, NOT_STARTED) : resultOf(end)));
    const timer = this.clock.after(timeout, () => {
      const late = (how: string) =>
        resolve(failed("NOT_ENDED", `run ${run} of ${name} has not ended within ${timeout} ms${how}`));
      // what was announced while nobody could hear it
      const look = this.log.end(ref).then((end) => {
        const last = end?.entries.at(-1);
        if (end === undefined || last === undefined) return resolve(noRun(ref, NOT_STARTED));
        if (last.t === "ended") return resolve(resultOf(last.outcome));
        late(`: ${goingOn(name, end.holder, last)}`);
      }, (error) => resolve({ ok: false, error: asError(error) }));
      within(this.clock, LAST_LOOK, look).then(() => late(", as far as is known here"));
    });
    const offAbort = onAbort(
      signal,
      () => resolve(failed("NOT_ENDED", `the caller has given up waiting for run ${run} of ${name}: it goes on`)),
    );
    this.#waits.add(resolve);
    try {
      return await promise;
    } finally {
      this.#waits.delete(resolve);
      off();
      timer.cancel();
      offAbort();
    }
  }

  async tell(
    signal: AnySignal,
    run: string,
    payload: unknown,
    options: TellOptions = {},
  ): Promise<Result<void, never>> {
    if (typeof signal?.workflow !== "string" || typeof signal.name !== "string") {
      throw new TypeError(`tell takes what the signal(…) of a workflow gives; got ${describe(signal as never)}`);
    }
    const { workflow, name } = signal;
    const at = `tell ${name}`;
    checkRun(`${at}: run`, run, MAX_CHILD);
    checkKnown(at, options, TELL_OPTIONS);
    const { id = `${this.endpoint}.${token(this.app.random, 12)}` } = options;
    checkRun(`${at}: id`, id);
    const refused = await this.#refused(`signal ${name} was not sent`, `signal ${name}`, signal["~input"], payload);
    if (refused !== undefined) return refused;
    let value: unknown;
    try {
      value = payload === undefined ? undefined : decodeText(encodeValue(payload, "payload"));
    } catch (cause) {
      return failed("INVALID_MESSAGE", `signal ${name} cannot be sent: ${(cause as Error).message}`, cause);
    }
    const told = this.#tell({ workflow, run }, (by) => ({ t: "signalled", signal: name, id, value, by }));
    return await this.#patient(at, told);
  }

  async cancel(workflow: AnyWorkflow, run: string, reason: string): Promise<Result<void, never>> {
    const { name } = definitionOf("cancel", workflow);
    checkRun(`cancel ${name}: run`, run, MAX_CHILD);
    checkString(`cancel ${name}: reason`, reason);
    const told = this.#tell({ workflow: name, run }, this.log.cancelled(reason));
    return await this.#patient(`cancel ${name}`, told);
  }

  /** Waits for what a program asked of a run, for the app's timeout and a second: later it may still be carried out. */
  #patient<T>(what: string, asked: Promise<Result<T, never>>): Promise<Result<T, never>> {
    const { timeout } = this.app;
    return new Promise((resolve, reject) => {
      const timer = this.clock.after(timeout + LAST_LOOK, () => {
        const late = `${what}: the store has not answered within ${timeout} ms, and may have done it`;
        resolve(failed("OUTCOME_UNKNOWN", late));
      }, { background: true });
      asked.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  async *infos(options: RunsOptions): AsyncIterableIterator<RunInfo> {
    checkRunsOptions(options);
    yield* runInfos(this.log, options, async (ref, entry) => {
      const told = await this.#tell(ref, entry);
      if (!told.ok) throw told.error;
    });
  }

  get driven(): readonly string[] {
    return this.#drives.driven;
  }

  /** Begins no more attempts of steps; what runs comes to its end. */
  leave(): void {
    this.#drives.leave();
  }

  close(): void {
    this.#closed = true;
    this.#offDoubt?.();
    this.#drives.close();
    for (const end of this.#sweeps) end();
    this.#results.close();
    for (const resolve of this.#waits) resolve(failed("CLOSED", `node ${this.app.node} stops`));
  }

  // what drives need --------------------------------------------------------------------------------

  alive(endpoint: string): boolean {
    return endpoint === this.endpoint || this.app.nodes().some((node) => node.endpoint === endpoint);
  }

  async passOn(endpoint: string, { ref, sequence, stored, due, tried }: DeliveredCall): Promise<boolean | RefusedRun> {
    const payload: RunJoin = {
      ...{ run: ref.run, sequence },
      ...(stored === undefined ? {} : { stored }),
      ...(due && { due }),
      ...(tried && { tried }),
    };
    const gone = new AbortController();
    // one that is frozen does not answer, and is no node any more after a while
    const off = this.app.onNodes(() => {
      if (!this.alive(endpoint)) gone.abort();
    });
    try {
      const { ok, value } = await this.#join(ref.workflow, endpoint, payload, 30_000, gone.signal);
      return isRefusedRun(value) ? value : ok;
    } finally {
      off();
    }
  }

  putOffAt(endpoint: string, workflow: string, leased: readonly string[]): Promise<readonly (0 | 1)[] | undefined> {
    return this.#askAbout(workflow, endpoint, { leased });
  }

  async callEach(workflow: string, runs: readonly string[]): Promise<void> {
    const at = this.clock.now();
    const stored = await Promise.all(runs.map((run) => this.#schedule(workflow, undefined, { run, step: LEASE, at })));
    for (const { error } of stored) if (error !== undefined) throw error;
  }

  async lease({ workflow, name, runs, at }: RunLease): Promise<void> {
    await this.#storeDue(workflow, name, { run: name, step: LEASE, at, lease: { runs, by: this.endpoint } });
  }

  unlease({ workflow, name }: Pick<RunLease, "workflow" | "name">): void {
    const { due } = this.#contractsOf(workflow);
    // it fires in the end, and its runs have ended
    this.app.durable().then((log) => log.unschedule(due as AnyContract, name)).catch(() => {});
  }

  wake(ref: RunRef, step: string, at: number): Promise<void> {
    return this.#storeDue(ref.workflow, wakeId(ref, step), { run: ref.run, step, at });
  }

  /** Stores what is due at its time, in place of what was stored under this id. */
  async #storeDue(workflow: string, id: string, due: RunDue): Promise<void> {
    const delay = Math.max(0, Math.min(due.at, LATEST) - this.clock.now());
    const stored = await this.#schedule(workflow, id, due, { delay });
    if (!stored.ok) throw stored.error;
  }

  takeBack(ref: RunRef, steps: readonly string[]): void {
    if (steps.length === 0) return;
    const { due } = this.#contractsOf(ref.workflow);
    this.app.durable()
      .then((log) => fewAtOnce(steps, BROUGHT_AT_ONCE, (step) => log.unschedule(due as AnyContract, wakeId(ref, step))))
      // it fires in the end, and is passed by
      .catch(() => {});
  }

  async startChild(
    contract: AnyContract,
    id: string,
    input: unknown,
    parent: Required<Parent>,
    headers: MessageHeaders | undefined,
  ): Promise<Result<string>> {
    const definition = definitionOf("flow.send", contract as unknown as AnyWorkflow);
    if (parent.depth >= MOST_WITHIN) {
      return failed("INVALID_MESSAGE", `${MOST_WITHIN} runs wait within each other for it: do they ever end?`);
    }
    const refused = await this.#refusedInput(definition, input, "INVALID_MESSAGE");
    if (refused !== undefined) return refused;
    let given: unknown;
    try {
      given = input === undefined ? undefined : decodeText(encodeValue(input, "input"));
    } catch (cause) {
      return notStarted(definition.name, cause);
    }
    return await this.#start(definition, id, given, { ...this.#shapeOf(definition), parent, headers });
  }

  async cancelChild(ref: RunRef, reason: string, contract?: AnyContract): Promise<boolean> {
    const cancelled = this.log.cancelled(reason);
    const outcome = { ok: false, error: { code: "CANCELLED", message: reason } };
    const over = () => this.#closed;
    while (true) {
      if (await this.#told(ref, cancelled, over)) return true;
      const end = await this.log.end(ref);
      if (end?.ended) return end.entries[0]?.t !== "started";
      if (end !== undefined) continue; // it was started meanwhile
      if (contract === undefined) return false;
      const { version, keep } = definitionOf("flow.send", contract as unknown as AnyWorkflow);
      const until = this.clock.now() + keep;
      const entries: JournalEntry[] = [{ t: "started", version, keep, by: "" }, { t: "ended", outcome, until }];
      const message = this.log.message(ref, entries, { version: 0, holder: "" });
      if (await this.log.begin(ref, message, new Journal(), over) !== "conflict") return false;
    }
  }

  async ended(ref: RunRef, { ended, started }: Journal): Promise<void> {
    if (ended === undefined) return;
    this.#results.ended(ref, ended);
    if (started?.parent !== undefined) await this.#tellParent(started.parent, ref, ended, () => this.#closed);
  }

  async stuck(ref: RunRef, step: string, error: RecordedError, thrown: unknown): Promise<void> {
    await this.log.noteStuck(ref);
    this.#stuck.add(ref, step, error, thrown);
  }

  read(ref: RunRef, journal: Journal | undefined): void {
    this.#stuck.read(ref, journal);
  }

  shapeOf(workflow: string): string {
    const body = this.#bodies.get(workflow);
    return body === undefined ? "" : this.#shapeOf(body.definition).shape ?? "";
  }

  shapeNameOf(workflow: string): string {
    return shapeName({ id: this.app.node, shape: known(this.shapeOf(workflow)) });
  }

  afterRefusal({ workflow }: RunRef, journal: Journal, refusedBy: Set<string>): RefusedRunFate {
    refusedBy.add(this.shapeNameOf(workflow));
    const nodes = this.#takers(workflow);
    const after = afterRefusedMessage(nodes, refusedBy, writerOf(journal, refusedBy));
    if (after !== "next") return after === "waits" ? after : "stuck";
    const untried = untriedNodes(nodes, refusedBy);
    return { next: untried[Math.floor(this.app.random() * untried.length)].endpoint };
  }

  /** The live nodes that drive runs of a workflow, with its shape there. Where no version has one, they are equal. */
  #takers(workflow: string): readonly (ShapedNode & { readonly endpoint: string })[] {
    const { app: { node: self }, app } = this;
    const { join: { name } } = this.#contractsOf(workflow);
    const own = this.shapeOf(workflow);
    return app.nodes().filter(({ handles }) => handles.includes(name)).map((node) => {
      const { id, endpoint } = node;
      const shape = id === self ? known(own) : app.shapeAt(node, name) ?? (own === "" ? own : undefined);
      return { id, endpoint, shape };
    });
  }

  look(): void {
    this.#stuck.look();
  }

  // parts -------------------------------------------------------------------------------------------

  /** Calls back when a node is gone, until the returned function is called. */
  #onGone(listener: () => void): () => void {
    const endpoints = () => new Set(this.app.nodes().map(({ endpoint }) => endpoint));
    let before = endpoints();
    return this.app.onNodes(() => {
      const now = endpoints();
      const isGone = before.size > before.intersection(now).size;
      before = now;
      if (isGone) listener();
    });
  }

  /** Has all open runs of a workflow go on. */
  async #bringAll(body: WorkflowBody): Promise<void> {
    const open = await this.#insist(() => this.log.all(body.definition.name)) ?? [];
    const going = open.filter(({ ended }) => !ended);
    await fewAtOnce(going, BROUGHT_AT_ONCE, ({ ref }) => this.#insist(() => this.#drives.bring(body, ref)));
  }

  /** Does something until it succeeds, or fails for good, or the node stops: never rejects. */
  async #insist<T>(what: () => Promise<T>): Promise<T | undefined> {
    for (let pause = 100; !this.#closed; pause = Math.min(5_000, 2 * pause)) {
      try {
        return await what();
      } catch (error) {
        if (!isCatgaError(error) || !UNSTORED.has(error.code)) {
          this.#fault("going on with runs after a loss", error);
          return undefined;
        }
        await delay(this.clock, pause);
      }
    }
    return undefined;
  }

  #over(workflow: string, asked: RunsAsked["asked"]): readonly (0 | 1)[] {
    return asked.map(([run, sequence]) => this.#drives.isOver({ workflow, run }, sequence) ? 1 : 0);
  }

  /** As the node knows that drives them; `undefined`: it does not answer. */
  async #areOver(
    workflow: string,
    holder: string,
    asked: RunsAsked["asked"],
  ): Promise<readonly (0 | 1)[] | undefined> {
    if (holder === this.endpoint) return this.#over(workflow, asked);
    if (!this.alive(holder)) return undefined;
    return await this.#askAbout(workflow, holder, { asked });
  }

  /** Asks the node at an endpoint about runs: 0 or 1 for each; `undefined`: it does not answer. */
  async #askAbout(workflow: string, endpoint: string, asked: RunJoin): Promise<readonly (0 | 1)[] | undefined> {
    const { ok, value } = await this.#join(workflow, endpoint, asked, ANSWER_TIMEOUT);
    return ok && Array.isArray(value) ? value : undefined; // its contract says so
  }

  /** Sends the node at an endpoint a message, once. */
  #join(
    workflow: string,
    endpoint: string,
    payload: RunJoin,
    timeout: number,
    signal?: AbortSignal,
  ): Promise<Result<unknown>> {
    const node = endpoint.slice(0, endpoint.indexOf("."));
    const { join } = this.#contractsOf(workflow);
    return this.app.sendInternal(join as AnyContract, payload, { node, timeout, retries: 0, signal });
  }

  #refusedInput(
    { input: schema, name }: WorkflowDefinition,
    input: unknown,
    late: "UNAVAILABLE" | "INVALID_MESSAGE",
  ): Promise<Result<never, never> | undefined> {
    return this.#refused(`workflow ${name} was not started`, name, schema, input, late);
  }

  /** Why a schema refuses an input; one that never settles does after the app's timeout, with the code `late`. */
  async #refused(
    outcome: string,
    name: string,
    schema: Schema<never, unknown> | undefined,
    input: unknown,
    late: "UNAVAILABLE" | "INVALID_MESSAGE" = "UNAVAILABLE",
  ): Promise<Result<never, never> | undefined> {
    if (schema === undefined) return undefined;
    let parsed: Result<unknown> | undefined;
    const validated = Promise.resolve(validate(schema, input, "INVALID_MESSAGE", name));
    await within(this.clock, this.app.timeout, validated.then((result) => parsed = result));
    const message = `${outcome}: its schema took longer than ${this.app.timeout} ms`;
    const { ok, error } = parsed ?? failed(late, message);
    return ok ? undefined : { ok, error: error as CatgaError<never> };
  }

  /** The shape that a start by this process has, as it is stored. */
  #shapeOf(definition: WorkflowDefinition): { readonly shape?: string } {
    return isShapedWorkflow(definition) ? { shape: this.app.shapes.ofWorkflow(definition) ?? UNKNOWN_SHAPE } : {};
  }

  async #start(
    definition: WorkflowDefinition,
    run: string,
    input: unknown,
    how: StartHow,
  ): Promise<Result<string, never>> {
    const { tracer, node } = this.app;
    const { headers, parent } = how;
    const traced = { node, workflow: definition.name, run, headers, isChild: parent !== undefined };
    const span = tracer?.run(traced);
    return await this.#store(
      definition,
      run,
      input,
      span === undefined ? how : { ...how, headers: span.headers },
      span,
    );
  }

  /** Stores a start. `span`: of the run, which is told if it was not stored before. */
  async #store(
    { name: workflow, version, keep, timeout, redact }: WorkflowDefinition,
    run: string,
    input: unknown,
    { shape, parent, headers }: StartHow,
    span: RunSpan | undefined,
  ): Promise<Result<string, never>> {
    const ref = { workflow, run };
    const body = this.#bodies.get(workflow);
    const holder = body === undefined || this.#drives.drives(ref) ? "" : this.endpoint;
    const entry: CalledEntry & Started = {
      ...{ t: "started", version, keep, by: holder },
      ...(input === undefined ? {} : { input }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(parent === undefined ? {} : { parent }),
      ...(shape === undefined ? {} : { shape }),
      ...(headers === undefined ? {} : { headers }),
      ...(redact === undefined ? {} : { redact }),
    };
    let stored: number | "conflict";
    try {
      const message = this.log.message(ref, [entry], { version: 0, holder });
      const journal = new Journal();
      const appending = this.log.begin(ref, message, journal, this.#until());
      if (body !== undefined && holder !== "") {
        // held before it is stored: what is brought to the run meanwhile waits for it
        const { mark } = message;
        const first = appending.then(
          (sequence) =>
            sequence === "conflict" ? undefined : { sequence, time: this.clock.now(), holder, entries: [entry], mark },
          () => undefined,
        );
        this.#drives.start(body, ref, first, journal);
      }
      stored = await appending;
      if (stored !== "conflict") {
        span?.stored();
        return { ok: true, value: run };
      }
      if (!await this.#isSame(ref, input)) {
        return failed("ID_REUSED", `run ${run} of ${workflow} was started with another input`);
      }
      // a child that has told its end to an earlier run of this id
      const outcome = parent && await this.#outcome(ref);
      if (typeof outcome === "object") await this.#tellParent(parent!, ref, outcome, this.#until());
      return { ok: true, value: run };
    } catch (error) {
      return { ok: false, error: asError(error) as CatgaError<never> };
    }
  }

  async #isSame(ref: RunRef, input: unknown): Promise<boolean> {
    const started = await this.log.start(ref);
    if (started === undefined || fingerprint(started.input) === fingerprint(input)) return started !== undefined;
    // its parent was cancelled before it was started
    return (await this.log.first(ref))?.entries[1]?.t === "ended";
  }

  async #tell(ref: RunRef, entry: EntryFor): Promise<Result<void, never>> {
    try {
      return await this.#told(ref, entry, this.#until()) ? { ok: true, value: undefined } : noRun(ref);
    } catch (error) {
      return { ok: false, error: asError(error) as CatgaError<never> };
    }
  }

  /** Tells a run something: `false` if it is over, or was never started. Rejects as {@link RunLog.tell}. */
  async #told(ref: RunRef, entry: EntryFor, over: () => boolean): Promise<boolean> {
    const told = await this.log.tell(ref, entry, over);
    if (told?.isFirst) this.log.awaitAnswer(ref, this.#news(ref, told));
    return told !== undefined;
  }

  async #tellParent(
    { workflow, run, step }: Parent,
    child: RunRef,
    outcome: RecordedOutcome,
    over: () => boolean,
  ): Promise<void> {
    await this.#told({ workflow, run }, (by) => ({ t: "told", step, ...child, outcome, by }), over);
  }

  /** Has the node that drives a run, or drove it last, go on at once; its subscription does it later. */
  async #news(ref: RunRef, { holder, sequence }: StoredNotice): Promise<void> {
    const { workflow, run } = ref;
    if (this.#drives.drives(ref) || holder === this.endpoint) {
      return await this.#drives.news(this.#bodies.get(workflow), { ref, sequence });
    }
    // nobody answers: whoever is to drive the run has to store that it does
    if (holder === "" || !this.alive(holder)) {
      return await delay(this.clock, UNHELD_PAUSE);
    }
    await this.#join(workflow, holder, { run, sequence, news: true }, NEWS_TIMEOUT);
  }

  async #outcome(ref: RunRef): Promise<RecordedOutcome | "no run" | undefined> {
    const end = await this.log.end(ref);
    if (end === undefined) return "no run";
    const last = end.entries.at(-1);
    return last?.t === "ended" ? last.outcome : undefined;
  }

  /** Without an id and a schedule it is due now. */
  async #schedule(
    workflow: string,
    id: string | undefined,
    due: RunDue,
    schedule?: Schedule,
  ): Promise<Result<void, never>> {
    const log = await this.app.durable();
    return await log.publish({
      contract: this.#contractsOf(workflow).due as AnyContract,
      payload: due,
      key: undefined,
      meta: id === undefined ? undefined : { id },
      timeout: this.app.timeout,
      signal: undefined,
      schedule,
      parent: undefined,
    }) as Result<void, never>;
  }

  #contractsOf(workflow: string): RunContracts {
    let contracts = this.#contracts.get(workflow);
    if (contracts === undefined) this.#contracts.set(workflow, contracts = runContracts(runType(workflow)));
    return contracts;
  }

  /** Whether a caller's time is over. */
  #until(): () => boolean {
    const due = this.clock.monotonic() + this.app.timeout;
    return () => this.#closed || this.clock.monotonic() > due;
  }

  #fault(during: string, error: unknown): void {
    this.app.observer({ type: "fault", during, error });
  }
}

/** Who drives a run, as far as the entry knows that calls for somebody to go on; `undefined` for what is none. */
function holderOf(payload: unknown): string | undefined {
  const entry = entryOf(payload) as CalledEntry | undefined;
  return entry === undefined ? undefined : typeof entry.by === "string" ? entry.by : "";
}

/** The shape that is stored; `undefined`: unknown. */
function known(shape: string): string | undefined {
  return shape === UNKNOWN_SHAPE ? undefined : shape;
}

/** The shape that started the run, or the one that drove it last: one that has not refused it, if there is one. */
function writerOf({ started, shape: driver }: Journal, refusedBy: ReadonlySet<string>): string | undefined {
  const writers = [known(started?.shape ?? ""), known(driver)];
  return writers.find((shape) => shape !== undefined && !refusedBy.has(shape)) ?? writers[0];
}

/** Throws for a run that waits for another version: its message is put aside until a node has one. */
function awaited({ workflow, run }: RunRef, refused: RefusedRun | undefined): void {
  if (refused === undefined) return;
  const message = `run ${run} of ${workflow} waits for another version of ${workflow}: ${refused.why}`;
  throw unavailable(message, { details: AWAITS_VERSION });
}

/** Returns true for what a process has sent as {@link TriedVersions}. */
function isTried(value: unknown): value is TriedVersions {
  if (!isRecord(value) || !Array.isArray(value.refusedBy) || !Array.isArray(value.gaveUp)) return false;
  if (!value.refusedBy.every((shape) => typeof shape === "string")) return false;
  return value.gaveUp.every((each) => Array.isArray(each) && typeof each[0] === "string" && isCount(each[1]));
}

function isRefusedRun(value: unknown): value is RefusedRun {
  return isTried(value) && typeof (value as Partial<RefusedRun>).why === "string";
}

function definitionOf(method: string, workflow: AnyWorkflow): WorkflowDefinition {
  const definition = (workflow as { readonly "~workflow"?: WorkflowDefinition })?.["~workflow"];
  if (workflow?.kind === "workflow" && definition !== undefined) return definition;
  const got = describe(workflow as never);
  throw new TypeError(`${method}: the first argument must be what workflow(…) gives; got ${got}`);
}

function checkStartOptions(at: string, options: StartOptions, { id: made }: WorkflowDefinition): void {
  checkKnown(at, options, START_OPTIONS);
  const { id, at: when, cron, headers } = options;
  if (id !== undefined) checkRun(`${at}: id`, id);
  if (headers !== undefined) checkStrings(`${at}: headers`, headers);
  checkTimes(at, options);
  if (cron !== undefined && when !== undefined) throw new TypeError(`${at}: give one of at and cron`);
  if (cron !== undefined && (id ?? made) === undefined) {
    throw new TypeError(`${at}: a cron needs an id, which is its name`);
  }
}

function checkRun(at: string, id: string, most = MAX_RUN): void {
  if (typeof id === "string" && id !== "" && id.length <= most && id.isWellFormed()) return;
  throw new TypeError(`${at} must be a well-formed string of 1 to ${most} characters; got ${show(id)}`);
}

function resultOf({ ok, value, error }: RecordedOutcome): Result<unknown> {
  return ok ? { ok: true, value: ownOf(value) } : { ok: false, error: errorOf(error!) };
}

function failed(code: CatgaError["code"], message: string, cause?: unknown): Result<never, never> {
  const retryable = RETRYABLE.has(code);
  return { ok: false, error: new CatgaError(code, message, { retryable, cause }) as CatgaError<never> };
}

/** The input of a run, or the id that its contract makes of it, is invalid. */
function notStarted(workflow: string, cause: unknown): Result<never, never> {
  const { message } = recorded(readable(cause)); // the contract's function may throw anything
  return failed("INVALID_MESSAGE", `workflow ${workflow} was not started: ${message}`, cause);
}

/** How a run goes on whose last entry this is. */
function goingOn(workflow: string, holder: string, last: JournalEntry): string {
  if (holder === "") return `no node has begun it; does a node with a handler of ${workflow} run?`;
  if (last.t === "waits" || last.t === "slept" || last.t === "child") return `it waits for ${last.step}`;
  if (last.t !== "failed") return "it goes on";
  const { step, error: { code, message }, next } = last;
  return `it ${next === undefined ? "is stuck" : "goes on"}; ${step || "its handler"} failed with ${code}: ${message}`;
}

function noRun({ workflow, run }: RunRef, why = ", or it has ended"): Result<never, never> {
  return failed("NO_RUN", `workflow ${workflow} has no run ${run}${why}`);
}

function asError(error: unknown): CatgaError {
  return isCatgaError(error) ? error : new CatgaError("UNAVAILABLE", recorded(error).message, { cause: error });
}

const NOT_STARTED = ": it was not started yet, or is forgotten";
/** After these codes the same call may succeed later. */
const RETRYABLE: ReadonlySet<string> = new Set(["UNAVAILABLE", "NOT_ENDED"]);
const START_OPTIONS = new Set(["id", "at", "cron", "zone", "headers"]);
const RESULT_OPTIONS = new Set(["timeout", "signal"]);
const TELL_OPTIONS = new Set(["id"]);
const MAX_RUN = 128;
/** How much later than its timeout an answer may come: a frozen server answers nobody, in ms. */
const LAST_LOOK = 1_000;
/** In place of an answer while no live node drives a run, in ms. */
const UNHELD_PAUSE = 200;
/** How long the node that holds runs has for an answer about them, in ms. */
const ANSWER_TIMEOUT = 5_000;
/** How long news of a run wait for the answer of its driver, in ms. */
const NEWS_TIMEOUT = 5_000;
/** How many runs may wait within each other: a cycle of workflows grows faster than it is cancelled. */
const MOST_WITHIN = 1_000;
/** How long after a loss was noticed runs are brought on, in ms, and how many at once. */
const AFTER_LOSS = 1_000;
const BROUGHT_AT_ONCE = 100;
/** A child has the id of its step. */
const MAX_CHILD = 256;
/** The first number of what this process stores for runs. */
const NUMBERS = 2 ** 51;
