import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { type Clock, systemClock } from "../../ports/clock.ts";
import { ConnectionStatus, connectNats } from "./connection.ts";

const ANSWER = 3_000;

/** A clock whose timers fire 40 times as soon, and which a test moves on, as a sleep of the machine does. */
function sleepingClock({ answers = false } = {}) {
  let slept = 0;
  const fired = { looks: 0, answers: 0 };
  const clock: Clock = {
    now: () => systemClock.now() + slept,
    monotonic: () => systemClock.monotonic(), // it stands still while a machine sleeps
    after: (ms, callback, options) =>
      systemClock.after(answers && ms === ANSWER ? ms : ms / 40, () => {
        fired[ms === ANSWER ? "answers" : "looks"]++;
        callback();
      }, options),
    soon: (callback) => systemClock.soon(callback),
  };
  return { clock, fired, sleep: (ms: number) => void (slept += ms) };
}

/** A connection over a proxy, on which no ping of nats.js comes while a test runs. */
async function open(clock: Clock, owned: boolean) {
  const server = await startNatsServer({ jetstream: false });
  const proxy = await startTcpProxy(server.port);
  const { connection } = await connectNats({ servers: proxy.url, pingInterval: 3_600_000 });
  const failed = (error: unknown) => {
    throw error;
  };
  const status = new ConnectionStatus({ connection, owned }, clock, { onError: failed, onFailure: failed });
  return {
    status,
    proxy,
    async [Symbol.asyncDispose]() {
      status.close();
      await connection.close();
      await proxy.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe("a link that a NAT has forgotten in silence", await requireNatsServer(), () => {
  it("is given up after a sleep, and dialled (it was noticed by the third ping)", async () => {
    const { clock, sleep } = sleepingClock();
    await using link = await open(clock, true);
    link.proxy.strand();
    sleep(60_000);
    await eventually("the next link", () => link.status.current.generation === 2);
    assertEquals(link.status.current.state, "connected");
  });

  it("is left to the pings while the process has not stood still, and those of the user's connection always", async () => {
    for (const owned of [true, false]) {
      const { clock, fired, sleep } = sleepingClock();
      await using link = await open(clock, owned);
      link.proxy.strand();
      if (owned) await eventually("five looks", () => fired.looks >= 5);
      else sleep(60_000);
      assertEquals([link.status.current.generation, fired.answers], [1, 0]);
    }
  });

  it("is no link that answers", async () => {
    const { clock, fired, sleep } = sleepingClock({ answers: true });
    await using link = await open(clock, true);
    sleep(60_000);
    await eventually("the limit of the answer", () => fired.answers === 1);
    assertEquals(link.status.current, { state: "connected", generation: 1 });
  });
});
