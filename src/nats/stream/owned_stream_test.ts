import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { eventually } from "../../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, systemClock } from "../../ports/clock.ts";
import { openTransport } from "../harness_suite.ts";
import { JetStream } from "./jetstream.ts";
import { JetStreamRefusal, type RefusalReason } from "./jetstream_refusal.ts";
import { OwnedStream } from "./owned_stream.ts";
import { bucketSettings, checkSettings } from "./stream_settings.ts";
import type { NatsTransport } from "../connection/transport.ts";

describe("OwnedStream", await requireNatsServer(), () => {
  /**
   * One request to the server that fails after `waited` ms, without an answer unless `refusal` is given. The process
   * stands still for `late` of these ms (default: 0).
   */
  interface Silence {
    readonly waited: number;
    readonly late?: number;
    readonly refusal?: RefusalReason;
  }

  /** Tries an operation until it is answered. Resolves with the number of attempts. */
  const attempt = async (silence: (tries: number, limit: number) => Silence | undefined) => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    let [jumped, tries] = [0, 0];
    const clock: Clock = {
      now: () => systemClock.now(),
      monotonic: () => systemClock.monotonic() + jumped,
      soon: (callback) => systemClock.soon(callback),
      after: (ms, callback, options) => systemClock.after(ms, callback, options),
    };
    Object.defineProperty(transport, "clock", { value: clock });
    const stream = new OwnedStream(transport, new JetStream(transport), {
      ...{ name: "log", what: "the log", settings: () => ({}), check() {}, perMs: 1, most: 2 ** 42, heartbeat: 500 },
    });
    try {
      return await stream.attempt((limit) => {
        const silent = silence(++tries, limit);
        if (silent === undefined) return Promise.resolve(tries);
        jumped += silent.waited;
        const { refusal = "no answer", late } = silent;
        return Promise.reject(new JetStreamRefusal(refusal, "the request timed out", undefined, late));
      });
    } finally {
      await transport.close();
    }
  };

  it("repeats an operation after a standstill of its process, however long (it was UNAVAILABLE, at once)", async () => {
    const stands = (tries: number, limit: number) => tries > 2 ? undefined : { waited: limit + 10_000, late: 10_000 };
    assertEquals(await attempt(stands), 3);
  });

  for (const late of [10_000, undefined]) {
    const where = late === undefined ? "before that answer was read" : "in the attempt before";
    it(`waits for room for 1 s, also after a standstill ${where} (it gave up at once)`, async () => {
      const stands = (tries: number, limit: number): Silence | undefined => {
        if (tries === 1 && late !== undefined) return { waited: limit + late, late };
        return tries > 3 ? undefined : { waited: tries === 1 ? 10_000 : 100, refusal: "full" };
      };
      assertEquals(await attempt(stands), 4);
    });
  }

  it("gives an operation up when the store has been full for 1 s", async () => {
    let tries = 0;
    const full = (n: number): Silence => ({ waited: tries = n, refusal: "full" });
    const began = systemClock.monotonic();
    await assertRejects(() => attempt(full), CatgaError, "the store is full");
    assert(tries > 1 && systemClock.monotonic() - began > 900, `${tries} attempts`);
  });

  it("gives an operation up when the store has given no answer for 5 s", async () => {
    const error = await assertRejects(() => attempt((_, waited) => ({ waited })), CatgaError, "the request timed out");
    assertEquals(error.code, "UNAVAILABLE");
  });

  it("gives an operation up in the end, however often its process stands still", async () => {
    let [tries, waited] = [0, 0];
    const stands = (n: number, limit: number) => {
      [tries, waited] = [n, waited + limit];
      return { waited: limit + 300, late: 300 };
    };
    await assertRejects(() => attempt(stands), CatgaError, "the request timed out");
    assert(tries < 20 && waited <= 5_000, `${tries} attempts, ${waited} ms`);
  });

  it("says what an answer said that came before its last, short attempt (a leaf's error was but a timeout)", async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    let jumped = 0;
    Object.defineProperty(transport, "clock", {
      value: { ...systemClock, monotonic: () => systemClock.monotonic() + jumped },
    });
    const js = new JetStream(transport);
    const limits: number[] = [];
    js.info = (_, limit) => {
      limits.push(limit);
      // less than its limit of 2 s is left for the fourth attempt
      const isLast = limits.length > 3;
      jumped += isLast ? limit : limits.length === 3 ? 12_000 - 1_900 : 0;
      return Promise.reject(new JetStreamRefusal(isLast ? "no answer" : "no responders", "none"));
    };
    try {
      const stream = new OwnedStream(transport, js, {
        ...{ name: "log", what: "the log", settings: () => ({}), check() {}, perMs: 1, most: 2 ** 42, heartbeat: 500 },
      });
      const error = await assertRejects(() => stream.open(), CatgaError, "default_js_domain");
      assertEquals([error.code, limits.length], ["UNAVAILABLE", 4]);
    } finally {
      await transport.close();
    }
  });

  it("asks for its state once for all who ask in the same moment (each of 1,500 subscriptions asked)", async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    try {
      const js = new JetStream(transport);
      let asked = 0;
      const info = js.info.bind(js);
      js.info = (...request) => (asked++, info(...request));
      const stream = new OwnedStream(transport, js, {
        ...{ name: "log", what: "the log", settings: () => ({ subjects: ["log.>"], storage: "memory" }), check() {} },
        ...{ perMs: 1, most: 2 ** 42, heartbeat: 500 },
      });
      await stream.open();
      asked = 0;
      const infos = await Promise.all(Array.from({ length: 100 }, () => stream.info()));
      assertEquals(asked, 1);
      assertEquals(new Set(infos.map(({ created }) => created)).size, 1);
      // one that is under way may be answered with an earlier state
      const first = stream.info();
      await eventually("it to be sent", () => asked === 2);
      await Promise.all([first, stream.info()]);
      assertEquals(asked, 3);
    } finally {
      await transport.close();
    }
  });

  it("gives an operation up that waited for 5 s to be sent: no standstill (it went on for 20 s)", async () => {
    let tries = 0;
    const queued = (n: number, limit: number) => ({ waited: limit + 4_500 * (tries = n) });
    await assertRejects(() => attempt(queued), CatgaError, "the request timed out");
    assertEquals(tries, 1);
  });
});

