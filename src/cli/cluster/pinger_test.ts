import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { type MemoryConnection, MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Pinger } from "./pinger.ts";

const LIMIT = 1_000;

describe("Pinger", () => {
  it("ping: resolves with the load of the process, and with the time until it answered", async () => {
    const { clock, pinger, process } = start();
    process("a.1", ({ kind, n, answer }) => {
      clock.after(30, () => answer(["o", n, 0, [], kind === "p" ? [3, 1] : [0, 0]]));
    });
    assertEquals(await clock.until(pinger.ping("a.1", LIMIT)), { type: "pong", ms: 30, load: [3, 1] });
    assertEquals(clock.timers, 0);
  });

  it("ping: an endpoint without a process bounces at once, a process that does not answer is silent", async () => {
    const { clock, pinger, process } = start();
    process("frozen.1", () => {});
    const began = clock.monotonic();
    assertEquals(await clock.until(pinger.ping("gone.1", LIMIT)), { type: "bounce" });
    assertEquals(clock.monotonic() - began, 0);
    assertEquals(await clock.until(pinger.ping("frozen.1", LIMIT)), { type: "silence" });
    assertEquals(clock.monotonic() - began, LIMIT);
  });

  it("ping: of several at once each resolves with its own answer", async () => {
    const { clock, pinger, process } = start();
    const sent: number[] = [];
    process("a.1", ({ seq, n, answer }) => {
      sent.push(seq);
      // the process answers the first ping last
      clock.after(100 - 10 * n, () => answer(["o", n, 0, [], [n, 0]]));
    });
    process("b.1", ({ n, answer }) => answer(["o", n, 0, [], [n, 7]]));
    const echoes = await clock.until(Promise.all(["a.1", "a.1", "b.1"].map((at) => pinger.ping(at, LIMIT))));
    const loads = echoes.map((echo) => (echo.type === "pong" ? echo.load : echo.type));
    assertEquals(loads, [[1, 0], [2, 0], [3, 7]]);
    assertEquals(sent, [1, 2]);
  });

  it("ping: an answer that is late, has another number, or is from another process does not count", async () => {
    const { clock, pinger, process, send } = start();
    let [asker, pings] = ["", 0];
    process("a.1", ({ from, n, answer }) => {
      asker = from;
      answer(["o", n + 1, 0, [], [0, 0]]);
      send(from, "b.1", ["o", n, 0, [], [0, 0]]);
      clock.after(LIMIT + 1, () => answer(["o", n, 0, [], [0, 0]]));
      pings++;
    });
    for (let i = 0; i < 2; i++) assertEquals(await clock.until(pinger.ping("a.1", LIMIT)), { type: "silence" });
    assertEquals(pings, 2);
    assertMatch(asker, /^cli\.\w{12}$/);
  });

  it("ping: data on the subject of a bounce is not a bounce", async () => {
    const { clock, pinger, process, other } = start();
    process("a.1", ({ reply, n, answer }) => {
      other.publish(reply, "data");
      clock.after(10, () => answer(["o", n, 0, [], [0, 0]]));
    });
    assertEquals(await clock.until(pinger.ping("a.1", LIMIT)), { type: "pong", ms: 10, load: [0, 0] });
  });

  it("ping: a malformed frame is an error of the connection, and the answer behind it counts", async () => {
    const { clock, pinger, process, other, errors } = start();
    process("a.1", ({ from, n, answer }) => {
      other.publish(`catga.shop.node.${from}.a.1`, "no frame");
      answer(["o", n, 0, [], [5, 0]]);
    });
    assertEquals(await clock.until(pinger.ping("a.1", LIMIT)), { type: "pong", ms: 0, load: [5, 0] });
    assertEquals(errors.length, 1);
  });

  it("stats: resolves with what the process answered, or why that is malformed; without a process it bounces", async () => {
    const { clock, pinger, process } = start();
    const least = { endpoint: "a.1", service: "s", now: 1, up: 2, process: { rss: 3, cpu: 4 } };
    process("a.1", ({ kind, n, answer }) => answer(["t", n, kind === "s" ? least : {}]));
    const told = await clock.until(pinger.stats("a.1", LIMIT));
    assertEquals(told.type === "stats" && [told.stats.service, told.stats.process.rss], ["s", 3]);
    process("b.1", ({ n, answer }) => answer(["t", n, least]));
    assertEquals(await clock.until(pinger.stats("b.1", LIMIT)), { type: "silence", why: "it is of another process" });
    assertEquals(await clock.until(pinger.stats("gone.1", LIMIT)), { type: "bounce" });
  });

  it("an answer of the other kind is silence", async () => {
    const { clock, pinger, process } = start();
    process("a.1", ({ kind, n, answer }) => answer(kind === "s" ? ["o", n, 0, [], [0, 0]] : ["t", n, {}]));
    assertEquals(await clock.until(pinger.stats("a.1", LIMIT)), { type: "silence" });
    assertEquals(await clock.until(pinger.ping("a.1", LIMIT)), { type: "silence" });
  });

  it("once it is disposed of, no answer reaches it", async () => {
    const { clock, pinger, process } = start();
    let asked = 0;
    process("a.1", ({ n, answer }) => {
      asked++;
      answer(["o", n, 0, [], [0, 0]]);
    });
    pinger[Symbol.dispose]();
    assertEquals(await clock.until(pinger.ping("a.1", LIMIT)), { type: "silence" });
    assertEquals(asked, 1);
  });
});

/** A ping or a request for statistics, as a process receives it. */
interface Asked {
  readonly kind: unknown;
  readonly n: number;
  /** Number of the frame that carried the request. */
  readonly seq: number;
  /** Endpoint of the pinger. */
  readonly from: string;
  /** Subject to which the request bounces if nobody listens. */
  readonly reply: string;
  answer(item: unknown[]): void;
}

/**
 * Makes a pinger in the namespace `shop` on a network in memory. `process` adds a process that answers as the test
 * says.
 */
function start() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const errors: unknown[] = [];
  const pinger = new Pinger(network.connect({ onError: (error) => errors.push(error) }), "shop");
  const other: MemoryConnection = network.connect();
  const send = (to: string, from: string, item: unknown[]) =>
    other.publish(`catga.shop.node.${to}.${from}`, JSON.stringify([1, 1, 0, item]));
  const process = (endpoint: string, onAsked: (asked: Asked) => void) => {
    const inbox = `catga.shop.node.${endpoint}.`;
    other.subscribe(`${inbox}>`, {}, ({ subject, data, reply }) => {
      const from = subject.slice(inbox.length);
      const [, seq, , [kind, n]] = JSON.parse(new TextDecoder().decode(data));
      onAsked({ kind, n, seq, from, reply: reply!, answer: (item) => send(from, endpoint, item) });
    });
  };
  return { clock, pinger, process, send, other, errors };
}
