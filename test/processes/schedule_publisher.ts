/**
 * A process that schedules messages, for tests: its wall clock may be wrong, and it may be busy while it asks for the
 * server's time.
 *
 *   … test/processes/schedule_publisher.ts <nats url> '<options as JSON>'
 *
 * @module
 */
import process from "node:process";
import { catga, command } from "@catga/catga";
import { block } from "../support/block.ts";
import { type Skew, skewClock, trueNow } from "./skewed_clock.ts";

/** What it schedules. */
export const Note = command<{ n: number }>("Note", { durable: true });

/** The options of such a process. */
export interface SchedulePublisherOptions {
  readonly skew?: Skew;
  /** How long each turn of its event loop takes while it opens the log, in ms; 0. */
  readonly busy?: number;
  /**
   * When each of its messages is due, in ms from the call, and whether that is a date; their numbers are their places.
   */
  readonly schedules: readonly { readonly after: number; readonly date: boolean }[];
}

/** What such a process prints: when it called, in ms since 1970, for each of its messages. */
export interface SchedulePublisherLine {
  readonly event: "done";
  readonly called: readonly number[];
  readonly outcomes: readonly string[];
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [url, text] = process.argv.slice(2);
  const { skew = {}, busy = 0, schedules } = JSON.parse(text) as SchedulePublisherOptions;
  skewClock(skew);
  const app = await catga({ nats: url, id: "scheduler" });
  let opened = false;
  const turn = () => {
    block(busy);
    if (!opened) setTimeout(turn, 0);
  };
  const called: number[] = [];
  if (busy > 0) {
    setTimeout(turn, 0);
    await app.unschedule(Note, "none"); // opens the log
    opened = true;
  }
  const results = await Promise.all(schedules.map(async ({ after, date }, n) => {
    called.push(trueNow());
    const { error } = await app.enqueue(Note, { n }, date ? { at: new Date(Date.now() + after) } : { delay: after });
    return error?.code ?? "ok";
  }));
  const line: SchedulePublisherLine = { event: "done", called, outcomes: results };
  console.log(JSON.stringify(line));
  await app.drain();
}
