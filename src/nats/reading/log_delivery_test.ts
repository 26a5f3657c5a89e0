import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { StreamInfo } from "../stream/jetstream.ts";
import { DELIVERY_STATES, DeliveryPosition, LogDelivery, SILENCE_STATES, SilenceWatch } from "./log_delivery.ts";
import { untaken } from "../../../test/support/taken_changes.ts";
import type { NatsTransport } from "../connection/transport.ts";
import type { Clock } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";

describe("DeliveryPosition", () => {
  const parse = (reply: string) => {
    const position = new DeliveryPosition("log", "c1");
    if (!position.parse(reply)) return undefined;
    const { sequence, delivery, time, pending } = position;
    return { sequence, delivery, time, pending };
  };
  const expected = { sequence: 1_792_555_200_123, delivery: 7, time: 1_792_555_200_999, pending: 12 };

  it("reads the reply subjects of a server without and with a domain", () => {
    const end = "1.1792555200123.7.1792555200999999999.12";
    assertEquals(parse(`$JS.ACK.log.c1.${end}`), expected);
    assertEquals(parse(`$JS.ACK.hub.AbC123.log.c1.${end}.x9Yz`), expected);
  });

  it("reads the revisions of buckets, which have 16 digits", () => {
    const position = new DeliveryPosition("log", "c1");
    assertEquals(position.parse("$JS.ACK.log.c1.1.1792555200123456.7.1792555200999999999.12"), true);
    assertEquals(position.sequence, 1_792_555_200_123_456);
  });

  it("does not accept anything else", () => {
    const strange = [
      "",
      "_INBOX.x",
      "$JS.FC.log.c1.x",
      "$JS.ACK.log.c2.1.2.3.1792555200999999999.4",
      "$JS.ACK.log.c1.",
      "$JS.ACK.log.c1.1.2.3",
      "$JS.ACK.log.c1.1.2.3.4.5",
      "$JS.ACK.log.c1.1.0.3.1792555200999999999.4",
      "$JS.ACK.log.c1.1.-2.3.1792555200999999999.4",
      "$JS.ACK.log.c1.1.2e9.3.1792555200999999999.4",
      "$JS.ACK.log.c1.1.2.3.17925552009x9999999.4",
      "$JS.ACK.log.c1.1.99999999999999999999.3.1792555200999999999.4",
    ];
    for (const reply of strange) assertEquals(parse(reply), undefined, reply);
  });
});

const HEARTBEAT = 1_600;

function setUp() {
  const clock = new VirtualClock();
  let fired = 0;
  // time that has passed while this process was paused, in ms
  const paused = { ms: 0 };
  const counting: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic() + paused.ms,
    soon: (callback) => clock.soon(callback),
    after: (ms, callback, options) =>
      clock.after(ms, () => {
        fired++;
        callback();
      }, options),
  };
  const silent: number[] = [];
  const watch = new SilenceWatch(counting, HEARTBEAT, () => silent.push(clock.monotonic()));
  return { clock, watch, silent, paused, fired: () => fired };
}

describe("SilenceWatch", () => {
  it("fires one timer in 2.4 s at most while only heartbeats come", async () => {
    const { clock, watch, silent, fired } = setUp();
    for (let i = 0; i < 60; i++) {
      await clock.advance(HEARTBEAT);
      watch.heartbeat();
    }
    assertEquals(silent, []);
    assert(fired() <= 60 * HEARTBEAT / 2_400, `${fired()} timers in 96 s`);
    watch.close();
  });

  it("reports a server that sends nothing 2.75 heartbeats after its last one, once", async () => {
    const { clock, watch, silent } = setUp();
    for (let i = 0; i < 5; i++) {
      await clock.advance(HEARTBEAT);
      watch.heartbeat();
    }
    const last = clock.monotonic();
    await clock.advance(60_000);
    assertEquals(silent, [last + 2.75 * HEARTBEAT]);
  });

  it("reports a silence 2.5 to 3 heartbeats after the last message, whenever it came", async () => {
    for (let after = 0; after <= 6 * HEARTBEAT; after += 130) {
      const { clock, watch, silent } = setUp();
      await clock.advance(after % HEARTBEAT);
      for (let passed = 0; passed < after; passed += 130) {
        watch.message();
        await clock.advance(130);
      }
      watch.message();
      const last = clock.monotonic();
      await clock.advance(5 * HEARTBEAT);
      const [reported] = silent;
      const heartbeats = (reported - last) / HEARTBEAT;
      assert(heartbeats >= 2.5 && heartbeats <= 3, `${heartbeats} heartbeats after a message at ${last}`);
    }
  });

  it("gives a process that was paused time to read what waits in its socket", async () => {
    const { clock, watch, silent, paused } = setUp();
    await clock.advance(1_000);
    paused.ms = 20_000;
    await clock.advance(5_000);
    assertEquals(silent, []);
    watch.heartbeat();
    await clock.advance(HEARTBEAT);
    assertEquals(silent, []);
    watch.close();
  });

  it("does not report a server whose messages were read just after the check", async () => {
    const { clock, watch, silent } = setUp();
    // the clock moves past the time of the check before the message comes, as in a process that was paused and reads
    // its socket only after the check
    await clock.advance(2.5 * HEARTBEAT + 10);
    watch.message();
    await clock.advance(HEARTBEAT);
    watch.heartbeat();
    await clock.advance(HEARTBEAT);
    assertEquals(silent, []);
    watch.close();
  });

  it("is quiet after its end", async () => {
    const { clock, watch, silent } = setUp();
    watch.message();
    watch.close();
    watch.message();
    await clock.advance(60_000);
    assertEquals(silent, []);
  });
});

