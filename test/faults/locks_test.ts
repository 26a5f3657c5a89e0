/**
 * Fault: of eight processes that share three locks, the holder of one is frozen for longer than its ttl, killed, or cut
 * off from NATS. `CATGA_FAULT_SECONDS=60` does it for longer.
 */
import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import type { FencedWrite } from "../../src/testing/checkers/locks.ts";
import type { LockLine } from "../processes/lock_node.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { chances } from "../support/chances.ts";
import { LockCluster, TTL } from "../support/lock_cluster.ts";
import { acquisitions, handovers, type LockHistory, lockViolations } from "../support/lock_history.ts";

const SECONDS = Number(process.env.CATGA_FAULT_SECONDS ?? 12);
const LIMIT = 1_500; // ms beyond the ttl
const KEYS = ["a", "b", "c"];

describe("holders of locks that are frozen, killed and cut off", await requireNatsServer(), () => {
  // docs/state.md, crash semantics, "one holder of a lock": crashed, paused, cut off, own clock
  // docs/state.md, crash semantics, "tokens of a key grow": crashed, paused, cut off, own clock
  it(
    "tokens grow, no lock is held twice, the resource accepts no stale write, and the next waiter has the lock soon",
    { timeout: 1_200_000 },
    async () => {
      // Promise (docs/state.md): after a holder's death the lock is with the next live waiter within ttl + 1.5 s.
      await using nats = await startNatsServer();
      const ids = ["d1", "d2", "d3", "d4", "b1", "b2", "b3", "b4"];
      await using cluster = await LockCluster.open({
        ids,
        keys: KEYS,
        urls: [nats.url],
        namespace: "locks",
        watchesServer: true,
      });
      const end = Date.now() + SECONDS * 1_000;
      await Promise.all(KEYS.map((key) => cluster.mistreat(key, end)));
      const history = await cluster.finish(LIMIT);
      report(`${SECONDS} s`, history);
      assertEquals(lockViolations(history), []);
      assertGreater(handovers(history).length, SECONDS / 4);
    },
  );

  for (
    const [plant, says] of [["deaf", /held it from|was refused, and it held/], ["made-up", /never given/]] as const
  ) {
    it(`a process that is ${plant} is found by the resource and by the checker`, { timeout: 1_200_000 }, async () => {
      const observed = async () => {
        await using nats = await startNatsServer();
        const ids = ["d1", "b1"];
        const node = { [plant === "deaf" ? "d1" : "b1"]: { plant } };
        await using cluster = await LockCluster.open({ ids, keys: ["a"], urls: [nats.url], namespace: plant, node });
        const buggy = Object.keys(node)[0];
        const end = Date.now() + 20_000;
        // its link dies while it holds the lock, and it works on
        const { watchers } = cluster.resource;
        const strike = ({ by }: FencedWrite) => by === buggy && plant === "deaf" && cluster.link(by).freeze();
        watchers.add(strike);
        await cluster.refused(5, end);
        const history = await cluster.history(LIMIT);
        return lockViolations(history);
      };
      // on a busy machine no other may have had the lock in the time in which the link was dead
      const violations = await chances(3, observed, (found) => says.test(found.join("\n")));
      console.log(`${plant}: ${violations.length} violations, such as ${violations[0]}`);
      assertMatch(violations.join("\n"), says);
    });
  }
});

