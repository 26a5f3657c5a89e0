import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryKeyValueStore } from "../../memory/key_value_store.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { parkedKey, parkedPrefix } from "../format/names.ts";
import { writeParked } from "../format/parked_entry.ts";
import { ParkedIndex } from "./parked_index.ts";

async function setUp() {
  const clock = new VirtualClock();
  const until = <T>(promise: Promise<T>) => clock.until(promise);
  const bucket = await until(new MemoryKeyValueStore(clock).open("parked"));
  const park = async (
    [service, name, position]: readonly [service: string, name: string, position: number],
    { generation = 0, key, dead = 0 }: { generation?: number; key?: string; dead?: number } = {},
  ) => {
    const about = { position, category: "Placed", id: "m", payload: 0, tagged: false, meta: undefined };
    const message = { ...about, key, time: position + 1 };
    const text = writeParked({ token: 1, message, attempts: 1, error: undefined, due: 0, dead });
    await until(bucket.put(parkedKey(service, name, generation, position), text));
  };
  return { clock, until, bucket, park };
}

function record(service: string, name: string, generation: number) {
  const counts = { token: 1, generation, takeovers: 0 };
  return { key: "k", revision: 1, record: { service, name, leader: "", ...counts, began: {}, streams: {} } };
}

const places = (index: ParkedIndex) => index.all.map(({ service, name, position }) => [service, name, position]);

describe("ParkedIndex", () => {
  it("has all that is parked by service, name and position, in whatever order it was stored", async () => {
    const { until, bucket, park } = await setUp();
    const sorted = [["a", "x", 5], ["b", "x", 9], ["b", "x", 10], ["b", "y", 1]] as const;
    for (const i of [2, 0, 3, 1]) await park(sorted[i]);
    const index = await until(ParkedIndex.read(bucket, "", []));
    assertEquals(places(index), sorted.map((each) => [...each]));
    assertEquals(index.of("b", "x").length, 2);
    assertEquals(index.of("b", "z"), []);
  });

  it("says of each when it was stored, since when it is dead, and behind which others it waits", async () => {
    const { until, bucket, park } = await setUp();
    await park(["a", "x", 5], { key: "k", dead: 77 });
    await park(["a", "x", 6]);
    const [keyed, other] = (await until(ParkedIndex.read(bucket, "", []))).all;
    const place = { service: "a", name: "x" };
    assertEquals(keyed, { ...place, key: parkedKey("a", "x", 0, 5), position: 5, time: 6, dead: 77, line: "Placed/k" });
    assertEquals(other, { ...place, key: parkedKey("a", "x", 0, 6), position: 6, time: 7, dead: 0, line: undefined });
  });

  it("takes entries of the record's generation alone, and all of a subscription without a record", async () => {
    const { until, bucket, park } = await setUp();
    await park(["a", "x", 1], { generation: 1 });
    await park(["a", "x", 2], { generation: 2 });
    await park(["a", "y", 3], { generation: 1 });
    const index = await until(ParkedIndex.read(bucket, "", [record("a", "x", 2)]));
    assertEquals(places(index), [["a", "x", 2], ["a", "y", 3]]);
  });

  it("reads one subscription by its prefix, and passes over what cannot be read", async () => {
    const { until, bucket, park } = await setUp();
    await park(["a", "x", 1]);
    await park(["a", "xy", 2]);
    await until(bucket.put(parkedKey("a", "x", 0, 3), "garbage"));
    await until(bucket.put(`${parkedPrefix("a", "x")}other`, "garbage"));
    assertEquals(places(await until(ParkedIndex.read(bucket, parkedPrefix("a", "x"), []))), [["a", "x", 1]]);
  });

  it("has ended its watch when it is read, also when that failed", async () => {
    const { until, bucket } = await setUp();
    const signals: AbortSignal[] = [];
    const watching = (end: () => Promise<void>): Bucket => ({
      ...bucket,
      name: "parked",
      watch: (_prefix, _onChange, { signal }) => {
        signals.push(signal);
        return end();
      },
    });
    await until(ParkedIndex.read(watching(() => Promise.resolve()), "", []));
    await until(ParkedIndex.read(watching(() => Promise.reject(new Error("no answer"))), "", []).catch(() => {}));
    assertEquals(signals.map(({ aborted }) => aborted), [true, true]);
  });

  it("removes all entries of one subscription, of any generation, and those that cannot be read", async () => {
    const { until, bucket, park } = await setUp();
    await park(["a", "x", 1], { generation: 1 });
    await park(["a", "x", 2], { generation: 2 });
    await park(["a", "xy", 3]);
    await until(bucket.put(parkedKey("a", "x", 0, 3), "garbage"));
    assertEquals(await until(ParkedIndex.removeAll(bucket, "a", "x")), 3);
    assertEquals((await until(bucket.entries(""))).map(({ key }) => key), [parkedKey("a", "xy", 0, 3)]);
    assertEquals(await until(ParkedIndex.removeAll(bucket, "a", "x")), 0);
  });

  it("is empty without a bucket", async () => {
    assertEquals((await ParkedIndex.read(undefined, "", [])).all, []);
    assertEquals(await ParkedIndex.removeAll(undefined, "a", "x"), 0);
  });
});
