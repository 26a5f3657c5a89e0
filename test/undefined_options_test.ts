/**
 * Every option of every public function may be `undefined`: the compiler accepts it (`exactOptionalPropertyTypes` is
 * on), and at run time it is the default. The records below name all options: `Required` lets none be left out.
 */
import type { MemoryNetworkOptions } from "../src/memory/network.ts";
import type { NextOptions } from "../src/testing/test_cluster_options.ts";
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import {
  type Behavior,
  catga,
  CatgaError,
  type CatgaOptions,
  command,
  event,
  fail,
  query,
  type SendOptions,
  unwrap,
} from "../mod.ts";
import { logging, rateLimit, retry } from "../src/behaviors/mod.ts";
import type { LoggingOptions } from "../src/behaviors/logging.ts";
import type { RateLimitOptions } from "../src/behaviors/rate_limit.ts";
import type { RetryBehaviorOptions } from "../src/behaviors/retry.ts";
import {
  explore,
  type ExploreDeploy,
  type ExploreGroup,
  type ExploreOptions,
  type Faults,
  MemoryNetwork,
  recorder,
  testCluster,
  type TestClusterOptions,
} from "../src/testing/mod.ts";
import type { Attachment } from "../src/contract/declaration/behavior.ts";
import type { BroadcastOptions, PublishOptions } from "../src/contract/calls/send_options.ts";
import type {
  CacheLoadOptions,
  CacheSetOptions,
  LeadOptions,
  LockOptions,
} from "../src/contract/calls/shared_state.ts";
import type { CatgaErrorOptions } from "../src/error.ts";
import type { CommandOptions, EventOptions, QueryOptions } from "../src/contract/declaration/contract_options.ts";
import type { DrainOptions } from "../src/contract/nodes/running_node.ts";
import type { EventHandlerOptions, HandlerOptions } from "../src/contract/declaration/handler.ts";
import type { FailOptions } from "../src/contract/calls/result.ts";
import type { SendAllOptions } from "../src/contract/calls/sender.ts";

/** Options of `T`, each `undefined`. */
type Undefined<T> = { [Option in keyof Required<T>]: undefined };

