/**
 * What a client of a soak sends besides the bulk: idempotent commands, each id several times and at once, and messages
 * whose user code never settles.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import type { Catga, Result } from "@catga/catga";
import type { LoopGaps } from "../processes/loop_gaps.ts";
import { trueNow } from "../processes/skewed_clock.ts";
import { LogFile, UNSETTLED } from "./log.ts";
import { settledWithin } from "./settling.ts";
import { NEVER, type NeverNote, type NeverPlace, Once, type OnceNote, type OnceWork, workOf } from "./shared.ts";

/** Where it writes its results, and when it stops, in ms since 1970. */
export interface StateLoad {
  readonly folder: string;
  readonly id: string;
  readonly until: number;
}

const LOOPS = 4;
const RECENT = 20; // ids of which one is sent again
const TIMEOUT = 8_000; // ms
const UNSETTLED_AFTER = 5_000; // ms after the deadline
const NEVER_TIMEOUT = 1_000; // ms
const NEVER_EVERY = 500; // ms

/** Sends ids again and again; resolves when all have ended. */
export async function sendOnce(app: Catga, { folder, id: client, until }: StateLoad, gaps: LoopGaps): Promise<void> {
  const log = new LogFile(folder, "once", client);
  const recent: OnceWork[] = [];
  let made = 0;
  const send = async (work: OnceWork) => {
    const began = performance.now();
    const sending = app.send(Once, work, { id: work.id, route: "random", timeout: TIMEOUT });
    const result = await settledWithin(sending, TIMEOUT + UNSETTLED_AFTER);
    gaps.beat();
    const note: OnceNote = {
      event: "told",
      at: trueNow(),
      id: work.id,
      told: told(result),
      run: result?.ok ? result.value : undefined,
      took: performance.now() - began,
      timeout: TIMEOUT,
    };
    log.write(JSON.stringify(note) + "\n");
  };
  await Promise.all(Array.from({ length: LOOPS }, async () => {
    while (trueNow() < until) {
      let work = Math.random() < 0.5 ? recent[Math.floor(Math.random() * recent.length)] : undefined;
      if (work === undefined) {
        work = workOf(`${client}-${made++}`);
        recent.push(work);
        if (recent.length > RECENT) recent.shift();
      }
      await Promise.all([send(work), send(work)]);
      await wait(50);
    }
  }));
}

/** Sends what never settles by itself; resolves when all have ended, or did not in time. */
export async function sendNever(app: Catga, { folder, id: client, until }: StateLoad, gaps: LoopGaps): Promise<void> {
  const log = new LogFile(folder, "never", client);
  const pending: Promise<void>[] = [];
  const send = async (place: NeverPlace, n: number) => {
    const began = performance.now();
    const options = { timeout: NEVER_TIMEOUT };
    const sending: Promise<Result<unknown>> = place === "load"
      ? app.send(NEVER.load, { n }, options)
      : place === "input"
      ? app.send(NEVER.input, n, options)
      : place === "output"
      ? app.send(NEVER.output, undefined, options)
      : app.send(NEVER[place], undefined, options);
    const result = await settledWithin(sending, NEVER_TIMEOUT + UNSETTLED_AFTER);
    gaps.beat();
    const took = performance.now() - began;
    const note: NeverNote = { place, told: told(result), at: trueNow(), took, timeout: NEVER_TIMEOUT };
    log.write(JSON.stringify(note) + "\n");
  };
  const places = Object.keys(NEVER) as NeverPlace[]; // its keys
  for (let n = 0; trueNow() < until; n++) {
    pending.push(send(places[n % places.length], n));
    await wait(NEVER_EVERY);
  }
  await Promise.all(pending);
}

/** Its code; {@link UNSETTLED} if there is no result long after the deadline. */
function told(result: Result<unknown> | undefined): string {
  return result === undefined ? UNSETTLED : result.ok ? "ok" : result.error.code;
}
