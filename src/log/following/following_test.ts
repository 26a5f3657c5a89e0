import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga, CatgaError, command, entity, event, unwrap } from "../../../mod.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { FollowedEvent } from "../../contract/calls/durable_messages.ts";
import { MemoryNetwork } from "../../testing/mod.ts";
import { memoryLogHarness } from "../../memory/harness_suite.ts";
import { delay } from "../../ports/clock.ts";
import type { EventLog, LogStream } from "../../ports/event_log.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { sequenceOf } from "../format/group_text.ts";
import { openStream } from "../format/streams.ts";
import { EventFeed } from "./event_feed.ts";
import { Follower } from "./follower.ts";
import { streamName } from "../format/stream_name.ts";
import { BRIEF, expirySuite, followingSuite, KEPT, Placed, storeNumber, take } from "./following_suite.ts";

followingSuite("in memory", {}, async () => {
  const app = await catga({ logger: QUIET });
  return { app, [Symbol.asyncDispose]: () => app.drain() };
});

expirySuite("in memory", {}, async () => {
  const clock = new VirtualClock();
  const harness = await memoryLogHarness(undefined, clock);
  return { ...harness, clock, until: (promise) => clock.until(promise) };
});

const Noise = command("Noise", { durable: true });

describe("follow", () => {
  it("events of entities come with the id of the entity as key", async () => {
    const Cup = entity("Cup", { initial: () => 0 });
    const Filled = Cup.event<{ ml: number }>("Filled", (sum, { ml }) => sum + ml);
    const Emptied = Cup.event("Emptied", () => 0);
    const Fill = command<{ cup: string; ml: number }>("Fill", { key: ({ cup }) => cup });
    const fill = Cup.handle(Fill, (cup, { ml }) => {
      cup.emit(Emptied);
      cup.emit(Filled, { ml });
    });
    await using app = await catga({ logger: QUIET, handlers: fill });
    for (const [cup, ml] of [["a", 1], ["b", 2], ["a", 3]] as const) unwrap(await app.send(Fill, { cup, ml }));
    const all = await take(app.follow(Filled, { from: "start" }), 3);
    assertEquals(all.map(({ key, payload }) => [key, payload.ml]), [["a", 1], ["b", 2], ["a", 3]]);
    const own = await take(app.follow(Filled, { from: "start", key: "a" }), 2);
    assertEquals(own.map(({ payload }) => payload.ml), [1, 3]);
  });

  it("a log that is made again, or loses its end, ends followers with a place to go on from", async () => {
    for (const loss of ["remove", "truncate"] as const) {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const app = await clock.until(catga({ network, id: "a", logger: QUIET }));
      for (let n = 1; n <= 3; n++) unwrap(await clock.until(app.publish(Placed, { n })));
      const follower = app.follow(Placed, { from: "start" });
      for (let n = 1; n <= 3; n++) assertEquals((await clock.until(follower.next())).value?.payload.n, n);
      const name = streamName("default", "log");
      if (loss === "remove") network.log.remove(name);
      else network.log.truncate(name, network.log.messages(name)[0].sequence);
      const waiting = follower.next();
      waiting.catch(() => {});
      unwrap(await clock.until(app.publish(Placed, { n: 4 })));
      const error = await clock.until(assertRejects(() => waiting, CatgaError, "go on"));
      assertEquals(error.code, "LOG_MISMATCH");
      const { position } = error.details as { position: number };
      const next = app.follow(Placed, { from: position });
      assertEquals((await clock.until(next.next())).value?.payload.n, 4);
      await clock.until(app.drain());
    }
  });

  it("under cuts, delays, lost and repeated deliveries and stale reads each event comes once, in order", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const clock = new VirtualClock();
      const faults = {
        drop: 0.05,
        delay: 50,
        cut: { every: 4_000, lasts: 800 },
        redelivery: 0.2,
        staleRead: 0.3,
        noLeader: { every: 8_000, lasts: 1_000 },
      };
      const network = new MemoryNetwork({ clock, seed });
      const [writer, reader] = await clock.until(Promise.all([
        catga({ network, id: "w", logger: QUIET }),
        catga({ network, id: "r", logger: QUIET }),
      ]));
      network.faults = faults;
      const count = 300;
      const begun: Promise<number[]>[] = [];
      const follow = async () => {
        const seen: number[] = [];
        for await (const { payload, position } of reader.follow(Placed, { from: "start" })) {
          assert(position > 0);
          seen.push(payload.n);
          if (seen.length === count) break;
        }
        return seen;
      };
      const work = (async () => {
        for (let n = 1; n <= count; n++) {
          // the publish is repeated until it is `ok`: the log stores a message with the same id only once
          for (;;) {
            const { ok } = await writer.publish(Placed, { n }, { id: `e-${n}` });
            if (ok) break;
            await writer.clock.sleep(100);
          }
          if (n % 50 === 1) begun.push(retried(reader, follow));
          await writer.clock.sleep(20);
        }
        return await Promise.all(begun);
      })();
      for (const seen of await clock.until(work)) {
        assertEquals(seen, Array.from({ length: count }, (_, i) => i + 1), `seed ${seed}`);
      }
      network.faults = {};
      await clock.until(Promise.all([writer.drain(), reader.drain()]));
    }
  });

  it("with little kept in memory, whenever followers begin and however slow they are, each gets all, in order", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const clock = new VirtualClock();
      const random = seededRandom(seed);
      const network = new MemoryNetwork({ clock, seed });
      const writer = await clock.until(catga({ network, id: "w", logger: QUIET }));
      const { log } = network.connect({ name: "r", onError: () => {} });
      const stream = await clock.until(openStream({ namespace: "default", replicas: 1, log }, "log"));
      const feed = new EventFeed({
        ...{ contract: Placed as AnyContract, namespace: "default", clock, maxRecent: 3, stream: () => stream },
        observer: () => {},
        onUnused: () => {},
      });
      const keeper = new Follower({ feed, positionAt: () => Promise.resolve(0) });
      network.faults = { delay: 20, drop: 0.05, redelivery: 0.2 };
      const count = 60;
      const positions: number[] = [];
      const reads: Promise<void>[] = [];
      const read = async (from: number) => {
        const first = from === 0 ? 1 : positions.indexOf(from) + 2;
        const follower = new Follower({
          feed,
          from: from === 0 ? "start" : from,
          positionAt: () => Promise.resolve(0),
        });
        for (let n = first; n <= count; n++) {
          const { value } = await follower.next();
          assertEquals((value as FollowedEvent<{ n: number }>).payload.n, n, `seed ${seed}`);
          if (n > positions.length) positions.push(value!.position);
          if (random() < 0.3) await delay(clock, random() * 300);
        }
        await follower.return();
      };
      const work = async () => {
        reads.push(read(0));
        for (let n = 1; n <= count; n++) {
          const published = writer.publish(Placed, { n }, { timeout: 600_000 });
          if (random() < 0.4) unwrap(await published);
          if (random() < 0.2) await delay(clock, random() * 1_000);
          if (random() < 0.3) unwrap(await writer.enqueue(Noise, undefined, { timeout: 600_000 }));
          if (random() < 0.2) reads.push(read(positions[Math.floor(random() * positions.length)] ?? 0));
        }
        await Promise.all(reads);
      };
      await clock.until(work());
      await keeper.return();
      network.faults = {};
      await clock.until(writer.drain());
    }
  });

  it("a follower that catches up quickly reads larger and larger parts of the store; a slow one small ones", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const writer = await clock.until(catga({ network, id: "w", logger: QUIET }));
    const Large = event<{ n: number; text: string }>("Large", { durable: true });
    const count = 200;
    for (let n = 0; n < count; n++) {
      unwrap(await clock.until(writer.publish(Large, { n, text: "x".repeat(16_384) })));
    }
    const { log } = network.connect({ name: "r", onError: () => {} });
    const stream = await clock.until(openStream({ namespace: "default", replicas: 1, log }, "log"));
    const readers = async (pause: number) => {
      let made = 0;
      const counting: LogStream = new Proxy(stream, {
        get(target, member) {
          if (member === "follow") made++;
          const value = Reflect.get(target, member);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      const feed = new EventFeed({
        ...{ contract: Large as AnyContract, namespace: "default", clock, stream: () => counting },
        observer: () => {},
        onUnused: () => {},
      });
      const follower = new Follower({ feed, from: "start", positionAt: () => Promise.resolve(0) });
      for (let n = 0; n < count; n++) {
        const { value } = await follower.next();
        assertEquals((value!.payload as { n: number }).n, n);
        if (pause > 0) await delay(clock, pause);
      }
      await follower.return();
      return made - 1; // the feed has a reader of its own
    };
    // 3.1 MiB: 256 KiB, 512 KiB, 1 MiB and the rest; or 13 parts
    assertEquals(await clock.until(readers(0)), 4);
    assertEquals(await clock.until(readers(100)), 13);
    await clock.until(writer.drain());
  });

  it("slow, away or cut off for longer than keep: each event comes, or LOG_MISMATCH, and that of no young place", async () => {
    const counts = { events: 0, losses: 0, resumed: 0 };
    for (let seed = 1; seed <= 20; seed++) await runExpiry(seed, counts);
    assert(counts.events > 3_000 && counts.losses > 50 && counts.resumed > 500, JSON.stringify(counts));
  });

  it("a follower that is left while the log does not answer ends at once, although another one stays", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const app = await clock.until(catga({ network, id: "a", logger: QUIET }));
    unwrap(await clock.until(app.publish(Placed, { n: 1 })));
    const stays = app.follow(Placed);
    const waiting = stays.next();
    await clock.advance(1_000);
    const stop = new AbortController();
    const [aborted, left] = [
      app.follow(Placed, { from: "start", signal: stop.signal }),
      app.follow(Placed, { from: "start" }),
    ];
    network.cut("a");
    const ends = [aborted.next(), left.next()];
    await clock.advance(1_000);
    stop.abort();
    await left.return?.();
    const ended = await clock.until(Promise.race([Promise.all(ends), delay(clock, 1_000)]));
    assertEquals(ended?.map(({ done }) => done), [true, true]);
    network.heal();
    unwrap(await clock.until(app.publish(Placed, { n: 2 }, { timeout: 60_000 })));
    assertEquals((await clock.until(waiting)).value?.payload.n, 2);
    await clock.until(app.drain());
  });

  it("misuse throws at once", async () => {
    await using app = await catga({ logger: QUIET });
    const follow = app.follow.bind(app) as (...given: unknown[]) => unknown;
    assertThrows(() => follow(event("Plain")), TypeError, "not durable");
    assertThrows(() => follow(command("Do")), TypeError, "event");
    assertThrows(() => follow(Placed, { form: "now" }), TypeError, "form");
    assertThrows(() => follow(Placed, { from: "later" }), TypeError, '"now", "start", a position');
    assertThrows(() => follow(Placed, { from: -1 }), RangeError, "a position");
    assertThrows(() => follow(Placed, { from: new Date(NaN) }), TypeError, "valid Date");
    assertThrows(() => follow(Placed, { key: 7 }), TypeError, "key");
  });

  it("an app that has stopped refuses it, and the first next tells when the log does not answer", async () => {
    const app: Catga = await catga({ logger: QUIET });
    await app.drain();
    assertThrows(() => app.follow(Placed), CatgaError, "stopped");
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const cut = await clock.until(catga({ network, id: "a", logger: QUIET }));
    network.cut("a");
    const error = await clock.until(assertRejects(() => cut.follow(Placed).next(), CatgaError));
    assertEquals(error.code, "UNAVAILABLE");
    network.heal();
    unwrap(await clock.until(cut.publish(Placed, { n: 1 }, { timeout: 60_000 })));
    assertEquals((await clock.until(cut.follow(Placed, { from: "start" }).next())).value?.payload.n, 1);
    await clock.until(cut.drain());
  });
});

