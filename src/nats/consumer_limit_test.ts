/** Tests of streams and buckets that may have few consumers, or that already have as many as they may. */
import { AckPolicy } from "@nats-io/jetstream";
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { catga, type CatgaOptions, event } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { CatgaError } from "../error.ts";
import { openTransport } from "./harness_suite.ts";
import { NatsKeyValueStore } from "./bucket/key_value_store.ts";
import { follow, OPTIONS, startLogClient, STREAM } from "./log_harness_suite.ts";
import { patientManager } from "../../test/support/patient_jetstream.ts";

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };

const Booked = event<{ id: number }>("Booked", { durable: true });
const Cancelled = event<{ id: number }>("Cancelled", { durable: true });

describe("max_consumers", await requireNatsServer(), () => {
  it("streams and buckets that Catga makes allow 100,000 consumers", async () => {
    await using client = await startLogClient();
    await new NatsKeyValueStore(client.transport).open("test");
    for (const name of [STREAM, "KV_test"]) assertEquals(await maxConsumers(client, name), 100_000);
  });

  it("an account that allows fewer: they are made without a limit of their own", async () => {
    const config = "accounts { A { jetstream { max_consumers: 7 }, users [{ user: a, password: a }] } }";
    await using server = await startNatsServer({ config });
    const address = server.url.replace("//", "//a:a@");
    await using client = await startLogClient({ server, nats: address });
    await new NatsKeyValueStore(client.transport).open("test");
    for (const name of [STREAM, "KV_test"]) assertEquals(await maxConsumers(client, name), -1);
  });

  it("the limit of a stream that exists stays as its operator has set it", async () => {
    await using client = await startLogClient();
    const { config } = await client.ask<{ config: object }>(`STREAM.INFO.${STREAM}`);
    await client.ask(`STREAM.UPDATE.${STREAM}`, { ...config, max_consumers: 3 });
    await client.log.open(STREAM, OPTIONS);
    assertEquals(await maxConsumers(client, STREAM), 3);
  });
});

describe("CONSUMER_LIMIT", await requireNatsServer(), () => {
  it("a reader without a consumer says so, and reads when there is one", slow, async () => {
    await using client = await startLogClient();
    const taken = await takeAll(client.server, STREAM);
    const { faults, losses, reader } = follow(client.stream);
    await eventually("the fault", () => faults.length > 0);
    assertEquals(faults[0].code, "CONSUMER_LIMIT");
    assertEquals(faults[0].details, { stream: STREAM });
    for (const part of [STREAM, "maximum consumers limit reached (10026)", "max_consumers"]) {
      assertStringIncludes(faults[0].message, part);
    }
    assertEquals(reader.fault?.code, "CONSUMER_LIMIT");
    await taken.release();
    await eventually("the start", () => losses.length > 0);
    assertEquals(reader.fault, undefined);
  });

  it("a node does not start when the bucket of nodes has no consumer left", slow, async () => {
    await using server = await startNatsServer();
    await using _other = await catga({ nats: server.url, id: "first" });
    await using _taken = await takeAll(server, "KV_catga_default_nodes");
    const error = await assertRejects(() => catga({ nats: server.url, id: "second" }), CatgaError);
    assertEquals(error.code, "CONSUMER_LIMIT");
    assertStringIncludes(error.message, "the bucket catga_default_nodes cannot be read");
  });

  it("a node does not start when its read model has no consumer", slow, async () => {
    await using server = await startNatsServer();
    await started(server, { handlers: Booked.on(() => {}) });
    await using _taken = await takeAll(server, "catga_default_log");
    const model = Booked.on(() => {}, { each: "node", from: "start", name: "model" });
    const error = await assertRejects(() => catga({ nats: server.url, handlers: model }), CatgaError);
    assertEquals(error.code, "CONSUMER_LIMIT");
    assertStringIncludes(error.message, "catga_default_log");
  });

  for (const stream of ["catga_default_log", "catga_default_subscriptions"]) {
    it(
      `a subscription that ${stream} has no consumer for is "stalled", and goes on when there is one`,
      slow,
      async () => {
        await using server = await startNatsServer();
        await started(server, { handlers: Booked.on(() => {}) });
        const taken = await takeAll(server, stream);
        const handled: number[] = [];
        const lines: string[] = [];
        await using app = await catga({
          nats: server.url,
          handlers: [Booked.on(({ id }) => void handled.push(id)), Cancelled.on(() => {})],
          logger: { ...console, error: (line: unknown) => void lines.push(String(line)), info() {}, warn() {} },
        });
        const stalled = () => app.health().subscriptions.map(({ state, error }) => [state, error?.code]);
        await eventually("the health to say so", () => stalled().some(([state]) => state === "stalled"));
        assert(stalled().every(([state, code]) => (state === "stalled") === (code === "CONSUMER_LIMIT")));
        await taken.release();
        (await app.publish(Booked, { id: 1 })).ok || assert(false);
        await eventually("the message", () => handled.length === 1);
        await eventually(
          "the health",
          () => stalled().every(([state, code]) => state === "leading" && code === undefined),
        );
      },
    );
  }
});

async function maxConsumers(client: { ask<T>(operation: string): Promise<T> }, name: string): Promise<number> {
  const info = await client.ask<{ config: { max_consumers: number } }>(`STREAM.INFO.${name}`);
  return info.config.max_consumers;
}

/** Starts a node and stops it, so that its streams and buckets exist, and waits until its consumers are gone. */
async function started(server: NatsServer, options: CatgaOptions): Promise<void> {
  {
    await using _app = await catga({ ...options, nats: server.url });
  }
  const transport = await openTransport(server.url);
  const { streams } = await patientManager(transport.connection);
  for (const stream of ["catga_default_log", "catga_default_subscriptions"]) {
    await eventually(`the consumers of ${stream} to go`, async () => {
      const { state } = await streams.info(stream);
      return state.consumer_count === 0;
    });
  }
  await transport.close();
}

/**
 * Limits a stream to one consumer more than it has, and creates that consumer. `release` deletes it and restores the
 * limit.
 */
async function takeAll(server: NatsServer, stream: string): Promise<AsyncDisposable & { release(): Promise<void> }> {
  const transport = await openTransport(server.url);
  const { streams, consumers } = await patientManager(transport.connection);
  const { config, state } = await streams.info(stream);
  const allow = (max_consumers: number) => {
    const settings = { ...config, max_consumers };
    return streams.update(stream, settings);
  };
  await allow(state.consumer_count + 1);
  await consumers.add(stream, { durable_name: "taken", ack_policy: AckPolicy.None });
  const release = async () => {
    if (transport.status.state === "closed") return;
    await consumers.delete(stream, "taken");
    await allow(config.max_consumers);
    await transport.close();
  };
  return { release, [Symbol.asyncDispose]: release };
}
