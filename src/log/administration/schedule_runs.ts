/**
 * The last runs of a schedule, for operators: the messages that it left in the log, and what became of each in the
 * subscriptions to it.
 */
import type { LogStream } from "../../ports/event_log.ts";
import { messageId } from "../format/commit.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { categorySubject, scheduleSubject, streamOf } from "../format/names.ts";
import { newest } from "./newest.ts";
import type { StoredSubscription } from "./stored_subscriptions.ts";

/** A message that a schedule has left in the log. */
export interface ScheduleRun {
  readonly id: string;
  readonly at: Date;
  readonly position: number;
  readonly outcomes: readonly ScheduleOutcome[];
}

/** What became of it in a subscription. `handled`: also one that was discarded. */
export interface ScheduleOutcome {
  readonly service: string;
  readonly subscription: string;
  readonly outcome: "handled" | "waits" | "retrying" | "dead";
}

/** A schedule, and where it is stored. */
interface SchedulePlace {
  readonly namespace: string;
  readonly stream: LogStream;
  readonly subscriptions: readonly StoredSubscription[];
  readonly contract: string;
  readonly id: string;
}

/**
 * The last runs of a schedule that the log still has, `most` at most, the newest first. Reads the last {@link MOST}
 * messages of the contract. Rejects as `LogStream.read`.
 */
export async function scheduleRuns(place: SchedulePlace, most: number): Promise<ScheduleRun[]> {
  const { namespace, stream, subscriptions, contract, id } = place;
  const subject = scheduleSubject(namespace, contract, id);
  const state = await stream.state();
  const runs: ScheduleRun[] = [];
  if (state === undefined) return runs;
  const own = subscriptions.filter(({ name, state: { head } }) =>
    streamOf(namespace, name) === stream.name && Object.hasOwn(head.began, contract)
  );
  let read = 0;
  const range = { last: state.last, least: state.first };
  for await (const { messages } of newest(stream, categorySubject(namespace, contract), range)) {
    for (const message of messages) {
      if (message.headers?.["Nats-Scheduler"] !== subject) continue;
      const group = readGroup(namespace, message);
      if (!isReadable(group) || group.length === 0) continue; // its cron has another time that night
      const [{ id, position, time }] = group;
      const outcomes = own.flatMap((each) => outcomeOf(each, state.created, position, time) ?? []);
      runs.push({ id, at: new Date(time), position, outcomes });
      if (runs.length >= most) return runs;
    }
    read += messages.length;
    if (read >= MAX_MESSAGES) break;
  }
  return runs;

  function outcomeOf(
    { service, name, state: { head: { began, place, open }, parked } }: StoredSubscription,
    created: string,
    position: number,
    time: number,
  ): ScheduleOutcome | undefined {
    if (position <= began[contract]) return undefined; // it was there before the subscription
    const state = parked.get(messageId({ position, time }));
    const waits = place.created !== created || position > place.read || open.some(([each]) => each === position);
    const outcome = state !== undefined ? state.dead > 0 ? "dead" : "retrying" : waits ? "waits" : "handled";
    return { service, subscription: name, outcome };
  }
}

/** Messages of the contract that are read. */
const MAX_MESSAGES = 10_000;