/**
 * Runs followers that are slow, that leave and come back, and whose connection is cut, beside a writer whose events
 * expire. In half of the runs other messages expire early, too.
 */
async function runExpiry(seed: number, counts: { events: number; losses: number; resumed: number }): Promise<void> {
  const clock = new VirtualClock();
  const random = seededRandom(seed);
  const network = new MemoryNetwork({ clock, seed });
  const connections = ["w", "r"].map((name) => network.connect({ name, onError: () => {} }));
  const open = (log: EventLog) => clock.until(openStream({ namespace: "default", replicas: 1, log }, "log"));
  const [writer, reader] = [await open(connections[0].log), await open(connections[1].log)];
  const feedOptions = {
    ...{ contract: BRIEF, namespace: "default", clock, maxRecent: 3, stream: () => reader },
    observer: () => {},
    onUnused: () => {},
  };
  /** Times at which the messages were stored, by sequence. */
  const times = new Map<number, number>();
  const othersStay = seed % 2 === 0;
  let written = false;
  const short = () => delay(clock, random() * (random() < 0.1 ? 25_000 : 2_000));
  const write = async () => {
    for (let n = 1; n <= 150; n++) {
      const at = clock.now();
      times.set(await storeNumber(writer, "Brief", n), at);
      if (random() < 0.5) times.set(await storeNumber(writer, othersStay ? "Lasting" : "Short", n), clock.now());
      await short();
    }
    written = true;
  };
  const cut = async () => {
    while (!written) {
      await delay(clock, random() * 60_000);
      connections[1].cut();
      await short();
      connections[1].restore();
    }
  };
  let feed: EventFeed | undefined;
  const follow = async () => {
    let [from, last]: ["start" | number, number | undefined] = ["start", undefined];
    for (let waitedAtEnd = 0; last !== 150;) {
      if (feed === undefined || feed.closed) feed = new EventFeed(feedOptions);
      const follower: Follower = new Follower({ feed, from, positionAt: () => Promise.resolve(0) });
      if (typeof from === "number") counts.resumed++;
      const stays = 1 + Math.floor(random() * 20);
      let next: ReturnType<Follower["next"]> | undefined;
      try {
        for (let i = 0; i < stays && last !== 150; i++) {
          next = follower.next();
          const came = await Promise.race([next, delay(clock, 5_000 + random() * 30_000)]);
          if (came === undefined) { // it leaves while it waits
            if (written && last === undefined) return; // what it would get has expired
            assert(!written || ++waitedAtEnd < 5, `seed ${seed}: the events behind ${last} do not come`);
            break;
          }
          const { n } = came.value!.payload as { n: number };
          if (last !== undefined) assertEquals(n, last + 1, `seed ${seed}: an event was passed over`);
          counts.events++;
          last = n;
          if (random() < 0.3) await short();
        }
      } catch (error) {
        if (!(error instanceof CatgaError)) throw error;
        if (error.code !== "UNAVAILABLE") {
          assertEquals(error.code, "LOG_MISMATCH");
          counts.losses++;
          const time = times.get(sequenceOf(follower.position!)) ?? 0;
          if (othersStay) assert(clock.now() - time > KEPT - 5_000, `seed ${seed}: place of ${clock.now() - time} ms`);
          [from, last] = [(error.details as { position: number }).position, undefined];
          if (written) return;
          continue;
        }
      }
      next?.catch(() => {});
      // an event that has come meanwhile is not lost: the position is before it
      if (last !== undefined && follower.position !== undefined) from = follower.position;
      await follower.return();
      await short();
    }
  };
  await clock.until(Promise.all([write(), cut(), follow(), follow(), follow()]), 10_000_000);
  feed?.close();
  for (const connection of connections) await connection.close();
}

/** Calls `work` until it succeeds, while the log cannot be reached. */
async function retried<T>({ clock }: Catga, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CatgaError) || error.code !== "UNAVAILABLE") throw error;
      await clock.sleep(100);
    }
  }
}
