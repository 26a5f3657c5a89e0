/**
 * Two nodes in one process, with 100 contracts each, that have nothing to do:
 *
 *   … idle_timers.ts URL [durable]
 *
 * Prints a line for each stretch of 10 s: how often a second timers fired, by the place in the code that had set them.
 * `durable`: they also handle a durable event and a workflow, so that one of them leads each subscription.
 */
import timers from "node:timers";
import { performance } from "node:perf_hooks";
import process from "node:process";

/** How often timers fired in a stretch, a second, by the stack of the calls that set them. */
export interface IdleLine {
  readonly rates: readonly (readonly [stack: string, rate: number])[];
}

const STRETCH = 10_000;
const own = globalThis.setInterval;
const fired = new Map<string, number>();

/** Wraps a function that sets a timer, so that each call of its callback is counted. */
function counted<Set extends (callback: () => void, ms?: number) => unknown>(set: Set): Set {
  // cast: it takes and returns what `set` does
  return ((callback: () => void, ms?: number) => {
    const stack = new Error().stack!.split("\n").filter((line) => line.includes("/src/") || line.includes("nats-io"));
    const place = stack.filter((line) => !line.includes("clock.ts")).map((line) => line.trim()).slice(0, 2).join(" < ");
    return set(() => {
      fired.set(place, (fired.get(place) ?? 0) + 1);
      callback();
    }, ms);
  }) as Set;
}

// before Catga and nats.js are loaded: both keep the functions that they find
for (const owner of [timers, globalThis] as Record<"setTimeout" | "setInterval", typeof counted>[]) {
  owner.setTimeout = counted(owner.setTimeout);
  owner.setInterval = counted(owner.setInterval);
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
  const rates = [...fired].map(([stack, times]) => [stack, times / (now - begun) * 1_000] as const);
  const line: IdleLine = { rates: rates.toSorted(([, one], [, other]) => other - one) };
  console.log(JSON.stringify(line));
  fired.clear();
  begun = now;
}, STRETCH);
