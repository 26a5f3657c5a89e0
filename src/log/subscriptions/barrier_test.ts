import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { fail, type Result } from "../../contract/calls/result.ts";
import { controlName } from "../../contract/nodes/announcement.ts";
import type { SendOptions } from "../../contract/calls/send_options.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { barrier } from "./found_state.ts";

const running = (...positions: number[]): Result<unknown> => ({
  ok: true,
  value: {
    running: positions.map((position) => `${position}-0`),
    ended: positions.map((each) => `${each}-1`),
    finished: [],
  },
});
const silence = () => fail("UNAVAILABLE", "no answer");

/** Calls `barrier` with nodes that give these answers, each after `takes` ms. */
function setUp(answers: Readonly<Record<string, () => Result<unknown>>>, takes = 0) {
  const clock = new VirtualClock();
  const asked: { readonly node: string | undefined; readonly contract: string; readonly payload: unknown }[] = [];
  /** For how long pings to an endpoint have bounced, in ms. */
  const absent = new Map<string, number>();
  const live = new Set(Object.keys(answers));
  const abort = new AbortController();
  const faults: string[] = [];
  const pass = () =>
    barrier({
      host: {
        clock,
        app: {
          sendInternal: async ({ name: contract }, payload, { node }: SendOptions) => {
            asked.push({ node, contract, payload });
            if (takes > 0) await new Promise<void>((resolve) => clock.after(takes, resolve));
            return answers[node!]();
          },
          absent: (endpoint) => absent.get(endpoint) ?? 0,
        },
      },
      spec: { service: "shop", name: "billing" },
      commits: { token: 7 },
      nodes: () => [...live].map((id) => ({ id, endpoint: `${id}.1`, categories: new Map() })),
      last: "z.1",
      signal: abort.signal,
      fault: (error) => void faults.push((error as Error).message),
    });
  return { clock, asked, absent, live, abort, pass, faults };
}

describe("barrier", () => {
  it("asks every node once, and resolves with what runs where", async () => {
    const { clock, asked, pass } = setUp({ a: () => running(3, 9), b: () => running(), c: () => running(5) });
    const { running: runs, ended } = await clock.until(pass());
    assertEquals([...runs], [["3-0", "a"], ["9-0", "a"], ["5-0", "c"]]);
    assertEquals([...ended], ["3-1", "9-1", "5-1"]);
    const contract = controlName("shop", "billing");
    assertEquals(asked, ["a", "b", "c"].map((node) => ({ node, contract, payload: ["barrier", 7] })));
  });

  it("asks a node that does not answer again, and waits for it alone", async () => {
    let tries = 0;
    const { clock, asked, pass } = setUp({ a: () => running(3), b: () => ++tries < 4 ? silence() : running(5) });
    assertEquals([...(await clock.until(pass())).running], [["3-0", "a"], ["5-0", "b"]]);
    assertEquals(asked.length, 1 + 4);
    assertEquals(clock.monotonic(), 50 + 100 + 200);
  });

  it("passes over a node whose process is gone, or that is not among the live ones any more", async () => {
    const { clock, absent, live, asked, pass } = setUp({ a: silence, b: silence, c: () => running(5) });
    absent.set("a.1", 900);
    const passed = pass();
    live.delete("b");
    assertEquals([...(await clock.until(passed)).running], [["5-0", "c"]]);
    assertEquals({ asked: asked.length, at: clock.monotonic() }, { asked: 3, at: 0 });
  });

  it("asks a node whose pings bounce for 0.9 s, the last leader for 0.6 s: it may come back", async () => {
    for (const [id, ms] of [["a", 900], ["z", 600]] as const) {
      const { clock, absent, pass } = setUp({ [id]: silence, c: () => running(5) });
      const bounce = () => {
        absent.set(`${id}.1`, clock.monotonic());
        clock.after(100, bounce);
      };
      bounce();
      assertEquals([...(await clock.until(pass())).running], [["5-0", "c"]]);
      assertEquals(Math.ceil(clock.monotonic() / 100) * 100, ms);
    }
  });

  it("passes over one that is silent for 3 s: it may be frozen", async () => {
    const { clock, pass } = setUp({ a: silence, b: () => running(5) }, 600);
    const passed = pass();
    let over = false;
    passed.then(() => over = true);
    await clock.advance(2_999);
    assertEquals(over, false);
    const { running: runs, silent } = await clock.until(passed, 2_000);
    assertEquals([[...runs], [...silent].map(({ id }) => id)], [[["5-0", "b"]], ["a"]]);
  });

  it("takes the run that has handled a message, or else the later one, when several nodes say what they ran", async () => {
    const says = (...finished: unknown[]) => (): Result<unknown> => ({
      ok: true,
      value: { running: [], ended: [], finished },
    });
    const failed = ["SOLD_OUT", "no more", 0];
    const { clock, pass } = setUp({
      a: says(["3-0", 4, 1, 0], ["9-0", 4, 1, failed], ["7-0", 5, 2, failed]),
      b: says(["3-0", 6, 1, failed], ["9-0", 5, 1, failed], ["7-0", 5, 1, failed]),
    });
    const { finished } = await clock.until(pass());
    const seen = [...finished].map(([id, { token, attempt, outcome }]) => [id, token, attempt, outcome === "done"]);
    assertEquals(seen, [["3-0", 4, 1, true], ["9-0", 5, 1, false], ["7-0", 5, 2, false]]);
  });

  it("takes what is valid of an answer, of 10,000 messages at most, and reports the rest", async () => {
    const many = Array.from({ length: 10_001 }, (_, n) => n + 1);
    const { clock, pass, faults } = setUp({ a: () => running(20_000, -2), b: () => running(...many) });
    const { running: found } = await clock.until(pass());
    assertEquals(
      { size: found.size, nodes: [found.get("1-0"), found.get("20000-0")], last: found.has("10001-0") },
      { size: 10_001, nodes: ["b", "a"], last: false },
    );
    assertEquals(faults, [
      "2 parts of the answer of node a, which says what it runs, are malformed: " +
      "they do not count, so that a message may run twice",
    ]);
  });

  it("rejects when the signal aborts, though a node has answered", async () => {
    const { clock, abort, pass } = setUp({ a: () => running(3) }, 100);
    const passed = pass();
    passed.catch(() => {});
    await clock.advance(50);
    abort.abort(new Error("over"));
    await assertRejects(() => clock.until(passed), Error, "over");
  });
});
