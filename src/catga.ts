/**
 * The composition root: makes a running node from the options of `catga()`. Only this file knows both backends (NATS
 * and memory), and the order in which a node starts.
 */
import type { StoreBody, StoreHost } from "./contract/nodes/attached_store.ts";
import { outside } from "./data/async_context.ts";
import { hostname } from "node:os";
import type { Catga } from "./contract/nodes/running_node.ts";
import type { WorkflowBody } from "./contract/declaration/workflow_body.ts";
import { runTracerOf } from "./contract/declaration/behavior.ts";
import { ContractShapes } from "./contract/schemas/shape.ts";
import { freezePlain, show } from "./data/checks.ts";
import type { NodeInfo } from "./contract/nodes/node_info.ts";
import type { Observer } from "./contract/nodes/observer.ts";
import type { CodecLimit } from "./codec/sealing.ts";
import type { PayloadCodec } from "./contract/declaration/payload_codec.ts";
import { Mediator } from "./dispatch/mediator.ts";
import { collect, type Registration } from "./dispatch/registry.ts";
import { CatgaError } from "./error.ts";
import type { LogHost } from "./log/log_host.ts";
import type { serve } from "./log/running/worker.ts";
import type { MemoryNetwork } from "./memory/network.ts";
import type { ConnectionOptions, NatsConnection } from "./nats/open.ts";
import type { SettingsReport } from "./nats/connection/wrong_settings.ts";
import type { StatsAnswer } from "./cluster/stats_answer.ts";
import type { ServedNode } from "./file/open.ts";
import { App, type AppParts } from "./node/app.ts";
import { BehaviorHooks } from "./node/behavior_hooks.ts";
import { NodeAlarms } from "./node/node_alarms.ts";
import { hotEvaluation } from "./node/hot_reload.ts";
import { logTo } from "./node/logging.ts";
import type * as ProcessSignals from "./node/process_signals.ts";
import { type CatgaOptions, checkOptions, type FileOptions, withDefaults } from "./node/app_options.ts";
import { type Bucket, bucketName, BUCKETS, type KeyValueStore } from "./ports/key_value_store.ts";
import {
  type Clock,
  EndingClock,
  onAbort,
  type Random,
  refuseFakeTimers,
  systemClock,
  systemRandom,
  token,
} from "./ports/clock.ts";
import { openOnce } from "./ports/open_once.ts";
import type { EventLog } from "./ports/event_log.ts";
import type { Transport, TransportStatus } from "./ports/transport.ts";
import { sharedState } from "./state/state.ts";
import { PROTOCOL, VERSION } from "./version.ts";

export type { CatgaOptions, ConnectionOptions, FileOptions, NatsConnection };

/**
 * Starts a node. Resolves when the node has joined the cluster and knows the other nodes (it waits 1 s at most for
 * their first answers to pings); without `nats` and `network` at once.
 *
 * Before it opens anything, rejects with a `TypeError` or `RangeError` for a bad option, and under fake timers. Then
 * rejects with a `CatgaError`: `UNAVAILABLE` if the server cannot be reached, refuses the credentials or the subjects
 * of a node, is older than 2.11, or has no JetStream, or if the membership's bucket is missing and this user may not
 * create it; `CONSUMER_LIMIT` if the bucket, or the log for a read model, has as many consumers as it may;
 * `BUCKET_MISMATCH` if the bucket has other settings, or settings that could do harm; `ID_TAKEN` if the id belongs to
 * another live process; `CLOSED` if the given connection is closed.
 *
 * @example
 * ```ts
 * import { catga, command } from "@catga/catga";
 *
 * const Greet = command<{ name: string }, string>("Greet");
 * await using app = await catga({ handlers: Greet.handle(({ name }) => `hello ${name}`) });
 * const result = await app.send(Greet, { name: "tea" });
 * console.log(result.ok && result.value); // hello tea
 * ```
 * @decides two apps of one program meet in memory when no NATS address is given
 */
export function catga(options: CatgaOptions = {}): Promise<Catga> {
  // the app starts outside of its caller's async context, because it serves all senders
  return outside(start, options);
}

/**
 * Parts that an app loads when it first needs them. They are loaded once for all apps, so that later apps only await a
 * promise.
 */
