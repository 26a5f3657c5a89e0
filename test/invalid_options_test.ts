/**
 * Every option and argument of every public function refuses what would mean nothing: dates, maps and other instances
 * where plain objects are expected, texts and the like where numbers are. The records below name all options:
 * `Required` lets none be left out.
 */
import type { MemoryNetworkOptions } from "../src/memory/network.ts";
import type { NextOptions } from "../src/testing/test_cluster_options.ts";
import { after, before, describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import {
  type Behavior,
  type Catga,
  catga,
  type CatgaOptions,
  command,
  type Context,
  entity,
  event,
  fail,
  query,
  type SendOptions,
  stream,
  workflow,
} from "../mod.ts";
import {
  type DescriptionInfo,
  edge,
  type EdgeEntryOptions,
  type EdgeHandlerOptions,
  type EdgeLimit,
  events,
  respond,
} from "../src/http/mod.ts";
import { logging, rateLimit, retry, timeout } from "../src/behaviors/mod.ts";
import type { LoggingOptions } from "../src/behaviors/logging.ts";
import type { RateLimitOptions } from "../src/behaviors/rate_limit.ts";
import type { RetryBehaviorOptions } from "../src/behaviors/retry.ts";
import {
  explore,
  type ExploreOptions,
  type Faults,
  MemoryNetwork,
  recorder,
  type TestCluster,
  testCluster,
  type TestClusterOptions,
  VirtualClock,
} from "../src/testing/mod.ts";
import type { Outages } from "../src/memory/faults.ts";
import type { BroadcastOptions, PublishOptions, StreamOptions } from "../src/contract/calls/send_options.ts";
import type {
  CacheLoadOptions,
  CacheSetOptions,
  LeadOptions,
  LockOptions,
} from "../src/contract/calls/shared_state.ts";
import type {
  CommandHandlerOptions,
  HandlerOptions,
  RetryOptions,
  SubscriptionOptions,
} from "../src/contract/declaration/handler.ts";
import type { CommandOptions, EventOptions, QueryOptions } from "../src/contract/declaration/contract_options.ts";
import type {
  DeadLetterOptions,
  EnqueueOptions,
  FollowEventsOptions,
  KeepOptions,
} from "../src/contract/calls/durable_messages.ts";
import type { DecisionOptions, EntityEventOptions, EntityOptions } from "../src/contract/declaration/entity.ts";
import type { DrainOptions } from "../src/contract/nodes/running_node.ts";
import type { FailOptions } from "../src/contract/calls/result.ts";
import type { LoadOptions } from "../src/contract/declaration/entity_definition.ts";
import type { SendAllOptions } from "../src/contract/calls/sender.ts";
import type { StreamContractOptions } from "../src/contract/declaration/definition.ts";
import type { EventsOptions } from "../src/http/events.ts";
import type { RespondOptions } from "../src/http/respond.ts";

class Own {}
const instances = [
  new Date(),
  new Map([["a", "b"]]),
  new Set(["a"]),
  new Own(),
  Promise.resolve({}),
  new Headers({ a: "b" }),
];
const OBJECT: readonly unknown[] = [...instances, [], "x", "", 5, 0, true, false, null, () => {}];
const NUMBER: readonly unknown[] = [
  ...instances,
  "",
  "5",
  true,
  false,
  null,
  {},
  [],
  [5],
  5n,
  NaN,
  -1,
  -Infinity,
  () => {},
];
const FINITE: readonly unknown[] = [...NUMBER, Infinity];
const BOOLEAN: readonly unknown[] = [...instances, 0, 1, "", "true", null, {}, [], () => {}];
const TEXT: readonly unknown[] = [...instances, 0, 5, true, null, {}, [], ["a"], new String("a"), () => {}];
const FUNCTION: readonly unknown[] = [...instances, 0, 5, "", "x", true, null, {}, []];
const SIGNAL: readonly unknown[] = [...instances, 5, "x", true, null, {}, [], new AbortController(), () => {}];
const DATE: readonly unknown[] = [0, 5, "2026-01-01", null, {}, [], new Date(NaN), new Map(), () => {}];
const STRINGS: readonly unknown[] = [...OBJECT, { a: 1 }, { a: null }];
const LIST: readonly unknown[] = [...instances, "x", "", 5, true, null, {}, () => {}];
const TEXTS: readonly unknown[] = [...LIST, [5], [null]];
const FUNCTIONS: readonly unknown[] = [...LIST, ["x"], [null], [{}]];
const SCHEMA: readonly unknown[] = [...instances, 5, "x", true, null, {}, [], () => {}];
const CHOICE: readonly unknown[] = [...instances, "", "x", 5, true, null, {}, []];
const METHODS: readonly unknown[] = [...instances, 5, "x", true, null, {}, [], () => {}];
/** Any value means something. */
const ANY: readonly unknown[] = [];

/** The wrong values of each option of `T`. */
type Wrong<T> = { readonly [Option in keyof Required<T>]: readonly unknown[] };

const query_: Wrong<QueryOptions<number, number>> = {
  input: SCHEMA,
  output: SCHEMA,
  failures: TEXTS,
  key: FUNCTION,
  route: CHOICE,
  ordered: BOOLEAN,
  timeout: FINITE,
  retries: FINITE,
  meta: OBJECT,
  version: [...FINITE, 0, 1.5],
};
const command_: Wrong<CommandOptions<number, number>> = {
  ...query_,
  idempotent: OBJECT.filter((value) => typeof value !== "boolean"),
  id: FUNCTION,
  durable: OBJECT.filter((value) => typeof value !== "boolean"),
  redact: TEXTS,
};
const { output: _output, ordered: _ordered, ...ofStream } = query_;
const stream_: Wrong<StreamContractOptions<number, number>> = {
  ...ofStream,
  items: SCHEMA,
  resume: FUNCTION,
  idle: FINITE,
  window: OBJECT,
  ordered: [true],
};
const window: Wrong<NonNullable<StreamContractOptions<number, number>["window"]>> = { items: FINITE, bytes: FINITE };
const event_: Wrong<EventOptions<number>> = {
  input: SCHEMA,
  durable: command_.durable,
  key: FUNCTION,
  meta: OBJECT,
  version: query_.version,
  redact: TEXTS,
};
const handler: Wrong<HandlerOptions> = { behaviors: FUNCTIONS, concurrency: FINITE };
const commandHandler: Wrong<CommandHandlerOptions> = {
  ...handler,
  retry: OBJECT,
  limit: [...OBJECT, {}, [{}], { running: 0 }, { per: 5 }, { running: 1, over: "drop" }],
  fair: [1, "tenant", {}, { by: "tenant" }, { by: () => "", weight: 1 }],
  ahead: [1, "urgent", {}],
};
const on: Wrong<SubscriptionOptions> = {
  ...commandHandler,
  each: CHOICE,
  name: [...TEXT, ""],
  from: CHOICE,
  timeout: FINITE,
};
type BatchOptions = NonNullable<Parameters<typeof Kept["onBatch"]>[1]>;
const onBatch: Wrong<BatchOptions> = { ...on, max: FINITE, within: FINITE };
const redelivery: Wrong<NonNullable<RetryOptions["retry"]>> = {
  attempts: FINITE,
  delay: [...LIST, [], [5], ["1", "2"], [2, 1], [new Date(), 5]],
  outage: FINITE,
};
const publish: Wrong<PublishOptions> = { id: [...TEXT, ""], headers: STRINGS, signal: SIGNAL };
const broadcast: Wrong<BroadcastOptions> = { ...publish, key: TEXT, node: [...TEXT, ""], timeout: FINITE };
const send: Wrong<SendOptions> = { ...broadcast, route: CHOICE, retries: FINITE, firstSent: DATE };
const { id: _, firstSent: __, ...each } = send;
const streaming: Wrong<StreamOptions> = { ...each, idle: FINITE };
const sendAll: Wrong<SendAllOptions> = { ...each, concurrency: FINITE };
const keep: Wrong<KeepOptions> = { ...publish, timeout: FINITE, delay: FINITE, at: DATE };
const enqueue: Wrong<EnqueueOptions> = { ...keep, cron: [...TEXT, ""], zone: TEXT };
const app_: Wrong<CatgaOptions> = {
  handlers: [...instances, "x", 5, true, null, {}, () => {}],
  nats: [...OBJECT.filter((value) => value !== "x"), { servers: 5 }, { servers: [] }, new URL("nats://localhost:1")],
  file: [...OBJECT.filter((value) => value !== "x"), "", { path: "" }, { path: "x", durability: "often" }],
  sql: [...LIST, ["x"], [null], [{}]],
  network: OBJECT,
  namespace: [...TEXT, ""],
  service: [...TEXT, ""],
  id: [...TEXT, ""],
  metadata: STRINGS,
  transport: CHOICE,
  signals: BOOLEAN,
  timeout: FINITE,
  retries: FINITE,
  route: CHOICE,
  concurrency: FINITE,
  heartbeat: FINITE,
  breaker: OBJECT,
  behaviors: FUNCTIONS,
  carry: TEXTS,
  logger: METHODS,
  codec: METHODS,
  replicas: FINITE,
  causes: BOOLEAN,
};
const breaker: Wrong<NonNullable<CatgaOptions["breaker"]>> = { failures: FINITE, cooldown: FINITE };
const faults: Wrong<Faults> = {
  drop: FINITE,
  delay: FINITE,
  cut: OBJECT,
  pause: OBJECT,
  falseBounce: FINITE,
  lostAck: FINITE,
  earlyExpiry: FINITE,
  lateExpiry: FINITE,
  lateMarker: FINITE,
  revival: FINITE,
  redelivery: FINITE,
  staleRead: FINITE,
  noLeader: OBJECT,
  noQuorum: OBJECT,
};
const outages: Wrong<Outages> = { every: FINITE, lasts: FINITE };
const network_: Wrong<MemoryNetworkOptions> = {
  clock: METHODS,
  random: FUNCTION,
  seed: FINITE.filter((value) => value !== -1),
  faults: OBJECT,
  servers: FINITE,
  maxPayload: FINITE,
};
const { nats: _n, network: _o, id: _i, transport: _t, signals: _s, ...common } = app_;
const cluster_: Wrong<TestClusterOptions> = {
  ...common,
  node: FUNCTION,
  file: BOOLEAN,
  seed: network_.seed,
  faults: OBJECT,
  servers: FINITE,
  maxPayload: FINITE,
  time: CHOICE,
};

const explore_: Wrong<ExploreOptions> = {
  workload: FUNCTION,
  handlers: [1, "a", true, null],
  sql: FUNCTION,
  nodes: [1.5, NaN, -1, 0, "3", true, null, { app: 0 }, { app: "3" }, { app: { count: 1.5 } }, { app: { no: 1 } }],
  deploys: [1, "a", true, {}, [1], [{}], [{ handlers: 1 }], [{ handlers: [], at: "now" }], [{ handlers: [], no: 1 }]],
  faults: ["some", 1, true, {}, ["kil"], [1]],
  world: FUNCTION,
  check: [...FUNCTION.filter((value) => !Array.isArray(value)), [1]],
  seeds: [...FINITE, 0],
  seed: FINITE,
  replay: ["7", 1, true, {}, "seed -1"],
  options: [...OBJECT, { nats: "nats://a" }, { noSuchOption: 1 }],
  limit: FINITE,
  steer: BOOLEAN,
  shrink: FINITE,
  repeatable: BOOLEAN,
  workers: [...FINITE, 0, 2],
  file: BOOLEAN,
  program: [...OBJECT, {}, "a"],
};

/** A public function, with each value of an argument that it refuses. */
type Case = readonly [what: string, wrong: readonly unknown[], call: (value: never) => unknown];

/** An object of options, by itself and option by option. `others` go with each of them. */
function options<T>(
  what: string,
  wrong: Wrong<T>,
  call: (options: never) => unknown,
  others: Partial<Record<keyof T, unknown>> = {},
): Case[] {
  return [
    [what, [...OBJECT, { ...others, noSuchOption: 1 }], call],
    ...Object.entries<readonly unknown[]>(wrong).map(([option, values]): Case => [
      `${what}: ${option}`,
      values,
      (value) => call({ ...others, [option]: value } as never),
    ]),
  ];
}

const Ask = query<number, number>("Ask");
const Do = command<number, number>("Do");
const Once = command<number, number>("Once", { idempotent: true });
const Items = stream<number, number>("Items");
const Queued = command<number>("Queued", { durable: true });
const Told = event<number>("Told");
const Kept = event<number>("Kept", { durable: true });
const Sum = entity<number>("Sum", { initial: () => 0 });
const Add = command<{ id: string }, number>("Add", { key: ({ id }) => id });
const add = Sum.handle(Add, () => 1);
const Run = workflow("Run");
const Other = workflow("Other");
const Sent = Run.signal("Sent");
const edged: Wrong<EdgeHandlerOptions> = {
  base: [...TEXT, "api", "/api/", "/a b"],
  authorize: [...FUNCTION, undefined],
  identify: FUNCTION,
  limit: [...OBJECT, {}],
  origins: [...TEXTS, ["shop.example"], ["https://shop.example/"]],
  credentials: BOOLEAN,
  callbacks: [...instances, 0, 1, "", "true", null, {}, []],
  parameters: TEXTS,
  maxBody: [...FINITE, 0, 1.5],
  bodyTimeout: FINITE,
  maxWait: FINITE,
  keepAlive: FINITE,
};

const nothing = () => {};
let app: Catga;
let cluster: TestCluster;
let context: Context;
let inRealTime: TestCluster;
const messages = recorder();
const clock = new VirtualClock();

const CASES: readonly Case[] = [
  ...options<QueryOptions<number, number>>("query", query_, (options) => query<number, number>("Q", options)),
  ...options<CommandOptions<number, number>>("command", command_, (options) => command<number, number>("C", options)),
  ["command: idempotent.ttl", FINITE, (ttl) => command("C", { idempotent: { ttl } })],
  ["command: durable.keep", NUMBER, (keep) => command("C", { durable: { keep } })],
  ...options<EventOptions<number>>("event", event_, (options) => event<number>("E", options), { durable: true }),
  ["query: its name", [...TEXT, ""], (name) => query(name)],
  ...options<StreamContractOptions<number, number>>(
    "stream",
    stream_,
    (options) => stream<number, number>("S", options),
  ),
  ...options<NonNullable<StreamContractOptions<number, number>["window"]>>(
    "stream: window",
    window,
    (window) => stream<number, number>("S", { window }),
  ),
  ["stream: its name", [...TEXT, ""], (name) => stream(name)],
  ["stream: handle", FUNCTION, (fn) => Items.handle(fn)],
  ...options<HandlerOptions>("stream: handle", handler, (options) => Items.handle(nothing as never, options)),
  ["handle", FUNCTION, (fn) => Ask.handle(fn)],
  ...options<HandlerOptions>("handle", handler, (options) => Ask.handle((n) => n, options)),
  ...options<CommandHandlerOptions>(
    "handle of a durable command",
    commandHandler,
    (options) => Queued.handle(nothing, options),
  ),
  ...options<SubscriptionOptions>("on", on, (options) => Kept.on(nothing, options)),
  ...options<BatchOptions>("onBatch", onBatch, (options) => Kept.onBatch(nothing, options)),
  ...options<NonNullable<RetryOptions["retry"]>>("on: retry", redelivery, (retry) => Kept.on(nothing, { retry })),
  ...options<EntityOptions<number>>(
    "entity",
    { initial: FUNCTION, version: FINITE },
    (options) => entity<number>("E", options),
    { initial: () => 0 },
  ),
  ...options<EntityEventOptions<number>>(
    "entity: event",
    { input: SCHEMA, redact: TEXTS },
    (options) => Sum.event("E", (n: number) => n, options),
  ),
  ...options<HandlerOptions>("entity: handle", handler, (options) => Sum.handle(Add, () => 1, options)),
  ...options<DecisionOptions<number, { id: string }>>(
    "entity: decide",
    { given: [...LIST, [5], [{}]], when: ANY, ctx: [...LIST.filter((value) => !isObject(value)), []] },
    (options) => Sum.decide(add, options),
    { when: { id: "1" } },
  ),
  ...options<CatgaOptions>("catga", app_, (options) => started(catga(options))),
  ...options<NonNullable<CatgaOptions["breaker"]>>("catga: breaker", breaker, (breaker) => started(catga({ breaker }))),
  ...options<SendOptions>("send", send, (options) => app.send(Ask, 1, options), { id: "1" }),
  ...options<SendAllOptions>("sendAll", sendAll, (options) => app.sendAll(Ask, [1], options)),
  [
    "sendAll: its payloads",
    [5, true, null, {}, new Date(), Promise.resolve([]), nothing],
    (all) => app.sendAll(Ask, all),
  ],
  ...options<StreamOptions>("app.stream", streaming, (options) => app.stream(Items, 1, options)),
  ["app.stream: its contract", [...OBJECT, {}, Ask], (contract) => app.stream(contract, 1 as never)],
  ["respond: its result", [...OBJECT, {}, { ok: true }, new Response()], (result) => respond(result)],
  ...options<RespondOptions>(
    "respond",
    { status: [100, 99, 1_000], statusText: ANY, headers: [5], failures: OBJECT },
    (options) => respond({ ok: true, value: 1 }, options),
  ),
  ["events: its stream", [...OBJECT, {}, [1]], (items) => events(items)],
  ...options<EventsOptions<number>>(
    "events",
    { signal: SIGNAL, id: FUNCTION, keepAlive: FINITE, headers: [5] },
    (options) => events((async function* () {})(), options),
  ),
  ["edge: its entries", [5, "x", true, null, undefined], (entries) => edge(entries)],
  ["edge: an entry", [...OBJECT, {}, Told, [], [Ask, 5]], (entry) => edge({ entry })],
  ...options<Pick<EdgeEntryOptions, "cache" | "failures">>(
    "edge: a query",
    { cache: [...TEXT, "a\nb"], failures: [...OBJECT, { A: "409" }, { A: 99 }, { A: 204 }, { A: 409.5 }] },
    (options) => edge({ ask: [Ask, options] }),
  ),
  ...options<Pick<EdgeEntryOptions, "resume">>(
    "edge: a stream",
    { resume: [...OBJECT, {}, { id: nothing }, { id: nothing, from: 5 }] },
    (options) => edge({ items: [Items, options] }),
  ),
  ...options<Pick<EdgeEntryOptions, "tell" | "cancel">>(
    "edge: a workflow",
    { tell: [...OBJECT, { a: "Sent" }, { a: {} }, { "a/b": Sent }, { a: Other.signal("Sent") }], cancel: BOOLEAN },
    (options) => edge({ run: [Run, options] }),
  ),
  ["edge: its app", [...OBJECT, {}], (app) => edge({ ask: Ask }).handler(app, { authorize: nothing })],
  ...options<EdgeHandlerOptions>("edge: handler", edged, (options) => edge({ ask: Ask }).handler(app, options), {
    authorize: nothing,
  }),
  ...options<EdgeLimit>(
    "edge: limit",
    { rate: [...FINITE, 0], burst: [...FINITE, 0], over: CHOICE },
    (limit) => edge({ ask: Ask }).handler(app, { authorize: nothing, limit }),
    { rate: 1 },
  ),
  ...(["openapi", "asyncapi"] as const).flatMap((method) =>
    options<DescriptionInfo>(
      `edge: ${method}`,
      { title: TEXT, version: TEXT, base: TEXT, callbacks: BOOLEAN, security: OBJECT },
      (info) => edge({ ask: Ask })[method](info),
      { title: "shop", version: "1" },
    )
  ),
  ...options<PublishOptions>("publish", publish, (options) => app.publish(Told, 1, options)),
  ...options<KeepOptions>("publish of a durable event", keep, (options) => app.publish(Kept, 1, options)),
  ...options<EnqueueOptions>("enqueue", enqueue, (options) => app.enqueue(Queued, 1, options), { id: "1" }),
  ...options<BroadcastOptions>("broadcast", broadcast, (options) => app.broadcast(Ask, 1, options)),
  ...["send", "sendAll", "publish", "enqueue", "broadcast", "unschedule"].map((method): Case => [
    `${method}: its contract`,
    [...OBJECT, {}, { kind: "query", name: "Ask" }],
    (contract) => Reflect.get(app, method).call(app, contract, [1]),
  ]),
  ["unschedule: its id", [...TEXT, ""], (id) => app.unschedule(Queued, id)],
  ["load: its entity", [...OBJECT, {}], (entity) => app.load(entity, "1")],
  ["load: its id", TEXT, (id) => app.load(Sum, id)],
  ["forget: its id", TEXT, (id) => app.forget(Sum, id)],
  ...options<LoadOptions>("load", { latest: BOOLEAN }, (options) => app.load(Sum, "1", options)),
  ...options<DeadLetterOptions>(
    "deadLetters",
    { service: TEXT, subscription: TEXT },
    (options) => app.deadLetters(options).next(),
  ),
  ["rewind: its subscription", [...TEXT, ""], (name) => app.rewind(name, "start")],
  [
    "rewind: to",
    [...NUMBER.filter((value) => !(value instanceof Date)), new Date(NaN)],
    (to) => app.rewind("Kept", to),
  ],
  [
    "follow: from",
    [...NUMBER.filter((value) => !(value instanceof Date)), new Date(NaN)],
    (from) => app.follow(Kept, { from }),
  ],
  ...options<FollowEventsOptions>(
    "follow",
    { key: TEXT, signal: SIGNAL, from: ["later"] },
    (options) => app.follow(Kept, options),
  ),
  ...options<{ signal?: AbortSignal }>("watchNodes", { signal: SIGNAL }, (options) => app.watchNodes(options)),
  ...options<DrainOptions>("drain", { timeout: FINITE }, (options) => app.drain(options)),
  ["lock: its key", [...TEXT.filter((value) => !Array.isArray(value)), [], [5], [null]], (key) => app.lock(key)],
  ...options<LockOptions>(
    "lock",
    { ttl: FINITE, timeout: NUMBER, signal: SIGNAL },
    (options) => app.lock("a", options),
  ),
  ["lead: its name", TEXT, (name) => app.lead(name, nothing)],
  ["lead: its function", FUNCTION, (fn) => app.lead("a", fn)],
  ...options<LeadOptions>("lead", { ttl: FINITE }, (options) => app.lead("a", nothing, options)),
  ["cache.get", TEXT, (key) => app.cache.get(key)],
  ["cache.delete", TEXT, (key) => app.cache.delete(key)],
  ["cache.set: its key", TEXT, (key) => app.cache.set(key, 1)],
  ["cache.set: its value", [undefined, nothing, Promise.resolve(1)], (value) => app.cache.set("a", value)],
  ["cache.getOrSet: its key", TEXT, (key) => app.cache.getOrSet(key, () => 1)],
  ["cache.getOrSet: load", FUNCTION, (load) => app.cache.getOrSet("a", load)],
  ...options<CacheSetOptions>(
    "cache.set",
    { ttl: FINITE, fence: FINITE.filter((value) => value !== -1) },
    (options) => app.cache.set("a", 1, options),
  ),
  ...options<CacheLoadOptions>(
    "cache.getOrSet",
    { ttl: FINITE, fence: FINITE.filter((value) => value !== -1), once: BOOLEAN, timeout: FINITE, signal: SIGNAL },
    (options) => app.cache.getOrSet("b", () => 1, options),
  ),
  ["clock.sleep", FINITE, (ms) => app.clock.sleep(ms)],
  ["clock.sleep: its signal", SIGNAL, (signal) => app.clock.sleep(0, signal)],
  ["clock.after", NUMBER, (ms) => app.clock.after(ms, nothing)],
  ["clock.after: its callback", FUNCTION, (callback) => app.clock.after(0, callback)],
  ["ctx.clock.sleep", FINITE, (ms) => context.clock.sleep(ms)],
  ["ctx.clock.sleep: its signal", SIGNAL, (signal) => context.clock.sleep(0, signal)],
  ["ctx.clock.after", NUMBER, (ms) => context.clock.after(ms, nothing)],
  ["clock.soon", FUNCTION, (callback) => app.clock.soon(callback)],
  ["fail: its code", [...TEXT, ""], (code) => fail(code, "why")],
  ["fail: its message", TEXT, (message) => fail("CODE", message)],
  ...options<FailOptions>(
    "fail",
    { retryable: BOOLEAN, details: ANY, final: BOOLEAN, cause: ANY, retryAfter: FINITE },
    (options) => fail("CODE", "why", options),
  ),
  ...options<MemoryNetworkOptions>("MemoryNetwork", network_, (options) => new MemoryNetwork(options)),
  ...options<Faults>("faults", faults, (faults) => new MemoryNetwork({ faults, servers: 2 })),
  ...(["cut", "pause", "noLeader", "noQuorum"] as const).flatMap((fault) =>
    options<Outages>(
      `faults: ${fault}`,
      outages,
      (outage) => new MemoryNetwork({ faults: { [fault]: outage } }),
      { every: 1_000, lasts: 10 },
    )
  ),
  ["network.cut", [...TEXT, ""], (id) => new MemoryNetwork().cut(id)],
  ["VirtualClock", [...FINITE.filter((value) => value !== -1)], (start) => new VirtualClock(start)],
  ["VirtualClock: after", NUMBER, (ms) => clock.after(ms, nothing)],
  ["VirtualClock: advance", FINITE, (ms) => clock.advance(ms)],
  ["VirtualClock: until", NUMBER, (limit) => clock.until(Promise.resolve(), limit)],
  ...options<RetryBehaviorOptions>(
    "retry()",
    { attempts: FINITE, on: [...TEXTS.filter((value) => typeof value !== "function")], backoff: FINITE },
    retry,
  ),
  ...options<LoggingOptions>("logging()", { logger: METHODS, level: CHOICE, payload: BOOLEAN }, logging),
  ...options<RateLimitOptions>(
    "rateLimit()",
    { rate: FINITE, per: FINITE, burst: FINITE, key: FUNCTION, share: BOOLEAN },
    rateLimit,
    {
      rate: 1,
    },
  ),
  ["timeout()", FINITE, timeout],
  [
    "testCluster: its size",
    [...instances, "3", true, null, {}, 0, 1.5, NaN, -1, [5], [""]],
    (size) => opened(testCluster(size)),
  ],
  ...options<TestClusterOptions>("testCluster", cluster_, (options) => opened(testCluster(1, options))),
  ...options<ExploreOptions>("explore", explore_, (options) => explore(options), { workload: () => {}, seeds: 1 }),
  ["cluster.advance", FINITE, (ms) => cluster.advance(ms)],
  ["cluster.advance in real time", FINITE, (ms) => inRealTime.advance(ms)],
  ["cluster.agreed", FINITE, (limit) => cluster.agreed(limit)],
  ["cluster.handled", FINITE, (limit) => cluster.handled(limit)],
  ["cluster.leader", TEXT, (name) => cluster.leader(name)],
  ["cluster.leader: limit", FINITE, (limit) => cluster.leader("Kept", limit)],
  ["cluster.start", [...TEXT, ""], (id) => cluster.start(id)],
  ["cluster.start: its options", [...OBJECT, { noSuchOption: 1 }], (options) => cluster.start("more", options)],
  ["cluster.kill", [...TEXT, ""], (id) => cluster.kill(id)],
  ...options<NextOptions>("recorder.next", { type: CHOICE, limit: FINITE }, (options) => messages.next(Told, options)),
  ["recorder.next: its contract", [...OBJECT, {}], (contract) => messages.next(contract, { limit: 1 })],
];

describe("what would mean nothing is refused", () => {
  before(async () => {
    const behavior: Behavior = messages.behavior;
    app = await catga({
      handlers: [
        Ask.handle((n, ctx) => (context = ctx, n)),
        Do.handle((n) => n),
        Once.handle((n) => n),
        Kept.on(nothing),
      ],
      behaviors: [behavior],
    });
    await app.publish(Told, 1);
    await app.send(Ask, 1);
    cluster = await testCluster(1);
    inRealTime = await testCluster([], { time: "real" });
  });

  after(async () => {
    await cluster.drain();
    await app.drain();
  });

  for (const [what, wrong, call] of CASES) {
    it(what, async () => {
      const accepted: string[] = [];
      for (const value of wrong) {
        const error = await errorOf(() => call(value as never));
        if (error instanceof TypeError || error instanceof RangeError) continue;
        accepted.push(`${show(value)}: ${error ?? "accepted"}`);
      }
      assertEquals(accepted, []);
    });
  }
});

/** What a call throws, or rejects with. */
async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error ?? "nothing";
  }
}

/** Ends an app that should not have started. */
async function started(starting: Promise<Catga>): Promise<void> {
  await (await starting).drain();
}

async function opened(opening: Promise<TestCluster>): Promise<void> {
  await (await opening).drain();
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function show(value: unknown): string {
  if (typeof value === "object" && value !== null) return `${value.constructor?.name} ${JSON.stringify(value)}`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
