import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { LogLine } from "../processes/log_messages.ts";
import { type Intended, LogHistory, type LogHistoryOptions, streamViolations } from "./log_history.ts";

/** Lines of a history, one for each word: `publish a`, `begin a`, … at times that grow by 10 ms. */
class Written {
  readonly lines: LogLine[] = [];
  readonly #positions = new Map<string, number>();
  #at = 0;
  #runs = 0;

  get #now(): number {
    return this.#at += 10;
  }

  /** Publishes entries of the key `k`; each is stored behind the one before it. */
  publish(...entries: string[]): this {
    for (const entry of entries) {
      const seq = this.#positions.size;
      this.#positions.set(entry, 1_000 + seq);
      this.lines.push({ event: "intent", entry, by: "p", category: "Happened", key: "k", seq, at: this.#now });
      this.came(entry, "ok");
    }
    return this;
  }

  came(entry: string, event: "ok" | "failed" | "unknown"): this {
    this.lines.push({ event, entry, at: this.#now });
    return this;
  }

  begin(
    entry: string,
    more: { pid?: number; attempt?: number; position?: number; fence?: number; key?: string } = {},
  ): string {
    const run = `r${++this.#runs}`;
    const position = this.#positions.get(entry) ?? 9;
    const seq = position - 1_000;
    const about = { sub: "s", entry, category: "Happened", key: "k", seq, position, attempt: 1, fence: 1, pid: 1 };
    this.lines.push({ event: "begin", ...about, run, at: this.#now, ...more });
    return run;
  }

  end(run: string, how: "ok" | "failed" | "aborted" = "ok"): this {
    this.lines.push({ event: "end", run, how, at: this.#now });
    return this;
  }

  handle(entry: string, more: { pid?: number; attempt?: number; position?: number; fence?: number } = {}): this {
    return this.end(this.begin(entry, more));
  }

  fail(entry: string, attempt: number): this {
    return this.end(this.begin(entry, { attempt }), "failed");
  }

  add(line: LogLine extends infer L ? L extends unknown ? Omit<L, "at"> : never : never): this {
    this.lines.push({ ...line, at: this.#now } as LogLine);
    return this;
  }

  pass(ms: number): this {
    this.#at += ms;
    return this;
  }

  history(options?: LogHistoryOptions): LogHistory {
    const history = new LogHistory(options);
    for (const line of this.lines) history.take(line);
    return history;
  }
}

const again = (first: string, ms: number, second: string) =>
  `s a: handled by process ${first}, and again ${ms} ms later, without a fault since, by process ${second}`;

const violations = (written: Written, options?: LogHistoryOptions) => written.history(options).violations;

describe("the checker of the log", () => {
  it("accepts messages that are handled in order", () => {
    const history = new Written().publish("a", "b").handle("a").handle("b").history();
    assertEquals(history.violations, []);
    assertEquals(history.missing("s"), []);
    assertEquals(history.handled("s"), ["a", "b"]);
    assertEquals(history.orderViolations(), []);
  });

  it("says which stored messages a subscription has not handled", () => {
    const written = new Written().publish("a", "b", "c").handle("a").fail("b", 1);
    written.begin("c");
    const history = written.history();
    assertEquals(history.missing("s"), ["b", "c"]);
    assertEquals(history.missing("other"), ["a", "b", "c"]);
    assertEquals(history.missing("s", ["Also"]), []);
  });

  it("accepts what nobody knows of, whether it is handled or not", () => {
    const written = new Written().publish("a", "b").came("a", "unknown").came("b", "unknown").handle("a");
    assertEquals([violations(written), written.history().missing("s")], [[], []]);
  });

  it("finds a message that was handled and never published", () => {
    assertEquals(violations(new Written().publish("a").handle("x")), ["s x: handled, and was never published"]);
  });

  it("finds a message that was refused and handled, in either order", () => {
    assertEquals(violations(new Written().publish("a").came("a", "failed").handle("a")), [
      "s a: handled, and its publisher was told that it is not stored",
    ]);
    assertEquals(violations(new Written().publish("a").handle("a").came("a", "failed")), [
      "a: its publisher was told that it is not stored, and it was handled",
    ]);
  });

  it("finds a message that arrives as another one", () => {
    const written = new Written().publish("a");
    written.end(written.begin("a", { key: "other" }));
    assertEquals(violations(written), ["s a: handled as Happened other 0, published as Happened k 0"]);
  });

  it("finds a message that was stored twice", () => {
    assertEquals(
      violations(new Written().publish("a").handle("a").handle("a", { position: 5_000 }))[0],
      "s a: stands at two positions, 1000 and 5000",
    );
  });

  it("finds a message that was overtaken", () => {
    assertEquals(violations(new Written().publish("a", "b").handle("b").handle("a")), [
      "s Happened k a: was overtaken by a later one of its key",
    ]);
  });

  it("finds a message that begins while another of its key runs", () => {
    const written = new Written().publish("a", "b");
    const first = written.begin("a");
    written.handle("b", { pid: 2 }).end(first);
    assertEquals(violations(written), [
      "s Happened k b: begun before a had been handled",
      "s Happened k b: runs beside a",
    ]);
  });

  it("finds a message that begins though the one before it failed", () => {
    assertEquals(violations(new Written().publish("a", "b").fail("a", 1).handle("b")), [
      "s Happened k b: begun before a had been handled",
    ]);
  });

  it("accepts a message behind a dead letter that was discarded, and behind one that was replayed", () => {
    const dead = () => new Written().publish("a", "b").fail("a", 1).fail("a", 2);
    const options = { attempts: 2 };
    assertEquals(violations(dead().add({ event: "discarded", sub: "s", entry: "a" }).handle("b"), options), []);
    const replayed = dead().add({ event: "replayed", sub: "s", entry: "a" }).handle("a").handle("b");
    assertEquals(violations(replayed, options), []);
    assertEquals(violations(dead().handle("b"), options), ["s Happened k b: begun before a had been handled"]);
  });

  it("accepts that a message of a killed process runs again, and finds that it is passed by", () => {
    const killed = () => {
      const written = new Written().publish("a", "b");
      written.begin("a");
      return written.add({ event: "killed", pid: 1 });
    };
    assertEquals(violations(killed().handle("a", { pid: 2 }).handle("b", { pid: 2 })), []);
    assertEquals(violations(killed().handle("b", { pid: 2 })), ["s Happened k b: begun before a had been handled"]);
  });

  for (const event of ["killed", "frozen"] as const) {
    it(`accepts what a process begins right before it is ${event}, behind the note of it`, () => {
      const written = new Written().publish("a", "b").add({ event, pid: 1 });
      written.begin("a", { pid: 1 });
      assertEquals(violations(written.handle("a", { pid: 2 }).handle("b", { pid: 2 })), []);
    });
  }

  it("accepts that the run of a stopped process ends when others have gone on, and finds what it begins then", () => {
    const written = new Written().publish("a", "b", "c");
    const stopped = written.begin("a");
    written.add({ event: "frozen", pid: 1 }).handle("a", { pid: 2 });
    const going = written.begin("b", { pid: 2 });
    written.add({ event: "thawed", pid: 1 }).end(stopped);
    assertEquals(violations(written), []);
    written.handle("b", { pid: 1 });
    assertEquals(violations(written), ["s Happened k b: runs beside b"]);
    written.end(going);
  });

  it("accepts one run that a stopped process was about to begin, whoever has done it since, and no second one", () => {
    const written = (event: "thawed" | "reachable") => {
      const written = new Written().publish("a", "b").add({ event: "frozen", pid: 1 }).pass(15_000);
      written.handle("a", { pid: 2, fence: 2 }).begin("b", { pid: 2, fence: 2 });
      return written.add({ event, pid: 1 }).handle("a", { pid: 1 });
    };
    const found = (ms: number) => ["s Happened k a: runs beside b", again("2 for leader 2", ms, "1 for leader 1")];
    assertEquals(violations(written("thawed")), []);
    assertEquals(violations(written("thawed").handle("a", { pid: 1 })), found(50));
    // one that was cut off was not stopped
    assertEquals(violations(written("reachable")), found(30));
  });

  it("accepts repeats of what had just ended before a fault, and finds those of what had ended long before", () => {
    const repeated = (ms: number) =>
      new Written().publish("a").handle("a").pass(ms).add({ event: "killed", pid: 1 }).pass(4_000).handle("a");
    assertEquals(violations(repeated(50)), []);
    assertEquals(repeated(50).history().sums, { ok: 1, runs: 2, repeats: 1 });
    assertEquals(violations(repeated(5_000)), [again("1 for leader 1", 9_020, "1 for leader 1")]);
    assertEquals(violations(new Written().publish("a").handle("a").handle("a")), [
      again("1 for leader 1", 10, "1 for leader 1"),
    ]);
    assertEquals(violations(repeated(5_000).add({ event: "stalled", pid: 2, from: 100 })), []);
  });

  it("accepts that a later leader repeats once what a stopped process ended when it went on, and nobody else", () => {
    const ended = () => {
      const written = new Written().publish("a");
      const run = written.begin("a");
      return written.add({ event: "frozen", pid: 1 }).pass(9_000).add({ event: "thawed", pid: 1 }).end(run).pass(2_600);
    };
    assertEquals(violations(ended().handle("a", { pid: 2, fence: 2 })), []);
    assertEquals(violations(ended().handle("a", { pid: 2 })), [again("1 for leader 1", 2_610, "2 for leader 1")]);
    assertEquals(violations(ended().handle("a", { pid: 2, fence: 2 }).handle("a", { pid: 2, fence: 3 })), [
      again("2 for leader 2", 10, "2 for leader 3"),
    ]);
  });

  it("accepts everything once more, in order, after a rewind", () => {
    const written = new Written().publish("a", "b").handle("a").handle("b").add({ event: "rewound", sub: "s" });
    assertEquals(violations(written.handle("a").handle("b")), []);
  });

  it("accepts a second position of what was being published when the log was lost, and of nothing else", () => {
    const moved = (lost: boolean, answered: boolean, positions: readonly number[]) => {
      const written = new Written().publish("a");
      if (!answered) written.lines.pop();
      written.add({ event: "killed", pid: 2 });
      positions.forEach((position, at) => {
        if (at === 1 && lost) written.add({ event: "lost" }).add({ event: "rewound", sub: "s" });
        written.handle("a", { position });
      });
      return violations(written);
    };
    assertEquals(moved(true, false, [7, 3]), []);
    assertEquals(moved(true, true, [7, 3]), ["s a: stands at two positions, 7 and 3"]);
    assertEquals(moved(false, false, [7, 3]), ["s a: stands at two positions, 7 and 3"]);
    assertEquals(moved(true, false, [7, 3, 4]), ["s a: stands at two positions, 3 and 4"]);
  });

  it("finds attempts that are not counted, and too many", () => {
    assertEquals(violations(new Written().publish("a").fail("a", 1).fail("a", 1)), [
      "s a: attempt 1 after attempt 1 had failed",
    ]);
    assertEquals(violations(new Written().publish("a").fail("a", 3), { attempts: 2 }), ["s a: attempt 3 of 2"]);
  });

  it("finds one more run at once than a limit lets, also behind a crash, and accepts it behind a standstill", () => {
    const found = (written: Written, most = 1) =>
      violations(written, { running: { s: { most, of: (entry) => entry[0] } } }).filter((it) => it.includes("at once"));
    const written = new Written().publish("a1", "a2", "b1");
    written.begin("a1");
    written.begin("b1");
    assertEquals(found(written), []);
    written.add({ event: "killed", pid: 7 }).begin("a2");
    const [a1, a2] = written.lines.flatMap((it) => it.event === "begin" && it.entry[0] === "a" ? [it.pid] : []);
    assertEquals(found(written), [`s a2: one more runs at once than 1: a1 in process ${a1}, a2 in process ${a2}`]);
    assertEquals(found(written, 2), []);
    written.add({ event: "fault", what: "a standstill" });
    assertEquals(found(written), []);
    const ended = new Written().publish("a1", "a2", "a3");
    ended.end(ended.begin("a1")).begin("a2");
    ended.add({ event: "killed", pid: a2 }).add({ event: "reachable", pid: a2 }).begin("a3");
    assertEquals(found(ended), []);
  });

  it("accepts that what was skipped after an attempt holds nothing up, where messages are skipped", () => {
    const written = new Written().publish("a", "b").fail("a", 1).handle("b");
    assertEquals(violations(written), ["s Happened k b: begun before a had been handled"]);
    assertEquals(violations(written, { skipping: ["s"] }), []);
  });

  it("finds a second effect", () => {
    const written = new Written().publish("a");
    const run = written.begin("a");
    written.add({ event: "effect", sub: "s", entry: "a" }).add({ event: "effect", sub: "s", entry: "a" }).end(run);
    assertEquals(violations(written), ["s a: 2 effects"]);
    assertEquals(violations(written, { oneEffect: false }), []);
  });

  it("accepts that what recurs is handled again and again", () => {
    const written = new Written().publish("a");
    written.lines[0] = { ...written.lines[0], recurring: true } as LogLine;
    assertEquals(violations(written.handle("a").handle("a", { position: 2_000 })), []);
    assertEquals(written.history().countOf("s", "a").runs, 2);
  });

  it("finds messages that do not stand in the order of their publishing", () => {
    const written = new Written().publish("a", "b");
    written.handle("b", { position: 7 }).handle("a", { position: 8 });
    assertEquals(written.history().orderViolations(), ["p Happened k: b stands before a"]);
  });
});

describe("the checker of the stream", () => {
  const one = (seq: number, came: Intended["came"]): Intended => ({
    by: "p",
    category: "Happened",
    key: "k",
    seq,
    recurring: false,
    came,
  });
  const intended = new Map([["a", one(0, "ok")], ["b", one(1, "unknown")], ["c", one(2, "failed")]]);

  it("accepts each ok once, and an unknown one or not", () => {
    assertEquals(streamViolations(intended, ["a"]), []);
    assertEquals(streamViolations(intended, ["b", "a"]), []);
  });

  it("finds what does not stand in the order of its publishing", () => {
    const both = new Map([["a", one(0, "ok")], ["b", one(1, "ok")]]);
    assertEquals(streamViolations(both, ["b", "a"]), ["p Happened k: b stands before a"]);
  });

  it("finds what is missing, twice, refused, or never published", () => {
    assertEquals(streamViolations(intended, ["b", "b", "c", "x"]), [
      "b: 2 times in the log",
      "x: in the log, and never published",
      "a: ok, and not in the log",
      "c: refused, and in the log",
    ]);
  });
});