const parts = {
  cluster: openOnce(() => import("./cluster/cluster.ts")),
  mismatches: async () => (await parts.cluster()).loadMismatches(),
  sendBehaviors: openOnce(() => import("./node/send_behaviors.ts")),
  signals: openOnce(() => import("./node/process_signals.ts")),
  state: openOnce(() => import("./state/open_state.ts")),
  worker: openOnce(() => import("./log/running/worker.ts")),
  log: openOnce(() => import("./log/log.ts")),
  runs: openOnce(() => import("./flow/runs.ts")),
  streams: openOnce(() => import("./streams/reading.ts")),
  entities: openOnce(() => import("./entities/entities.ts")),
  codec: openOnce(() => import("./codec/sealed_link.ts")),
};

/**
 * Loads all parts of apps in advance, for tests in virtual time, which must not wait for real time while a part is
 * loaded.
 *
 * @internal
 */
export async function loadParts(): Promise<void> {
  await Promise.all(Object.values(parts).map((load) => load()));
}

/**
 * Begins to load the parts that a node with these handlers needs when it is connected: while the client of NATS loads
 * and connects. A failed load is thrown where its part is awaited.
 */
function loadAhead(registrations: readonly Registration[]): void {
  const handlers = registrations.map(({ handler }) => handler);
  const durable = handlers.some((handler) => handler["~handler"].subscription) ? [parts.worker, parts.log] : [];
  const runs = handlers.some((handler) => handler["~handler"].workflow) ? [parts.runs] : [];
  for (const load of [parts.cluster, ...durable, ...runs]) load().catch(() => {});
}

async function start(options: CatgaOptions): Promise<Catga> {
  // 1. Check options and handlers before anything is opened.
  checkOptions(options);
  checkNetwork(options.network);
  if ((options.network?.clock ?? systemClock) === systemClock) refuseFakeTimers();
  // the casts are safe: `sqlStore` has made them
  const stores = (options.sql ?? []).map((store) => store["~store"] as StoreBody);
  const registrations = [
    ...collect(options.handlers),
    ...collect(stores.map(({ handlers }) => handlers)),
  ];
  const settings = withDefaults(options);
  const { behaviors, logger, namespace, replicas, causes, service, timeout } = settings;
  await evaluation?.drainEarlier();

  // 2. Name the node and connect. Clock and randomness come with the network; everything below uses them.
  const id = options.id ?? token(options.network?.random ?? systemRandom(), 10);
  let alarms: NodeAlarms | undefined;
  const log = logTo(logger, id, options.network?.clock ?? systemClock);
  const hooks = new BehaviorHooks((seen) => {
    log(seen);
    alarms?.take(seen);
  });
  const observer = hooks.observe;
  if (options.nats !== undefined || options.network !== undefined) loadAhead(registrations);
  const onEnd = (error: CatgaError) => made?.fail(error);
  const unsealed = await connect(options, { id, namespace, observer, onEnd });
  const clock = new EndingClock(unsealed.clock);
  const link = await sealedBy(options.codec, unsealed, { clock, timeout, namespace, observer });
  const { random, transport } = link;
  // the membership's bucket is opened while the app is made, and while its read models catch up; step 6 awaits it
  const bucket = transport && link.store.open(bucketName(namespace, "nodes"), { ...BUCKETS.nodes, replicas });
  bucket?.catch(() => {});
  const close = async () => {
    await link.close();
    clock.end();
  };
  const nodeAlarms = alarms = new NodeAlarms(clock, { id, service }, () => made?.nodes() ?? []);
  let made: App | undefined;
  try {
    // 3. Make the app: its handlers, and the state that it shares with other nodes. No message reaches the app yet.
    const mediator = new Mediator(registrations, behaviors, observer, { clock, random, logger: options.logger });
    const { durable } = mediator;
    // loaded here, because otherwise the first idempotent command would wait for the code, and with a network in memory
    // virtual time would pass while the code is loaded
    const isIdempotent = mediator.handled.some(({ options }) => "idempotent" in options && options.idempotent);
    if (isIdempotent || options.network !== undefined) await parts.state();
    const drainAtSignals = options.signals ? drainedAt(await parts.signals()) : undefined;
    const workflows = registrations.flatMap(({ handler }) => handler["~handler"].workflow ?? []);
    const entities = registrations.flatMap(({ handler }) => handler["~handler"].entity?.definition ?? []);
    const shapes = new ContractShapes(workflows.map(({ definition }) => definition), entities);
    const running = durable.length === 0 ? undefined : await parts.worker();
    const subscriptions = running?.announced(service, durable);
    let runs: ReturnType<typeof serve> | undefined = undefined;
    const self = describe(options, { id, service, mediator, link, subscriptions });
    const foundation: Foundation = {
      ...{ settings, self, link, clock, mediator, workflows, shapes, observer, hooks, alarms: nodeAlarms },
      hanging: (service, name) => runs?.hanging(service, name),
      underWay: (service, name) => runs?.underWay(service, name),
    };
    const appParts = partsOf(foundation);
    const app = made = behaviors.some(({ send }) => send !== undefined)
      ? new (await parts.sendBehaviors()).AppWithSendBehaviors(appParts, close, behaviors)
      : new App(appParts, close);
    // the class `App` takes any contract; the interface `Catga` has the types of each contract
    const face = app as unknown as Catga;

    // 4. Attach behaviors before the first message of another node, so that they observe that message.
    const ofHandlers = registrations.flatMap(({ handler }) => handler["~handler"].behaviors);
    await hooks.attach(new Set([...behaviors, ...ofHandlers]), face);
    const detach = () => hooks.detach();
    app.closed.then(detach, detach);

    // 5. Take messages of the log from the leaders of subscriptions, and let read models catch up: a request reaches a
    // read model only after it has caught up.
    runs = running?.serve({
      ...{ host: app, mediator, service, namespace, replicas, causes, timeout },
      log: () => link.log(),
    });
    const durableLog = durable.length === 0 ? undefined : await app.log();
    await durableLog?.catchUp();
    if (workflows.length > 0) await app.nodeRuns();

    // 6 to 9. Join the cluster.
    if (transport === undefined) drainAtSignals?.(app, Promise.resolve());
    else await joinCluster(app, transport, await bucket!, foundation, drainAtSignals);

    // 10. Begin the subscriptions: messages published from now on are handled.
    await durableLog?.start();
    for (const store of stores) app.stores.push(await store.attach(await storeHost(app, random)));
    link.started({ info: self, host: app, clock });
    const end = link.ended?.();
    if (end !== undefined) throw end;

    // 11. If a signal has begun a drain during the start, wait until the drain has ended before returning the app:
    //     otherwise an error that the program throws because its app is stopping would interrupt the drain.
    if (app.isDraining) await app.drain().then(() => app.closed);
    evaluation?.add(app);
    return face;
  } catch (error) {
    // if the node had joined, it leaves the cluster; a record that cannot be deleted expires
    await made?.drain({ timeout: 0 }).catch((error) => observer({ type: "fault", during: "stopping", error }));
    await close();
    hooks.detach();
    throw error;
  }
}

