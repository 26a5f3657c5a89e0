import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { readParked, writeParked } from "../format/parked_entry.ts";
import { ERROR, type Harness, harness, message } from "./parking_suite.ts";
import type { Parking } from "./parking.ts";

/** The ids of what can be handed out now, all of it. */
function taken(parking: Parking): string[] {
  const ids: string[] = [];
  for (let entry = parking.next(); entry !== undefined; entry = parking.next()) ids.push(entry.message.id);
  return ids;
}

/** What an operator does to an entry. */
async function request({ bucket, until, clock, entry }: Harness, position: number, request: "replay" | "discard") {
  const { key, value, revision } = (await entry(position))!;
  const stored = readParked(position, value);
  assert(typeof stored !== "string");
  await until(bucket.update(key, writeParked({ ...stored, request }), revision));
  await clock.advance(0);
}

describe("parking: order", () => {
  it("a message is handed out when it is due, once, and those of its key behind it when it is done", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(1, "a"), { attempts: 1, error: ERROR, due: h.clock.now() + 5_000 }));
    await h.until(parking.park(message(2, "a"), { attempts: 0 }));
    await h.until(parking.park(message(3, "b"), { attempts: 0 }));
    assertEquals(taken(parking), ["m3"]);
    await h.clock.advance(4_999);
    assertEquals(taken(parking), []);
    await h.clock.advance(1);
    assertEquals([taken(parking), taken(parking)], [["m1"], []]);
    await h.until(parking.done(1));
    assertEquals(taken(parking), ["m2"]);
    await h.until(parking.done(2));
    assertEquals(Object.keys(await h.stored()), ["shop.billing/0.3"]);
  });

  it("messages without a key wait for none", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(1), { attempts: 1, error: ERROR, due: h.clock.now() + 5_000 }));
    await h.until(parking.park(message(2), { attempts: 0 }));
    assertEquals([parking.holds("Paid", undefined), taken(parking)], [false, ["m2"]]);
  });

  it("one that is parked later and stands before the first of its key is tried before it", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(5, "a"), { attempts: 0 }));
    await h.until(parking.park(message(4, "a"), { attempts: 1, due: h.clock.now() + 1_000 }));
    assertEquals(taken(parking), []);
    await h.clock.advance(1_000);
    assertEquals(taken(parking), ["m4"]);
    await h.until(parking.park(message(3, "a"), { attempts: 0 }));
    assertEquals(taken(parking), []); // one at a time
    await h.until(parking.done(4));
    assertEquals(taken(parking), ["m3"]);
    await h.until(parking.done(3));
    assertEquals(taken(parking), ["m5"]);
  });

  it("one that fails again waits for its pause; as a dead letter it holds up its key and no other", async () => {
    const h = await harness();
    const parking = await h.opened();
    for (const position of [1, 2]) await h.until(parking.park(message(position, "a"), { attempts: 0 }));
    assertEquals(taken(parking), ["m1"]);
    await h.until(parking.failed(1, { attempts: 1, error: ERROR, due: h.clock.now() + 1_000 }));
    assertEquals(taken(parking), []);
    await h.clock.advance(1_000);
    const again = parking.next();
    assertEquals([again?.message.id, again?.attempts, again?.error], ["m1", 1, ERROR]);
    await h.until(parking.failed(1, { attempts: 2, error: ERROR, dead: true }));
    await h.clock.advance(3_600_000);
    assertEquals([taken(parking), parking.dead, parking.retrying, parking.holds("Paid", "a")], [[], 1, 1, true]);
    await h.until(parking.park(message(3, "b"), { attempts: 0 }));
    assertEquals(taken(parking), ["m3"]);
  });

  it("it holds a key from the call of park until the last message of it is done", async () => {
    const h = await harness();
    const parking = await h.opened();
    const parked = parking.park(message(1, "a"), { attempts: 0 });
    assertEquals([parking.holds("Paid", "a"), parking.has(1), parking.holds("Other", "a")], [true, true, false]);
    await h.until(parked);
    assertEquals(taken(parking), ["m1"]);
    await h.until(parking.done(1));
    assertEquals([parking.holds("Paid", "a"), parking.has(1), parking.oldest], [false, false, undefined]);
  });

  it("2,000 in long retries cost one timer, and each is handed out when it is due", async () => {
    const h = await harness();
    const parking = await h.opened({ most: 5_000 });
    const due = h.clock.now() + 60_000;
    await h.until(Promise.all(
      Array.from(
        { length: 2_000 },
        (_, i) => parking.park(message(i, `${i}`), { attempts: 1, error: ERROR, due: due + i }),
      ),
    ));
    assertEquals([h.clock.timers, parking.retrying, parking.oldest], [1, 2_000, 1_000]);
    await h.clock.advance(60_000 + 499);
    const first = taken(parking);
    assertEquals([first.length, first[0], first.at(-1)], [500, "m0", "m499"]);
    await h.clock.advance(2_000);
    assertEquals([taken(parking).length, h.clock.timers], [1_500, 0]);
  });

  it("an entry of a leader whose clock was ahead waits for the longest pause of its category, no longer", async () => {
    const h = await harness();
    const ahead = 7_200_000;
    const first = await h.opened();
    await h.until(first.park(message(1), { attempts: 1, error: ERROR, due: h.clock.now() + ahead + 12_000 }));
    first.close();
    const second = await h.opened({ token: 20, longest: (category) => category === "Paid" ? 12_000 : 0 });
    await h.clock.advance(11_999);
    assertEquals(taken(second), []);
    await h.clock.advance(1);
    assertEquals(taken(second), ["m1"]);
  });

  it("an entry that says it is due in a century is tried within a day", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(1), { attempts: 1, due: h.clock.now() + 1e13 }));
    await h.clock.advance(86_400_000);
    assertEquals(taken(parking), ["m1"]);
  });
});

