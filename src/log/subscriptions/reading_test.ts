import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { encode } from "../../data/utf8.ts";
import type { Clock } from "../../ports/clock.ts";
import type {
  FollowOptions,
  LogLoss,
  LogMark,
  LogReader,
  LogState,
  LogStream,
  StoredMessage,
} from "../../ports/event_log.ts";
import type { Place } from "../format/commit.ts";
import { groupText, itemText } from "../format/group.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import { streamName } from "../format/stream_name.ts";
import { LeaderReading } from "./reading.ts";

describe("Reading", () => {
  it("what comes while it is paused waits as it came, and follows in order", () => {
    const { ledger, reading, reader, got } = start();
    reader.message(1);
    reading.pause();
    reader.message(2);
    reader.message(3);
    assertEquals({ got, read: ledger.place.read, caughtUp: reading.caughtUp, held: reader.paused }, {
      got: [1],
      read: endOf(1),
      caughtUp: false,
      held: true,
    });
    reading.resume();
    assertEquals({ got, read: ledger.place.read, caughtUp: reading.caughtUp, held: reader.paused }, {
      got: [1, 2, 3],
      read: endOf(3),
      caughtUp: true,
      held: false,
    });
  });

  it("stops again at the message with which it is paused", () => {
    const parts = start({
      onMessages: (sequence) => {
        if (sequence === 2) parts.reading.pause();
      },
    });
    const { reading, reader, got } = parts;
    reading.pause();
    for (const sequence of [1, 2, 3]) reader.message(sequence);
    reading.resume();
    assertEquals({ got, held: reader.paused }, { got: [1, 2], held: true });
    reading.resume();
    assertEquals({ got, held: reader.paused }, { got: [1, 2, 3], held: false });
  });

  it("a reader that started again behind what waits passes over none of that", () => {
    const { ledger, reading, reader, got } = start();
    reading.pause();
    reader.message(1);
    reader.start(1);
    reader.message(2);
    assertEquals(ledger.place.read, 0);
    reading.resume();
    assertEquals({ got, read: ledger.place.read }, { got: [1, 2], read: endOf(2) });
  });

  it("a loss is told behind the messages that came before it", () => {
    const { reading, reader, got } = start();
    reading.pause();
    reader.message(1);
    reader.start(8, { reason: "expired", after: 1, next: 9 });
    reader.message(9);
    assertEquals(got, []);
    reading.resume();
    assertEquals(got, [1, "expired", 9]);
  });

  it("behind a loss that leads back it waits until what was read is settled", () => {
    let settled = false;
    const { ledger, reading, reader, got } = start({ settled: () => settled });
    reader.message(5);
    reader.start(0, { reason: "remade", after: 5, next: 1 }, "second");
    reader.message(1);
    reading.resume();
    assertEquals({ got, created: ledger.place.created }, { got: [5, "remade"], created: "first" });
    settled = true;
    reading.settle();
    assertEquals({ got, created: ledger.place.created }, { got: [5, "remade", 1], created: "second" });
  });

  it("lost twice before that: what came of the first stream is dropped", () => {
    let settled = false;
    const { ledger, reading, reader, got } = start({ settled: () => settled });
    reader.message(5);
    reader.start(0, { reason: "remade", after: 5, next: 1 }, "second");
    reader.message(1);
    reader.start(0, { reason: "remade", after: 1, next: 1 }, "third");
    reader.message(2);
    settled = true;
    reading.settle();
    assertEquals({ got, created: ledger.place.created }, { got: [5, "remade", "remade", 2], created: "third" });
  });

  it("a message is read that the stream had, and that a leader which lags behind did not show", async () => {
    const { ledger, reading, reader, got } = start();
    reading.skipOthers(0);
    await nextTurn();
    reading.skipOthers(100);
    reader.message(5);
    assertEquals({ got, read: ledger.place.read }, { got: [5], read: endOf(5) });
  });

  it("messages of others are passed by when its reader has passed them by", async () => {
    const { ledger, reading, reader, got } = start();
    reading.skipOthers(0);
    await nextTurn();
    reader.mark = { created: "first", sequence: 9 };
    reading.skipOthers(100);
    reader.message(8);
    assertEquals({ got, place: ledger.place }, {
      got: [],
      place: { created: "first", read: endOf(9), time: 0, at: 7, epoch: 0 },
    });
  });

  it("what its reader has received since the log's state was asked for is younger than the time of that state", async () => {
    const { ledger, reading, reader } = start();
    reading.skipOthers(0);
    await nextTurn();
    reader.mark = { created: "first", sequence: 12 };
    reading.skipOthers(100);
    // with 12 and the time 7, a later leader would take message 12, which is younger, for another one
    assertEquals([ledger.place.read, ledger.place.at], [endOf(9), 7]);
  });

  it("a log that ends before what was read shows nothing of when all was read: it has lost its end, or lags", async () => {
    const { ledger, reading, reader } = start();
    for (const [read, at] of [[9, 7], [10, undefined]]) {
      ledger.place = { created: "first", read: 0, time: 0, epoch: 0 };
      reader.message(read!);
      reader.mark = { created: "first", sequence: read! };
      reading.skipOthers(100_000 * read!);
      await nextTurn();
      reading.skipOthers(100_000 * read! + 100);
      assertEquals([ledger.place.read, ledger.place.at], [endOf(read!), at]);
    }
  });

  it("messages of others that it had passed by when it started again are no loss when they go", () => {
    const reported = (passed: number) => {
      const { reader, got } = start();
      reader.start(passed, undefined, "first", 5);
      reader.start(20, { reason: "expired", after: passed, next: 21 });
      return got;
    };
    assertEquals(reported(9), []);
    // one message more is gone than messages of others were passed by: it may have been the subscription's own
    assertEquals(reported(8), ["expired"]);
  });

  it("a message of an entity without an event that is followed is passed by without being parsed", () => {
    const { ledger, reader, got } = start({ stream: streamName("shop", "entities"), category: "Cart.Paid" });
    const text = (event: string) => `[1,"n.1",7,0,[0,["Pay","i",1]],["${event}",1]`;
    reader.message(1, "catga.shop.entity.Cart.7", `${text("Noted")}, never ends`);
    reader.message(2, "catga.shop.entity.Cart.7", `${text("Paid")}]`);
    assertEquals({ got, read: ledger.place.read }, { got: [2], read: endOf(2) });
    reader.message(3, "catga.shop.entity.Cart.7", `${text("Paid")}, never ends`);
    assertEquals(got, [2, "it is not a JSON array"]);
  });

  it("does not read all that waits in one turn of the event loop", () => {
    const parts = start({ onMessages: () => void (parts.clock.ms += 2) });
    const { reading, reader, got, clock } = parts;
    reading.pause();
    for (let sequence = 1; sequence <= 20; sequence++) reader.message(sequence);
    reading.resume();
    const first = got.length;
    assertEquals({ some: first > 0 && first < 20, caughtUp: reading.caughtUp }, { some: true, caughtUp: false });
    reader.message(21);
    assertEquals(got.length, first);
    for (let turn = 0; turn < 20; turn++) clock.turn();
    assertEquals(got, Array.from({ length: 21 }, (_, at) => at + 1));
  });
});

