/**
 * One stream between two processes over frames that are lost, late and repeated, drawn from one seed: the two state
 * machines of its items, with a carrier that knows what a node knows of frames. Either process may die at any step, the
 * reader may sleep or give up, and a liar sends reports of its own. Checked all the while: items come in order, each
 * once, neither side keeps more than the window, and the stream ends.
 *
 *   deno run -A test/simulation/stream_simulation.ts 42
 *
 * prints what went wrong, for `0..999` that of each of these seeds.
 *
 * @module
 */
import process from "node:process";
import type { Window } from "../../src/contract/declaration/definition.ts";
import { ReceivedFrames } from "../../src/cluster/wire/received_frames.ts";
import type { ItemSource, ItemWriter } from "../../src/dispatch/item_ports.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { ItemReceiver, ItemSender } from "../../src/streams/flow_control.ts";

/** A rule that is left out. */
export type StreamPlant =
  /** What came before is taken again. */
  | "repeats"
  /** What comes behind a gap is taken. */
  | "gaps"
  /** A gap in frames says nothing. */
  | "doubt"
  /** A report of missing frames says nothing. */
  | "missing"
  /** What was sent is not kept. */
  | "again"
  /** The reader has always room. */
  | "window"
  /** The reader is never asked. */
  | "ask"
  /** The end does not wait for the reader. */
  | "end"
  /** Any report is believed. */
  | "report";

/** What came of the run of a seed. */
export interface SimulatedStream {
  readonly violations: readonly string[];
  readonly sums: Readonly<Record<Sum, number>>;
}

const SUMS = ["ended", "broken", "lost", "late", "repeated", "left", "full"] as const;
type Sum = (typeof SUMS)[number];

type Item =
  | { kind: "i"; n: number; list: unknown[] }
  | { kind: "a" | "z"; n: number }
  | { kind: "w"; consumed: number; received: number; again: boolean }
  | { kind: "p" }
  | { kind: "o"; missing: number[] };

/** A frame on its way. */
interface Moving {
  readonly seq: number;
  readonly items: readonly Item[];
  readonly at: number;
}

/** The way of frames in one direction. */
class Way {
  readonly received = new ReceivedFrames();
  seq = 1_000;
  moving: Moving[] = [];
  items: Item[] = [];
  lostUpTo = 0;
}

