/**
 * A node of a soak.
 *
 *   … test/soak/node.ts <nats url> <id> '<options as JSON>'
 *
 * Appends every run to its file before it answers.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, type Context, fail, type Strategy } from "@catga/catga";
import { LoopGaps } from "../processes/loop_gaps.ts";
import { type Skew, skewClock, trueNow } from "../processes/skewed_clock.ts";
import { LogFile, ranLine, stallLine } from "./log.ts";
import {
  answerTo,
  Inner,
  isOdd,
  type Letter,
  Read,
  Relay,
  tell,
  tellMemory,
  Told,
  View,
  type Work,
  Write,
} from "./messages.ts";
import { endOnError } from "./crash.ts";
import { lead, neverHandlers, onceHandlers, takeLocks } from "./state_work.ts";

/** Options of a node of a soak. */
export interface SoakNodeOptions {
  /** Where it writes its runs. */
  readonly folder: string;
  readonly service: string;
  /** In ms. */
  readonly heartbeat: number;
  readonly plant: Plant | undefined;
  readonly replicas: number;
  /** How wrong its wall clock is. */
  readonly skew: Skew;
  /** True if it has handlers that never settle, for which its drain waits. */
  readonly never: boolean;
  /** When it stops taking locks and leading, in ms since 1970; it does neither when left out. */
  readonly until?: number | undefined;
  /** True if some commands block the process, as a handler that computes does. */
  readonly blocked: boolean;
}

/** A bug for the checker to find: one in some hundred commands is answered and not written down, or is twice. */
export type Plant = "lost" | "twice";

const PLANTED = 300; // one command in so many numbers
/** One command in so many blocks its process. */
const BLOCKED = 5_000;
/** For how long at most, in ms: longer than a takeover takes. */
const BLOCK = 12_000;

endOnError();
const [urls, id, text] = process.argv.slice(2);
const { folder, service, heartbeat, plant, replicas, skew, never, until, blocked } = JSON.parse(
  text,
) as SoakNodeOptions;
const log = new LogFile(folder, "runs", id);
const onceLog = new LogFile(folder, "once", id);
const lockLog = new LogFile(folder, "locks", id);
skewClock(skew);
new LoopGaps((gap) => {
  log.write(stallLine(gap));
  lockLog.write(JSON.stringify({ event: "stall", at: gap.to, from: gap.from }) + "\n");
});

/** Another node than the sender, while there is one. */
const another: Strategy = (candidates, { self }) => {
  const others = candidates.filter((node) => node.id !== self);
  return others[Math.floor(Math.random() * others.length)] ?? candidates[0];
};

const started = Promise.withResolvers<Catga>();
const handlers = [
  Write.handle((work, ctx) => {
    const written = () => isOdd(work.n) ? fail("ODD", `${work.n} is odd`) : answerTo(work.n);
    return run("W", work, ctx, written);
  }),
  Read.handle((work, ctx) => run("Q", work, ctx, () => answerTo(work.n))),
  Inner.handle((work, ctx) => run("I", work, ctx, () => answerTo(work.n))),
  Relay.handle(async (work, ctx) => {
    note("R", work.n, ctx.id);
    const { ok, value, error } = await ctx.send(Inner, work, { route: another });
    if (!ok) return error.code;
    return value === answerTo(work.n) ? "ok" : `answered ${value}`;
  }),
  Told.on(({ n }, ctx) => note("E", n, ctx.id)),
  View.handle(() => app.nodes().map(({ endpoint }) => endpoint)),
  ...onceHandlers(
    started.promise.then(({ self }) => self.endpoint),
    (line) => onceLog.write(JSON.stringify(line) + "\n"),
  ),
  ...never ? neverHandlers(started.promise) : [],
];

const nats = urls.includes(",") ? { servers: urls.split(","), noRandomize: true } : urls;
const app = await catga({ nats, id, service, heartbeat, replicas, handlers, signals: true });
started.resolve(app);
tell({ event: "ready", at: trueNow(), endpoint: app.self.endpoint });
tellMemory();
if (until !== undefined) {
  lead(app, until);
  await takeLocks(app, until, (line) => lockLog.write(JSON.stringify(line) + "\n"));
}

/** Writes it down, takes its time, and answers. */
function run<R>(letter: Letter, { n, ms }: Work, ctx: Context, answer: () => R): R | Promise<R> {
  if (letter === "W" && n % PLANTED === 0 && plant !== undefined) {
    if (plant === "twice") note(letter, n, ctx.id);
    else return answer();
  }
  note(letter, n, ctx.id);
  if (blocked && letter === "W" && Math.random() < 1 / BLOCKED) block(200 + Math.random() ** 2 * BLOCK);
  return ms === 0 ? answer() : wait(ms).then(answer);
}

/** Nothing else of the process runs meanwhile. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function note(letter: Letter, n: number, messageId: string): void {
  log.write(ranLine({ letter, n, at: trueNow(), service }, messageId));
}
