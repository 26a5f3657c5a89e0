import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { CatgaError } from "../error.ts";
import type { RecordedMessage } from "../contract/nodes/attached_store.ts";
import { type Appended, neverStored, notStoredNow } from "../ports/event_log.ts";
import { delay } from "../ports/clock.ts";
import { holdOf } from "./held_rows.ts";
import { Relay } from "./relay.ts";
import { isCall, type OutboxRow } from "./relay_plan.ts";
import type { ChosenRuns } from "./relay_table.ts";

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
        raiseMark: () => later(undefined),
        forgetMark: () => later(undefined),
      },
      start: () => Promise.reject(new Error("no starts here")),
      tell: () => Promise.reject(new Error("no signals here")),
      fault: (during, error) => void faults.push(`${during}: ${(error as Error).message}`),
    },
    table: {
      begin: () => later({ term: 1, note: "[]", rows: [] }),
      resume() {},
      take: () => later({ rows: rows < most ? [next()] : [], oldest: 5 }),
      runs: () => [],
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

/** A relay whose outbox has the rows of `rows`. `append`: what the log does not store; `start`: the same of runs. */
function relaying(
  rows: OutboxRow[],
  { append: refuses = () => undefined, start = () => undefined }: {
    append?(message: RecordedMessage): Appended | undefined;
    start?(run: string): CatgaError | undefined;
  },
) {
  const clock = VirtualClock.ofTicks();
  const log: string[] = [];
  const append = async (message: RecordedMessage): Promise<Appended> => {
    await delay(clock, 5);
    const refused = refuses(message);
    if (refused !== undefined) return refused;
    const sequence = log.push(...message.items);
    return { type: "stored", sequence, duplicate: false };
  };
  const relay = new Relay({
    name: "main",
    table: {
      begin: () => ({ term: 1, note: "[]", rows: [] }),
      resume() {},
      take: (most, without, held = []) => {
        // a run may be held by itself, or with all of its workflow
        const isHeld = (row: OutboxRow) => held.includes(holdOf(row)) || held.includes(`run\n${row.contract}`);
        const [known, left] = [new Set(without), rows.filter((row) => !isHeld(row))];
        const taken = left.filter(({ n }) => !known.has(n)).slice(0, most);
        return { rows: taken, oldest: taken.length === 0 ? 0 : 10 };
      },
      runs: (chosen) => runsOf(rows, chosen),
      note: ({ stored }) => {
        const gone = new Set(stored);
        rows.splice(0, rows.length, ...rows.filter(({ n }) => !gone.has(n)));
        return true;
      },
      refuse: (refused) => {
        throw new Error(`refused: ${refused[0].why}`);
      },
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
        raiseMark: () => Promise.resolve(),
        forgetMark: () => Promise.resolve(),
      },
      start: async ({ run }) => {
        await delay(clock, 5);
        const error = start(run);
        if (error !== undefined) return { ok: false, error };
        log.push(run);
        return { ok: true, value: run };
      },
      tell: async (_, run, __, { id }) => {
        await delay(clock, 5);
        if (!log.includes(`id-${run}`)) return { ok: false, error: new CatgaError("NO_RUN", run) };
        log.push(id);
        return { ok: true, value: undefined };
      },
      ...{ clock, fault() {} },
    },
  });
  const over = new AbortController();
  const leading = relay.lead(over.signal);
  const end = async () => {
    over.abort();
    await clock.until(leading);
  };
  return { relay, clock, log, end };
}

/** Implements {@link RelayTable.runs} for the rows of an outbox. */
function runsOf(rows: readonly OutboxRow[], { workflow, after, most, without }: ChosenRuns): OutboxRow[] {
  const known = new Set(without);
  const own = rows.filter(({ n, kind, contract }) => isCall(kind) && contract === workflow && !known.has(n));
  const firsts = new Map(own.toReversed().map(({ key, n }) => [key, Number(n)]));
  return own.filter(({ key }) => firsts.get(key)! > Number(after)).slice(0, most);
}

function rowOf(n: number, { contract = "E", key = "k", kind = "event" }: Partial<OutboxRow> = {}): OutboxRow {
  const head = JSON.stringify({ keep: 1, given: false });
  return { n: `${n}`, kind, contract, key, id: `id-${n}`, body: `${n}`, head };
}

const away = new CatgaError("UNAVAILABLE", "away");