/** Makes the interface of a node for the databases that it serves. */
async function storeHost(app: App, random: Random): Promise<StoreHost> {
  const { clock, carried } = app;
  return {
    ...{ clock, random, carried, log: (await app.log()).recorded() },
    lead: (name, fn, options) => app.lead(name, fn, options),
    publish: (contract, payload) => app.publish(contract, payload),
    follow: (contract, options) => app.follow(contract, options),
    start: async (start) => await (await app.nodeRuns()).startRecorded(start),
    tell: (signal, run, payload, options) => app.tell(signal, run, payload, options),
    onEnd: (end) => void onAbort(app.draining, end),
    fault: (during, error) => app.fault(during, error),
  };
}

/** Everything that {@link partsOf} and {@link joinCluster} make the parts of a node of. */
interface Foundation {
  readonly settings: ReturnType<typeof withDefaults>;
  readonly self: NodeInfo;
  readonly link: Link;
  /** The node's own clock: its timers end with the node. */
  readonly clock: Clock;
  readonly mediator: Mediator;
  readonly workflows: readonly WorkflowBody[];
  readonly shapes: ContractShapes;
  readonly observer: Observer;
  readonly hooks: BehaviorHooks;
  readonly alarms: NodeAlarms;
  /** Lists messages of a subscription whose handlers still run although their timeout has passed. */
  readonly hanging: ReturnType<typeof serve>["hanging"];
  /** Returns the count of a subscription's messages that run at this node. */
  readonly underWay: ReturnType<typeof serve>["underWay"];
}

