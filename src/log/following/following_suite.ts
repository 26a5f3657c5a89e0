/** Tests of the promises that followers of a durable event make, in memory and over NATS. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, CatgaError, entity, event, type FollowedEvent, type Schema, unwrap } from "../../../mod.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import type { EventLogHarness, LogClient } from "../../ports/event_log_suite.ts";
import { groupText, itemText } from "../format/group.ts";
import { categorySubject } from "../format/names.ts";
import { openStream } from "../format/streams.ts";
import { EventFeed } from "./event_feed.ts";
import { Follower, type FollowerOptions } from "./follower.ts";

/** An app whose log contains only messages that the test stores. */
export interface FollowingHarness extends AsyncDisposable {
  readonly app: Catga;
}

export const Placed = event<{ n: number }, { n: number }>("Placed", {
  durable: true,
  key: ({ n }) => `${n % 2}`,
});
const Other = event<{ n: number }>("Other", { durable: true });

/** Reads `count` events, then ends the iteration. */
export async function take<T>(
  events: AsyncIterableIterator<FollowedEvent<T>>,
  count: number,
): Promise<FollowedEvent<T>[]> {
  const taken: FollowedEvent<T>[] = [];
  while (taken.length < count) {
    const { done, value } = await events.next();
    if (done) break;
    taken.push(value);
  }
  await events.return?.();
  return taken;
}

const numbers = (events: readonly FollowedEvent<{ n: number }>[]) => events.map(({ payload }) => payload.n);

export function followingSuite(name: string, options: object, start: () => Promise<FollowingHarness>): void {
  const publish = async (app: Catga, from: number, to: number) => {
    for (let n = from; n <= to; n++) {
      unwrap(await app.publish(Placed, { n }, { headers: { trace: `t-${n}` } }));
      unwrap(await app.publish(Other, { n }));
    }
  };

  describe(`follow: ${name}`, options, () => {
    it("events come in the order of their positions, each once, from the start, a position, a time and now", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 20);
      const all = await take(app.follow(Placed, { from: "start" }), 20);
      assertEquals(numbers(all), Array.from({ length: 20 }, (_, i) => i + 1));
      assert(all.every(({ position }, i) => i === 0 || position > all[i - 1].position));
      const { key, headers, stored, id } = all[4];
      assertEquals([key, headers.trace, stored instanceof Date, id !== ""], ["1", "t-5", true, true]);
      assertEquals(numbers(await take(app.follow(Placed, { from: all[9].position }), 10)), numbers(all.slice(10)));
      assertEquals(numbers(await take(app.follow(Placed, { from: new Date(0) }), 20)), numbers(all));
      const now = app.follow(Placed);
      const first = now.next();
      while (now.position === undefined) await app.clock.sleep(1);
      await publish(app, 21, 22);
      assertEquals((await first).value?.payload.n, 21);
      assertEquals(numbers(await take(now, 1)), [22]);
    });

    it("key: the others are passed over, and the position moves behind them", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 9);
      const follower = app.follow(Placed, { from: "start", key: "0" });
      assertEquals(numbers(await take(follower, 4)), [2, 4, 6, 8]);
      assert(follower.position! > 0);
    });

    it("many followers of one event get all of them, whenever they began", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 10);
      const followers = Array.from({ length: 50 }, () => take(app.follow(Placed, { from: "start" }), 30));
      await publish(app, 11, 20);
      followers.push(...Array.from({ length: 50 }, () => take(app.follow(Placed, { from: "start" }), 30)));
      await publish(app, 21, 30);
      for (const events of await Promise.all(followers)) {
        assertEquals(numbers(events), Array.from({ length: 30 }, (_, i) => i + 1));
      }
    });

    it("a follower that is further behind than what is kept in memory reads the store, and loses nothing", async () => {
      await using harness = await start();
      const { app } = harness;
      unwrap(await app.publish(Placed, { n: 0 }));
      const slow = app.follow(Placed, { from: "start" });
      const quick = app.follow(Placed, { from: "start" });
      assertEquals((await slow.next()).value?.payload.n, 0);
      const count = 5_000;
      const seen = take(quick, count + 1);
      // every third publish is awaited, so that few events share a message of the stream
      for (let n = 1; n <= count; n++) {
        const stored = app.publish(Placed, { n });
        if (n % 3 === 0) unwrap(await stored);
      }
      assertEquals((await seen).length, count + 1);
      assertEquals(numbers(await take(slow, count)), Array.from({ length: count }, (_, i) => i + 1));
    });

    it("events of an entity are followed, too, those of one by its key", async () => {
      await using harness = await start();
      const { app } = harness;
      const Cup = entity("Cup", { initial: () => 0 });
      const Filled = Cup.event<{ ml: number }>("Filled", (sum, { ml }) => sum + ml);
      // no event of the entity Cup was ever emitted
      const filled = app.follow(Filled, { key: "a" });
      const first = filled.next();
      while (filled.position === undefined) await app.clock.sleep(1);
      await filled.return?.();
      assertEquals((await first).done, true);
    });

    it("an event that does not fit the schema ends the follower, and the error says how to pass it over", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 3);
      const odd: Schema<{ n: number }> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) => {
            const { n } = value as { n: number };
            return n === 2 ? { issues: [{ message: "even" }] } : { value: { n: n * 10 } };
          },
        },
      };
      const Strict = event("Placed", { durable: true, input: odd });
      const follower = app.follow(Strict, { from: "start" });
      assertEquals((await follower.next()).value?.payload.n, 10);
      const error = await assertRejects(() => follower.next(), CatgaError, "follow from");
      const { position } = error.details as { position: number };
      assertEquals([error.code, (await follower.next()).done], ["INVALID_MESSAGE", true]);
      assertEquals(numbers(await take(app.follow(Strict, { from: position }), 1)), [30]);
    });

    it("a position behind the end of the log is LOG_MISMATCH, and says from where it may go on", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 2);
      const [last] = (await take(app.follow(Placed, { from: "start" }), 2)).slice(-1);
      const error = await assertRejects(
        () => app.follow(Placed, { from: last.position + 1_024 * 100 }).next(),
        CatgaError,
        "the log has lost its end",
      );
      assertEquals(error.code, "LOG_MISMATCH");
      const follower = app.follow(Placed, { from: (error.details as { position: number }).position });
      await publish(app, 3, 3);
      assertEquals(numbers(await take(follower, 1)), [3]);
    });

    it("it ends when it is left, when its signal aborts, and when the app drains", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 1);
      const stop = new AbortController();
      const [left, aborted, drained] = [undefined, stop.signal, undefined].map((signal) =>
        app.follow(Placed, { signal })
      );
      const ends = [left, aborted, drained].map((follower) => follower.next());
      await left.return?.();
      stop.abort();
      assertEquals([(await ends[0]).done, (await ends[1]).done], [true, true]);
      await app.drain();
      assertEquals((await ends[2]).done, true);
    });
  });
}

