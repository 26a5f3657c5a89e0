/**
 * Takes a schedule back, pauses it, or resumes it, as an operator asks for by the command line or on the page.
 *
 * @module
 */
import { isWorkflowName, runContracts, runType, startName, wakesRun } from "../contract/declaration/workflow.ts";
import { isContractName } from "../contract/declaration/contract.ts";
import { scheduleSubject } from "../log/format/names.ts";
import { pauseSchedule, resumeSchedule } from "../log/publishing/paused_schedule.ts";
import { unschedule } from "../log/publishing/unschedule.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogStream } from "../ports/event_log.ts";

/** A change of one schedule. */
export interface ScheduleChange {
  readonly what: "cancel" | "pause" | "resume";
  /** Name of the contract; or of a workflow, for the schedule of a start of it. */
  readonly contract: string;
  /** Id of the schedule; or of the workflow's run. */
  readonly id: string;
  /** Reason of a pause, which is shown with it. */
  readonly reason?: string | undefined;
}

/** Dependencies of {@link changeSchedule}. */
export interface ScheduleChangeOptions {
  readonly namespace: string;
  readonly clock: Clock;
  /** The stream of the log; `undefined`: it does not exist. */
  readonly stream: LogStream | undefined;
  /** Text that no other writer uses. */
  readonly mark: string;
  /** Time limit, in ms. */
  readonly timeout: number;
}

/**
 * Changes a schedule. Resolves with `undefined` when that is done, or with the reason why it is not. Rejects with a
 * `CatgaError` if that is not known in time.
 */
export async function changeSchedule(
  { what, contract, id, reason }: ScheduleChange,
  { namespace, clock, stream, mark, timeout }: ScheduleChangeOptions,
): Promise<string | undefined> {
  const refused = wakesRun(contract, id);
  if (refused !== undefined) return refused;
  if (stream === undefined || !isContractName(contract)) return NOTHING[what];
  const change = (name: string, key: string) => {
    const subject = scheduleSubject(namespace, name, key);
    const options = { clock, stream: () => stream, mark, timeout };
    if (what === "cancel") return unschedule(subject, options);
    if (what === "resume") return resumeSchedule(subject, options);
    return pauseSchedule(subject, { since: Math.floor(clock.now()), ...(reason !== undefined && { reason }) }, options);
  };
  const isDone = await change(contract, id) ||
    (isWorkflowName(contract) && await change(runContracts(runType(contract)).due.name, startName(id)));
  return isDone ? undefined : NOTHING[what];
}

const NOTHING = {
  cancel: "nothing is scheduled under this id: it has fired, or never was",
  pause: "no cron is scheduled under this id: what is scheduled for one time is cancelled, not paused",
  resume: "no cron is scheduled under this id",
} as const;
