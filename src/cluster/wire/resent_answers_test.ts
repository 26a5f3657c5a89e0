import { assertEquals, assertLess } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { catga, command, query } from "../../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { openStage } from "../../../test/support/stage.ts";
import { encode } from "../../data/utf8.ts";
import { type FrameSender, ResendBuffer } from "./frame_sender.ts";
import { MemoryNetwork, VirtualClock } from "../../testing/mod.ts";

const Do = command<void, string>("Do");
const Give = query<string, string>("Give");

describe("an answer whose caller is disconnected for a moment", () => {
  it("arrives after the reconnect (it was lost, and the caller waited for its deadline)", async () => {
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
    const sent = caller.send(Do, undefined, { timeout: 30_000 });
    await eventually("it to run", () => runs === 1);
    network.cut("caller");
    done.resolve("done");
    await eventually("the answer to bounce", () => said.some((line) => /a frame to caller\.\w+ bounced/.test(line)));
    network.restore("caller");
    assertEquals(await sent, { ok: true, value: "done" });
    assertEquals(runs, 1);
  });

  it("arrives, too, when it was the first of its frame (it was dropped as not awaited)", async () => {
    let away = () => {};
    const give = Give.handle((letter) => (away(), letter.repeat(40_000)));
    await using stage = await openStage({ handlers: give });
    const { other, network, clock, app } = stage;
    away = () => network.cut("other");
    other.send(app.self.endpoint, ["q", "Give", 9_000, "a", "b"]); // the answers to both requests are sent in one frame
    await stage.settle();
    assertEquals(other.frames, []);
    network.restore("other");
    await clock.advance(300);
    assertEquals(other.items("r").map(([, , index, text]) => [index, (text as string)[0]]), [[0, "a"], [1, "b"]]);
  });

  it("is sent again when its own node was disconnected (it was lost with the server)", async () => {
    const give = Give.handle((letter) => letter);
    await using stage = await openStage({ handlers: give });
    const { other, network, clock, app } = stage;
    const seq = other.send(app.self.endpoint, ["q", "Give", 9_000, "a"]);
    await stage.settle();
    network.cut("node");
    network.restore("node");
    await clock.advance(300);
    assertEquals(other.items("r"), [["r", seq, 0, "a"], ["r", seq, 0, "a"]]);
  });

  it("is kept while the last ones have at most 4 MiB", async () => {
    const clock = new VirtualClock();
    const again: string[] = [];
    // cast: the only method of a sender that the buffer calls
    const to = { resend: (items: string) => again.push(items[11]) } as unknown as FrameSender;
    const buffer = new ResendBuffer({ clock, connected: () => true, isCurrent: () => true });
    const add = (seq: number, letter: string, length: number) =>
      buffer.add(to, seq, encode(`[1,${seq},0,["p",1],["r",1,0,"${letter.repeat(length)}"]]`));
    for (let i = 0; i < 26; i++) add(i + 1, String.fromCharCode(97 + i), 1_000_000);
    for (let i = 0; i < 26; i++) buffer.bounced(to, i + 1);
    add(99, "z", 5_000_000);
    buffer.bounced(to, 99);
    buffer.bounced(to, 99);
    await clock.advance(300);
    assertEquals(again, ["w", "x", "y", "z", "z"]);
  });
});

describe("a nats-server that dies with answers on their way", await requireNatsServer(), () => {
  it("loses no answer (callers waited for their deadlines)", { timeout: 300_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-left-answers-"));
    let server = await startNatsServer({ storeDir: folder });
    const options = { nats: server.url, logger: { debug() {}, info() {}, warn() {}, error() {} } };
    const caller = await catga({ ...options, id: "caller" });
    const go = Promise.withResolvers<string>();
    let runs = 0;
    const worker = await catga({ ...options, id: "worker", handlers: Do.handle(() => (runs++, go.promise)) });
    try {
      await eventually("the caller to see the worker", () => caller.nodes().length === 2);
      const sent = Array.from({ length: 20 }, () => caller.send(Do, undefined, { timeout: 60_000 }));
      await eventually("them to run", () => runs === 20);
      await server.kill("SIGSTOP"); // the stopped server no longer takes the answers
      go.resolve("done");
      await wait(20);
      await server.stop();
      const began = performance.now();
      server = await startNatsServer({ storeDir: folder, port: server.port });
      const results = await Promise.all(sent);
      assertEquals(results.map(({ value, error }) => value ?? error?.code), new Array(20).fill("done"));
      assertLess(performance.now() - began, 30_000);
      assertEquals(runs, 20);
    } finally {
      await Promise.all([caller, worker].map((app) => app.drain({ timeout: 1_000 })));
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("an answer that is lost on the dying connection of its caller, without a bounce", () => {
  it("is sent again when the caller has reconnected and asks for it (it waited for its deadline)", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const done = Promise.withResolvers<string>();
    let runs = 0;
    const handlers = Do.handle(() => {
      runs++;
      return done.promise;
    });
    const [caller, worker] = await clock.until(
      Promise.all([catga({ network, id: "caller" }), catga({ network, id: "worker", handlers })]),
    );
    await clock.advance(1_000);
    const sent = caller.send(Do, undefined, { timeout: 30_000 });
    await clock.advance(10);
    assertEquals(runs, 1);
    network.faults = { drop: 1 };
    done.resolve("done");
    await clock.advance(10);
    network.cut("caller");
    network.faults = {};
    const began = clock.monotonic();
    network.restore("caller");
    assertEquals(await clock.until(sent), { ok: true, value: "done" });
    assertLess(clock.monotonic() - began, 1_000);
    assertEquals(runs, 1);
    await clock.until(Promise.all([caller.drain(), worker.drain()]));
  });

  it("is not sent again more than once a second: anybody may ask", async () => {
    await using stage = await openStage({ handlers: Do.handle(() => "done") });
    const { other, clock, app } = stage;
    const frames = () => other.frames.filter(({ items }) => items.some(([kind]) => kind === "r")).length;
    other.send(app.self.endpoint, ["q", "Do", 1_000]);
    await stage.settle();
    assertEquals(frames(), 1);
    for (let i = 0; i < 5; i++) other.send(app.self.endpoint, ["p", 1, 1]);
    await stage.settle();
    assertEquals(frames(), 2);
    await clock.advance(1_000);
    other.send(app.self.endpoint, ["p", 2, 1]);
    await stage.settle();
    assertEquals(frames(), 3);
  });
});

describe("a node that comes back to the server after its caller", () => {
  it("does not count as gone with its requests (commands had unknown outcomes)", async () => {
    await using stage = await openStage({ handles: ["Do"] });
    const { other, network, clock, app } = stage;
    const sent = app.send(Do, undefined, { timeout: 9_000 });
    await stage.settle();
    const [{ seq, from }] = other.frames;
    network.cut("node");
    network.cut("other");
    network.restore("node");
    await clock.advance(1_000); // the node's pings bounce in this time
    network.restore("other");
    await clock.advance(100);
    other.send(from, ["r", seq, 0, "done"]);
    assertEquals(await clock.until(sent), { ok: true, value: "done" });
  });

  it("counts as gone when it is still away 3 s later", async () => {
    await using stage = await openStage({ handles: ["Do"] });
    const { network, clock, app } = stage;
    const sent = app.send(Do, undefined, { timeout: 9_000 });
    await stage.settle();
    network.cut("node");
    network.cut("other");
    network.restore("node");
    const began = clock.monotonic();
    const { error } = await clock.until(sent);
    assertEquals(error?.code, "OUTCOME_UNKNOWN");
    assertLess(clock.monotonic() - began, 3_300);
  });
});
