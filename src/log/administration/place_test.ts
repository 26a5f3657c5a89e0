import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { endOf } from "../format/group_text.ts";
import { placeOf } from "./place.ts";

const clock = new VirtualClock();
const about = { namespace: "default", clock };

/** A server's clock that shows the same time as this process's clock. */
const SAME_TIME = {
  get serverTime() {
    return clock.now();
  },
  measureTime: () => undefined,
};

/** Makes a stream with messages of these sequences only, stored at these times. */
function streamOf(stored: readonly (readonly [sequence: number, time: number])[], last = stored.at(-1)?.[0] ?? 0) {
  const stream = {
    ...SAME_TIME,
    state: () => Promise.resolve({ first: stored[0]?.[0] ?? last + 1, last }),
    read: (_: string, { from }: { from: number }) => {
      const found = stored.find(([sequence]) => sequence >= from);
      return Promise.resolve(found === undefined ? [] : [{ sequence: found[0], time: found[1] } as StoredMessage]);
    },
  };
  // cast: `placeOf` calls no other methods of a stream
  return stream as unknown as LogStream;
}

describe("placeOf", () => {
  it("a time: the position before the first message that was stored then or later, also where the log has gaps", async () => {
    const stream = streamOf([[10, 100], [11, 110], [20, 200], [21, 200], [50, 300]], 60);
    const cases = [[0, 9], [100, 9], [101, 10], [110, 10], [111, 19], [200, 19], [201, 49], [300, 49], [301, 60], [
      9e9,
      60,
    ]];
    for (const [time, sequence] of cases) {
      assertEquals(await clock.until(placeOf(stream, about, new Date(time))), endOf(sequence), `${time}`);
    }
    assertEquals(await clock.until(placeOf(streamOf([], 7), about, new Date(1))), endOf(7));
    assertEquals(await placeOf(undefined, about, new Date(1)), 0);
  });

  it("a time is one of this process's clock, whatever the server's shows, which is measured first", async () => {
    for (const ahead of [600_000, -600_000]) {
      const began = clock.now();
      const now = () => clock.now() + ahead;
      const stream = streamOf([[1, began - 120_000], [2, began - 30_000], [3, began - 20_000]]);
      let known = false;
      Object.defineProperty(stream, "serverTime", { get: () => known ? clock.now() : now() });
      stream.measureTime = () => Promise.resolve(void (known = true));
      const own = { monotonic: () => clock.monotonic(), after: clock.after.bind(clock), now } as VirtualClock;
      const ago = (ms: number) => clock.until(placeOf(stream, { ...about, clock: own }, new Date(now() - ms)));
      assertEquals([await ago(60_000), await ago(25_000), await ago(0)], [1, 2, 3].map(endOf), `${ahead}`);
    }
  });

  it("clocks that are less than a second apart are taken for one: the time of a message names just that message", async () => {
    for (const ahead of [999, -999]) {
      const began = clock.now();
      const stream = streamOf([[1, began - 120_000], [2, began - 30_000], [3, began - 20_000]]);
      const now = () => clock.now() + ahead;
      const own = { monotonic: () => clock.monotonic(), after: clock.after.bind(clock), now } as VirtualClock;
      const to = new Date(began - 30_000);
      assertEquals(await clock.until(placeOf(stream, { ...about, clock: own }, to)), endOf(1), `${ahead}`);
    }
  });

  it("a time, though servers lag behind with the last messages", async () => {
    const all: [number, number][] = Array.from({ length: 10 }, (_, i) => [i + 1, 10 * i]);
    const stored = streamOf(all);
    const begun = clock.monotonic();
    const read: LogStream["read"] = async (subject, options) => {
      const lacks = clock.monotonic() - begun < 900 ? 6 : 11;
      return (await stored.read(subject, options)).filter(({ sequence }) => sequence < lacks);
    };
    assertEquals(await clock.until(placeOf({ ...stored, read }, about, new Date(70))), endOf(7));
  });

  it("a million messages take some twenty reads", async () => {
    const start = 1_795_000_000_000;
    let reads = 0;
    const stream = {
      serverTime: clock.now(),
      measureTime: () => undefined,
      state: () => Promise.resolve({ first: start, last: start + 999_999 }),
      read: (_: string, { from }: { from: number }) => {
        reads++;
        return Promise.resolve([{ sequence: from, time: from - start } as StoredMessage]);
      },
    };
    // cast: `placeOf` calls no other methods of a stream
    assertEquals(await placeOf(stream as unknown as LogStream, about, new Date(654_321)), endOf(start + 654_320));
    assertEquals(reads <= 21, true, `${reads}`);
  });

  it("a position is itself; what is none is refused", async () => {
    assertEquals(await placeOf(undefined, about, 4_711), 4_711);
    for (const wrong of [-1, 1.5, NaN, 2 ** 60]) {
      await assertRejects(() => placeOf(undefined, about, wrong), RangeError, `got ${wrong}`);
    }
    const wrong = { "an invalid Date": new Date(NaN), '"yesterday"': "yesterday", "an object": Object.create(null) };
    for (const [shown, to] of Object.entries(wrong)) {
      const wanted = `rewind: to must be "start", a position, or a valid Date; got ${shown}`;
      await assertRejects(() => placeOf(undefined, about, to as Date), TypeError, wanted);
    }
  });
});