describe("parking: the next leader", () => {
  it("finds what is parked: order, attempts, errors, dead letters", async () => {
    const h = await harness();
    const first = await h.opened();
    await h.until(first.park(message(2, "a"), { attempts: 3, error: ERROR, dead: true }));
    await h.until(first.park(message(3, "a"), { attempts: 0 }));
    await h.until(first.park(message(1, "b"), { attempts: 2, error: ERROR, due: h.clock.now() + 1_000 }));
    first.close();
    const second = await h.opened({ token: 20 });
    assertEquals([second.retrying, second.dead, second.oldest, taken(second)], [2, 1, 1_001, []]);
    await h.clock.advance(1_000);
    const entry = second.next();
    assertEquals([entry?.message, entry?.attempts, entry?.error], [message(1, "b"), 2, ERROR]);
  });

  it("hands out nothing before all is listed", async () => {
    const h = await harness();
    const first = await h.opened();
    await h.until(first.park(message(2, "a"), { attempts: 0 }));
    await h.until(first.park(message(1, "a"), { attempts: 0 }));
    const second = h.parking({ token: 20, onRunnable: () => handed.push(...taken(second)) });
    const handed: string[] = [];
    await h.until(second.open());
    assertEquals(handed, ["m1"]);
  });

  it("large payloads are not kept in memory: they are read again when they are due", async () => {
    const h = await harness();
    const first = await h.opened();
    const large = message(1, "a", "x".repeat(100_000));
    await h.until(first.park(large, { attempts: 1, due: h.clock.now() + 1_000 }));
    const second = await h.opened({ token: 20 });
    await h.clock.advance(1_000);
    assertEquals(second.next()?.message, large);
    await h.until(second.failed(1, { attempts: 2, due: h.clock.now() + 1_000 }));
    await h.clock.advance(1_000);
    assertEquals([second.next()?.attempts, second.next()], [2, undefined]);
  });

  it("entries of an earlier leader that are stored after the list are removed; those that were listed stay", async () => {
    const h = await harness();
    const [first, second] = [await h.opened(), h.parking({ token: 20 })];
    await h.until(first.park(message(1, "a"), { attempts: 0 }));
    await h.until(second.open());
    await h.until(first.park(message(2, "a"), { attempts: 0 }));
    await h.clock.advance(100);
    assertEquals([Object.keys(await h.stored()), second.has(2)], [["shop.billing/0.1"], false]);
  });

  it("a leader cannot write over a later one: CLOSED", async () => {
    const late: ((parking: Parking) => Promise<void>)[] = [
      (parking) => parking.failed(1, { attempts: 1 }),
      (parking) => parking.done(1),
    ];
    for (const write of late) {
      const h = await harness();
      const first = await h.opened();
      await h.until(first.park(message(1), { attempts: 0 }));
      const second = await h.opened({ token: 20 });
      assertEquals([taken(first), taken(second)], [["m1"], ["m1"]]);
      await h.until(second.failed(1, { attempts: 1, error: ERROR, dead: true }));
      assertEquals((await assertRejects(() => h.until(write(first)), CatgaError)).code, "CLOSED");
      assertEquals([second.dead, (await h.stored())["shop.billing/0.1"].token], [1, 20]);
    }
  });

  it("what the leader before it finishes after the list is taken over", async () => {
    const h = await harness();
    const first = await h.opened();
    for (const position of [1, 2]) await h.until(first.park(message(position, `${position}`), { attempts: 0 }));
    assertEquals(taken(first), ["m1", "m2"]);
    const second = await h.opened({ token: 20 });
    await h.until(first.done(1));
    await h.until(first.failed(2, { attempts: 7, error: ERROR, due: h.clock.now() + 1_000 }));
    await h.clock.advance(1_000);
    assertEquals([second.has(1), second.next()?.attempts], [false, 7]);
  });

  it("a rewind: entries behind the place are removed, those before it are carried to the next generation", async () => {
    const h = await harness();
    const first = await h.opened();
    for (const position of [1, 2, 3]) {
      await h.until(
        first.park(message(position, undefined, "x".repeat(position * 1_000)), {
          attempts: 4,
          error: ERROR,
          dead: true,
        }),
      );
    }
    await h.until(first.carry(2, 1));
    await h.until(first.carry(2, 1)); // a leader that ended in between begins again
    first.close();
    const second = await h.opened({ generation: 1, token: 20 });
    await h.clock.advance(100);
    assertEquals(Object.keys(await h.stored()).sort(), ["shop.billing/1.1", "shop.billing/1.2"]);
    assertEquals([second.dead, second.has(1), second.has(2), second.has(3)], [2, true, true, false]);
    // of an earlier generation, whatever its token
    await h.until(
      h.bucket.put(
        "shop.billing/0.9",
        writeParked({ token: 99, message: message(9), attempts: 0, error: undefined, due: 0, dead: 0 }),
      ),
    );
    await h.clock.advance(100);
    assertEquals(Object.keys(await h.stored()).length, 2);
  });
});