/** Describes how an app makes its parts, each when the app first needs it. */
function partsOf(
  { settings: resolved, self, link, clock, mediator, workflows, shapes, observer, hooks, alarms, hanging, underWay }:
    Foundation,
): AppParts {
  const { behaviors, logger: _, namespace, replicas, causes, ...settings } = resolved;
  const { service, timeout } = settings;
  const { id, endpoint } = self;
  const { random, transport, store } = link;
  const { durable } = mediator;
  const network = transport ?? { maxPayload: MAX_PAYLOAD };
  const maxPayload = () => network.maxPayload;
  const handledHere = new Map(mediator.handled.map((contract) => [contract.name, contract]));
  return {
    ...settings,
    self,
    isWithoutNetwork: transport === undefined,
    clock,
    programClock: link.clock,
    mediator,
    observer,
    alarms,
    state: (app) => {
      // without a network every other process that has written into the store has ended
      const gone = (other: string) => transport === undefined ? Promise.resolve(other !== endpoint) : app.gone(other);
      const liveness = { gone };
      const node = { node: id, endpoint, liveness, observer };
      return sharedState({ store, namespace, replicas, clock, random, maxPayload, ...node }, parts.state);
    },
    log: async (app) => {
      const [{ openLog }, log] = await Promise.all([parts.log(), link.log()]);
      const host: LogHost & { readonly app: App } = {
        ...{ app, namespace, service, node: id, endpoint, replicas, timeout, clock, random, observer, log, store },
        ...{ network, hooks, causes },
        isAlone: transport === undefined,
        get connected() {
          return transport === undefined || transport.status.state === "connected";
        },
        shapeAt: (node, name) => {
          if (node.id !== id) return app.shapeAt(node, name);
          const own = handledHere.get(name);
          return own && shapes.of(own);
        },
        shapeOf: (contract) => shapes.of(contract),
        forgetFailure: (contract, id) => app.state.claims.forgetFailure(contract, id),
      };
      return await openLog({ host, handlers: durable, hanging, underWay });
    },
    runs: async (app) => {
      const [{ Runs }, log] = await Promise.all([parts.runs(), link.log()]);
      return new Runs({
        ...{ namespace, node: id, endpoint, replicas, timeout, clock, random, observer, log, transport },
        ...{ handled: workflows, shapes, causes },
        maxPayload,
        nodes: () => app.nodes(),
        shapeAt: (node, name) => app.shapeAt(node, name),
        onNodes: (listener) => app.onNodes(listener),
        durable: () => app.log(),
        carried: app.carried,
        tracer: runTracerOf(behaviors),
        ofEntity: (contract) => app.ofEntity(contract),
        send: (contract, payload, sending) => app.send(contract, payload, sending),
        sendInternal: (contract, payload, sending) => app.sendInternal(contract, payload, sending),
        begun: () => app.underWay.begin(),
        over: () => app.underWay.end(),
      });
    },
    streams: async () => (await parts.streams()).streams,
    entities: async (app) => {
      const [{ openEntities }, log] = await Promise.all([parts.entities(), link.log()]);
      const host = { ...settings, namespace, endpoint, replicas, clock, observer, log, store, network };
      return openEntities({ ...host, carried: app.carried, shapeOf: (contract) => shapes.of(contract) });
    },
  };
}

/** Makes an app a node of the cluster: steps 6 to 9 of a start, which an app without a network does not need. */
async function joinCluster(
  app: App,
  transport: Transport,
  bucket: Bucket,
  { settings, self, link, mediator: { events, requests, handled }, shapes, observer }: Foundation,
  drainAtSignals: ReturnType<typeof drainedAt> | undefined,
): Promise<void> {
  // 6. Subscribe, with the membership's bucket open. Only then may a record announce this node: from that moment
  // other nodes send messages to it, and its handlers send messages to them, so the app must know the cluster.
  const { Cluster } = await parts.cluster();
  const cluster = new Cluster(
    { ...settings, host: app, transport, info: self, events, requests, handled, shapes, observer },
    bucket,
  );
  app.join(cluster);

  // 7. Write this node's record, read the records of the other nodes, then take requests of plain NATS clients.
  // Until here a signal ends the process at once; from now on it drains the app, because other nodes may have sent
  // it requests.
  const joined = cluster.join();
  drainAtSignals?.(app, joined);
  await joined;

  // 8. Check for permissions that the server denies. The server reports a denial some time after the subscription;
  // by now it has answered later requests, so it has reported all denials before.
  await link.permitted();

  // 9. Stop the app when its connection closes for good. Until here, a closed connection was an error of the start.
  const failIfClosed = ({ state, error }: TransportStatus) => {
    if (state === "closed") {
      app.fail(new CatgaError("CLOSED", "the network connection was closed", { cause: error }));
    }
  };
  transport.onStatus(failIfClosed);
  // the connection may have closed between the join and the call of `onStatus`
  failIfClosed(transport.status);
}

/**
 * Returns a function that makes SIGTERM and SIGINT drain an app. An app that is joining its cluster first completes the
 * join, so that it leaves the cluster properly.
 */
