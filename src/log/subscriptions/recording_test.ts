import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { SubscriptionRecord } from "../format/subscription_record.ts";
import type { Lease } from "./lease.ts";
import { Recording } from "./recording.ts";

const RECORD: SubscriptionRecord = {
  service: "shop",
  name: "billing",
  leader: "a.1",
  token: 4,
  generation: 0,
  takeovers: 0,
  began: {},
  streams: {},
};

/** A recording of a lease whose writes the test ends. */
function setUp() {
  const clock = new VirtualClock();
  const writes: { readonly record: SubscriptionRecord; end(stored: boolean): Promise<void> }[] = [];
  const lease = {
    revision: 4,
    deposed: false,
    write: (record: SubscriptionRecord) =>
      new Promise<boolean>((resolve) => {
        const end = (stored: boolean) => {
          if (stored) lease.revision++;
          resolve(stored);
          return clock.advance(0);
        };
        writes.push({ record, end });
      }),
  };
  const stored: SubscriptionRecord[] = [];
  const lasts: boolean[] = [];
  let deposals = 0;
  const recording = new Recording({
    // a recording takes no more of its lease
    lease: lease as unknown as Lease,
    clock,
    record: (last) => {
      lasts.push(last);
      return { ...RECORD, generation: lasts.length };
    },
    onStored: (record) => void stored.push(record),
    onDeposed: () => void deposals++,
  });
  /** Lets time pass as its leader does. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      await clock.advance(100);
      recording.tick(clock.monotonic());
    }
  };
  return { clock, writes, lease, stored, lasts, recording, pass, deposals: () => deposals };
}

describe("Recording", () => {
  it("writes 100 ms after a change, and after a second without one", async () => {
    const { writes, recording, pass } = setUp();
    await pass(100);
    assertEquals(writes.length, 1);
    await writes[0].end(true);
    await pass(900);
    assertEquals(writes.length, 1);
    await pass(100);
    assertEquals(writes.length, 2);
    await writes[1].end(true);
    recording.touch();
    await pass(100);
    assertEquals(writes.length, 3);
  });

  it("writes one record at a time, each as it is when its write begins", async () => {
    const { writes, recording, stored, pass, clock } = setUp();
    const all = [recording.write(), recording.write(), recording.write(() => ({ takeovers: 7 }))];
    recording.touch();
    await pass(5_000);
    assertEquals(writes.map(({ record }) => record.generation), [1]);
    await writes[0].end(true);
    assertEquals(writes.length, 2);
    await writes[1].end(false);
    assertEquals(writes.length, 3);
    await writes[2].end(true);
    assertEquals(await clock.until(Promise.all(all)), [true, false, true]);
    assertEquals(stored.map(({ generation, takeovers }) => [generation, takeovers]), [[1, 0], [3, 7]]);
  });

  it("a write that failed is repeated soon, as is one that another node's has followed", async () => {
    const { writes, recording, pass } = setUp();
    await pass(100);
    await writes[0].end(false);
    await pass(100);
    assertEquals(writes.length, 2);
    recording.onRevision(6); // it ends at 5
    await writes[1].end(true);
    await pass(100);
    assertEquals(writes.length, 3);
    recording.onRevision(6); // its own, which comes before the answer
    await writes[2].end(true);
    await pass(900);
    assertEquals(writes.length, 3);
    recording.onRevision(7);
    await pass(100);
    assertEquals(writes.length, 4);
  });

  it("what changes while a record is written is in the next one", async () => {
    const { writes, recording, pass } = setUp();
    await pass(100);
    recording.touch();
    await writes[0].end(true);
    await pass(100);
    assertEquals(writes.length, 2);
  });

  it("a record without a leader is the last one, with all that is open", async () => {
    const { writes, recording, lasts, clock } = setUp();
    const written = recording.write(() => ({ leader: "" }));
    assertEquals(writes[0].record.leader, "");
    await writes[0].end(true);
    assertEquals(await clock.until(written), true);
    recording.tick(10_000);
    assertEquals(lasts, [true, false]);
  });

  it("reports that another node leads, and writes no more", async () => {
    const { writes, recording, lease, stored, deposals, clock } = setUp();
    const all = [recording.write(), recording.write()];
    lease.deposed = true;
    await writes[0].end(false);
    assertEquals(await clock.until(Promise.all(all)), [false, false]);
    assertEquals({ writes: writes.length, stored, deposals: deposals() }, { writes: 1, stored: [], deposals: 1 });
  });
});
