import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryKeyValueStore } from "../../memory/key_value_store.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { subscriptionKey } from "../format/names.ts";
import { writeSubscriptionRecord } from "../format/subscription_record.ts";
import { storedRecords } from "./stored_records.ts";

function text(service: string, name: string): string {
  const counts = { token: 1, generation: 0, takeovers: 0 };
  return writeSubscriptionRecord({ service, name, leader: "a.1", ...counts, began: {}, streams: {} });
}

async function bucketWith(entries: readonly (readonly [key: string, value: string])[]) {
  const clock = new VirtualClock();
  const bucket = await clock.until(new MemoryKeyValueStore(clock).open("records"));
  for (const [key, value] of entries) await clock.until(bucket.put(key, value));
  return { clock, bucket };
}

describe("storedRecords", () => {
  it("are sorted by service and then by name, whatever their keys, each with its key and revision", async () => {
    const places = [["shop", "b"], ["@", "Mail"], ["shop", "a"], ["desk", "z"], ["shop", "B"]] as const;
    const entries = places.map(([service, name]) => [subscriptionKey(service, name), text(service, name)] as const);
    const { clock, bucket } = await bucketWith(entries);
    const records = await clock.until(storedRecords(bucket));
    assertEquals(records.map(({ record: { service, name } }) => `${service}/${name}`), [
      "@/Mail",
      "desk/z",
      "shop/B",
      "shop/a",
      "shop/b",
    ]);
    for (const { key, record, revision } of records) {
      assertEquals(key, subscriptionKey(record.service, record.name));
      assertEquals((await clock.until(bucket.get(key)))?.revision, revision);
    }
  });

  it("leaves out what cannot be read: other keys, garbage, and the record of another subscription", async () => {
    const { clock, bucket } = await bucketWith([
      ["shop", text("shop", "a")],
      ["shop.a.b", text("shop", "a")],
      ["shop.a", text("shop", "b")],
      ["shop.c", "garbage"],
      ["shop.d", text("shop", "d")],
    ]);
    assertEquals((await clock.until(storedRecords(bucket))).map(({ key }) => key), ["shop.d"]);
  });

  it("there are none without a bucket", async () => {
    assertEquals(await storedRecords(undefined), []);
  });
});