/** Starts reading of a stream whose messages the test delivers. */
function start(
  { onMessages, settled = () => true, stream = streamName("shop", "log"), category = "Placed" }: {
    readonly onMessages?: (sequence: number) => void;
    readonly settled?: () => boolean;
    readonly stream?: string;
    readonly category?: string;
  } = {},
) {
  const clock = new TurnClock();
  const reader = new ScriptedReader();
  const got: (number | string)[] = [];
  const ledger: { place: Place } = { place: { created: "first", read: 0, time: 0, epoch: 0 } };
  const reading = new LeaderReading({
    clock,
    // a stream with only the methods that reading calls
    stream: {
      name: stream,
      follow: (options: FollowOptions) => reader.follow(options),
      state: () => Promise.resolve(STATE),
      last: () => Promise.resolve(undefined),
    } as Partial<LogStream> as LogStream,
    namespace: "shop",
    onMessages([{ position }]) {
      got.push(sequenceOf(position));
      onMessages?.(sequenceOf(position));
    },
    onForgotten: ({ key }) => got.push(`forgotten ${key}`),
    onGarbage: (_, reason) => got.push(reason),
    onEnd: () => {},
    onLoss: ({ reason }) => got.push(reason),
    settled,
    fault: (error) => got.push(String(error)),
  }, ledger);
  reading.follow([category]);
  return { ledger, reading, reader, got, clock };
}

const STATE: LogState = {
  created: "first",
  first: 1,
  last: 9,
  messages: 9,
  bytes: 9,
  maxBytes: undefined,
  discard: "old",
  now: 7,
};

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function textOf(sequence: number): string {
  const head = { endpoint: "here.1", first: sequence, sentAt: 0, keep: undefined, schedule: undefined };
  return groupText(head, itemText({ text: `${sequence}`, key: undefined, id: undefined, meta: undefined }));
}

class ScriptedReader implements LogReader {
  mark: LogMark | undefined = { created: "first", sequence: 0 };
  readonly caughtUp = true;
  readonly fault = undefined;
  paused = false;
  #options: FollowOptions | undefined;

  follow(options: FollowOptions): this {
    this.#options = options;
    return this;
  }

  message(sequence: number, subject = "catga.shop.log.Placed", text = textOf(sequence)): void {
    const message: StoredMessage = { sequence, subject, time: 1, data: encode(text), headers: undefined };
    this.#options!.onMessage(message);
  }

  start(sequence: number, lost?: LogLoss, created = "first", time?: number): void {
    this.#options!.onStart({ mark: { created, sequence, time }, state: { ...STATE, created }, lost });
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  close(): void {}
}

/** A clock whose time the test sets; timers fire in the next turn of the event loop. */
class TurnClock implements Clock {
  ms = 0;
  #due: (() => void)[] = [];

  now(): number {
    return this.ms;
  }

  monotonic(): number {
    return this.ms;
  }

  after(_ms: number, callback: () => void) {
    this.#due.push(callback);
    return { cancel: () => {} };
  }

  soon(callback: () => void): void {
    this.#due.push(callback);
  }

  turn(): void {
    for (const callback of this.#due.splice(0)) callback();
  }
}
