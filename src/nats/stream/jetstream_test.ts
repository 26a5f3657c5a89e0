import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { systemClock } from "../../ports/clock.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import { ReadLimiter } from "./jetstream.ts";

describe("ReadLimiter", () => {
  /** Starts 200 reads, and returns how many run at once. `end` ends the running reads one after the other. */
  async function underWay(reads: ReadLimiter, end: (settle: PromiseWithResolvers<number>) => void): Promise<number> {
    const open: PromiseWithResolvers<number>[] = [];
    const all = Array.from({ length: 200 }, () =>
      reads.do(() => {
        const settle = Promise.withResolvers<number>();
        open.push(settle);
        return settle.promise;
      }, (size) => size));
    await delay();
    const first = open.length;
    const ended = Promise.allSettled(all);
    while (open.length > 0) {
      end(open.shift()!);
      await delay();
    }
    await ended;
    return first;
  }

  it("as many are under way as their answers have room, by the size of the last ones", async () => {
    const reads = new ReadLimiter(systemClock);
    // 8 reads, because the limiter does not know the size of their answers yet
    assertEquals(await underWay(reads, ({ resolve }) => resolve(100)), 8);
    assertEquals(await underWay(reads, ({ resolve }) => resolve(1_000_000)), 64);
    assertEquals(await underWay(reads, ({ resolve }) => resolve(100)), 8);
  });

  it("fewer are under way while the server is late (it did again and again what nobody waited for any more)", async () => {
    const reads = new ReadLimiter(systemClock);
    await underWay(reads, ({ resolve }) => resolve(100));
    assertEquals(await underWay(reads, ({ reject }) => reject(new JetStreamRefusal("no answer", "late"))), 64);
    assertEquals(await underWay(reads, ({ reject }) => reject(new JetStreamRefusal("no responders", "none"))), 4);
    await underWay(reads, ({ resolve }) => resolve(100));
    assertEquals(await underWay(reads, ({ resolve }) => resolve(100)), 54);
  });

  it("one whose turn does not come within 5 s has no answer, and is not sent", async () => {
    const clock = new VirtualClock();
    const reads = new ReadLimiter(clock);
    let sent = 0;
    const silent = () => {
      sent++;
      return new Promise<number>(() => {});
    };
    for (let n = 0; n < 8; n++) void reads.do(silent, (size) => size);
    const last = assertRejects(() => reads.do(silent, (size) => size), JetStreamRefusal, "no turn within 5000 ms");
    await clock.advance(5_000);
    await last;
    assertEquals(sent, 8);
  });

  it("those of the same that wait together are one, sent when their turn comes (of who gave up many waited on)", async () => {
    const reads = new ReadLimiter(systemClock);
    const open: ((text: string) => void)[] = [];
    const sent: string[] = [];
    const read = (what: string) =>
      reads.do(() => {
        sent.push(what);
        return new Promise<string>((resolve) => open.push(resolve));
      }, () =>
        1024 * 1024, what);
    const first = Array.from({ length: 8 }, () => read("a"));
    const waiting = [read("a"), read("b"), read("a"), read("b")];
    await delay();
    assertEquals(sent.join(""), "aaaaaaaa");
    open.shift()!("old");
    await delay();
    assertEquals(sent.join(""), "aaaaaaaaa");
    waiting.push(read("a")); // a new read: the answer to the read of "a" that is under way may be older than this call
    for (let n = 1; open.length > 0; n++) {
      open.shift()!(`answer ${n}`);
      await delay();
    }
    assertEquals(sent.slice(8), ["a", "b", "a"]);
    assertEquals(await Promise.all(waiting), ["answer 8", "answer 9", "answer 8", "answer 9", "answer 10"]);
    await Promise.all(first);
  });

  it("one that waits with others of the same has its turn again after they had none", async () => {
    const clock = new VirtualClock();
    const reads = new ReadLimiter(clock);
    let answer = () => {};
    const read = () => reads.do(() => new Promise<number>((resolve) => answer = () => resolve(1)), (size) => size, "a");
    for (let n = 0; n < 8; n++) void read();
    const waiting = [1, 2].map(() => assertRejects(read, JetStreamRefusal, "no turn within 5000 ms"));
    await clock.advance(5_000);
    await Promise.all(waiting);
    const later = read();
    answer();
    await clock.advance(0);
    answer();
    assertEquals(await later, 1);
  });

  it("one waits on while others are answered (a list of runs was given up behind 3,000 busy ones)", async () => {
    const clock = new VirtualClock();
    const reads = new ReadLimiter(clock);
    const open: ((size: number) => void)[] = [];
    const read = () => reads.do(() => new Promise<number>((resolve) => open.push(resolve)), (size) => size);
    for (let n = 0; n < 20; n++) read().catch(() => {}); // the last of the 20 reads wait as long as `last` does
    let over = false;
    const last = assertRejects(read, JetStreamRefusal, "no turn within 5000 ms").finally(() => over = true);
    for (let n = 0; n < 3; n++) {
      await clock.advance(4_000);
      open.shift()!(1024 * 1024);
    }
    await clock.advance(4_000);
    assertEquals(over, false);
    await clock.advance(1_000);
    await last;
  });
});

function delay(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