describe("a stream with wrong settings", () => {
  /** Opens a bucket's stream about which JetStream gives this recorded answer; resolves with the error. */
  async function errorOf(metadata: object, cluster?: object): Promise<CatgaError> {
    const settings = bucketSettings("test", { direct: false, replicas: 3 });
    const { allow_msg_ttl: _, subject_delete_marker_ttl: __, ...known } = settings;
    const state = { first_seq: 1, last_seq: 1, messages: 1, bytes: 1 };
    const answer = { config: { ...known, metadata }, state, created: "2026-01-01T00:00:00Z", asked: 0, cluster };
    const transport = {
      ...{ clock: systemClock, random: Math.random, onStatus: () => () => {} },
      wrongSettings: { wrong() {}, right() {} },
    };
    // casts: the members that a check of settings reads
    const js = { info: () => Promise.resolve(answer) } as unknown as JetStream;
    const stream = new OwnedStream(transport as unknown as NatsTransport, js, {
      ...{ name: "KV_test", what: "the bucket test", settings: () => settings, perMs: 1_000, most: 2 ** 52 },
      ...{ heartbeat: 1_600, check: (config) => checkSettings("test", config, settings) },
    });
    return await assertRejects(() => stream.open(), CatgaError);
  }

  it("that an old server leads: the error names the server, and does not advise to delete the bucket", async () => {
    // as nats-server 2.10.27 answers in a cluster with 2.15.1
    const old = await errorOf({ "_nats.req.level": "1" }, { name: "C", leader: "n3" });
    assertEquals([old.code, old.details], ["BUCKET_MISMATCH", { server: "n3" }]);
    assert(/n3, which is older than 2\.11/.test(old.message) && !old.message.includes("kv rm"), old.message);
    // and while it does not know yet that it leads the stream
    for (const cluster of [{ name: "C" }, { name: "C", leader: "" }]) {
      const unnamed = await errorOf({ "_nats.req.level": "1" }, cluster);
      assert(/a NATS server that is older than 2\.11/.test(unnamed.message), unnamed.message);
      assert(!unnamed.message.includes("kv rm"), unnamed.message);
    }
    // as 2.15.1 does
    const other = await errorOf({ "_nats.req.level": "1", "_nats.ver": "2.15.1", "_nats.level": "5" }, {
      leader: "n1",
    });
    assert(other.message.includes("allow_msg_ttl") && other.message.includes("kv rm"), other.message);
  });
});
