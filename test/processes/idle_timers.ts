/**
 * Two nodes in one process, with 100 contracts each, that have nothing to do:
 *
 *   … idle_timers.ts URL [durable]
 *
 * Prints a line for each stretch of 10 s: how often timers fired, by the place in the code that had set them.
 * `durable`: they also handle a durable event and a workflow, so that one of them leads each subscription.
 */
import timers from "node:timers";
import { performance } from "node:perf_hooks";
import process from "node:process";

/** How often timers fired in a stretch, the most frequent first. */
export interface IdleLine {
  /**
   * `place`: the line that set the timers. `rate`: how often one of them fired, a second: all of that place, divided by
   * how many of them were waiting at once.
   */
  readonly rates: readonly { readonly place: string; readonly rate: number }[];
}

const STRETCH = 10_000;
const own = globalThis.setInterval;
/** The places of timers that have been set, and will fire. */
const waiting = new Map<unknown, string>();
/** `atOnce`: how many timers of the place were waiting at once in this stretch; at a start there are many. */
const places = new Map<string, { fired: number; atOnce: number }>();
const waitingAt = (place: string) => [...waiting.values()].filter((one) => one === place).length;

interface TimerFunctions {
  setTimeout: SetTimer;
  setInterval: SetTimer;
  clearTimeout(timer: unknown): void;
}

type SetTimer = (callback: () => void, ms?: number) => unknown;

/** Wraps a function that sets a timer, so that each call of its callback is counted. `repeats`: it fires again. */
function counted(set: SetTimer, repeats = false): SetTimer {
  return (callback, ms) => {
    const lines = new Error().stack!.split("\n").filter((line) => /\/src\/|nats-io/.test(line));
    const place = (lines.find((line) => !line.includes("clock.ts")) ?? "").trim();
    let seen = places.get(place);
    if (seen === undefined) places.set(place, seen = { fired: 0, atOnce: 0 });
    const timer = set(() => {
      seen.fired++;
      if (!repeats) waiting.delete(timer);
      callback();
    }, ms);
    waiting.set(timer, place);
    seen.atOnce = Math.max(seen.atOnce, waitingAt(place));
    return timer;
  };
}

/** Wraps a function that clears a timer, so that the timer waits no longer. */
function clearing(clear: (timer: unknown) => void): (timer: unknown) => void {
  return (timer) => {
    waiting.delete(timer);
    clear(timer);
  };
}

// before Catga and nats.js are loaded: both keep the functions that they find. Cast: without the
// members of functions that the runtimes add
for (const owner of [timers, globalThis] as unknown as TimerFunctions[]) {
  owner.setTimeout = counted(owner.setTimeout);
  owner.setInterval = counted(owner.setInterval, true);
  owner.clearTimeout = clearing(owner.clearTimeout);
}
const { catga, event, query, workflow } = await import("../../mod.ts");

const [url, durable] = process.argv.slice(2);
const contracts = Array.from({ length: 100 }, (_, at) => query<void, boolean>(`Ping${at}`).handle(() => true));
const shipped = event<string>("Shipped", { durable: true }).on(() => {}, { name: "mails" });
const shipping = workflow<string, string>("Shipping").handle((_, order) => Promise.resolve(order));
const handlers = durable === undefined ? contracts : [...contracts, shipped, shipping];
for (const id of ["a", "b"]) await catga({ nats: url, id, handlers });
let begun = performance.now();
own(() => {
  const now = performance.now();
  const rates = [...places].map(([place, { fired, atOnce }]) => ({
    place,
    rate: fired / Math.max(1, atOnce) / (now - begun) * 1_000,
  }));
  const line: IdleLine = { rates: rates.toSorted((one, other) => other.rate - one.rate) };
  console.log(JSON.stringify(line));
  for (const [place, seen] of places) Object.assign(seen, { fired: 0, atOnce: waitingAt(place) });
  begun = now;
}, STRETCH);
