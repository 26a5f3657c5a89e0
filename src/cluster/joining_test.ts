/** Tests of a node whose start takes a while: other nodes send it requests before it knows them. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga } from "../catga.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import { CatgaError } from "../error.ts";
import { delay } from "../ports/clock.ts";
import type { Bucket } from "../ports/key_value_store.ts";
import { BUCKET, MemoryCluster } from "../../test/support/memory_cluster.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Outer = command<void, unknown>("Outer");
const Inner = query<void, string>("Inner");
const Never = query<void, string>("Never");
const Happened = event<void>("Happened", { durable: true });

/**
 * Delays the watches of apps that connect after this call by `ms`, but not their writes, like a server that has no room
 * for another consumer.
 */
function delayWatches({ network, clock }: MemoryCluster, ms: number): void {
  const connect = network.connect.bind(network);
  const late = (bucket: Bucket): Bucket => {
    const watch = bucket.watch.bind(bucket);
    return Object.assign(bucket, {
      watch: (...request: Parameters<typeof watch>) => delay(clock, ms).then(() => watch(...request)),
    });
  };
  network.connect = (options) => {
    const connection = connect(options);
    const { store } = connection;
    return Object.assign(connection, {
      store: { open: async (...open: Parameters<typeof store.open>) => late(await store.open(...open)) },
    });
  };
}

describe("a node that others know before it knows them", () => {
  it("sends and broadcasts of its handlers wait until it has joined", async () => {
    await using cluster = await MemoryCluster.of("sender");
    const { apps, clock, network } = cluster;
    delayWatches(cluster, 2_000);
    const handlers = [
      Inner.handle((_, ctx) => ctx.node),
      Outer.handle(async (_, ctx) => {
        const sent = [Inner, Never].map((contract) => ctx.send(contract, undefined, { timeout: 5_000 }));
        const short = ctx.send(Inner, undefined, { timeout: 1_000 });
        const all = (await ctx.broadcast(Inner)).map(({ node }) => node);
        const [inner, never, late] = (await Promise.all([...sent, short])).map(({ value, error }) =>
          error?.code ?? value
        );
        return { inner, never, late, all };
      }),
    ];
    const starting = catga({ network, id: "starting", handlers, logger: QUIET });
    const { value } = await clock.until(apps.get("sender")!.send(Outer, undefined, { retries: 0 }));
    assertEquals(value, { inner: "starting", never: "NO_HANDLER", late: "UNAVAILABLE", all: ["starting"] });
    await clock.until((await clock.until(starting)).drain());
  });
});

describe("a node that waits for the first answer of another node", () => {
  it("handles requests of plain clients meanwhile (a start waited for their subscriptions afterwards)", async () => {
    await using cluster = await MemoryCluster.of("other");
    const { apps, clock, network } = cluster;
    const client = network.connect({ name: "plain" });
    // the record of a process that subscribes, and answers no ping
    const silent = { ...JSON.parse((await cluster.record("other"))!), id: "silent", endpoint: "silent.aaaaaaaaaaaa" };
    client.subscribe("catga.default.node.silent.>", {}, () => {});
    await (await network.store.open(BUCKET)).create("silent", JSON.stringify(silent));
    const began = clock.monotonic();
    let joined = 0;
    const starting = catga({ network, id: "starting", handlers: Inner.handle((_, ctx) => ctx.node), logger: QUIET });
    starting.then(() => joined = clock.monotonic() - began);
    await clock.advance(100);
    let answer: { text: string; at: number } | undefined;
    client.subscribe("_INBOX.1", {}, ({ data }) => {
      answer = { text: new TextDecoder().decode(data), at: clock.monotonic() - began };
    });
    client.publish("catga.default.call.Inner", "", { reply: "_INBOX.1" });
    await clock.advance(2_000);
    assertEquals({ joined, answer }, { joined: 1_000, answer: { text: '"starting"', at: 100 } });
    await clock.until(apps.get("other")!.drain());
    await clock.until((await starting).drain());
    await client.close();
  });
});

describe("a node that cannot start when it has joined already", () => {
  it("leaves, and has no timers", async () => {
    await using cluster = await MemoryCluster.of("other");
    const { apps, clock, network } = cluster;
    const connect = network.connect.bind(network);
    const open = () => Promise.reject(new CatgaError("UNAVAILABLE", "no stream"));
    network.connect = (options) => Object.assign(connect(options), { log: { open } });
    const starting = catga({ network, id: "starting", handlers: Happened.on(() => {}), logger: QUIET });
    assertEquals(await clock.until(starting.then(() => "started", ({ code }) => code)), "UNAVAILABLE");
    await clock.advance(100);
    assertEquals([cluster.views(), await cluster.record("starting")], [["other"], undefined]);
    await clock.until(apps.get("other")!.drain());
    await clock.advance(60_000);
    assertEquals(clock.timers, 0);
  });
});
