import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import type { DeadLetter, DeadLetterOptions } from "../../contract/kept.ts";
import { CatgaError } from "../../error.ts";
import { MemoryKeyValueStore } from "../../memory/key_value_store.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { parkedKey } from "../format/names.ts";
import { type ParkedEntry, readParked, writeParked } from "../format/parked_entry.ts";
import { listDeadLetters } from "./dead_letters.ts";

const AT = 1_795_000_000_000;

type Given = Partial<Omit<ParkedEntry, "message">> & { name?: string; service?: string; key?: string };

async function setUp() {
  const clock = new VirtualClock();
  const until = <T>(promise: Promise<T>) => clock.until(promise);
  const bucket = await until(new MemoryKeyValueStore(clock).open("parked"));
  const park = async (position: number, { service = "shop", name = "billing", key, ...rest }: Given = {}) => {
    const about = { position, category: "Placed", id: `m${position}`, payload: position, tagged: false, time: AT };
    const message = { ...about, key, meta: { h: { tenant: "t" } } };
    const error = { code: "BROKE", message: "no" };
    const text = writeParked({ token: 1, message, attempts: 3, error, due: 0, dead: AT + 5, ...rest });
    await until(bucket.put(parkedKey(service, name, 0, position), text));
  };
  const list = async (options: DeadLetterOptions = {}) => {
    const letters: DeadLetter[] = [];
    const listed = listDeadLetters(bucket, [], clock, options);
    for (let next = await until(listed.next()); !next.done; next = await until(listed.next())) letters.push(next.value);
    return letters;
  };
  const stored = async (position: number) => {
    const found = await until(bucket.get(parkedKey("shop", "billing", 0, position)));
    const entry = found && readParked(position, found.value);
    return typeof entry === "string" ? undefined : entry;
  };
  const remove = (position: number) => until(bucket.delete(parkedKey("shop", "billing", 0, position)));
  return { clock, until, bucket, park, list, stored, remove };
}

describe("listDeadLetters", () => {
  it("lists what is dead, not what waits for an attempt, of the service and subscription that were asked for", async () => {
    const { park, list } = await setUp();
    await park(1);
    await park(2, { dead: 0 });
    await park(3, { name: "mails" });
    await park(4, { service: "desk" });
    const found = async (options: DeadLetterOptions) => (await list(options)).map(({ position }) => position);
    assertEquals(await found({}), [4, 1, 3]);
    assertEquals(await found({ service: "shop" }), [1, 3]);
    assertEquals(await found({ subscription: "billing" }), [4, 1]);
    assertEquals(await found({ service: "shop", subscription: "billing" }), [1]);
    assertEquals(await found({ service: "shop", subscription: "none" }), []);
  });

  it("a letter is what was published, and what became of it", async () => {
    const { park, list } = await setUp();
    await park(7, { key: "a" });
    const [{ replay: _replay, discard: _discard, ...letter }] = await list();
    assertEquals(letter, {
      id: "m7",
      service: "shop",
      subscription: "billing",
      contract: "Placed",
      key: "a",
      payload: 7,
      headers: { tenant: "t" },
      position: 7,
      error: { code: "BROKE", message: "no" },
      attempts: 3,
      publishedAt: new Date(AT),
      at: new Date(AT + 5),
      heldBehind: 0,
    });
  });

  it("an entry without an error, and of a time that no date has, is listed all the same", async () => {
    const { park, list } = await setUp();
    await park(7, { error: undefined, dead: 1e300 });
    const [{ error, at }] = await list();
    assertEquals({ code: error.code, at: at.getTime() }, { code: "HANDLER_FAILED", at: 8.64e15 });
  });

  it("counts the messages of its key that wait behind it, in its subscription alone", async () => {
    const { park, list } = await setUp();
    await park(1, { key: "a" });
    for (const position of [2, 5]) await park(position, { key: "a", dead: 0 });
    await park(3, { key: "b" });
    await park(4);
    await park(6, { key: "a", dead: 0, name: "mails" });
    await park(7);
    const behind = (await list()).map(({ position, heldBehind }) => [position, heldBehind]);
    assertEquals(behind, [[1, 2], [3, 0], [4, 0], [7, 0]]);
  });

  it("leaves out those that were replayed, discarded or overwritten since the listing began, or died since", async () => {
    const { until, bucket, clock, park, remove } = await setUp();
    for (const position of [1, 2, 3, 4, 5]) await park(position);
    await park(6, { dead: 0 });
    const listed = listDeadLetters(bucket, [], clock, {});
    assertEquals((await until(listed.next())).value?.position, 1);
    await remove(2);
    await park(3, { dead: 0 });
    await park(6);
    await until(bucket.put(parkedKey("shop", "billing", 0, 4), "garbage"));
    assertEquals((await until(listed.next())).value?.position, 5);
    assertEquals((await until(listed.next())).done, true);
  });
});

describe("a dead letter", () => {
  it("a replay is a request in its entry, which stays as it is; a discard overrules it, and not the other way round", async () => {
    const { until, park, list, stored } = await setUp();
    await park(1);
    const before = await stored(1);
    const [letter] = await list();
    await until(letter.replay());
    assert(before !== undefined);
    assertEquals(await stored(1), { ...before, request: "replay" });
    await until(letter.discard());
    assertEquals((await stored(1))?.request, "discard");
    const error = await assertRejects(() => until(letter.replay()), CatgaError);
    assertEquals([error.code, error.message], [
      "UNAVAILABLE",
      "cannot replay position 1 of shop/billing: it is being discarded",
    ]);
  });

  it("that is being tried again is replayed already, and cannot be discarded", async () => {
    const { until, park, list, stored } = await setUp();
    await park(1);
    const [letter] = await list();
    await park(1, { dead: 0 });
    await until(letter.replay());
    assertEquals((await stored(1))?.request, undefined);
    await assertRejects(() => until(letter.discard()), CatgaError, "it was replayed, and is being tried again");
    assertEquals((await stored(1))?.request, undefined);
  });

  it("that is gone is discarded already, and cannot be replayed; one that cannot be read neither", async () => {
    const { until, bucket, park, list, remove, stored } = await setUp();
    await park(1);
    const [letter] = await list();
    await remove(1);
    await until(letter.discard());
    await assertRejects(() => until(letter.replay()), CatgaError, "is no dead letter any more");
    assertEquals(await stored(1), undefined);
    await until(bucket.put(parkedKey("shop", "billing", 0, 1), "garbage"));
    for (const request of [letter.replay, letter.discard]) {
      await assertRejects(() => until(request()), CatgaError, "cannot be read (no JSON)");
    }
  });
});
