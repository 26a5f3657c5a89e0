/**
 * Receives the messages of a workflow's internal contracts, and has the runs executed: entries after which a run has to
 * be executed, schedules that have fired, and messages of other nodes.
 */
import type { Context } from "../contract/calls/context.ts";
import { ALONE, AWAITS_VERSION } from "../contract/nodes/announcement.ts";
import { startName } from "../contract/declaration/workflow.ts";
import type {
  RefusedRun,
  RunDriver,
  RunDue,
  RunJoin,
  RunJoined,
  RunsAsked,
  StartedRuns,
  WorkflowBody,
} from "../contract/declaration/workflow_body.ts";
import type { Failure } from "../contract/calls/result.ts";
import { isStringArray } from "../data/checks.ts";
import { unavailable } from "../error.ts";
import { type Clock, delay } from "../ports/clock.ts";
import { sequenceOf } from "../log/format/group_text.ts";
import type { DrivenRuns } from "./driving/driven_runs.ts";
import { type CalledEntry, entryOf } from "./stored/journal_entry.ts";
import type { RunRef } from "./stored/run_ref.ts";
import { isTried, type RunPeers } from "./driving/run_peers.ts";
import type { RunStarts } from "./calls/run_starts.ts";

/** Passes calls to execute runs to {@link DrivenRuns}, the runs that this node executes. */
export class RunDeliveries implements RunDriver {
  readonly #endpoint: string;
  readonly #clock: Clock;
  readonly #drives: DrivenRuns;
  readonly #peers: RunPeers;
  readonly #starts: RunStarts;

  constructor(
    { endpoint, clock }: { readonly endpoint: string; readonly clock: Clock },
    { drives, peers, starts }: { readonly drives: DrivenRuns; readonly peers: RunPeers; readonly starts: RunStarts },
  ) {
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#drives = drives;
    this.#peers = peers;
    this.#starts = starts;
  }

  async started(body: WorkflowBody, starts: StartedRuns): Promise<void> {
    if (starts.length === 1) return await this.called(body, starts[0].payload, starts[0]);
    const { name: workflow } = body.definition;
    const all = starts.flatMap((start) => {
      const [by, run] = [holderOf(start.payload), start.key];
      return by === undefined || run === undefined ? [] : [{ start, by, run, sequence: sequenceOf(start.position) }];
    });
    await Promise.all([...Map.groupBy(all, ({ by }) => by)].map(async ([holder, own]) => {
      for (const { start, run } of await this.#goingOn(holder, workflow, own)) {
        starts.fail(start, "UNAVAILABLE", `run ${run} of ${workflow} goes on`, { details: ALONE });
      }
    }));
  }

  /**
   * Resolves with the runs of a batch that go on, as far as is known: the node that executes them is asked again a few
   * times, because most runs end soon, and each that goes on is delivered, passed on and answered by itself.
   */
  async #goingOn<Start extends { readonly run: string; readonly sequence: number }>(
    holder: string,
    workflow: string,
    starts: readonly Start[],
  ): Promise<readonly Start[]> {
    let left = starts;
    for (const pause of PAUSES) {
      if (pause > 0) await delay(this.#clock, pause);
      const asked = left.map(({ run, sequence }) => [run, sequence] as const);
      const over = holder === this.#endpoint
        ? this.#areOver(workflow, asked)
        : await this.#peers.areOver(holder, workflow, asked);
      left = left.filter((_, i) => over?.[i] !== 1);
      if (left.length === 0 || over === undefined) break;
    }
    return left;
  }

  async called(
    body: WorkflowBody,
    payload: unknown,
    { key: run, position, stored }: Pick<Context, "key" | "position" | "stored">,
  ): Promise<void> {
    const by = holderOf(payload);
    if (by === undefined || run === undefined || position === undefined) return;
    const ref = { workflow: body.definition.name, run };
    const call = { ref, sequence: sequenceOf(position), stored: stored?.getTime() };
    throwIfRefused(ref, await this.#drives.execute(body, call, by));
  }

  async due(body: WorkflowBody, due: RunDue, ctx: Context): Promise<Failure | undefined> {
    const { definition } = body;
    const { run: named, step, at, start, cron, lease } = due;
    if (lease !== undefined) {
      if (!isStringArray(lease.runs) || typeof lease.by !== "string") return undefined;
      await this.#drives.leaseOver({ workflow: definition.name, ...lease });
      return undefined;
    }
    // the id of a message of a cron schedule is the schedule's name with the time: without the prefix of that name, it
    // is the id of the run
    const run = cron ? ctx.id.slice(startName("").length) : named;
    if (start !== undefined) return await this.#starts.startDue(definition, run, due);
    const ref = { workflow: definition.name, run };
    throwIfRefused(ref, await this.#drives.execute(body, { ref, sequence: 0, due: { step, at } }));
    return undefined;
  }

  async join(body: WorkflowBody, join: RunJoin): Promise<RunJoined> {
    const { name: workflow } = body.definition;
    if ("asked" in join) return this.#areOver(workflow, join.asked);
    if ("leased" in join) return isStringArray(join.leased) ? await this.#drives.putOff(workflow, join.leased) : [];
    const { run, sequence, stored, due, news, tried } = join;
    const ref = { workflow, run };
    if (news) return await this.#drives.news(body, { ref, sequence });
    return await this.#drives.execute(body, { ref, sequence, stored, due, tried: isTried(tried) ? tried : undefined });
  }

  #areOver(workflow: string, asked: RunsAsked["asked"]): readonly (0 | 1)[] {
    return asked.map(([run, sequence]) => this.#drives.isOver({ workflow, run }, sequence) ? 1 : 0);
  }
}

/**
 * Returns the node that executes the run according to an entry of the run, "" if no node does. `undefined`: the payload
 * is no entry after which a run has to be executed.
 */
function holderOf(payload: unknown): string | undefined {
  const entry = entryOf(payload) as CalledEntry | undefined;
  return entry === undefined ? undefined : typeof entry.by === "string" ? entry.by : "";
}

/**
 * Throws if no version of the workflow accepts a run. The message that called for the run is then put aside until a
 * node with another version is live.
 */
function throwIfRefused({ workflow, run }: RunRef, refused: RefusedRun | undefined): void {
  if (refused === undefined) return;
  const message = `run ${run} of ${workflow} waits for another version of ${workflow}: ${refused.why}`;
  throw unavailable(message, { details: AWAITS_VERSION });
}

/**
 * Pauses before the node that executes the runs of a batch is asked about them, in ms; its other runs are then
 * delivered one by one.
 */
const PAUSES = [0, 100, 200, 400];
