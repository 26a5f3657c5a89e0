import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryKeyValueStore } from "../../memory/key_value_store.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { type SubscriptionRecord, writeSubscriptionRecord } from "../format/subscription_record.ts";
import { Lease } from "./lease.ts";

const RECORD: SubscriptionRecord = {
  service: "shop",
  name: "billing",
  leader: "a.1",
  token: 0,
  generation: 0,
  takeovers: 0,
  began: {},
  streams: {},
};

async function taken() {
  const clock = new VirtualClock();
  const bucket = await clock.until(new MemoryKeyValueStore(clock).open("records"));
  const revision = await clock.until(bucket.put("k", writeSubscriptionRecord(RECORD)));
  const changes: SubscriptionRecord[] = [];
  const faults: string[] = [];
  const lease = new Lease({
    bucket,
    key: "k",
    clock,
    record: RECORD,
    revision,
    since: clock.monotonic(),
    onChange: (record) => changes.push(record),
    fault: (error) => faults.push(String(error)),
  });
  const put = (value: string) => clock.until(bucket.put("k", value));
  return { clock, bucket, lease, changes, faults, put, write: () => clock.until(lease.write(RECORD)) };
}

describe("Lease", () => {
  it("holds for less than 3 s after the last write", async () => {
    const { clock, lease, write } = await taken();
    await clock.advance(2_000);
    assertEquals(lease.holds, true);
    assertEquals(await write(), true);
    await clock.advance(2_000);
    assertEquals(lease.holds, true);
    await clock.advance(500);
    assertEquals(lease.holds, false);
    assertEquals(await write(), true);
    assertEquals(lease.holds, true);
  });

  it("outlives a write of another node that does not take the lead, and reports what that wrote", async () => {
    const { lease, changes, put, write } = await taken();
    await put(writeSubscriptionRecord({ ...RECORD, rewind: { to: 0, id: "r" } }));
    assertEquals(await write(), false);
    assertEquals(lease.deposed, false);
    assertEquals(changes[0].rewind, { to: 0, id: "r" });
    assertEquals(await write(), true);
  });

  it("ends when another node has taken the lead", async () => {
    const { lease, put, write } = await taken();
    await put(writeSubscriptionRecord({ ...RECORD, leader: "b.1" }));
    assertEquals(await write(), false);
    assertEquals(lease.deposed, true);
    assertEquals(lease.holds, false);
    assertEquals(await write(), false);
  });

  it("overwrites garbage, and makes a record again that was deleted", async () => {
    const { clock, bucket, faults, put, write } = await taken();
    await put("garbage");
    assertEquals(await write(), false);
    assertEquals(faults.length, 1);
    assertEquals(await write(), true);
    await clock.until(bucket.delete("k"));
    assertEquals(await write(), false);
    assertEquals(await write(), true);
  });
});