describe("parking: a rewind that is begun again", () => {
  it("to a smaller place: what an ended leader had carried from behind it is removed", async () => {
    const h = await harness();
    const first = await h.opened();
    for (const position of [1, 2, 3]) {
      await h.until(first.park(message(position), { attempts: 4, error: ERROR, dead: true }));
    }
    await h.until(first.carry(2, 1));
    first.close();
    const second = await h.opened({ token: 20 });
    await h.until(second.carry(1, 1));
    second.close();
    assertEquals(Object.keys(await h.stored()).filter((key) => key.includes("/1.")), ["shop.billing/1.1"]);
  });

  it("by a leader that has long been replaced: what the next one has put aside since stays", async () => {
    const h = await harness();
    const first = await h.opened();
    const later = await h.opened({ generation: 1, token: 20 });
    await h.until(later.park(message(7), { attempts: 4, error: ERROR, dead: true }));
    await h.until(first.carry(2, 1));
    assertEquals(Object.keys(await h.stored()), ["shop.billing/1.7"]);
  });
});

describe("parking: dead letters", () => {
  async function withDead() {
    const h = await harness();
    const replayed: string[] = [];
    const parking = await h.opened({ onReplay: ({ id }) => Promise.resolve(void replayed.push(id)) });
    await h.until(parking.park(message(1, "a"), { attempts: 10, error: ERROR, dead: true }));
    for (const position of [2, 3]) await h.until(parking.park(message(position, "a"), { attempts: 0 }));
    return { ...h, h, parking, replayed };
  }

  it("replay: it is tried again with all its attempts, and those behind it follow in order", async () => {
    const { h, parking, replayed } = await withDead();
    await request(h, 1, "replay");
    assertEquals([parking.dead, replayed], [0, ["m1"]]);
    const entry = parking.next();
    assertEquals([entry?.message.id, entry?.attempts, entry?.request, parking.next()], ["m1", 0, undefined, undefined]);
    await h.until(parking.done(1));
    assertEquals(taken(parking), ["m2"]);
    await h.until(parking.done(2));
    assertEquals(taken(parking), ["m3"]);
  });

  it("discard: it is removed, and those behind it go on", async () => {
    const { h, parking, replayed } = await withDead();
    await request(h, 1, "discard");
    assertEquals([parking.has(1), parking.dead, replayed, taken(parking)], [false, 0, [], ["m2"]]);
    assertEquals(await h.entry(1), undefined);
  });

  it("a request is carried out by the next leader, when there was none", async () => {
    for (const wanted of ["replay", "discard"] as const) {
      const { h, parking } = await withDead();
      parking.close();
      await request(h, 1, wanted);
      const next = await h.opened({ token: 20 });
      await h.clock.advance(100);
      assertEquals(taken(next), [wanted === "replay" ? "m1" : "m2"]);
    }
  });

  it("a replay whose preparation fails is reported and done again", async () => {
    const h = await harness();
    let tries = 0;
    const parking = await h.opened({
      onReplay: () => ++tries === 1 ? Promise.reject(new Error("no claims")) : Promise.resolve(),
    });
    await h.until(parking.park(message(1), { attempts: 10, error: ERROR, dead: true }));
    await request(h, 1, "replay");
    assertEquals([h.faults.map(String), taken(parking)], [["Error: no claims"], []]);
    await h.clock.advance(2_000);
    assertEquals([tries, taken(parking)], [2, ["m1"]]);
  });

  it("a discard that comes while a replay is being carried out is not overwritten", async () => {
    const h = await harness();
    const gate = Promise.withResolvers<void>();
    const parking = await h.opened({ onReplay: () => gate.promise });
    await h.until(parking.park(message(1), { attempts: 10, error: ERROR, dead: true }));
    await request(h, 1, "replay");
    await request(h, 1, "discard");
    gate.resolve();
    await h.clock.advance(100);
    assertEquals([parking.has(1), await h.entry(1), taken(parking)], [false, undefined, []]);
  });

  it("an acknowledgement that is lost while a request is carried out changes nothing", async () => {
    for (const wanted of ["replay", "discard"] as const) {
      const { h, parking } = await withDead();
      h.mishaps.push("answer lost", "lost");
      await request(h, 1, wanted);
      await h.clock.advance(10_000);
      assertEquals(taken(parking), [wanted === "replay" ? "m1" : "m2"]);
      assertEquals(h.mishaps, []);
    }
  });
});