/** Plays the run of a seed. */
export function simulateStream(seed: number, plant?: StreamPlant): SimulatedStream {
  const random = seededRandom(seed);
  const violations: string[] = [];
  const sums = Object.fromEntries(SUMS.map((sum) => [sum, 0])) as Record<Sum, number>;
  const among = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  const window: Window = { items: [1, 2, 7, 256][among(0, 3)], bytes: [1, 50, 1_000, 1_048_576][among(0, 3)] };
  const count = among(0, 600);
  const strings = count % 2 === 0 ? count : count / 3;
  let loss = [0, 0.02, 0.1, 0.2][among(0, 3)];
  // then what was lost by then has to be found without the help of further losses
  const losesUntil = among(10, 500);
  const sleepy = [0.1, 0.9, 0.5][among(0, 2)];
  const [deathAt, leavesAt] = [among(0, 5) === 0 ? among(0, 500) : -1, among(0, 5) === 0 ? among(0, 500) : -1];
  const [down, up] = [new Way(), new Way()]; // to the reader, and to the handler
  let cutUntil = 0;
  let now = 0;

  const line: ItemWriter = {
    items(n, list, first, strings) {
      const values = list.slice(first);
      down.items.push({ kind: "i", n, list: strings ? values : values.map((text) => JSON.parse(text)) });
    },
    ask: (n) => plant !== "ask" && down.items.push({ kind: "a", n }),
    end: (n) => void down.items.push({ kind: "z", n }),
  };
  const source: ItemSource = {
    reportProgress: (consumed, received, again) => void up.items.push({ kind: "w", consumed, received, again }),
  };
  const sender = new ItemSender(plant === "window" ? { items: Infinity, bytes: Infinity } : window, { gather() {} });
  const receiver = new ItemReceiver(plant === "window" ? Infinity : window.items);
  let [made, taken, reports] = [0, 0, 0];
  let [over, finished, dead, left] = [false, false, false, false];

  const toReader = (item: Item) => {
    if (item.kind === "i") {
      const n = plant === "repeats" || (plant === "gaps" && item.n > receiver.received) ? receiver.received : item.n;
      receiver.items(source, n, item.list, 0);
    } else if (item.kind === "a") receiver.report(source, item.n);
    else if (item.kind === "z") receiver.end(source, item.n);
    else if (item.kind === "o") {
      if (item.missing.length > 0 && item.missing.at(-1)! > up.lostUpTo) {
        up.lostUpTo = item.missing.at(-1)!;
        if (plant !== "missing") receiver.doubt(source);
      }
    }
  };
  const toHandler = (item: Item) => {
    if (item.kind === "p") down.items.push({ kind: "o", missing: up.received.report() });
    if (item.kind !== "w") return;
    if (plant === "report" && random() < 0.01) over = finished = true;
    sender.onProgress(item.consumed, item.received, plant !== "again" && item.again);
  };
  const deliver = (way: Way, to: (item: Item) => void, doubtful: boolean) => {
    const due = way.moving.filter(({ at }) => at <= now);
    way.moving = way.moving.filter(({ at }) => at > now);
    for (const { seq, items } of due) {
      const { upTo } = way.received;
      way.received.take(seq);
      for (const item of items) to(item);
      if (upTo > 0 && seq > upTo + 1 && doubtful && plant !== "doubt") receiver.doubt(source);
    }
  };
  const flush = (way: Way) => {
    if (way.items.length === 0) return;
    const items = way.items.splice(0);
    const moving = { seq: ++way.seq, items, at: now + among(1, 3) };
    const last = way.moving.at(-1);
    if (last !== undefined && last.at > moving.at) moving.at = last.at; // one connection keeps the order
    if (now < cutUntil || random() < loss) {
      sums.lost++;
      // what was under way when a connection broke may come late
      if (random() < 0.2) sums.late++, way.moving.push({ ...moving, at: now + among(50, 2_000) });
      return;
    }
    way.moving.push(moving);
    if (random() < loss / 4) sums.repeated++, way.moving.push(moving);
    way.moving.sort((a, b) => a.at - b.at || a.seq - b.seq);
  };

  for (; now < 30_000 && !finished && !dead && !left; now++) {
    if (now === losesUntil) loss = 0;
    if (now === deathAt) dead = true;
    if (loss > 0 && random() < 0.001) cutUntil = now + among(10, 1_000);
    // the handler's turn
    let turns = among(0, 300);
    while (turns-- > 0 && made < count && sender.room) {
      if (made < strings) sender.send(`${made++}`);
      else sender.text(`"${made++}"`);
    }
    if (made < count && !sender.room) sums.full++;
    if (made === count && !over) {
      over = true;
      sender.end();
    }
    if (over && (plant === "end" || sender.delivered) && !finished) finished = true;
    sender.write(line);
    flush(down);
    // the reader's turn
    if (now % 100 === 0) up.items.push({ kind: "p" });
    deliver(down, toReader, true);
    deliver(up, toHandler, false);
    if (receiver.size > window.items + 1) {
      if (reports++ === 0) violations.push(`the reader keeps ${receiver.size} of ${window.items} items`);
    }
    let reads = random() < sleepy ? 0 : among(1, 300);
    while (reads-- > 0 && receiver.size > 0) {
      const item = receiver.take(source);
      if (item !== `${taken}`) violations.push(`item ${taken} is ${item}`);
      taken++;
    }
    if (now === leavesAt) left = true;
    flush(up);
    // somebody else's reports
    if (random() < 0.01) sender.onProgress(made + among(1, 9), made + among(1, 9), random() < 0.5);
    if (random() < 0.01) sender.onProgress(made + among(1, 9), among(0, made), true);
    if (violations.length > 3) break;
  }
  if (finished) {
    while (receiver.size > 0) {
      const item = receiver.take(undefined);
      if (item !== `${taken}`) violations.push(`item ${taken} is ${item}`);
      taken++;
    }
    if (taken !== count || !receiver.complete(count)) violations.push(`${taken} of ${count} items came, and it ended`);
    sums.ended++;
  } else if (dead) sums.broken++;
  else if (left) sums.left++;
  else violations.push(`it has not ended: ${taken} of ${count} items came`);
  return { violations, sums };
}

/** Reads a seed, or `from..to`. */
if (import.meta.main) {
  const [which = "0", plant] = process.argv.slice(2);
  const [from, to = from] = which.split("..").map(Number);
  const red: number[] = [];
  for (let seed = from; seed <= to; seed++) {
    const { violations } = simulateStream(seed, plant as StreamPlant | undefined);
    if (violations.length === 0) continue;
    red.push(seed);
    if (red.length < 4) console.log(JSON.stringify({ seed, violations: violations.slice(0, 4) }));
  }
  console.log(JSON.stringify({ red: red.length, of: to - from + 1 }));
}