function drainedAt({ onSignals }: typeof ProcessSignals): (app: App, joined: Promise<void>) => void {
  return (app, joined) => {
    const drain = () => app.drain();
    const off = onSignals(() => joined.then(drain, drain));
    // the listener is removed a turn later than `closed` settles: another app of this process may wait until `closed`
    // has settled, and then end the process if no listener is left
    const later = () => systemClock.soon(off);
    app.closed.then(later, later);
  };
}

const evaluation = hotEvaluation();

function checkNetwork(network: unknown): void {
  // a memory network is recognized by its method `connect`, not by its class, whose module only tests load
  if (network === undefined || typeof (network as Partial<MemoryNetwork> | null)?.connect === "function") return;
  throw new TypeError(`network must be a MemoryNetwork; got ${show(network)}`);
}

/** A node that has started. */
interface StartedNode {
  readonly info: NodeInfo;
  readonly host: App;
  readonly clock: Clock;
}

/**
 * Things outside of a node on which the node depends: clocks, random numbers and stores; and a transport, if there may
 * be other nodes.
 */
interface Link {
  /** The clock of programs, whose timers continue after the node has ended. */
  readonly clock: Clock;
  readonly random: Random;
  readonly transport?: Transport;
  readonly store: KeyValueStore;
  /** Returns the log, which is loaded when it is first needed. */
  log(): Promise<EventLog>;
  /** Rejects if the NATS server denies a permission that a node cannot work without. */
  permitted(): Promise<void>;
  /**
   * Call when the node has started: streams found to have wrong settings are reported from then on, those of the start
   * at once. A start that fails reports them in its error. In a file the node is then shown to tools.
   */
  started(node: StartedNode): void;
  /** Returns the error because of which the store can no longer be used; `undefined`: it can. Absent: it always can. */
  ended?(): CatgaError | undefined;
  close(): Promise<void>;
}

async function connect(
  options: CatgaOptions,
  { id, namespace, observer, onEnd }: {
    readonly id: string;
    readonly namespace: string;
    readonly observer: Observer;
    /** Called when the store can no longer be used, with the reason. */
    onEnd(error: CatgaError): void;
  },
): Promise<Link> {
  const { nats, network, file, transport: client } = options;
  const onError = (error: unknown) => observer({ type: "fault", during: "taking a message", error });
  const permitted = () => Promise.resolve();
  const started = () => {};
  if (nats !== undefined) {
    const [{ openNats }, { PermissionDenials }] = await Promise.all([
      import("./nats/open.ts"),
      import("./node/permission_denials.ts"),
    ]);
    const forbidden = new PermissionDenials(systemClock, observer, namespace);
    const report = (settings: SettingsReport) => observer({ type: "settings", ...settings });
    // reports of the start; `undefined` after it
    let unreported: SettingsReport[] | undefined = [];
    const { transport, store } = await openNats(nats, {
      name: `catga ${id}`,
      transport: client,
      onError,
      onForbidden: (violation) => forbidden.add(violation),
      onUnreachable: ({ address, reason }) => observer({ type: "unreachable", address, reason }),
      onNotice: (text) => observer({ type: "notice", text }),
      onSplit: (split) => observer({ type: "split", namespace, ...split }),
      onSettings: (settings) => unreported === undefined ? report(settings) : void unreported.push(settings),
    });
    const log = async () => new (await import("./nats/log/log_stream.ts")).NatsEventLog(transport);
    return {
      ...{ clock: systemClock, random: transport.random, transport, store, log },
      permitted: () => forbidden.check(),
      started() {
        unreported?.forEach(report);
        unreported = undefined;
        transport.storeDomain.watch(transport, namespace);
      },
      close: () => transport.close(),
    };
  }
  if (network !== undefined) {
    const transport = network.connect({ name: id, onError });
    const { random, store, log } = transport;
    return {
      ...{ clock: transport.programClock, random, store, permitted, started },
      ...(network.isFile ? {} : { transport }),
      log: () => Promise.resolve(log),
      close: () => transport.close(),
    };
  }
  if (file !== undefined) {
    const [{ openFile }, { RestingClock }] = await Promise.all([
      import("./file/open.ts"),
      import("./ports/resting_clock.ts"),
    ]);
    // the timers of this clock end with the app
    const clock = new RestingClock(systemClock);
    let end: CatgaError | undefined;
    const { path, durability = "disk" } = typeof file === "string" ? { path: file } : file;
    const { store, log, serve, close } = await openFile({
      ...{ path, durability, clock },
      onTrouble: (error) => observer({ type: "fault", during: "writing the file", error }),
      onFault: (error) => observer({ type: "fault", during: "using the file", error }),
      onEnd(error) {
        end = error;
        onEnd(error);
        // what this process still believes may be wrong: it ends unless the program handles uncaught errors
        systemClock.soon(() => {
          throw error;
        });
      },
    });
    return {
      ...{ clock: systemClock, random: systemRandom(), store, permitted },
      log: () => Promise.resolve(log()),
      started: (node) => serve(servedNode(node, namespace)),
      ended: () => end,
      close: () => close().finally(() => clock.rest()),
    };
  }
  if (Object.hasOwn(options, "nats")) observer({ type: "island" });
  const [{ MemoryKeyValueStore }, { RestingClock }] = await Promise.all([
    import("./memory/key_value_store.ts"),
    import("./ports/resting_clock.ts"),
  ]);
  // the timers of this clock end with the app: otherwise they would keep the memory of an ended app for days
  const clock = new RestingClock(systemClock);
  const store = new MemoryKeyValueStore(clock);
  // all parts share one log: the subscribers of entities' events read the log to which entities write
  let memory: Promise<EventLog> | undefined;
  const log = () => memory ??= import("./memory/event_log.ts").then(({ MemoryEventLog }) => new MemoryEventLog(clock));
  return {
    clock: systemClock,
    random: systemRandom(),
    store,
    log,
    permitted,
    started,
    close: () => Promise.resolve(clock.rest()),
  };
}

