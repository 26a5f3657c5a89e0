/** Tests of a log that was deleted while no process ran, and whose sequences had grown faster than the clock. */
import { connect } from "@nats-io/transport-node";
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { catga, event, unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { patientManager } from "../../test/support/patient_jetstream.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { streamName } from "./format/stream_name.ts";
import { streamOptions } from "./format/streams.ts";
import { logSettings } from "../nats/log/log_settings.ts";

const Placed = event<{ n: number }>("Placed", { durable: true });
/** Distance by which the log's sequences are ahead of its clock, in ms: as after 2,000 messages a second for a day. */
const AHEAD = 86_400_000;

describe("a log that was deleted while no process ran", await requireNatsServer(), () => {
  it("has positions behind all that its subscriptions have read, also when a publisher makes it", async () => {
    await using server = await startNatsServer();
    const nats = { servers: server.url };
    const connection = await connect(nats);
    try {
      const { streams } = await patientManager(connection);
      const settings = logSettings(streamOptions("default", "log", 1));
      await connection.request(
        `$JS.API.STREAM.CREATE.${streamName("default", "log")}`,
        JSON.stringify({ name: streamName("default", "log"), ...settings, first_seq: Date.now() + AHEAD }),
        PATIENT,
      );
      const positions: number[] = [];
      const handlers = Placed.on((_, { position }) => void positions.push(position!), { name: "billing" });
      const handled = async (count: number, n: number) => {
        await using publisher = await catga({ nats, service: "web", logger: QUIET });
        unwrap(await publisher.publish(Placed, { n }));
        await using _app = await catga({ nats, service: "shop", logger: QUIET, handlers });
        await eventually(`${count} to be handled`, () => positions.length >= count);
      };
      {
        await using _app = await catga({ nats, service: "shop", logger: QUIET, handlers });
        await handled(1, 0);
      }
      await streams.delete(streamName("default", "log"));
      await handled(2, 1);
      assertEquals(positions.length, 2);
      assertGreater(positions[1], positions[0]);
    } finally {
      await connection.close();
    }
  });
});