describe("parking: writes that go wrong", () => {
  it("park: an acknowledgement that was lost is read back, a write that was lost is made again", async () => {
    for (const mishap of ["answer lost", "lost"] as const) {
      const h = await harness();
      const parking = await h.opened();
      h.mishaps.push(mishap);
      await h.until(parking.park(message(1), { attempts: 1, error: ERROR }));
      assertEquals(taken(parking), ["m1"]);
      await h.until(parking.done(1));
      assertEquals(await h.stored(), {});
    }
  });

  it("park: a full store rejects with its error, and the message is not parked", async () => {
    const h = await harness();
    const parking = await h.opened();
    h.mishaps.push("full", "full", "full");
    const error = await assertRejects(() => h.until(parking.park(message(1, "a"), { attempts: 1 })), CatgaError);
    assertEquals([error.code, error.message], ["UNAVAILABLE", "the store is full"]);
    assertEquals([parking.has(1), parking.holds("Paid", "a")], [false, false]);
    await h.until(parking.park(message(1, "a"), { attempts: 1 }));
    assertEquals(taken(parking), ["m1"]);
  });

  it("park: more than the most is OVERLOADED and says what to do; done makes room", async () => {
    const h = await harness();
    const parking = await h.opened({ most: 2 });
    for (const position of [1, 2]) await h.until(parking.park(message(position), { attempts: 0 }));
    const error = await assertRejects(() => parking.park(message(3), { attempts: 0 }), CatgaError);
    assertEquals(error.code, "OVERLOADED");
    assert(error.message.includes("billing of shop has 2 messages put aside, of 2 at most"), error.message);
    assertEquals(parking.next()?.message.id, "m1");
    await h.until(parking.done(1));
    await h.until(parking.park(message(3), { attempts: 0 }));
  });

  it("park: a write that is stored after park has rejected is removed", async () => {
    const h = await harness();
    const parking = await h.opened();
    h.mishaps.push("late", "lost", "lost");
    await assertRejects(() => h.until(parking.park(message(1), { attempts: 1 })), CatgaError);
    await h.late();
    await h.clock.advance(100);
    assertEquals([parking.has(1), await h.stored()], [false, {}]);
  });

  it("park: a write that is stored late, and the one that repeated it, are one entry", async () => {
    const h = await harness();
    const parking = await h.opened();
    h.mishaps.push("late");
    await h.until(parking.park(message(1), { attempts: 1 }));
    await h.late();
    assertEquals([taken(parking), Object.keys(await h.stored())], [["m1"], ["shop.billing/0.1"]]);
    await h.until(parking.done(1));
    assertEquals(await h.stored(), {});
  });

  it("a write of a done message that is stored late is removed, and not tried again", async () => {
    const h = await harness();
    const parking = await h.opened();
    h.mishaps.push("late");
    await h.until(parking.park(message(1), { attempts: 1 }));
    assertEquals(taken(parking), ["m1"]);
    await h.until(parking.done(1));
    await h.late(); // there is no entry any more: it is created
    await h.clock.advance(100);
    assertEquals([await h.stored(), taken(parking), parking.has(1)], [{}, [], false]);
  });

  it("done and failed: tried until they are stored, however long; what goes wrong is reported once a minute", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(1, "a"), { attempts: 0 }));
    await h.until(parking.park(message(2, "a"), { attempts: 0 }));
    assertEquals(taken(parking), ["m1"]);
    h.mishaps.push(...Array(40).fill("lost"), "answer lost");
    await h.until(parking.failed(1, { attempts: 1, error: ERROR }));
    assertEquals([h.faults.length, taken(parking)], [2, ["m1"]]);
    h.mishaps.push("lost", "answer lost", "lost");
    await h.until(parking.done(1));
    assertEquals(taken(parking), ["m2"]);
  });

  it("an entry that does not fit is a dead letter without its payload; if it fits without its error's message, it is stored so", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(1, "a", "x".repeat(1_048_576)), { attempts: 1 }));
    assertEquals([parking.holds("Paid", "a"), parking.dead, parking.retrying], [true, 1, 0]);
    const left = readParked(1, (await h.entry(1))!.value);
    assert(typeof left !== "string");
    assertEquals([left.error?.code, left.message.tagged, left.message.key], ["TOO_LARGE", true, "a"]);
    assertMatch(`${left.message.payload}`, /^\(left out/);
    assertMatch(`${h.faults.splice(0)[0]}`, /is too large for the store: it is a dead letter without its payload/);
    await request(h, 1, "discard");
    await h.clock.advance(10);
    assertEquals(parking.dead, 0);
    const fits = message(2, "a", "x".repeat(1_040_384 - 500));
    await h.until(
      parking.park(fits, { attempts: 1, error: { code: "BROKE", message: "y".repeat(1_000) }, dead: true }),
    );
    const stored = readParked(2, (await h.entry(2))!.value);
    assert(typeof stored !== "string");
    assertEquals([stored.error, stored.message.payload === fits.payload], [{ code: "BROKE", message: "…" }, true]);
  });

  it("close: what is under way rejects with CLOSED, and no timer is left", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(1), { attempts: 1, due: h.clock.now() + 9_000 }));
    h.mishaps.push("lost", "lost", "lost");
    const under = parking.park(message(2), { attempts: 1 });
    parking.close();
    assertEquals((await assertRejects(() => h.until(under), CatgaError)).code, "CLOSED");
    assertEquals((await assertRejects(() => parking.park(message(3), { attempts: 0 }), CatgaError)).code, "CLOSED");
    assertEquals([h.clock.timers, h.faults], [0, []]);
  });
});

