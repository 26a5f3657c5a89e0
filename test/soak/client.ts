/**
 * A client of a soak: sends commands, queries and events at a given rate, and writes down their results.
 *
 *   … test/soak/client.ts <nats url> <id> '<options as JSON>'
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { catga, type Result, type SendOptions } from "@catga/catga";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { LoopGaps } from "../processes/loop_gaps.ts";
import { endOnError } from "./crash.ts";
import { LogFile, stallLine, toldLine, UNSETTLED, WRONG } from "./log.ts";
import { sendNever, sendOnce } from "./state_load.ts";
import { answerTo, type Letter, Read, Relay, tell, tellMemory, Told, View, Write } from "./messages.ts";

/** Options of a client of a soak. */
export interface SoakClientOptions {
  /** Where it writes its results. */
  readonly folder: string;
  /** Which client it is of how many. */
  readonly client: number;
  readonly clients: number;
  readonly seed: number;
  /** Sends a second. */
  readonly rate: number;
  /** When it stops sending, in ms since 1970. */
  readonly until: number;
  /** In ms. */
  readonly heartbeat: number;
  readonly replicas: number;
  /** True if there is shared state in it, and user code that never settles. */
  readonly state: boolean;
}

/** A send that has not settled. */
interface Open {
  readonly letter: Letter;
  readonly since: number;
  readonly timeout: number;
}

const TICK = 5; // ms
const LEAST = 1_000; // ms
const BURST = 10; // ticks' worth at most when there was no time to send
const MAX_OPEN = 4_000; // what a frozen node holds up must not stop the rest
const TIMEOUTS = [1_000, 2_000, 5_000] as const;
const GRACE = 5_000; // ms after the last deadline
const STEP = 100; // ms
const WRITE = 100; // ms between writes to the log

endOnError();
const [urls, id, text] = process.argv.slice(2);
const { folder, client, clients, seed, rate, until, heartbeat, replicas, state } = JSON.parse(
  text,
) as SoakClientOptions;
const random = seededRandom(seed + client + 1);
const log = new LogFile(folder, "told", id);
const open = new Map<number, Open>();
let lines = "";
let sent = 0;
let settled = 0;
let answered = 0;
const gaps = new LoopGaps((gap) => lines += stallLine(gap));

const app = await catga({
  nats: urls.includes(",") ? { servers: urls.split(","), noRandomize: true } : urls,
  id,
  service: "client",
  heartbeat,
  replicas,
  handlers: View.handle(() => app.nodes().map(({ endpoint }) => endpoint)),
  signals: true,
});
tell({ event: "ready", at: Date.now(), endpoint: app.self.endpoint });
tellMemory(sums);
setInterval(write, WRITE).unref();

const stateful = state ? [sendOnce(app, { folder, id, until }, gaps), sendNever(app, { folder, id, until }, gaps)] : [];

let credit = 0;
let last = performance.now();
// a machine on which it has just come up has it send for a while all the same
const end = Math.max(until, Date.now() + LEAST);
while (Date.now() < end) {
  await wait(TICK);
  const now = performance.now();
  credit = Math.min(credit + (now - last) * rate / 1_000, rate * TICK * BURST / 1_000);
  last = now;
  for (; credit >= 1 && open.size < MAX_OPEN; credit--) send();
}
// in steps, as `settledWithin`: after a pause of the process a deadline still comes before the end of the grace
for (let waited = 0; open.size > 0 && waited < Math.max(...TIMEOUTS) + GRACE; waited += STEP) await wait(STEP);
for (const n of [...open.keys()]) settle(n, UNSETTLED);
await Promise.all(stateful);
write();
tell({ event: "done", at: Date.now(), sums: sums() });

function send(): void {
  const n = sent++ * clients + client;
  const draw = random();
  const letter: Letter = draw < 0.45 ? "W" : draw < 0.8 ? "Q" : draw < 0.9 ? "E" : "R";
  const timeout = TIMEOUTS[Math.floor(random() * TIMEOUTS.length)];
  open.set(n, { letter, since: performance.now(), timeout });
  if (letter === "E") return void app.publish(Told, { n }).then((result) => take(n, result));
  // most are answered in the turn in which they come; some are at work when their node is killed
  const ms = random() < 0.8 ? 0 : Math.ceil(random() ** 4 * 200);
  const options = { timeout, ...drawn(timeout) };
  if (letter === "R") {
    app.send(Relay, { n, ms }, options).then((result) => {
      if (result.ok) note("I", n, result.value, 0, 0);
      take(n, result);
    });
  } else app.send(letter === "W" ? Write : Read, { n, ms }, options).then((result) => take(n, result, answerTo(n)));
}

/** A way of its own for some of the sends, and an early end. */
function drawn(timeout: number): SendOptions {
  const draw = random();
  const giveUp = random() < 0.005 ? { signal: AbortSignal.timeout(Math.ceil(random() * timeout / 10)) } : {};
  if (draw < 0.15) return { route: "hash", ...giveUp };
  if (draw < 0.25) return { route: "least-loaded", ...giveUp };
  return draw < 0.4 ? { route: "random", ...giveUp } : giveUp;
}

function take(n: number, result: Result<unknown>, right?: number): void {
  if (!result.ok) {
    if (result.error.code === "ODD") answered++;
    return settle(n, result.error.code);
  }
  answered++;
  settle(n, right === undefined || result.value === right ? "ok" : WRONG);
}

function settle(n: number, told: string): void {
  const sending = open.get(n);
  if (sending === undefined) return; // after it was given up
  open.delete(n);
  const { letter, since, timeout } = sending;
  settled++;
  gaps.beat();
  note(letter, n, told, performance.now() - since, timeout);
}

function note(letter: Letter, n: number, told: string, took: number, timeout: number): void {
  lines += toldLine({ letter, n, told, at: Date.now(), took, timeout });
}

function write(): void {
  if (lines !== "") log.write(lines);
  lines = "";
}

function sums() {
  return { sent, settled, answered };
}
