import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { connect } from "@nats-io/transport-node";
import { catga } from "../../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { startEventLogHarness } from "../../nats/log_harness_suite.ts";
import { systemClock } from "../../ports/clock.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { streamName } from "../format/stream_name.ts";
import { expirySuite, followingSuite, Placed } from "./following_suite.ts";
import { patientManager } from "../../../test/support/patient_jetstream.ts";

followingSuite("over NATS", await requireNatsServer(), async () => {
  const server = await startNatsServer();
  const app = await catga({ nats: server.url, logger: QUIET });
  return {
    app,
    async [Symbol.asyncDispose]() {
      await app.drain();
      await server[Symbol.asyncDispose]();
    },
  };
});

expirySuite("over NATS", await requireNatsServer(), async () => {
  const harness = await startEventLogHarness();
  return { ...harness, clock: systemClock, until: (promise) => promise };
});

describe("follow, over a server that is killed", await requireNatsServer(), () => {
  it("100 followers get each event once, in order, over two kills, and share one consumer", async () => {
    const first = await startNatsServer();
    await using writer = await catga({ nats: first.url, id: "w", service: "w", logger: QUIET });
    await using reader = await catga({ nats: first.url, id: "r", service: "r", logger: QUIET });
    const seen = Array.from({ length: 100 }, (): number[] => []);
    const followers = seen.map((numbers) => {
      const follower = reader.follow(Placed, { from: "now" });
      const read = (async () => {
        for await (const { payload } of follower) numbers.push(payload.n);
      })();
      return { follower, read };
    });
    await eventually("all to begin", () => followers.every(({ follower }) => follower.position !== undefined));
    let server = first;
    let n = 0;
    const publish = async (count: number) => {
      for (const end = n + count; n < end; n++) {
        // the publish is repeated until it is `ok`: the log stores a message with the same id only once
        const once = () => writer.publish(Placed, { n }, { id: `e-${n}`, timeout: 60_000 });
        while (!(await once()).ok) await writer.clock.sleep(100);
      }
    };
    await publish(50);
    {
      const connection = await connect({ servers: server.url });
      const { consumers } = await patientManager(connection);
      let count = 0;
      for await (const info of consumers.list(streamName("default", "log"))) {
        count += info.config.filter_subject === undefined ? 0 : 1;
      }
      assertEquals(count, 1);
      await connection.close();
    }
    try {
      for (let kill = 1; kill <= 2; kill++) {
        const writing = publish(200);
        await eventually("some to be followed", () => seen[0].length > n - 10 && n > 200 * (kill - 1) + 80);
        await server.kill("SIGKILL");
        if (server !== first) await server.stop();
        server = await startNatsServer({ port: first.port, storeDir: first.storeDir });
        await writing;
      }
      await eventually("all to be followed", () => seen.every(({ length }) => length >= n));
      const all = Array.from({ length: n }, (_, i) => i);
      for (const numbers of seen) assertEquals(numbers, all);
      await reader.drain();
      await Promise.all(followers.map(({ read }) => read));
      assert(seen.every(({ length }) => length === n));
    } finally {
      await server.stop();
      await first.stop();
    }
  });
});
