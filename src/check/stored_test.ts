import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, entity, type Schema, unwrap } from "../../mod.ts";
import { edge } from "../http/mod.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { streamOptions } from "../log/format/streams.ts";
import { streamName } from "../log/format/stream_name.ts";
import { systemClock } from "../ports/clock.ts";
import { bucketName, BUCKETS } from "../ports/key_value_store.ts";
import { programOf } from "./program.ts";
import { checkStored } from "./stored.ts";

const Add = command<{ id: string; n: number }>("Add", { key: ({ id }) => id });

/** Makes an entity that counts by `step`; its `apply` throws for an event with a number above `most`. */
function cartOf({ step = 1, most = Infinity, version = 1 }: { step?: number; most?: number; version?: number }) {
  const Cart = entity("Cart", { initial: () => 0, version });
  const Added = Cart.event<number>("Added", (count, n) => {
    if (n > most) throw new Error("too many");
    return count + step;
  });
  return Cart.handle(Add, (cart, { n }) => {
    for (let i = 0; i < 20; i++) cart.emit(Added, n);
  });
}

async function stage(entities: number) {
  const network = new MemoryNetwork();
  await using app = await catga({ network, handlers: cartOf({}) });
  for (let n = 0; n < entities; n++) {
    for (let i = 0; i < 6; i++) unwrap(await app.send(Add, { id: `c${n}`, n: i === 5 ? n : 0 }, { id: `${n}-${i}` }));
  }
  await app.drain();
  const { log, store } = network.connect();
  const stream = await log.open(streamName("default", "entities"), streamOptions("default", "entities", 1));
  const snapshots = await store.open(bucketName("default", "snapshots"), BUCKETS.snapshots);
  return async (handler: object, mostStates = 1_000) => {
    const found = await checkStored(programOf([handler]), {
      ...{ namespace: "default", entities: stream, snapshots, mostStates, clock: systemClock, service: "app" },
      ...{ log: undefined, subscriptions: undefined, idempotency: undefined, stored: [], progress: () => {} },
    });
    return found.map(({ level, message, count }) => `${level}: ${message} (${count})`);
  };
}

describe("checkStored, of entities", () => {
  it("finds each once, however few states are kept at once", async () => {
    const check = await stage(100);
    for (const mostStates of [1_000, 60, 7]) {
      assertEquals(await check(cartOf({ most: 69, version: 2 }), mostStates), [
        "break: the function that applies Cart.Added throws: too many (30)",
      ], `${mostStates}`);
    }
    assertEquals(await check(cartOf({}), 7), []);
  });

  it("finds snapshots that the functions of the same version do not make", async () => {
    const check = await stage(3);
    assertEquals(await check(cartOf({ step: 2 })), [
      "break: snapshots of Cart of version 1 have another state than its functions make of the events (3)",
    ]);
    assertEquals(await check(cartOf({ step: 2, version: 2 })), []);
    assertEquals(await check(cartOf({})), []);
  });

  it("leaves out snapshots that the program will not use, as its states begin with other members", async () => {
    const check = await stage(3);
    const Cart = entity("Cart", { initial: () => ({ count: 0 }) });
    Cart.event<number>("Added", ({ count }) => ({ count: count + 1 }));
    assertEquals(await check(Cart.handle(Add, () => {})), []);
  });

  it("passes events through the schema of a program that only subscribes to them, or lets callers follow them", async () => {
    const check = await stage(2);
    const input = {
      "~standard": {
        ...{ version: 1, vendor: "test" },
        validate: (n: unknown) => n === 0 ? { value: n } : { issues: [{ message: "not 0" }] },
      },
    } as Schema<number>;
    const Added = entity("Cart", { initial: () => 0 }).event<number>("Added", (count) => count, { input });
    assertEquals(await check(Added.on(() => {}, { from: "start" })), [
      "break: stored messages of Cart.Added are refused: not 0 (20)",
    ]);
    assertEquals(await check(edge({ added: Added })), [
      "break: stored messages of Cart.Added are refused: not 0 (20)",
    ]);
  });
});
