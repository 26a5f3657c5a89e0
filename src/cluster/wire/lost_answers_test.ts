/**
 * Tests of answers that are lost while both nodes stay connected, as when a dying link has lost more than is sent
 * again at the reconnect.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { type Catga, catga, command, query, type Result } from "../../../mod.ts";
import { leastTime } from "../../../test/support/least_time.ts";
import { openStage } from "../../../test/support/stage.ts";
import { MemoryNetwork, VirtualClock } from "../../testing/mod.ts";

const Do = command<number, string>("Do");
const Ask = query<number, string>("Ask");
const LIMIT = 30_000; // ms: timeout of a send
const SOON = 1_000; // ms

describe("an answer that is lost, while both sides stay connected", () => {
  it("is sent again, when its caller's next ping says which frames are missing (it waited for its deadline)", async () => {
    const { clock, caller, release, losing, close } = await open();
    const sent = caller.send(Do, 1, { timeout: LIMIT });
    await clock.advance(10);
    await losing(() => release(1));
    const start = clock.monotonic();
    assertEquals(await clock.until(sent), { ok: true, value: "1 at worker" });
    assertLess(clock.monotonic() - start, SOON);
    await close();
  });

  it("and is not kept any more, ends a command with OUTCOME_UNKNOWN, and a query runs again", async () => {
    const { clock, caller, release, losing, close, ran } = await open();
    const commands = Array.from({ length: 200 }, (_, n) => caller.send(Do, n, { timeout: LIMIT }));
    const queries = Array.from({ length: 200 }, (_, n) => caller.send(Ask, n, { timeout: LIMIT }));
    const slow = [caller.send(Do, 1_000, { timeout: LIMIT }), caller.send(Ask, 1_000, { timeout: LIMIT })];
    let slowEnded = 0;
    for (const each of slow) each.then(() => slowEnded++);
    await clock.advance(10);
    const large = "x".repeat(40_000); // the text is so large that each answer is sent in its own frame
    await losing(() => {
      for (let n = 0; n < 200; n++) release(n, large);
    });
    const start = clock.monotonic();
    const results = await clock.until(Promise.all(commands));
    const asked = await clock.until(Promise.all(queries));
    assertLess(clock.monotonic() - start, SOON);
    const codes = Object.groupBy(results, (result) => result.error?.code ?? "ok");
    assertEquals(Object.keys(codes).sort(), ["OUTCOME_UNKNOWN", "ok"]);
    assert(codes.OUTCOME_UNKNOWN!.every(({ error }) => error!.message.includes("its answer was lost")));
    assertEquals(asked.filter(({ ok }) => !ok), []);
    assertEquals(new Set(ran.filter((entry) => entry.startsWith("Do"))).size, 201); // each command ran once
    assertEquals(ran.filter((entry) => entry.startsWith("Do")).length, 201);
    // the requests that were still running were not aborted
    assertEquals(slowEnded, 0);
    release(1_000);
    assertEquals((await clock.until(Promise.all<Result<string>>(slow))).map(({ ok }) => ok), [true, true]);
    await close();
  });
});

describe("a ping that lists missing frames", () => {
  it("is answered with the answers of these frames, then with what is in hand of its sender's requests", async () => {
    const pending = Promise.withResolvers<string>();
    const handlers = [Do.handle(() => "done"), Ask.handle(() => pending.promise)];
    await using stage = await openStage({ handlers });
    const { other, app, settle } = stage;
    const first = other.send(app.self.endpoint, ["q", "Do", 9_000, 1], ["q", "Ask", 9_000, 1, 2]);
    await settle();
    const { seq } = other.frames.at(-1)!;
    const upTo = other.send(app.self.endpoint, ["p", 7, 0, [seq, seq]]);
    await settle();
    const items = other.frames.slice(-2).flatMap(({ items }) => items);
    assertEquals(items, [
      ["r", first, 0, "done"],
      ["o", 7, upTo, [], [2, 0], [first, 1, first, 2]],
    ]);
    other.send(app.self.endpoint, ["p", 8, 0, []], ["p", 9]);
    await settle();
    assertEquals(other.frames.at(-1)!.items, [["o", 9, upTo + 1, [], [2, 0]]]);
    pending.resolve("late");
  });

  it("with a hundred thousand ranges costs little time", async () => {
    await using stage = await openStage({ handlers: Do.handle(() => "done") });
    const { other, app, settle } = stage;
    for (let i = 0; i < 256; i++) {
      other.send(app.self.endpoint, ["q", "Do", 9_000, i]);
      await settle();
    }
    const ranges = (count: number) => Array.from({ length: count }, (_, i) => 1_000_000 + i);
    const ask = (count: number) =>
      leastTime(async () => {
        const asked = other.frames.length;
        other.send(app.self.endpoint, ["p", 1, 0, ranges(count)]);
        await settle();
        assertEquals(other.frames.length, asked + 1);
      });
    // 25 million comparisons would take a hundred times as long as reading the frame, which takes some ms
    assertLess(await ask(100_000), 20 * await ask(10_000) + 100);
  });

  it("follows lost frames until a pong says what is in hand", async () => {
    await using stage = await openStage({ handles: ["Do"] });
    const { other, app, clock } = stage;
    other.pongs = false;
    const sent = app.send(Do, 1, { timeout: LIMIT });
    await clock.advance(0);
    const asked = other.frames.at(-1)!;
    const lost = other.lose();
    const pings: unknown[][] = [];
    other.onFrame = ({ from, seq, items }) => {
      for (const item of items) {
        if (item[0] !== "p") continue;
        pings.push(item);
        // the other process answers the first three pings as if it ignored their list of missing frames
        const inHand = pings.length < 4 ? [] : [[asked.seq, 0]];
        other.send(from, ["o", item[1], seq, [], [0, 0], ...inHand]);
      }
    };
    await clock.advance(1_000);
    const [, ...listing] = pings.filter((ping) => ping.length > 2).map(([, , , missing]) => missing);
    assertEquals(new Set(listing.map((missing) => JSON.stringify(missing))), new Set([`[${lost},${lost}]`]));
    assertEquals(pings.at(-1)!.length, 2);
    other.send(app.self.endpoint, ["r", asked.seq, 0, "answered"]);
    assertEquals(await clock.until(sent), { ok: true, value: "answered" });
  });
});

/** Starts a caller and a worker; the worker's handlers end when the test calls `release`. */
async function open() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const ran: string[] = [];
  const open = new Map<number, PromiseWithResolvers<string>>();
  const run = (name: string) => (n: number, { node }: { node: string }) => {
    ran.push(`${name} ${n}`);
    let gate = open.get(n);
    if (gate === undefined) open.set(n, gate = Promise.withResolvers());
    return gate.promise.then((text) => `${n} at ${node}${text}`);
  };
  const handlers = [Do.handle(run("Do")), Ask.handle(run("Ask"))];
  const apps: Catga[] = await clock.until(Promise.all([
    catga({ network, id: "caller", service: "caller" }),
    catga({ network, id: "worker", service: "worker", handlers }),
  ]));
  await clock.advance(1_000);
  return {
    clock,
    ran,
    caller: apps[0],
    /** Ends the handler of the request with this number. */
    release: (n: number, text = "") => open.get(n)!.resolve(text),
    /** Calls `act`; messages sent during this call and shortly after are lost. */
    losing: async (act: () => void) => {
      network.faults = { drop: 1 };
      act();
      await clock.advance(5);
      network.faults = {};
    },
    close: () => clock.until(Promise.all(apps.map((app) => app.drain()))),
  };
}
