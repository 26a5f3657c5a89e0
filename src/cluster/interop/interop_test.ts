/**
 * Runs the suite of plain NATS clients in memory and on a real server, and tests a node as a NATS service, with NATS's
 * own client for services.
 */
import { connect, headers as natsHeaders, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { catga } from "../../catga.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { describeInterop, type InteropHarness } from "./interop_suite.ts";
import { type ServiceClient, Svcm } from "@nats-io/services";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { after, before, describe, it } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import type { Catga } from "../../contract/nodes/running_node.ts";
import { command, event, query } from "../../contract/declaration/definition.ts";
import { fail } from "../../contract/calls/result.ts";
import { VERSION } from "../../version.ts";
import { chances } from "../../../test/support/chances.ts";
import { PATIENT } from "../../../test/support/patient.ts";

describeInterop("in memory", () => {
  const network = new MemoryNetwork();
  const client = network.connect({ name: "plain" });
  const apps: AsyncDisposable[] = [];
  let asked = 0;
  const harness: InteropHarness = {
    async start(options) {
      const app = await catga({ ...options, network });
      apps.push(app);
      return app;
    },
    ask: (subject, body, headers) =>
      new Promise((resolve) => {
        const reply = `_INBOX.${++asked}`;
        const subscription = client.subscribe(reply, {}, ({ data, headers = {}, noResponders }) => {
          subscription.close();
          resolve(noResponders ? undefined : { text: new TextDecoder().decode(data), headers });
        });
        client.publish(subject, body, { reply, ...(headers === undefined ? {} : { headers }) });
      }),
    publish: (subject, body, reply) => client.publish(subject, body, reply === undefined ? {} : { reply }),
    async listen(subject, onMessage) {
      const subscription = client.subscribe(
        subject,
        {},
        ({ data, headers = {} }) => onMessage(new TextDecoder().decode(data), headers),
      );
      await client.flush();
      return () => subscription.close();
    },
    until: async (what, ask) => void await eventually(what, ask),
    async [Symbol.asyncDispose]() {
      for (const app of apps) await app[Symbol.asyncDispose]();
      await client.close();
    },
  };
  return Promise.resolve(harness);
});

describeInterop("on NATS", async () => {
  const server = await startNatsServer();
  const client = await connect({ servers: server.url });
  const apps: AsyncDisposable[] = [];
  const made = (given: Record<string, string> | undefined) => {
    if (given === undefined) return {};
    const headers = natsHeaders();
    for (const [name, value] of Object.entries(given)) headers.set(name, value);
    return { headers };
  };
  return {
    async start(options) {
      const app = await catga({ ...options, nats: server.url });
      apps.push(app);
      return app;
    },
    async ask(subject, body, headers) {
      try {
        const answer = await client.request(subject, body, { timeout: 30_000, ...made(headers) });
        return { text: answer.string(), headers: headersOf(answer) };
      } catch (error) {
        if ((error as Error).message.startsWith("no responders")) return undefined;
        throw error;
      }
    },
    publish: (subject, body, reply) => client.publish(subject, body, reply === undefined ? {} : { reply }),
    async listen(subject, onMessage) {
      const subscription = client.subscribe(subject, {
        callback: (_, message) => onMessage(message.string(), headersOf(message)),
      });
      await client.flush();
      return () => subscription.unsubscribe();
    },
    until: async (what, ask) => void await eventually(what, ask),
    async [Symbol.asyncDispose]() {
      for (const app of apps) await app[Symbol.asyncDispose]();
      await client.close();
      await server.stop();
    },
  };
}, await requireNatsServer());

function headersOf({ headers }: Msg): Record<string, string> {
  return Object.fromEntries((headers?.keys() ?? []).map((name) => [name, headers!.get(name)]));
}

const CreateOrder = command("orders.Create", {
  idempotent: true,
  input: z.object({ sku: z.string(), at: z.string().transform((text) => new Date(text)) }),
  output: z.object({ orderId: z.string() }),
});
const Count = query<{ fail?: string }, number>("Count");
// this contract is listed without schemas: valibot makes no JSON Schema by itself, and a JSON Schema cannot express a
// map
const Opaque = query("Opaque", { input: v.number(), output: z.map(z.string(), z.number()) });
const Told = event<void>("Told");

describe("a node, for NATS's client of services", await requireNatsServer(), () => {
  let server: NatsServer;
  let client: NatsConnection;
  const apps: Catga[] = [];

  before(async () => {
    server = await startNatsServer();
    client = await connect({ servers: server.url });
    const handlers = [
      CreateOrder.handle(() => ({ orderId: "1" })),
      Count.handle(({ fail: code }) => code === undefined ? 3 : fail(code, "not for everybody's eyes")),
      Opaque.handle(() => new Map()),
      Told.on(() => {}),
    ];
    const options = { nats: server.url, service: "orders", handlers };
    apps.push(
      await catga({ ...options, id: "a", metadata: { zone: "north" } }),
      await catga({ ...options, id: "b" }),
      await catga({ nats: server.url, service: "billing", id: "c", handlers: Told.on(() => {}) }),
    );
  });
  after(async () => {
    for (const app of apps) await app.drain();
    await client?.close();
    await server?.stop();
  });

  /**
   * Collects the answers that come within a second. If there are fewer than `least`, asks again: nodes of a busy
   * machine may take longer.
   */
  async function all<T>(ask: (client: ServiceClient) => Promise<AsyncIterable<T>>, least = 1): Promise<T[]> {
    // cast: the package on npm has an older copy of nats.js, whose types differ
    const services = new Svcm(client as never).client({ strategy: "stall", maxWait: 1_000 });
    const once = async () => {
      const found: T[] = [];
      for await (const one of await ask(services)) found.push(one);
      return found;
    };
    return await chances(29, once, (found) => found.length >= least);
  }

  it("ping finds the nodes that have something to call, by service and by id", { timeout: 300_000 }, async () => {
    const ids = (pings: { id: string }[]) => pings.map(({ id }) => id).sort();
    assertEquals(ids(await all((services) => services.ping(), 2)), ["a", "b"]);
    assertEquals(ids(await all((services) => services.ping("orders"), 2)), ["a", "b"]);
    assertEquals(ids(await all((services) => services.ping("orders", "b"))), ["b"]);
    const [{ type, name, id, version, metadata }] = await all((services) => services.ping("orders", "a"));
    assertEquals({ type, name, id, version }, {
      type: "io.nats.micro.v1.ping_response",
      name: "orders",
      id: "a",
      version: VERSION,
    });
    assertEquals(metadata?.zone, "north");
    assertEquals([metadata?.["catga.namespace"], metadata?.["catga.endpoint"]], ["default", apps[0].self.endpoint]);
  });

  it(
    "info lists commands and queries with their subjects, and their schemas if they have any",
    { timeout: 300_000 },
    async () => {
      const [info] = await all((services) => services.info("orders", "a"));
      assertEquals([info.type, info.description], [
        "io.nats.micro.v1.info_response",
        "service orders of the Catga namespace default",
      ]);
      const seen = info.endpoints.map(({ name, subject, queue_group }) => ({ name, subject, queue_group }));
      assertEquals(seen, [
        { name: "Count", subject: "catga.default.call.Count", queue_group: "q" },
        { name: "Opaque", subject: "catga.default.call.Opaque", queue_group: "q" },
        { name: "orders_Create", subject: "catga.default.call.orders.Create", queue_group: "q" },
      ]);
      const [count, opaque, create] = info.endpoints.map(({ metadata }) => metadata ?? {});
      assertEquals([count, opaque], [{ kind: "query" }, { kind: "query" }]);
      assertEquals([create.kind, create.idempotent], ["command", "true"]);
      assertEquals(JSON.parse(create.input), {
        $schema: "https://json-schema.org/draft/2020-12/schema",
        type: "object",
        properties: { sku: { type: "string" }, at: { type: "string" } },
        required: ["sku", "at"],
      });
      assertEquals(JSON.parse(create.output).properties, { orderId: { type: "string" } });
    },
  );

  it("stats count the calls, and show only the code of the last error", { timeout: 300_000 }, async () => {
    for (const body of ["{}", "{}", '{"fail":"NOPE"}']) {
      await client.request("catga.default.call.Count", body, PATIENT);
    }
    // a request between two nodes: the statistics of the NATS service must not include it
    await apps[2].send(Count, {});
    const stats = await all((services) => services.stats("orders"), 2);
    assertEquals(stats.map(({ type }) => type), Array(2).fill("io.nats.micro.v1.stats_response"));
    for (const { started } of stats) assertMatch(started, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    const counts = stats.flatMap(({ endpoints }) => endpoints ?? []).filter(({ name }) => name === "Count");
    const sum = (of: (each: typeof counts[number]) => number) => counts.reduce((all, each) => all + of(each), 0);
    assertEquals([sum((each) => each.num_requests), sum((each) => each.num_errors)], [3, 1]);
    assertEquals(counts.map((each) => each.last_error).filter(Boolean), ["422:NOPE"]);
    for (const { num_requests, processing_time, average_processing_time } of counts) {
      assert(Number.isInteger(processing_time) && processing_time >= 0);
      assertEquals(average_processing_time, num_requests === 0 ? 0 : Math.round(processing_time / num_requests));
    }
  });

  it("a node without contracts is not listed", { timeout: 300_000 }, async () => {
    await assertRejects(() => all((services) => services.ping("billing")), Error, "no responders");
  });
});
