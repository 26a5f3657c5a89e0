/**
 * The last runs of a schedule, for operators: the messages that it has appended to the log, and the outcome of each in
 * the subscriptions that handle them.
 */
import type { LogStream } from "../../ports/event_log.ts";
import { messageId } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { categorySubject, scheduleSubject, streamOf } from "../format/names.ts";
import { newest } from "./newest.ts";
import type { StoredSubscription } from "./stored_subscriptions.ts";

/** A message that a schedule has appended to the log. */
export interface ScheduleRun {
  readonly id: string;
  readonly at: Date;
  readonly position: number;
  readonly outcomes: readonly ScheduleOutcome[];
}

/** Outcome of a scheduled message in one subscription. `handled` includes discarded messages. */
export interface ScheduleOutcome {
  readonly service: string;
  readonly subscription: string;
  readonly outcome: "handled" | "waits" | "retrying" | "dead";
}

/** A schedule, the stream that has it, and the subscriptions that may handle its messages. */
interface SchedulePlace {
  readonly namespace: string;
  readonly stream: LogStream;
  readonly subscriptions: readonly StoredSubscription[];
  readonly contract: string;
  readonly id: string;
}

/**
 * Returns the last runs of a schedule that the log still has, the newest first: at most `most`. Looks only at the
 * last {@link MAX_MESSAGES} messages of the schedule's contract. Rejects like `LogStream.read`.
 * @decides what became of the firings of a schedule
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
      // empty: nodes skip this firing of a cron, because the clocks of its time zone change that night
      if (!isReadable(group) || group.length === 0) continue;
      const [{ id, position, time, key }] = group;
      const outcomes = own.flatMap((each) => outcomeOf(each, state.created, { position, time, key }) ?? []);
      runs.push({ id, at: new Date(time), position, outcomes });
      if (runs.length >= most) return runs;
    }
    read += messages.length;
    if (read >= MAX_MESSAGES) break;
  }
  return runs;

  function outcomeOf(
    { service, name, state: { head: { began, place, open, left = [] }, parked } }: StoredSubscription,
    created: string,
    { position, time, key }: Pick<LoggedMessage, "position" | "time" | "key">,
  ): ScheduleOutcome | undefined {
    if (position <= began[contract]) return undefined; // the message was stored before the subscription began
    const state = parked.get(messageId({ position, time }));
    const isLeft = left.some(([category, of, from]) => category === contract && of === key && position > from);
    const waits = place.created !== created || position > place.read || isLeft ||
      open.some(([each]) => each === position);
    const outcome = state !== undefined ? state.dead > 0 ? "dead" : "retrying" : waits ? "waits" : "handled";
    return { service, subscription: name, outcome };
  }
}

/** Maximum number of messages of the schedule's contract that are read. */
const MAX_MESSAGES = 10_000;
