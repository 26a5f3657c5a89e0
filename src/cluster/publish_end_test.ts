/** Tests of events whose publish was ok right before their process ended. */
import { after, before, describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { catga, event } from "../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { Runtime } from "../../test/processes/node_messages.ts";
import { OWN_RUNTIMES, startProgram } from "../../test/processes/node_process.ts";
import type { PublisherLine } from "../../test/processes/publisher_line.ts";
import { openBareLink } from "../../test/support/bare_link.ts";
import { eventually } from "../../test/support/eventually.ts";
import { readEventFrame } from "./wire/frame_reader.ts";

const EVENTS = Array.from({ length: 500 }, (_, n) => n);
const DRAINED = ["drain", "drain-exit", "using", "turns", "handlers", "given"];
const DRIVERS: readonly [Runtime, driver: "node" | "deno"][] = [["deno", "deno"], ["deno", "node"], ["bun", "node"]];

describe("events that were ok when their process ends", await requireNatsServer(), () => {
  let server: NatsServer;
  let listener: Awaited<ReturnType<typeof openBareLink>>;
  let arrived: unknown[] = [];

  before(async () => {
    server = await startNatsServer();
    listener = await openBareLink(server.url, "listener");
    listener.transport.subscribe("catga.default.event.Ticked", {}, ({ data }) => {
      arrived.push(...readEventFrame(data).payloads);
    });
    await listener.transport.flush();
  });
  after(async () => {
    await listener?.transport.close();
    await server?.stop();
  });

  /**
   * Publishes 500 events in a process that then ends as `how` says. Returns the events that have reached the server.
   */
  async function published(runtime: Runtime, how: string, driver: string): Promise<unknown[]> {
    arrived = [];
    await using program = await startProgram<PublisherLine>(runtime, "test/processes/publisher.ts", [
      server.url,
      how,
      driver,
    ]);
    const { by } = await program.end();
    assertEquals([by, program.lines], [0, [{ ok: EVENTS.length }]], program.output);
    // the server answers this flush after it has handled everything that it had read of the other connection
    await listener.transport.flush();
    return arrived;
  }

  for (const [runtime, driver] of DRIVERS.filter(([runtime]) => OWN_RUNTIMES.includes(runtime))) {
    for (const how of DRAINED) {
      it(`${how}: all arrive (${runtime}, transport-${driver})`, { timeout: 300_000 }, async () => {
        const found = await published(runtime, how, driver);
        assertEquals([...found].sort((a, b) => Number(a) - Number(b)), EVENTS);
      });
    }

    it(
      `process.exit in the same turn: the last do not (${runtime}, transport-${driver})`,
      { timeout: 300_000 },
      async () => {
        await published(runtime, "exit", driver);
        assertLess(arrived.length, EVENTS.length);
        assertEquals(arrived, EVENTS.slice(0, arrived.length));
      },
    );
  }
});

describe("events while NATS is away", await requireNatsServer(), () => {
  it("are not ok once the outage is known, and none arrives when NATS is back", { timeout: 300_000 }, async () => {
    await using server = await startNatsServer();
    const Ticked = event<string>("Ticked");
    const received: string[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const handlers = Ticked.on((text) => void received.push(text));
    await using _listener = await catga({ nats: server.url, id: "listener", service: "listener", handlers, logger });
    await using app = await catga({ nats: server.url, id: "publisher", logger });
    await server.kill("SIGKILL");
    await eventually("it to be known", () => app.health().connection === "disconnected");
    const results = await Promise.all(Array.from({ length: 500 }, () => app.publish(Ticked, "away")));
    assertEquals([...new Set(results.map(({ error }) => error?.code))], ["UNAVAILABLE"]);
    await using _again = await startNatsServer({ port: server.port });
    await eventually("events to arrive again", async () => {
      await app.publish(Ticked, "back");
      return received.length > 0;
    });
    assertEquals([...new Set(received)], ["back"]);
  });
});