const query_: Undefined<QueryOptions<number, number>> = {
  input: undefined,
  output: undefined,
  failures: undefined,
  key: undefined,
  route: undefined,
  ordered: undefined,
  timeout: undefined,
  retries: undefined,
  meta: undefined,
  version: undefined,
};
const command_: Undefined<CommandOptions<number, number>> = {
  ...query_,
  idempotent: undefined,
  id: undefined,
  durable: undefined,
  redact: undefined,
};
const event_: Undefined<EventOptions<number>> = {
  input: undefined,
  durable: undefined,
  key: undefined,
  meta: undefined,
  version: undefined,
  redact: undefined,
};
const handler: Undefined<HandlerOptions> = { behaviors: undefined, concurrency: undefined };
const onEvent: Undefined<EventHandlerOptions> = { ...handler, each: undefined };
const publish: Undefined<PublishOptions> = { id: undefined, headers: undefined, signal: undefined };
const broadcast: Undefined<BroadcastOptions> = { ...publish, key: undefined, node: undefined, timeout: undefined };
const send: Undefined<SendOptions> = { ...broadcast, firstSent: undefined, route: undefined, retries: undefined };
const { id: _, firstSent: __, ...each } = send;
const sendAll: Undefined<SendAllOptions> = { ...each, concurrency: undefined };
const drain: Undefined<DrainOptions> = { timeout: undefined };
const lock: Undefined<LockOptions> = { ttl: undefined, timeout: undefined, signal: undefined };
const lead: Undefined<LeadOptions> = { ttl: undefined };
const cacheSet: Undefined<CacheSetOptions> = { ttl: undefined, fence: undefined };
const cacheLoad: Undefined<CacheLoadOptions> = {
  ...cacheSet,
  once: undefined,
  timeout: undefined,
  signal: undefined,
};
const app_: Undefined<Omit<CatgaOptions, "nats">> = {
  handlers: undefined,
  file: undefined,
  sql: undefined,
  network: undefined,
  namespace: undefined,
  service: undefined,
  id: undefined,
  metadata: undefined,
  transport: undefined,
  signals: undefined,
  timeout: undefined,
  retries: undefined,
  route: undefined,
  concurrency: undefined,
  heartbeat: undefined,
  breaker: undefined,
  behaviors: undefined,
  carry: undefined,
  logger: undefined,
  codec: undefined,
  replicas: undefined,
  causes: undefined,
};
const faults: Undefined<Faults> = {
  drop: undefined,
  delay: undefined,
  cut: undefined,
  pause: undefined,
  falseBounce: undefined,
  lostAck: undefined,
  earlyExpiry: undefined,
  lateExpiry: undefined,
  lateMarker: undefined,
  revival: undefined,
  redelivery: undefined,
  staleRead: undefined,
  noLeader: undefined,
  noQuorum: undefined,
};
const network_: Undefined<MemoryNetworkOptions> = {
  clock: undefined,
  random: undefined,
  seed: undefined,
  faults: undefined,
  servers: undefined,
  maxPayload: undefined,
};
const fail_: Undefined<FailOptions> = {
  retryable: undefined,
  details: undefined,
  final: undefined,
  cause: undefined,
  retryAfter: undefined,
};
const error_: Undefined<CatgaErrorOptions> = { ...fail_, node: undefined };
const retry_: Undefined<RetryBehaviorOptions> = { attempts: undefined, on: undefined, backoff: undefined };
const logging_: Undefined<LoggingOptions> = { logger: undefined, level: undefined, payload: undefined };
const rateLimit_: Undefined<Omit<RateLimitOptions, "rate">> = {
  per: undefined,
  burst: undefined,
  key: undefined,
  share: undefined,
};
const { network: _n, id: _i, transport: _t, signals: _s, ...common } = app_;
const cluster_: Undefined<TestClusterOptions> = {
  ...common,
  node: undefined,
  seed: undefined,
  faults: undefined,
  servers: undefined,
  maxPayload: undefined,
  time: undefined,
};
const explore_: Undefined<Omit<ExploreOptions, "workload">> = {
  file: undefined,
  sql: undefined,
  handlers: undefined,
  nodes: undefined,
  deploys: undefined,
  faults: undefined,
  world: undefined,
  check: undefined,
  seeds: undefined,
  seed: undefined,
  replay: undefined,
  options: undefined,
  limit: undefined,
  steer: undefined,
  shrink: undefined,
  repeatable: undefined,
  workers: undefined,
  program: undefined,
};
const group_: Undefined<ExploreGroup> = { count: undefined, handlers: undefined, options: undefined };
const deploy_: Undefined<Omit<ExploreDeploy, "handlers">> = { at: undefined, forGood: undefined };
const next_: Undefined<NextOptions> = { type: undefined, limit: undefined };
const behavior_: Undefined<Pick<Behavior, "send" | "attach">> = { send: undefined, attach: undefined };
const attachment: Undefined<Attachment> = { observe: undefined, detach: undefined };

