import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { CatgaError } from "../error.ts";
import type { RecordedMessage } from "../contract/nodes/attached_store.ts";
import { type Appended, neverStored } from "../ports/event_log.ts";
import { delay } from "../ports/clock.ts";
import { Relay } from "./relay.ts";
import type { OutboxRow } from "./relay_plan.ts";

/** A relay that leads, of an outbox where each look finds a new row, `most` in all. `append`: answers of the log. */
function start(append: () => Appended, most = Infinity) {
  const clock = new VirtualClock();
  const faults: string[] = [];
  const noted: string[][] = [];
  let [rows, settled] = [0, 0];
  const next = (): OutboxRow => ({
    ...{ n: `${++rows}`, kind: "event", contract: "E", key: null, id: `${rows}`, body: "[1]" },
    head: '{"keep":1,"given":false}',
  });
  // each call takes a while, as over a network
  const later = <T>(value: T) => delay(clock, 5).then(() => value);
  const relay = new Relay({
    name: "main",
    host: {
      clock,
      log: {
        append: () => later(append()),
        end: () => later(7),
        stored: () => later(new Set<string>()),
        mark: () => later(undefined),
        setMark: () => later(undefined),
      },
      start: () => Promise.reject(new Error("no starts here")),
      tell: () => Promise.reject(new Error("no signals here")),
      fault: (during, error) => void faults.push(`${during}: ${(error as Error).message}`),
    },
    table: {
      begin: () => later({ term: 1, note: "[]", rows: [] }),
      resume() {},
      take: () => later({ rows: rows < most ? [next()] : [], oldest: 5 }),
      note: ({ stored }) => {
        noted.push([...stored]);
        return later(true);
      },
      refuse() {},
      refused: () => later(0),
      forget: () => later(false),
      settle() {
        settled++;
        throw new Error("permission denied for sequence");
      },
    },
  });
  const over = new AbortController();
  const led = relay.lead(over.signal);
  const end = async () => {
    over.abort();
    await clock.until(led);
  };
  return { clock, relay, faults, noted, end, rows: () => rows, settled: () => settled };
}

describe("the relay of an outbox that is never empty", () => {
  it("is as late as its oldest row, not as long as there have been rows", async () => {
    const { clock, relay, end, rows } = start(() => ({ type: "stored", sequence: 8, duplicate: false }));
    await clock.advance(60_000);
    assert(rows() > 100, `${rows()}`);
    const { leads, oldest, error } = relay.health;
    assertEquals([leads, oldest < 1_000, error], [true, true, undefined]);
    await end();
    assertEquals(relay.health.leads, false);
  });

  it("grows older while the log does not answer, and says why", async () => {
    const error = new CatgaError("UNAVAILABLE", "no leader");
    const { clock, relay, end } = start(() => ({ type: "unknown", error }), 5);
    await clock.advance(200_000);
    const { oldest, error: why } = relay.health;
    assertEquals(why, "UNAVAILABLE: no leader");
    assert(oldest > 190_000 && oldest < 210_000, `${oldest}`);
    await end();
  });

  it("goes on without a right that it needs only to keep the tables small, and reports it", async () => {
    const { clock, faults, noted, end, settled } = start(() => ({ type: "stored", sequence: 8, duplicate: false }));
    await clock.advance(10_000);
    assert(settled() > 2, `${settled()}`);
    const before = noted.flat().length;
    await clock.advance(10_000);
    assert(noted.flat().length > before);
    assertEquals(new Set(faults), new Set(["tidying the tables of the store main: permission denied for sequence"]));
    await end();
  });
});

/** A relay whose outbox has the rows of `rows`, and whose log stores what `refuses` returns nothing for. */
function relaying(rows: OutboxRow[], refuses: (message: RecordedMessage) => string | undefined) {
  const clock = VirtualClock.ofTicks();
  const log: string[] = [];
  const append = async (message: RecordedMessage): Promise<Appended> => {
    await delay(clock, 5);
    const why = refuses(message);
    if (why !== undefined) return neverStored(new CatgaError("TOO_LARGE", why));
    const sequence = log.push(...message.items);
    return { type: "stored", sequence, duplicate: false };
  };
  const never = () => Promise.reject(new Error("not in this test"));
  const relay = new Relay({
    name: "main",
    table: {
      begin: () => ({ term: 1, note: "[]", rows: [] }),
      resume() {},
      take: (most, without) => {
        const left = rows.filter(({ n }) => !without.includes(n)).slice(0, most);
        return { rows: left, oldest: left.length === 0 ? 0 : 10 };
      },
      note: ({ stored }) => {
        const gone = new Set(stored);
        rows.splice(0, rows.length, ...rows.filter(({ n }) => !gone.has(n)));
        return true;
      },
      refuse: () => {},
      refused: () => 0,
      forget: () => false,
      settle() {},
    },
    host: {
      log: {
        append,
        end: () => Promise.resolve(log.length),
        stored: () => Promise.resolve(new Set()),
        mark: () => Promise.resolve(undefined),
        setMark: () => Promise.resolve(),
      },
      ...{ clock, start: never, tell: never, fault() {} },
    },
  });
  return { relay, clock, log };
}

function rowOf(n: number): OutboxRow {
  const head = JSON.stringify({ keep: 1, given: false });
  return { n: `${n}`, kind: "event", contract: "E", key: "k", id: `id-${n}`, body: `${n}`, head };
}

describe("the relay of an outbox", () => {
  it("keeps the order of a key if the log refuses several rows as one message, and takes them alone", async () => {
    const rows = Array.from({ length: 600 }, (_, n) => rowOf(n + 1));
    const { relay, clock, log } = relaying(rows, ({ items }) => items.length > 100 ? "too many" : undefined);
    const over = new AbortController();
    const leading = relay.lead(over.signal);
    await clock.until(delay(clock, 60_000));
    over.abort();
    await clock.until(leading);
    assertEquals([log.length, log.findIndex((item, index) => item !== `${index + 1}`)], [600, -1]);
  });
});
