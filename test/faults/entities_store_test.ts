/**
 * Fault: the stream of entities comes back from an older copy, or without its tail: what was lost is not decided on,
 * and no node goes on with it.
 */
import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Catga, catga, command, entity, type Result } from "../../mod.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { bucketName, bucketStreamName } from "../../src/ports/key_value_store.ts";
import { QUIET } from "../support/quiet.ts";
import { Standstill } from "../support/standstill.ts";
import { eventually } from "../support/eventually.ts";
import { leaderOf } from "../support/log_stream.ts";
import { type NatsServer, requireNatsServer, startNatsCluster, startNatsServer } from "../../tools/nats_server.ts";
import { firstOf } from "../support/before_release.ts";

const List = entity("List", { initial: () => [] as string[] });
const Put = List.event<string>("Put", (all, text) => [...all, text]);
const Add = command<{ id: string; text: string; times?: number }, number>("Add", { key: ({ id }) => id });
const add = List.handle(Add, (list, { text, times = 1 }) => {
  for (let n = 0; n < times; n++) list.emit(Put, text);
  return list.state.length;
});

const LOADED_FROM = [streamName("default", "entities"), bucketStreamName(bucketName("default", "snapshots"))];

/** Servers that can be stopped, copied, and started again on what they had, or on a copy. */
interface Servers {
  readonly urls: readonly string[];
  readonly replicas: number;
  stop(signal: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
  /** Resolves when they have elected leaders of what an entity is loaded from. */
  elected(): Promise<unknown>;
  /** What comes back from a copy. */
  readonly stores: readonly string[];
  end(): Promise<void>;
}

async function oneServer(): Promise<Servers> {
  const storeDir = await mkdtemp(join(tmpdir(), "catga-entities-store-"));
  let server: NatsServer = await startNatsServer({ storeDir });
  const { port, url } = server;
  // the stream alone: snapshots are newer than it
  const stream = join(storeDir, "jetstream", "$G", "streams", streamName("default", "entities"));
  return {
    ...{ urls: [url], replicas: 1, stores: [stream] },
    async stop(signal) {
      await server.kill(signal);
      await server.stop();
    },
    start: async () => void (server = await startNatsServer({ port, storeDir })),
    elected: () => Promise.resolve(),
    async end() {
      await server.stop();
      await rm(storeDir, { recursive: true, force: true });
    },
  };
}

async function threeServers(): Promise<Servers> {
  const cluster = await startNatsCluster(3);
  const all = <T>(work: (index: number) => Promise<T>) => Promise.all([0, 1, 2].map(work));
  return {
    ...{ urls: cluster.urls, replicas: 3, stores: cluster.servers.map(({ storeDir }) => storeDir) },
    stop: async (signal) => void await all((index) => cluster.servers[index].kill(signal)),
    start: async () => void await all((index) => cluster.restart(index)),
    elected: () => Promise.all(LOADED_FROM.map((stream) => leaderOf(cluster.urls, stream))),
    end: () => cluster.stop(),
  };
}

for (const [servers, open] of firstOf([["one server", oneServer], ["three servers", threeServers]] as const)) {
  describe(`an entity whose stream has lost messages, on ${servers}`, await requireNatsServer(), () => {
    for (const lost of ["an older copy", "a lost tail"] as const) {
      it(`${lost}: all nodes go on with what is stored, and a lost command is applied again`, {
        timeout: 1_200_000,
      }, async () => {
        const nats = await open();
        const folder = await mkdtemp(join(tmpdir(), "catga-entities-copy-"));
        const apps: Catga[] = [];
        try {
          const start = async (id: string) => {
            const options = { nats: { servers: [...nats.urls] }, replicas: nats.replicas, logger: QUIET };
            const app = await catga({ ...options, id, handlers: add, timeout: 20_000, signals: false });
            apps.push(app);
            return app;
          };
          const [a, b] = [await start("a"), await start("b")];
          const put = (app: Catga, text: string, options = {}): Promise<Result<number>> =>
            app.send(Add, { id: "x", text }, { id: text, node: app.self.id, ...options });
          /** Sent until it is stored: while servers start nobody knows. */
          const stored = async (app: Catga, text: string): Promise<number> => {
            for (let n = 0; n < 40; n++) {
              const { ok, value } = await put(app, text);
              if (ok) return value;
              await new Promise((resolve) => setTimeout(resolve, 250));
            }
            throw new Error(`${text} was not stored`);
          };
          const copies = nats.stores.map((_, index) => join(folder, `${index}`));
          const copy = async () => {
            await nats.stop("SIGTERM");
            await Promise.all(nats.stores.map((store, index) => cp(store, copies[index], { recursive: true })));
            await nats.start();
          };
          const restore = async () => {
            await nats.stop("SIGKILL");
            await Promise.all(nats.stores.map(async (store, index) => {
              await rm(store, { recursive: true, force: true });
              await cp(copies[index], store, { recursive: true });
            }));
            await nats.start();
          };
          assertEquals(await stored(a, "1"), 1);
          if (lost === "a lost tail") assertEquals(await stored(a, "2"), 2);
          await copy();
          const before = lost === "a lost tail" ? ["1", "2"] : ["1"];
          // of the lost time, and a snapshot among it
          const more = ["a2", "a3"];
          for (const [n, text] of more.entries()) assertEquals(await stored(a, text), before.length + n + 1);
          // in memory at both of them; b may not be connected yet
          let n = 0;
          const loads = (app: Catga, state: readonly string[]) =>
            eventually(`${app.self.id} to load what is stored`, async () => {
              const loaded = await app.load(List, "x", { latest: n++ % 2 === 0 }).catch(() => undefined);
              return `${loaded?.state}` === `${state}`;
            });
          await loads(b, [...before, ...more]);
          assertEquals(await stored(b, "b1"), before.length + 3);
          await eventually("a long one", async () => {
            return (await a.send(Add, { id: "long", text: "lost", times: 120 }, { node: "a", timeout: 5_000 })).ok;
          });
          await restore();
          // as many others, so that the sequences are the same
          const others = ["b2", "b3", "b4"];
          for (const [n, text] of others.entries()) assertEquals(await stored(b, text), before.length + n + 1);
          const fresh = await start("c");
          await nats.elected();
          await using still = await Standstill.watch(nats.urls);
          const last = await stored(a, "a5");
          const since = still.stopwatch();
          const state = [...before, ...others, "a5"];
          assertEquals(last, state.length);
          await Promise.all([a, b, fresh].map(async (app) => {
            await loads(app, state);
            assertEquals((await app.load(List, "long")).version, 0);
          }));
          assertLess(since(), 2_000);
          // a resend of a lost command gets no recorded result
          const [again, second] = [await put(a, "a2"), await put(b, "a2")];
          for (const { ok, value, error } of [again, second]) {
            if (ok) assertEquals(value, state.length + 1);
            else assertEquals(error.code, "OUTCOME_UNKNOWN");
          }
          const { state: end } = await fresh.load(List, "x", { latest: true });
          assertEquals(end, [...state, "a2"]);
        } finally {
          await Promise.all(apps.map((app) => app.drain({ timeout: 2_000 })));
          await nats.end();
          await rm(folder, { recursive: true, force: true });
        }
      });
    }
  });
}