describe("parking: what others write", () => {
  it("entries that cannot be read are reported, together, left alone, and hold up nobody", async () => {
    const h = await harness();
    const good = writeParked({ token: 1, message: message(7), attempts: 0, error: undefined, due: 0, dead: 0 });
    const bad: Record<string, string> = {
      "shop.billing/0.5": "no JSON",
      "shop.billing/0.6": good, // the position of another
      "shop.billing/nonsense": good,
      "shop.billing/0.00": good,
    };
    for (const [key, value] of Object.entries(bad)) await h.until(h.bucket.put(key, value));
    const parking = await h.opened();
    assertEquals([taken(parking), h.faults.length], [[], 1]);
    await h.clock.advance(60_000);
    await h.until(h.bucket.put("shop.billing/0.8", "\x1b[2J"));
    await h.clock.advance(0);
    assertEquals(h.faults.map((error) => (error as CatgaError).code), ["INVALID_MESSAGE", "INVALID_MESSAGE"]);
    assert(String(h.faults[1]).includes("and 3 others"), String(h.faults[1]));
    assertEquals((await h.until(h.bucket.entries(""))).length, 5);
    // the messages of these positions are parked as any
    await h.until(parking.park(message(5), { attempts: 1 }));
    assertEquals(taken(parking), ["m5"]);
  });

  it("an entry that somebody removed is gone, and those behind it go on", async () => {
    const h = await harness();
    const parking = await h.opened();
    await h.until(parking.park(message(1, "a"), { attempts: 1, error: ERROR, dead: true }));
    await h.until(parking.park(message(2, "a"), { attempts: 0 }));
    await h.until(h.bucket.delete("shop.billing/0.1"));
    await h.clock.advance(0);
    assertEquals([parking.has(1), taken(parking)], [false, ["m2"]]);
  });

  it("what is removed while it is in hand is stored again when it fails, and is not missed when it is done", async () => {
    const h = await harness();
    const parking = await h.opened();
    for (const position of [1, 2]) {
      await h.until(parking.park(message(position), { attempts: 0 }));
      assertEquals(taken(parking), [`m${position}`]);
      await h.until(h.bucket.delete(`shop.billing/0.${position}`));
    }
    await h.clock.advance(0);
    await h.until(parking.failed(1, { attempts: 1, error: ERROR, dead: true }));
    await h.until(parking.done(2));
    assertEquals([Object.keys(await h.stored()), parking.dead], [["shop.billing/0.1"], 1]);
  });

  it("entries of other subscriptions are not its own, whatever they are called", async () => {
    const h = await harness();
    const other = await h.opened({ name: "billing2" });
    await h.until(other.park(message(1), { attempts: 0 }));
    const parking = await h.opened();
    assertEquals([parking.has(1), parking.retrying], [false, 0]);
  });
});
