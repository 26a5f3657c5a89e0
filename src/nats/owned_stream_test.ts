import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { CatgaError } from "../error.ts";
import { type Clock, systemClock } from "../ports/clock.ts";
import { openTransport } from "./harness_suite.ts";
import { JetStream } from "./jetstream.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import { OwnedStream } from "./owned_stream.ts";

describe("OwnedStream", await requireNatsServer(), () => {
  /** Tries an operation whose attempts have no answer until a clock has jumped by these times, in ms. */
  const attempt = async (jumps: (tries: number, limit: number) => number | undefined) => {
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
        const jump = jumps(++tries, limit);
        if (jump === undefined) return Promise.resolve(tries);
        jumped += jump;
        return Promise.reject(new JetStreamRefusal("no answer", "the request timed out"));
      });
    } finally {
      await transport.close();
    }
  };

  it("repeats an operation after a standstill of its process, however long (it was UNAVAILABLE, at once)", async () => {
    assertEquals(await attempt((tries) => tries <= 2 ? 10_000 : undefined), 3);
  });

  it("gives an operation up when the store has given no answer for 5 s", async () => {
    const error = await assertRejects(() => attempt((_, limit) => limit), CatgaError, "the request timed out");
    assertEquals(error.code, "UNAVAILABLE");
  });
});
