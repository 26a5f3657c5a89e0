/**
 * The runs of workflows, as one node starts, executes, signals, cancels and lists them. `Runs` creates the other parts
 * of this folder, and delegates to them. It opens no stream before one is first needed.
 */
import type { RecordedStart } from "../contract/nodes/attached_store.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Context } from "../contract/calls/context.ts";
import type {
  AnyQuestion,
  AnySignal,
  AnyWorkflow,
  AskOptions,
  ResultOptions,
  RunInfo,
  RunsOptions,
  StartOptions,
  TellOptions,
  ViewChange,
  WatchOptions,
} from "../contract/calls/flow.ts";
import type { Failure, Result } from "../contract/calls/result.ts";
import type { MessageHeaders } from "../contract/declaration/behavior.ts";
import type {
  RefusedRun,
  RunDue,
  RunJoin,
  RunJoined,
  StartedRuns,
  WorkflowBody,
} from "../contract/declaration/workflow_body.ts";
import type { NodeRuns } from "../dispatch/node_host.ts";
import type { Clock } from "../ports/clock.ts";
import type { GivenAnswer, RefusedRunFate } from "./execution/drive_host.ts";
import { DrivenRuns, type DrivenRunsHost } from "./driving/driven_runs.ts";
import type { Journal } from "./stored/journal.ts";
import type { Parent, RecordedError, Tried } from "./stored/journal_entry.ts";
import { completeCallback } from "./calls/callbacks.ts";
import { Questions } from "./calls/questions.ts";
import { ResultCalls } from "./calls/result_calls.ts";
import { Results } from "./calls/results.ts";
import { RunDeliveries } from "./run_deliveries.ts";
import { forgetRun } from "./calls/run_forgetting.ts";
import { checkRunsOptions, runInfos, type TellRun } from "./calls/run_infos.ts";
import type { DeliveredCall } from "./driving/run_call.ts";
import type { RunLease } from "./driving/run_leases.ts";
import type { RunLog } from "./stored/run_log.ts";
import type { RunRef } from "./stored/run_ref.ts";
import { RunNotices } from "./calls/run_notices.ts";
import { RunViews } from "./calls/run_views.ts";
import { RunPeers } from "./driving/run_peers.ts";
import { RunRecovery } from "./driving/run_recovery.ts";
import { RunSchedules } from "./driving/run_schedules.ts";
import { RunStarts } from "./calls/run_starts.ts";
import { startSweep } from "./driving/run_sweep.ts";
import { RunVersions } from "./driving/run_versions.ts";
import type { RunsHost } from "./runs_host.ts";
import { RunsNode } from "./runs_node.ts";
import { StuckRuns } from "./driving/stuck_watch.ts";

/**
 * The runs of a namespace, as one node starts, executes, signals, cancels and lists them.
 * @decides all parts of a node's workflows are made and connected; `app.result`, `tell` and `cancel` enter here
 */
export class Runs implements DrivenRunsHost, NodeRuns {
  readonly app: RunsHost;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: RunLog;
  readonly soon: (callback: () => void) => void;
  readonly #node: RunsNode;
  readonly #peers: RunPeers;
  readonly #versions: RunVersions;
  readonly #schedules: RunSchedules;
  readonly #stuck: StuckRuns;
  readonly #drives: DrivenRuns;
  readonly #notices: RunNotices;
  readonly #starts: RunStarts;
  readonly #deliveries: RunDeliveries;
  readonly #results: Results;
  readonly #resultCalls: ResultCalls;
  readonly #questions: Questions;
  readonly #views: RunViews;
  readonly #recovery: RunRecovery;
  readonly #sweeps: readonly (() => void)[];