/** A log whose events can be kept for less than the two minutes that contracts allow. */
export interface ExpiryHarness extends EventLogHarness {
  readonly clock: Clock;
  /** Awaits a promise: time passes meanwhile. */
  until<T>(promise: Promise<T>): Promise<T>;
}

/** Time for which the suite keeps events, in ms: twice the margin by which they count as expired early. */
export const KEPT = 10_000;
/** A durable event that is kept for `KEPT` ms. */
export const BRIEF = { kind: "event", name: "Brief", options: { durable: { keep: KEPT } } } as AnyContract;

/** Contracts of the suite's messages, by how long these are kept, in ms. */
const TTL = { Brief: KEPT, Lasting: undefined, Short: 1_000 } as const;

/** Stores a message of a contract with a number. Resolves with its sequence. */
export async function storeNumber(stream: LogStream, name: keyof typeof TTL, n: number): Promise<number> {
  const ttl = TTL[name];
  const head = { endpoint: "w.1", first: n, sentAt: 0, keep: ttl ?? 0, schedule: undefined };
  const item = itemText({ text: JSON.stringify({ n }), key: undefined, id: undefined, meta: undefined });
  const options = { timeout: 10_000, ttl };
  const appended = await stream.append(categorySubject("default", name), groupText(head, item), options);
  if (appended.type !== "stored") throw new Error(`a message was not stored: ${appended.type}`);
  return appended.sequence;
}

/** Followers over one client, and a writer over another. */
class ExpiryTest implements AsyncDisposable {
  readonly #harness: ExpiryHarness;
  readonly #writer: LogClient;
  readonly reader: LogClient;
  readonly #streams: readonly [writer: LogStream, reader: LogStream];
  readonly #followers: Follower[] = [];
  #feed: EventFeed | undefined;