/**
 * A delivery on a virtual clock; the stream's leader has messages up to `last`. `isMade`: its consumer is made, and had
 * nothing to deliver.
 */
function delivered(last: number, isReplicated = true, isMade = true) {
  const clock = new VirtualClock();
  let callback: (error: Error | null, message: unknown) => void = () => {};
  let asked = 0;
  const transport = {
    clock,
    listen: (_inbox: string, listener: typeof callback) => {
      callback = listener;
      return { isClosed: () => false, unsubscribe: () => {} };
    },
  } as unknown as NatsTransport;
  const recentInfo = () => {
    asked++;
    return Promise.resolve({ state: { last_seq: last } } as StreamInfo);
  };
  const stream = { name: "log", heartbeat: HEARTBEAT, isReplicated, recentInfo };
  const broken: string[] = [];
  const delivery = new LogDelivery(transport, { stream, name: "c", inbox: "i", expected: isMade ? 0 : undefined }, {
    onMessage: () => {},
    onFlow: () => {},
    onIdle: () => {},
    onCaughtUp: () => {},
    onBroken: (why) => broken.push(why),
  });
  /** Delivers a heartbeat of a consumer that has delivered everything up to `sequence`. */
  const heartbeat = (sequence: number) => {
    const headers: Record<string, string> = { "Nats-Last-Consumer": "0", "Nats-Last-Stream": `${sequence}` };
    callback(null, { reply: "", headers: { code: 100, status: "100", get: (name: string) => headers[name] ?? "" } });
  };
  return { clock, delivery, broken, heartbeat, asked: () => asked };
}

it("a watch over silence takes each change of its table", async () => {
  const left = await untaken(SILENCE_STATES, async () => {
    const { clock, watch } = setUp();
    watch.close(); // quiet
    const heard = setUp().watch;
    heard.message();
    heard.heartbeat();
    heard.message();
    heard.close();
    await clock.advance(1);
    for (const then of ["heartbeat", "message", "close"] as const) {
      const { clock, watch, silent } = setUp();
      await clock.advance(2.6 * HEARTBEAT);
      watch[then]();
      watch.close();
      assertEquals(silent, []);
    }
  });
  assertEquals(left, []);
});

it("a delivery takes each change of its table", async () => {
  const left = await untaken(DELIVERY_STATES, () => {
    delivered(5, false, false).delivery.close(); // early
    for (const expected of [0, 3]) {
      const { delivery } = delivered(5, false, false);
      delivery.begin(expected);
      delivery.close();
      delivery.close();
    }
    const { delivery, heartbeat } = delivered(5, false, false);
    delivery.begin(3);
    heartbeat(5);
    delivery.close();
  });
  assertEquals(left, []);
});

describe("LogDelivery", () => {
  it("breaks if its consumer does not deliver what the stream's leader has", async () => {
    const { clock, broken, heartbeat } = delivered(7);
    for (let i = 0; i < 10; i++) {
      await clock.advance(HEARTBEAT);
      heartbeat(5);
    }
    assertEquals(broken.length, 1);
  });

  it("asks the leader of a stream with replicas every 10 s while it is idle, that of another every 30", async () => {
    for (const [isReplicated, most] of [[true, 6], [false, 2]] as const) {
      const { clock, heartbeat, asked, delivery } = delivered(5, isReplicated);
      for (let passed = 0; passed < 60_000; passed += HEARTBEAT) {
        heartbeat(5);
        await clock.advance(HEARTBEAT);
      }
      delivery.close();
      const found = asked();
      assert(found > 0 && found <= most, `${found} questions in a minute`);
      await clock.advance(60_000);
      assertEquals(asked(), found);
    }
  });

  it("does not break for a heartbeat that says where the consumer was before the leader was asked", async () => {
    const { clock, broken, heartbeat, asked, delivery } = delivered(7);
    while (asked() === 0) {
      await clock.advance(100);
      if (clock.monotonic() % HEARTBEAT < 100) heartbeat(5);
    }
    // two heartbeats were due since the leader was asked; a slow server has delivered one, which it had sent before
    await clock.advance(1_000);
    heartbeat(5);
    await clock.advance(2 * HEARTBEAT + 100);
    assertEquals(broken, []);
    heartbeat(7);
    await clock.advance(HEARTBEAT);
    assertEquals(broken, []);
    delivery.close();
  });
});