/** Returns what the owner of a file tells tools of its node, which has no network over which they could ask it. */
function servedNode({ info, host, clock }: StartedNode, namespace: string): ServedNode {
  let answer: Promise<StatsAnswer> | undefined;
  const load = () => [host.inFlight, 0] as const;
  const alone = { peers: [], inbound: { load: [0, 0] as const }, payloadLimit: MAX_PAYLOAD };
  return {
    ...{ bucket: bucketName(namespace, "nodes"), id: info.id, record: JSON.stringify(info), load },
    async stats() {
      answer ??= import("./cluster/stats_answer.ts").then((module) =>
        new module.StatsAnswer({ clock, info, host, endpoint: alone })
      );
      return (await answer).text();
    },
  };
}

/**
 * Returns the link with the app's codec around its store and transport, which encodes all payloads; without a codec,
 * returns the link itself.
 */
async function sealedBy(
  codec: PayloadCodec | undefined,
  link: Link,
  { observer, ...limit }: CodecLimit & { readonly namespace: string; readonly observer: Observer },
): Promise<Link> {
  if (codec === undefined) return link;
  const { sealed } = await parts.codec();
  const onError = (error: unknown) => observer({ type: "fault", during: "encoding or decoding a message", error });
  return sealed(link, codec, { ...limit, onError });
}

/** Makes the description of this node that other nodes will see. */
function describe(
  { nats, metadata }: CatgaOptions,
  { id, service, mediator, link, subscriptions }: {
    id: string;
    service: string;
    mediator: Mediator;
    link: Link;
    subscriptions: readonly string[] | undefined;
  },
): NodeInfo {
  const { clock, random, transport } = link;
  const server = transport?.server;
  const address = server?.clientAddress;
  return freezePlain({
    id,
    endpoint: `${id}.${token(random, 12)}`,
    service,
    handles: mediator.names,
    kinds: mediator.kinds,
    ...(subscriptions === undefined ? {} : { subscriptions }),
    ...(mediator.ofEntities.length === 0 ? {} : { entities: mediator.ofEntities }),
    startedAt: clock.now(),
    lastSeen: clock.now(),
    metadata: {
      // the host's name is not read without NATS, because Deno asks for a permission to read it
      ...(nats === undefined || metadata?.host !== undefined ? {} : { host: hostName() }),
      ...(address === undefined ? {} : { address }),
      ...metadata,
    },
    load: { inFlight: 0, queued: 0 },
    server: server?.id ?? "",
    protocol: PROTOCOL,
    version: VERSION,
  });
}

function hostName(): string {
  try {
    return hostname();
  } catch (cause) {
    throw new Error(
      "Deno does not let the node read its host's name, which is part of its metadata: run it with " +
        '--allow-sys=hostname, or give a name yourself, `metadata: { host: "…" }`',
      { cause },
    );
  }
}

/** Maximum size of a message without a network, in bytes, as on nats-server. */
const MAX_PAYLOAD = 1_048_576;