  private constructor(
    harness: ExpiryHarness,
    clients: readonly [writer: LogClient, reader: LogClient],
    streams: readonly [writer: LogStream, reader: LogStream],
  ) {
    this.#harness = harness;
    [this.#writer, this.reader] = clients;
    this.#streams = streams;
  }

  static async start(harness: ExpiryHarness): Promise<ExpiryTest> {
    const clients = await Promise.all([harness.connect(), harness.connect()]);
    const open = ({ log }: LogClient) => harness.until(openStream({ namespace: "default", replicas: 1, log }, "log"));
    const streams = [await open(clients[0]), await open(clients[1])] as const;
    return new ExpiryTest(harness, clients, streams);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const follower of this.#followers) await follower.return();
    await this.#writer.close();
    await this.reader.close();
  }

  /** Stores a message of a contract. Resolves with its sequence. */
  publish(name: keyof typeof TTL, n: number): Promise<number> {
    return this.#harness.until(storeNumber(this.#streams[0], name, n));
  }

  /** Resolves when the messages with these sequences have expired. */
  async expiry(...sequences: number[]): Promise<void> {
    for (const sequence of sequences) {
      while (await this.#harness.until(this.#streams[0].at(sequence)) !== undefined) await this.#harness.pass(100);
    }
  }

  follow(from: FollowerOptions["from"]): Follower {
    let feed = this.#feed;
    if (feed === undefined || feed.closed) {
      feed = this.#feed = new EventFeed({
        ...{ contract: BRIEF, namespace: "default", clock: this.#harness.clock },
        stream: () => this.#streams[1],
        observer: () => {},
        onUnused: () => {},
      });
    }
    const follower = new Follower({ feed, from, positionAt: () => Promise.resolve(0) });
    this.#followers.push(follower);
    return follower;
  }

  /**
   * Stores a message that stays, and behind it an event. Resolves with the event's sequence and position, and with a
   * follower that has got the event.
   */
  async begin(): Promise<{ readonly old: number; readonly position: number; readonly follower: Follower }> {
    await this.publish("Lasting", 0);
    const old = await this.publish("Brief", 1);
    const follower = this.follow("start");
    const { n, position } = await this.event(follower.next());
    assertEquals(n, 1);
    return { old, position, follower };
  }

  /** Resolves with the number and position of a follower's next event. */
  async event(next: ReturnType<Follower["next"]>): Promise<{ n: number; position: number }> {
    const { value } = await this.#harness.until(next);
    if (value === undefined) throw new Error("the follower has ended");
    return { n: (value.payload as { n: number }).n, position: value.position };
  }

  /** Resolves with the error by which a follower ends. */
  async loss(next: Promise<unknown>): Promise<{ reason: string; position: number }> {
    const error = await this.#harness.until(assertRejects(() => next, CatgaError, "messages have expired"));
    assertEquals(error.code, "LOG_MISMATCH");
    return error.details as { reason: string; position: number };
  }

  /** Resolves when a follower that waits has come to the end of the log. */
  async position(follower: Follower, least: number): Promise<number> {
    while ((follower.position ?? 0) < least) await this.#harness.pass(50);
    return follower.position!;
  }
}

/** Tests that no event expires unread without an error, and that there is no error if none has. */
export function expirySuite(name: string, options: object, start: () => Promise<ExpiryHarness>): void {
  describe(`follow, when events expire: ${name}`, { ...options, timeout: 300_000 }, () => {
    it("events that expired behind the position are no gap: LOG_MISMATCH, though older messages are there", async () => {
      await using harness = await start();
      await using test = await ExpiryTest.start(harness);
      const { follower: first, position } = await test.begin();
      await first.return();
      const missed = await test.publish("Brief", 2);
      await test.publish("Lasting", 3);
      await test.expiry(missed);
      await test.publish("Brief", 4);
      const loss = await test.loss(test.follow(position).next());
      assertEquals(loss.reason, "expired");
      // the oldest event that is there is no promise of a place without a gap
      assertEquals((await test.event(test.follow("start").next())).n, 4);
      const next = test.follow(loss.position);
      const waiting = next.next();
      await test.position(next, 1);
      await test.publish("Brief", 5);
      assertEquals((await test.event(waiting)).n, 5);
    });

    it("a follower that waits for longer than keep goes on, and so does a new one from its position", async () => {
      await using harness = await start();
      await using test = await ExpiryTest.start(harness);
      const { old, follower: waits } = await test.begin();
      const waiting = waits.next();
      await test.publish("Short", 2);
      await test.expiry(old);
      const last = await test.publish("Short", 3);
      const position = await test.position(waits, last * 1_024);
      await test.publish("Brief", 4);
      assertEquals((await test.event(waiting)).n, 4);
      await waits.return();
      assertEquals((await test.event(test.follow(position).next())).n, 4);
    });

    it("a follower that has waited for longer than keep loses nothing of what is stored in a short interruption", async () => {
      await using harness = await start();
      await using test = await ExpiryTest.start(harness);
      const { old, follower } = await test.begin();
      const first = follower.next();
      await test.publish("Short", 2);
      await test.expiry(old);
      await test.reader.cut();
      for (const n of [3, 4]) await test.publish("Brief", n);
      await test.reader.restore();
      assertEquals((await test.event(first)).n, 3);
      await test.publish("Brief", 5);
      for (const n of [4, 5]) assertEquals((await test.event(follower.next())).n, n);
    });

    it("an interruption that was longer than keep ends followers only if something was stored meanwhile", async () => {
      await using harness = await start();
      await using test = await ExpiryTest.start(harness);
      const { old, follower } = await test.begin();
      const waiting = follower.next();
      waiting.catch(() => {});
      await harness.pass(1_000);
      await test.reader.cut();
      await test.expiry(old);
      await test.reader.restore();
      await test.publish("Brief", 2);
      assertEquals((await test.event(waiting)).n, 2);
      const again = follower.next();
      again.catch(() => {});
      await test.reader.cut();
      const missed = await test.publish("Brief", 3);
      await test.expiry(missed);
      await test.publish("Brief", 4);
      await test.reader.restore();
      const { position } = await test.loss(again);
      const next = test.follow(position);
      const last = next.next();
      await test.position(next, 1);
      await test.publish("Brief", 5);
      assertEquals((await test.event(last)).n, 5);
    });
  });
}