describe("an option that is undefined has its default", () => {
  const Double = query<number, number>("Double", query_);
  const Add = command<number, number>("Add", command_);
  const Once = command<number, number>("Once", { idempotent: { ttl: undefined } });
  const Told = event<number>("Told", event_);

  it("contracts", () => {
    assertEquals([Double.options, Add.options, Told.options], [{}, {}, {}]);
  });

  it("catga, handle, on, and everything of an app", async () => {
    const told = Promise.withResolvers<number>();
    const handlers = [
      Double.handle((n) => n * 2, handler),
      Add.handle((n, ctx) => n + ctx.attempt, handler),
      Once.handle((n) => n),
      Told.on((n) => told.resolve(n), onEvent),
    ];
    for (const network of [undefined, new MemoryNetwork(network_)]) {
      await using app = await catga({ ...app_, network, handlers });
      assertEquals(app.self.id.length, 10);
      assertEquals([app.self.service, app.health().ready], ["app", true]);
      assertEquals(unwrap(await app.send(Double, 2, send)), 4);
      assertEquals(unwrap(await app.send(Add, 2, send)), 3);
      assertEquals(unwrap(await app.send(Once, 2, send)), 2);
      assertEquals((await app.sendAll(Add, [1, 2], sendAll)).map(unwrap), [2, 3]);
      assertEquals((await app.sendAll(Add, [3], { ...send })).map(unwrap), [4]);
      assertEquals((await app.publish(Told, 7, publish)).ok, true);
      assertEquals(await told.promise, 7);
      assertEquals((await app.broadcast(Double, 2, broadcast)).map(({ result }) => result.value), [4]);
      await using held = await app.lock("a", lock);
      assert(held.token > 0);
      assertEquals(await app.cache.set("k", 1, cacheSet), true);
      assertEquals(await app.cache.getOrSet("k", () => 2, cacheLoad), 1);
      assertEquals(await app.cache.getOrSet("other", () => 2, cacheLoad), 2);
      const led = Promise.withResolvers<void>();
      await using term = app.lead("x", async () => led.resolve(await Promise.resolve()), lead);
      await led.promise;
      assertEquals(typeof term.leading, "boolean");
      const ends = app.watchNodes({ signal: undefined }).next();
      await app.drain(drain);
      assertEquals("done" in await ends, true);
    }
  });

  it("a breaker that is half given", async () => {
    await using app = await catga({ breaker: { failures: undefined, cooldown: undefined } });
    assertEquals(app.health().ready, true);
  });

  it("errors and failures", () => {
    for (const error of [new CatgaError("GONE", "gone", error_), fail("GONE", "gone", fail_).error]) {
      const { retryable, details, node, final } = error;
      assertEquals({ retryable, details, node, final }, {
        retryable: false,
        details: undefined,
        node: undefined,
        final: false,
      });
      assertEquals(Object.hasOwn(error, "cause"), false);
    }
  });

  it("behaviors", async () => {
    const lines: string[] = [];
    const logger = { debug() {}, info: (line: string) => void lines.push(line), warn() {}, error() {} };
    let runs = 0;
    const plain: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), behavior_);
    const attached: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), {
      attach: () => attachment,
    });
    const behaviors = [plain, attached, logging(logging_), rateLimit({ rate: 100, ...rateLimit_ }), retry(retry_)];
    const Flaky = query<void, number>("Flaky");
    const handlers = Flaky.handle(() => {
      if (++runs < 3) throw new CatgaError("BUSY", "later", { retryable: true });
      return runs;
    });
    await using app = await catga({ handlers, behaviors, logger });
    assertEquals(unwrap(await app.send(Flaky)), 3);
    assertEquals(lines.some((line) => line.includes("Flaky ok in")), true);
  });

  it("the network in memory and its faults", async () => {
    const network = new MemoryNetwork({ ...network_, faults });
    network.faults = faults;
    await using _server = await catga({ network, handlers: Double.handle((n) => n * 2) });
    await using client = await catga({ network });
    assertEquals(unwrap(await client.send(Double, 2)), 4);
  });

  it("the kit for tests", async () => {
    await using cluster = await testCluster(2, { ...cluster_, handlers: Double.handle((n) => n * 2) });
    assertEquals(unwrap(await cluster.apps[0].send(Double, 2)), 4);
    assertEquals((await cluster.recorder.next(Double, next_)).payload, 2);
    const messages = recorder();
    await using app = await catga({ behaviors: [messages.behavior] });
    await app.publish(Told, 1);
    assertEquals((await messages.next(Told, next_)).payload, 1);
  });

  it("explore", async () => {
    const handlers = Double.handle((n) => n * 2);
    const values: unknown[] = [];
    const { seeds } = await explore({
      ...explore_,
      ...{ handlers, nodes: { app: group_ }, deploys: [{ ...deploy_, handlers }], seeds: 2 },
      workload: async ({ app }) => void values.push((await app.send(Double, 2)).value),
    });
    assertEquals([seeds, values.length > 0], [2, true]);
    await explore({ ...explore_, seeds: 1, workload: () => {} });
  });
});
