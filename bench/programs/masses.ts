/**
 * A node with a durable event and a workflow, which the bench asks for millions of both: it publishes and handles
 * events with a short `keep`, and starts, drives and wakes runs that wait.
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { catga, event, unwrap, workflow } from "../../mod.ts";
import { answer } from "./answer.ts";
import type { RemoteOptions } from "./remote.ts";

const { url, group, variant } = JSON.parse(process.argv[2]) as RemoteOptions;

/** The shortest time that the log may keep a message. */
const KEEP = 120_000;
const KEYS = 1_000;

/** Which it is, of all that are published. */
interface Made {
  readonly at: number;
}

const Made = event<Made>("Made", { durable: { keep: KEEP }, key: ({ at }) => String(at % KEYS) });
const Wait = workflow<{ at: number }, number>("Wait");
const Go = Wait.signal("Go");

let handled = 0;
let repeats = 0;
let disorders = 0;
const lastOf = new Array<number>(KEYS).fill(-1);
const handlers = variant === "client" ? [] : [
  Made.on(({ at }) => {
    const last = lastOf[at % KEYS];
    if (at <= last) repeats++;
    else {
      if (last >= 0 && at !== last + KEYS) disorders++;
      lastOf[at % KEYS] = at;
      handled++;
    }
  }, { name: "counter" }),
  Wait.handle(async (flow, { at }) => {
    await flow.step("prepare", () => at);
    await flow.wait(Go);
    return at;
  }),
];
const said: string[] = [];
const note = (line: string) => void said.push(line);
const began = performance.now();
const app = await catga({
  ...{ nats: url, namespace: group, handlers, service: variant === "client" ? "client" : "node" },
  logger: { debug() {}, info() {}, warn: note, error: note },
});
const took = performance.now() - began;
const patient = { timeout: 240_000 };

/** Works on so many, `outstanding` at once; gives how many a second. */
async function many(
  from: number,
  to: number,
  outstanding: number,
  one: (at: number) => Promise<void>,
): Promise<number> {
  const began = performance.now();
  let next = from;
  await Promise.all(Array.from({ length: outstanding }, async () => {
    while (next < to) await one(next++);
  }));
  return (to - from) / (performance.now() - began) * 1_000;
}

/** A part, by numbers. */
interface Part {
  readonly from: number;
  readonly to: number;
}

answer({
  /** How long `catga()` took, in ms. */
  started: () => took,
  /** Publishes a part; gives events a second. */
  publish: ({ from, to }: Part) =>
    many(from, to, 512, async (at) => void unwrap(await app.publish(Made, { at }, { id: `made-${at}` }))),
  /** What this node has handled, once each, in the order of its key; what came again; what was out of order. */
  handled: () => ({ handled, repeats, disorders }),
  /** Starts a part; gives runs a second. */
  start: ({ from, to }: Part) =>
    many(from, to, 256, async (at) => void unwrap(await app.start(Wait, { at }, { id: `w${at}` }))),
  /** How many runs of a part wait for their signal. */
  async waiting({ from, to }: Part): Promise<number> {
    let waiting = 0;
    await many(from, to, 64, async (at) => {
      for await (const { status } of app.runs({ workflow: "Wait", id: `w${at}` })) {
        waiting += status === "waiting" ? 1 : 0;
      }
    });
    return waiting;
  },
  /** Tells each run of a part and waits for its end, one after the other; the time of each in ms. */
  async wake({ from, to }: Part): Promise<number[]> {
    const times: number[] = [];
    await many(from, to, 1, async (at) => {
      const began = performance.now();
      unwrap(await app.tell(Go, `w${at}`));
      if (unwrap(await app.result(Wait, `w${at}`, patient)) !== at) throw new Error(`w${at} has another result`);
      times.push(performance.now() - began);
    });
    return times;
  },
  /** The same for many at once; gives runs a second. */
  wakeMany: ({ from, to }: Part) =>
    many(from, to, 256, async (at) => {
      unwrap(await app.tell(Go, `w${at}`));
      if (unwrap(await app.result(Wait, `w${at}`, patient)) !== at) throw new Error(`w${at} has another result`);
    }),
  /** Warnings and errors since they were asked for before. */
  said: () => said.splice(0),
});