describe("the checker of locks", () => {
  const line = (event: "enter" | "hold" | "leave", at: number, token: number): LockLine => ({
    event,
    at,
    key: "a",
    token,
  });
  const want = (at: number): LockLine => ({ event: "want", at, key: "a" });
  const write = (by: string, at: number, token: number, accepted = true) => ({ by, key: "a", at, token, accepted });
  const first = [want(0), line("enter", 10, 5), line("hold", 40, 5), line("leave", 100, 5)];
  const second = [want(0), line("enter", 110, 7), line("leave", 200, 7)];
  const planted = (history: Partial<LockHistory>) =>
    lockViolations({
      lines: new Map([["x", first], ["y", second]]),
      writes: [],
      faults: [],
      ttl: TTL,
      limit: LIMIT,
      timeout: 20_000,
      ...history,
    });

  it("accepts a history of kept promises", () => {
    assertEquals(planted({ writes: [write("x", 20, 5), write("y", 120, 7), write("x", 130, 5, false)] }), []);
  });

  it("finds two holders at the same time", () => {
    const early = [want(0), line("enter", 90, 7), line("leave", 200, 7)];
    assertEquals(planted({ lines: new Map([["x", first], ["y", early]]) }), [
      "a: x held it from 10 to 100, and y from 90",
    ]);
  });

  it("does not count the time in which a holder did not run", () => {
    const frozen = [line("enter", 10, 5), line("hold", 40, 5), line("hold", 4_000, 5)];
    const meanwhile = [line("enter", 2_100, 7), line("leave", 2_200, 7)];
    assertEquals(planted({ lines: new Map([["x", frozen], ["y", meanwhile]]) }), []);
    const awake = [...frozen, line("hold", 4_100, 5)];
    const after = [line("enter", 4_050, 7)];
    assertEquals(planted({ lines: new Map([["x", awake], ["y", after]]) }).length, 1);
  });

  it("finds a token that does not grow", () => {
    const smaller = [want(0), line("enter", 110, 4), line("leave", 200, 4)];
    assertEquals(planted({ lines: new Map([["x", first], ["y", smaller]]) }), [
      "a: y was given the token 4, after x had 5",
    ]);
  });

  it("finds a stale write that was accepted, a made-up token, and a holder that was refused", () => {
    const writes = [write("y", 120, 7), write("x", 130, 5), write("y", 140, 8), write("y", 150, 7, false)];
    assertEquals(planted({ writes }), [
      "a: a write of x with 5 was accepted after one of y with 7",
      "a: y wrote with 8, which it was never given",
      "a: a write of y with 7 was refused, and it held the lock",
    ]);
  });

  it("finds a lock that stays free too long, or for ever, while a process waits for it", () => {
    const faults = [{ kind: "killed", id: "x", key: "a", from: 50, to: 9_000 }] as const;
    const killed = first.slice(0, 3);
    const late = [want(0), line("enter", 50 + TTL + LIMIT + 1, 7)];
    const says = (y: LockLine[]) => planted({ faults, lines: new Map([["x", killed], ["y", y]]) });
    assertEquals(says(late), ["a: x was killed, and the next had it 3501 ms later"]);
    assertEquals(says([want(0)]), ["a: x was killed, and the next had it never"]);
    assertEquals(says([want(0), line("enter", 50 + TTL + LIMIT, 7)]), []);
    // no process waited yet
    assertEquals(says([want(60)]), []);
    // it was not allowed to run
    assertEquals(says([want(0), { event: "stall", at: 2_000, from: 1_500 }, ...late.slice(1)]), []);
    // the server gave no answer
    const unanswered = (from: number, to: number) =>
      planted({ faults, lines: new Map([["x", killed], ["y", late]]), unanswered: [{ from, to }] });
    assertEquals(unanswered(1_000, 2_000), []);
    assertEquals(unanswered(4_000, 5_000).length, 1);
    // both at the same time count once
    const slower = [want(0), line("enter", 50 + TTL + LIMIT + 1_500, 7)];
    const both = [slower[0], { event: "stall", at: 2_000, from: 1_000 } as const, slower[1]];
    const together = { faults, lines: new Map([["x", killed], ["y", both]]), unanswered: [{ from: 1_000, to: 2_000 }] };
    assertEquals(planted(together).length, 1);
  });

  it("reports what does not work again at the end", () => {
    const violation = "lock a: never (limit 3500 ms): LOCK_TIMEOUT";
    assertEquals(planted({ aftermath: [violation] }), [violation]);
  });

  it("finds a failure with an unclear code, or one that comes too late", () => {
    const failed = (
      code: string,
      took: number,
    ) => [want(0), { event: "failed", at: took, key: "a", code, took } as const];
    assertEquals(planted({ lines: new Map([["x", failed("LOCK_TIMEOUT", 20_100)]]) }), []);
    assertEquals(planted({ lines: new Map([["x", failed("UNAVAILABLE", 22_000)]]) }).length, 1);
    assertEquals(planted({ lines: new Map([["x", failed("TypeError: x", 10)]]) }).length, 1);
  });
});

function report(title: string, history: LockHistory): void {
  const took = handovers(history).flatMap(({ fault, took }) => took === undefined ? [] : [{ kind: fault.kind, took }]);
  const kinds = [...new Set(took.map(({ kind }) => kind))].map((kind) => {
    const of = took.filter((it) => it.kind === kind).map((it) => it.took).sort((a, b) => a - b);
    return `${kind} ${of.length}: ${of[0]} to ${of.at(-1)} ms`;
  });
  const refused = history.writes.filter(({ accepted }) => !accepted).length;
  console.log(
    `${title}: ${acquisitions(history)} acquisitions, ${history.writes.length} writes (${refused} refused), ` +
      `${history.faults.length} faults; with the next one: ${kinds.join(", ")}`,
  );
}
