/**
 * Tests of a dead letter that is replayed with another payload: which payload is handled, and what is kept of the
 * earlier one.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { event } from "../contract/declaration/definition.ts";
import type { DeadLetter } from "../contract/calls/durable_messages.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import type { Schema } from "../contract/schemas/schema.ts";

interface Booking {
  readonly room: string;
  readonly at?: Date;
}

/** Schema of an event: the booking of a room. */
const booking: Schema<Booking, Booking> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof (value as Booking).room === "string"
        ? { value: value as Booking }
        : { issues: [{ message: "a room has a name", path: ["room"] }] },
  },
};
const Booked = event("Booked", { durable: true, input: booking, key: ({ room }) => room });

describe("a dead letter that is edited", () => {
  it("is handled with the new payload, in its place of its key, or is one again if the schema refuses that", async () => {
    await using cluster = new MemoryCluster();
    const handled: unknown[] = [];
    const handlers = Booked.on((given) => {
      if (given.room === "7" && given.at === undefined) throw new Error("no time");
      handled.push(given);
    }, { name: "billing", retry: { attempts: 1 } });
    const app: Catga = await cluster.start("a", { service: "shop", handlers });
    const until = <T>(promise: Promise<T>) => cluster.clock.until(promise);
    const letterOf = async (code: string): Promise<DeadLetter> => {
      for (;;) {
        const [letter] = await until(Array.fromAsync(app.deadLetters()));
        if (letter?.error.code === code) return letter;
        await cluster.clock.advance(100);
      }
    };
    await until(app.publish(Booked, { room: "7" }));
    const first = await letterOf("HANDLER_FAILED");
    await until(app.publish(Booked, { room: "7", at: new Date(1) })); // this message waits behind the dead letter
    await until(first.replay({ payload: { room: 7 } }));
    const second = await letterOf("INVALID_MESSAGE");
    assertEquals([second.payload, second.key, second.heldBehind], [{ room: 7 }, "7", 1]);
    assertEquals(second.history, [{ at: first.at, payload: '{"room":"7"}' }]);
    await until(second.replay({ payload: { room: "7", at: new Date(0) } }));
    while (handled.length < 2) await cluster.clock.advance(100);
    assertEquals(handled, [{ room: "7", at: new Date(0) }, { room: "7", at: new Date(1) }]);
    assertEquals(await until(Array.fromAsync(app.deadLetters())), []);
  });

  it("keeps its new payload when its leader dies", async () => {
    await using cluster = new MemoryCluster();
    const handlers = Booked.on(() => {
      throw new Error("no");
    }, { name: "billing", retry: { attempts: 1 } });
    const start = (id: string) => cluster.start(id, { service: "shop", handlers });
    const app = await start("a");
    const until = <T>(promise: Promise<T>) => cluster.clock.until(promise);
    const letterOf = async (by: Catga, room: string): Promise<DeadLetter> => {
      for (;;) {
        const [letter] = await until(Array.fromAsync(by.deadLetters()));
        if ((letter?.payload as Booking | undefined)?.room === room) return letter;
        await cluster.clock.advance(100);
      }
    };
    await until(app.publish(Booked, { room: "7" }));
    await until((await letterOf(app, "7")).replay({ payload: { room: "8" } }));
    await letterOf(app, "8");
    const other = await start("b");
    cluster.kill("a");
    await cluster.clock.advance(10_000);
    await until((await letterOf(other, "8")).replay());
    await cluster.clock.advance(10_000);
    assertEquals((await letterOf(other, "8")).history.map(({ payload }) => payload), ['{"room":"7"}']);
  });

  it("is not replayed with an option that there is not (it was, with the payload that had failed)", async () => {
    await using cluster = new MemoryCluster();
    let runs = 0;
    const handlers = Booked.on(() => {
      runs++;
      throw new Error("no");
    }, { name: "billing", retry: { attempts: 1 } });
    const app = await cluster.start("a", { service: "shop", handlers });
    const until = <T>(promise: Promise<T>) => cluster.clock.until(promise);
    await until(app.publish(Booked, { room: "7" }));
    await cluster.clock.advance(5_000);
    const [letter] = await until(Array.fromAsync(app.deadLetters()));
    const wrong = { payloads: { room: "8" } } as Parameters<typeof letter.replay>[0];
    await assertRejects(() => letter.replay(wrong), TypeError, "replay: unknown option payloads; it takes payload");
    await assertRejects(() => letter.replay(null as never), TypeError, "replay takes an object of options; got null");
    await cluster.clock.advance(5_000);
    assertEquals(runs, 1);
  });
});
