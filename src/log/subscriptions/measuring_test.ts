import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Observation } from "../../contract/nodes/observer.ts";
import type { LogState, StoredMessage } from "../../ports/event_log.ts";
import { endOf } from "../format/group_text.ts";
import { Measuring } from "./measuring.ts";

const STATE: LogState = {
  created: "c",
  first: 1,
  last: 100,
  messages: 100,
  bytes: 10,
  maxBytes: undefined,
  discard: "old",
  now: 0,
};

const FILLING = {
  type: "log-filling",
  stream: "the log",
  bytes: 85,
  maxBytes: 100,
  discard: "old",
} as const;

describe("Measuring", () => {
  it("lag is the way from what was read to the last message of the categories, whatever follows of others", async () => {
    const { measuring, asked } = start(STATE, { Booked: 90, Paid: 40 });
    const led = [
      { key: "billing", categories: ["Booked", "Paid"], read: endOf(60) },
      { key: "reports", categories: ["Paid"], read: endOf(60) },
      { key: "mails", categories: ["Booked"], read: endOf(100) },
    ];
    measuring.tick(0, led);
    await settled();
    assertEquals(led.map((one) => measuring.lag(one)), [30, 0, 0]);
    assertEquals(asked, ["state", "Booked", "Paid"]);
    assertEquals(measuring.lag({ key: "billing", read: endOf(80) }), 10);
  });

  it("lag of what has read nothing yet, as after a rewind, counts from the first message of the stream", async () => {
    // regression: the lag was the number of the last message, but a new stream begins at the time of day
    const { measuring } = start({ ...STATE, first: 1_001, last: 1_100 }, { Booked: 1_090 });
    const rewound = { key: "billing", categories: ["Booked"], read: 0 };
    measuring.tick(0, [rewound]);
    await settled();
    assertEquals(measuring.lag(rewound), 90);
  });

  it("asks every 10 s, and not at all while nothing is led", async () => {
    const { measuring, asked } = start(STATE, {});
    measuring.tick(0, []);
    assertEquals(asked, []);
    const led = [{ key: "billing", categories: [], read: 0 }];
    for (const now of [0, 100, 9_900, 10_000]) {
      measuring.tick(now, led);
      await settled();
    }
    assertEquals(asked, ["state", "state"]);
  });

  it("a stream that is nearly full is observed once an hour, and once when it has room again", async () => {
    const { measuring, seen, stream } = start({ ...STATE, bytes: 85, maxBytes: 100 }, {});
    const led = [{ key: "billing", categories: [], read: endOf(100) }];
    for (const now of [0, 10_000, 3_600_000]) {
      measuring.tick(now, led);
      await settled();
    }
    assertEquals(seen, [FILLING, FILLING]);
    stream.state = () => Promise.resolve({ ...STATE, bytes: 85, maxBytes: 1_000 });
    for (const now of [3_610_000, 3_620_000]) {
      measuring.tick(now, led);
      await settled();
    }
    assertEquals(seen.slice(2), [{ ...FILLING, maxBytes: 1_000 }]);
  });

  it("a stream that was nearly full is observed when it has room, though nothing is led any more (its alarm stayed)", async () => {
    const { measuring, seen, stream } = start({ ...STATE, bytes: 85, maxBytes: 100 }, {});
    measuring.tick(0, [{ key: "billing", categories: [], read: endOf(100) }]);
    await settled();
    stream.state = () => Promise.resolve({ ...STATE, bytes: 85, maxBytes: undefined });
    for (const now of [10_000, 20_000]) {
      measuring.tick(now, []);
      await settled();
    }
    assertEquals(seen, [FILLING, { ...FILLING, maxBytes: Infinity }]);
  });

  it("a store that does not answer is a fault, and is asked again", async () => {
    const { measuring, seen, stream } = start(STATE, { Booked: 90 });
    const error = new Error("no answer");
    const { state } = stream;
    stream.state = () => Promise.reject(error);
    const led = [{ key: "billing", categories: ["Booked"], read: endOf(60) }];
    measuring.tick(0, led);
    await settled();
    assertEquals(seen, [{ type: "fault", during: "measuring the log", error }]);
    stream.state = state;
    measuring.tick(10_000, led);
    await settled();
    assertEquals(measuring.lag(led[0]), 30);
  });
});

/** Makes a measurement of a stream in this state, whose contracts have these last sequences. */
function start(state: LogState, last: Readonly<Record<string, number>>) {
  const asked: string[] = [];
  const seen: Observation[] = [];
  const stream = {
    name: "the log",
    state: (): Promise<LogState | undefined> => {
      asked.push("state");
      return Promise.resolve(state);
    },
    last: (subject: string): Promise<StoredMessage | undefined> => {
      const category = subject.slice(subject.lastIndexOf(".") + 1);
      asked.push(category);
      const sequence = last[category];
      if (sequence === undefined) return Promise.resolve(undefined);
      return Promise.resolve({ sequence, subject, time: 0, data: new Uint8Array(), headers: undefined });
    },
    read: (): Promise<StoredMessage[]> => Promise.resolve([]),
  };
  const observer = (observation: Observation) => void seen.push(observation);
  const { signal } = new AbortController();
  return { measuring: new Measuring({ stream, namespace: "test", observer, signal }), asked, seen, stream };
}

/** Resolves after promises that are settled have called back. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
