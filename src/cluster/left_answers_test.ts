import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, MemoryNetwork, query, VirtualClock } from "../../mod.ts";
import { eventually } from "../testing/eventually.ts";
import { openStage } from "../testing/stage.ts";
import { encode } from "../utf8.ts";
import { LeftAnswerLog } from "./left_answers.ts";
import type { Peer } from "./peer.ts";

const Do = command<void, string>("Do");

describe("an answer whose caller is away for a moment", () => {
  it("arrives when it is back (it was lost, and the caller waited for its deadline)", async () => {
    const network = new MemoryNetwork();
    const done = Promise.withResolvers<string>();
    const said: string[] = [];
    let runs = 0;
    await using caller = await catga({ network, id: "caller" });
    await using _worker = await catga({
      network,
      id: "worker",
      logger: { debug: (line) => said.push(line), info() {}, warn() {}, error() {} },
      handlers: Do.handle(() => {
        runs++;
        return done.promise;
      }),
    });
    await eventually("the caller to see the worker", () => caller.nodes().length === 2);
    const sent = caller.send(Do, undefined, { timeout: 3_000 });
    await eventually("it to run", () => runs === 1);
    network.cut("caller");
    done.resolve("done");
    await eventually("the answer to bounce", () => said.some((line) => line.includes("nobody there at caller.")));
    network.restore("caller");
    assertEquals(await sent, { ok: true, value: "done" });
    assertEquals(runs, 1);
  });

  it("arrives too when it was the first of another frame (it was taken for something that nobody waits for)", async () => {
    const Give = query<string, string>("Give");
    let away = () => {};
    const give = Give.handle((letter) => (away(), letter.repeat(40_000)));
    await using stage = await openStage({ handlers: give });
    const { other, network, clock, app } = stage;
    away = () => network.cut("other");
    other.send(app.self.endpoint, ["q", "Give", 9_000, "a", "b"]); // their answers are a frame each
    await stage.settle();
    assertEquals(other.frames, []);
    network.restore("other");
    await clock.advance(300);
    assertEquals(other.items("r").map(([, , index, text]) => [index, (text as string)[0]]), [[0, "a"], [1, "b"]]);
  });

  it("is kept in mind up to 4 MiB: the last ones", async () => {
    const clock = new VirtualClock();
    const again: string[] = [];
    // all that the log asks of a peer
    const peer = { again: (items: string) => again.push(items[11]) } as unknown as Peer;
    const log = new LeftAnswerLog({ clock, connected: () => true, knows: () => true });
    const add = (seq: number, letter: string, length: number) =>
      log.add(peer, seq, encode(`[1,${seq},0,["p",1],["r",1,0,"${letter.repeat(length)}"]]`));
    for (let i = 0; i < 26; i++) add(i + 1, String.fromCharCode(97 + i), 1_000_000);
    for (let i = 0; i < 26; i++) log.bounced(peer, i + 1);
    add(99, "z", 5_000_000);
    log.bounced(peer, 99);
    log.bounced(peer, 99);
    await clock.advance(300);
    assertEquals(again, ["w", "x", "y", "z", "z"]);
  });
});