describe("the relay of an outbox", () => {
  it("keeps the order of a key if the log refuses several rows as one message, and takes them alone", async () => {
    const rows = Array.from({ length: 600 }, (_, n) => rowOf(n + 1));
    const tooMany = neverStored(new CatgaError("TOO_LARGE", "too many"));
    const { clock, log, end } = relaying(rows, {
      append: ({ items }) => items.length > 100 ? tooMany : undefined,
    });
    await clock.until(delay(clock, 60_000));
    await end();
    assertEquals([log.length, log.findIndex((item, index) => item !== `${index + 1}`)], [600, -1]);
  });

  for (
    const [outcome, fails] of [["not", notStoredNow(away)], ["perhaps", { type: "unknown", error: away }]] as const
  ) {
    it(`goes on with others beside 3,000 messages that are ${outcome} stored, and then has all in order`, async () => {
      const bad = Array.from({ length: 3_000 }, (_, n) => rowOf(n + 1, { contract: "Bad", key: `${n % 1_500}` }));
      const good = Array.from({ length: 2_500 }, (_, n) => rowOf(3_001 + n));
      let isMended = false;
      const { relay, clock, log, end } = relaying([...bad, ...good], {
        append: ({ contract }) => contract === "Bad" && !isMended ? fails : undefined,
      });
      await clock.until(delay(clock, 20_000));
      assertEquals([log.length, log.findIndex((item, index) => item !== `${index + 3_001}`)], [2_500, -1]);
      assertEquals(relay.health.error, "UNAVAILABLE: away");
      assert(relay.health.oldest >= 20_000, `${relay.health.oldest}`);
      isMended = true;
      await clock.until(delay(clock, 20_000));
      await end();
      const places = new Map(log.map((item, index) => [Number(item), index]));
      assertEquals([log.length, places.size], [5_500, 5_500]);
      // the second row of each key is behind the first
      for (let n = 1; n <= 1_500; n++) assert(places.get(n)! < places.get(n + 1_500)!, `${n}`);
      assertEquals([relay.health.error, relay.health.oldest], [undefined, 0]);
    });
  }

  it("goes on with other runs beside 1,500 that cannot be started now", async () => {
    const runs = Array.from(
      { length: 1_500 },
      (_, n) => rowOf(n + 1, { kind: "start", contract: "Flow", key: `${n}` }),
    );
    const good = Array.from(
      { length: 3 },
      (_, n) => rowOf(1_501 + n, { kind: "start", contract: "Good", key: `${n}` }),
    );
    let isMended = false;
    const bad = new Set(runs.map(({ id }) => id));
    const { clock, log, end } = relaying([...runs, ...good], {
      start: (run) => bad.has(run) && !isMended ? away : undefined,
    });
    await clock.until(delay(clock, 20_000));
    assertEquals(log, good.map(({ id }) => id));
    isMended = true;
    await clock.until(delay(clock, 20_000));
    await end();
    assertEquals([log.length, new Set(log).size], [1_503, 1_503]);
  });

  for (const many of [1_500, 3_000]) {
    it(`goes on with other runs of a workflow of which ${many} cannot be started now`, async () => {
      const row = (n: number, kind: OutboxRow["kind"] = "start", key = `${n}`) =>
        rowOf(n, { kind, contract: "Flow", key });
      const bad = Array.from({ length: many }, (_, n) => row(n + 1));
      const rows = [...bad, row(many + 1), row(many + 2, "tell", `${many + 1}`), row(many + 3, "tell", "1")];
      let mended = Infinity;
      const { relay, clock, log, end } = relaying(rows, {
        start: (run) => Number(run.slice(3)) <= Math.min(many, mended) ? away : undefined,
      });
      const waitFor = async (what: () => boolean, most: number) => {
        const begin = clock.now();
        await clock.until((async () => {
          while (!what()) await delay(clock, 10);
        })());
        assert(clock.now() - begin <= most, `${clock.now() - begin} ms`);
      };
      // a thousand a second
      await waitFor(() => log.length === 2, 2_000 + many);
      assertEquals(log, [`id-${many + 1}`, `id-${many + 2}`]);
      // each new one soon, also after a while
      await clock.until(delay(clock, 20_000));
      rows.push(row(many + 4));
      await waitFor(() => log.length === 3, 1_000);
      assertEquals(relay.health.error, "UNAVAILABLE: away");
      const why = (key: number) => relay.why({ kind: "tell", contract: "Flow", key: `${key}` });
      assertEquals([why(1), relay.why(rowOf(1))], ["UNAVAILABLE: away", undefined]);
      // one of those that wait
      mended = 0;
      await waitFor(() => log.length === many + 4, 20_000 + many);
      await end();
      assertEquals([new Set(log).size, log.indexOf("id-1") < log.indexOf(`id-${many + 3}`)], [many + 4, true]);
      assertEquals([relay.health.error, relay.health.oldest], [undefined, 0]);
    });
  }

  it("holds up no other run of a workflow for one that cannot be started now", async () => {
    const rows = Array.from({ length: 5 }, (_, n) => rowOf(n + 1, { kind: "start", contract: "Flow", key: `${n}` }));
    const { clock, log, end } = relaying(rows, { start: (run) => run === "id-1" ? away : undefined });
    await clock.until(delay(clock, 5_000));
    await end();
    assertEquals(log, ["id-2", "id-3", "id-4", "id-5"]);
  });
});