  constructor(app: RunsHost) {
    const node = this.#node = new RunsNode(app, () => {
      this.#drives.doubt();
      this.#results.doubt();
    });
    const { endpoint, clock, soon, log, bodies } = node;
    this.app = app;
    this.endpoint = endpoint;
    this.clock = clock;
    this.soon = soon;
    this.log = log;
    const peers = this.#peers = new RunPeers(node);
    const versions = this.#versions = new RunVersions(node);
    const schedules = this.#schedules = new RunSchedules(node);
    this.#stuck = new StuckRuns(log, clock, app.observer);
    const drives = this.#drives = new DrivenRuns(this);
    const notices = this.#notices = new RunNotices(node, peers, drives);
    this.#starts = new RunStarts(node, { drives, versions, schedules, notices });
    this.#deliveries = new RunDeliveries(node, { drives, peers, starts: this.#starts });
    this.#sweeps = [...bodies.values()].map(({ definition }) => startSweep(node, definition));
    this.#results = new Results({
      ...{ namespace: app.namespace, clock, transport: app.transport, soon },
      onGone: (listener) => peers.onGone(listener),
      drives: (ref) => drives.drives(ref),
      read: (ref) => log.outcome(ref),
      readShown: (ref, known) => log.shown(ref, known),
    });
    this.#resultCalls = new ResultCalls(node, this.#results);
    this.#questions = new Questions(node, notices, this.#results, drives);
    this.#views = new RunViews(node, this.#results);
    this.#recovery = new RunRecovery(node, drives);
  }

  // The methods that the internal handlers of workflows call:

  started(body: WorkflowBody, starts: StartedRuns): Promise<void> {
    return this.#deliveries.started(body, starts);
  }

  called(body: WorkflowBody, payload: unknown, ctx: Context): Promise<void> {
    return this.#deliveries.called(body, payload, ctx);
  }

  due(body: WorkflowBody, due: RunDue, ctx: Context): Promise<Failure | undefined> {
    return this.#deliveries.due(body, due, ctx);
  }

  join(body: WorkflowBody, join: RunJoin): Promise<RunJoined> {
    return this.#deliveries.join(body, join);
  }

  // The methods that programs and their node call:

  start(
    workflow: AnyWorkflow,
    input: unknown,
    options?: StartOptions,
    parent?: Context,
  ): Promise<Result<string, never>> {
    return this.#starts.start(workflow, input, options, parent);
  }

  startRecorded(start: RecordedStart): Promise<Result<string, never>> {
    return this.#starts.startRecorded(start);
  }

  result(workflow: AnyWorkflow, run: string, options?: ResultOptions): Promise<Result<unknown>> {
    return this.#resultCalls.result(workflow, run, options);
  }

  view(workflow: AnyWorkflow, run: string): Promise<Result<unknown, never>> {
    return this.#views.view(workflow, run);
  }

  watch(
    workflow: AnyWorkflow,
    run: string,
    options?: WatchOptions,
  ): AsyncIterableIterator<ViewChange<unknown, unknown, string>> {
    return this.#views.watch(workflow, run, options);
  }

  tell(signal: AnySignal, run: string, payload: unknown, options?: TellOptions): Promise<Result<void, never>> {
    return this.#notices.signal(signal, run, payload, options);
  }

  ask(question: AnyQuestion, run: string, payload: unknown, options?: AskOptions): Promise<Result<unknown>> {
    return this.#questions.ask(question, run, payload, options);
  }

  complete(token: string, value?: unknown): Promise<Result<void, never>> {
    return completeCallback(this.#node, this.#notices, token, value);
  }

  cancel(workflow: AnyWorkflow, run: string, reason: string): Promise<Result<void, never>> {
    return this.#notices.cancel(workflow, run, reason);
  }

  forget(workflow: AnyWorkflow, run: string): Promise<void> {
    return forgetRun(this.#node, workflow, run);
  }

  async *infos(options: RunsOptions): AsyncIterableIterator<RunInfo> {
    checkRunsOptions(options);
    const tell: TellRun = async (ref, entry) => {
      const told = await this.#notices.append(ref, entry);
      if (!told.ok) throw told.error;
    };
    // a node without workflows may not be allowed to read what subscriptions have stored
    const { bodies, app } = this.#node;
    yield* runInfos(
      this.log,
      options,
      tell,
      async () => bodies.size === 0 ? undefined : (await app.durable()).refused(),
    );
  }

  get driven(): readonly string[] {
    return this.#drives.driven;
  }

  look(): void {
    this.#stuck.look();
  }

  lost(workflow: string): void {
    this.#recovery.lost(workflow);
  }

  leave(): void {
    this.#drives.leave();
  }

  close(): void {
    this.#node.close();
    this.#drives.close();
    for (const end of this.#sweeps) end();
    this.#results.close();
    this.#resultCalls.close();
    this.#questions.close();
    this.#views.close();
  }

  // The members that the executions of runs on this node use:

  get latest(): number {
    return this.#node.latest;
  }

  alive(endpoint: string): boolean {
    return this.#peers.alive(endpoint);
  }

  passOn(endpoint: string, call: DeliveredCall): Promise<boolean | RefusedRun> {
    return this.#peers.passOn(endpoint, call);
  }

  putOffAt(endpoint: string, workflow: string, leased: readonly string[]): Promise<readonly (0 | 1)[] | undefined> {
    return this.#peers.putOff(endpoint, workflow, leased);
  }

  callEach(workflow: string, runs: readonly string[]): Promise<void> {
    return this.#schedules.callEach(workflow, runs);
  }

  lease(lease: RunLease): Promise<void> {
    return this.#schedules.lease(lease);
  }

  unlease(lease: Pick<RunLease, "workflow" | "name">): void {
    this.#schedules.unlease(lease);
  }

  wake(ref: RunRef, step: string, at: number): Promise<void> {
    return this.#schedules.wake(ref, step, at);
  }

  takeBack(ref: RunRef, steps: readonly string[]): Promise<void> {
    return this.#schedules.takeBack(ref, steps);
  }

  startChild(
    contract: AnyContract,
    id: string,
    input: unknown,
    parent: Required<Parent>,
    headers: MessageHeaders | undefined,
  ): Promise<Result<string>> {
    return this.#starts.startChild(contract, id, input, parent, headers);
  }

  cancelChild(ref: RunRef, reason: string, contract?: AnyContract): Promise<boolean> {
    return this.#notices.cancelChild(ref, reason, contract);
  }

  shown(ref: RunRef, { sequence, view }: Journal): void {
    this.#results.shown(ref, { sequence, view });
  }

  async ended(ref: RunRef, { ended, started, sequence, view }: Journal): Promise<void> {
    if (ended === undefined) return;
    this.#results.ended(ref, ended, { sequence, view });
    const { parent } = started ?? {};
    if (parent !== undefined) await this.#notices.appendChildEnd(parent, ref, ended, () => this.#node.isClosed);
  }

  answered(ref: RunRef, answers: readonly GivenAnswer[], sequence: number): void {
    this.#questions.answered(ref, answers, sequence);
  }

  async stuck(ref: RunRef, step: string, error: RecordedError, thrown: unknown): Promise<void> {
    await this.log.stuckNotes.add(ref);
    this.#stuck.add(ref, step, error, thrown);
  }

  tried(ref: RunRef, attempts: readonly Tried[]): void {
    // a failure is ignored: the step then runs again where the run is executed, as after a crash
    for (const tried of attempts) void this.#notices.append(ref, (by) => ({ ...tried, by }));
  }

  read(ref: RunRef, journal: Journal | undefined): void {
    this.#stuck.read(ref, journal);
  }

  shapeOf(workflow: string): string {
    return this.#versions.shapeOf(workflow);
  }

  shapeNameOf(workflow: string): string {
    return this.#versions.shapeNameOf(workflow);
  }

  afterRefusal({ workflow }: RunRef, journal: Journal, refusedBy: Set<string>): RefusedRunFate {
    return this.#versions.afterRefusal(workflow, journal, refusedBy);
  }
}
