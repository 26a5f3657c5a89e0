/** The composition root: from options to a running app. The only file that knows both backends. */
import { hostname } from "node:os";
import { App, type AppParts } from "./node/app.ts";
import { BehaviorHooks } from "./node/behavior_hooks.ts";
import type { Behavior } from "./contract/behavior.ts";
import { foldSends } from "./node/send_pipeline.ts";
import { bucketName, BUCKETS } from "./ports/buckets.ts";
import { type Clock, type Random, systemClock, systemRandom, token } from "./ports/clock.ts";
import { Cluster } from "./cluster/cluster.ts";
import { PROTOCOL } from "./cluster/wire/frame.ts";
import { freeze } from "./cluster/membership/node_record.ts";
import type { Handlers } from "./contract/handler.ts";
import { CatgaError } from "./error.ts";
import { Forbidden } from "./node/forbidden.ts";
import type { KeyValueStore } from "./ports/key_value_store.ts";
import { Mediator } from "./dispatch/mediator.ts";
import { MemoryKeyValueStore } from "./memory/key_value_store.ts";
import { MemoryNetwork } from "./memory/network.ts";
import type { NodeInfo, Route } from "./contract/node_info.ts";
import { consoleWarnings, logTo } from "./node/logging.ts";
import type { Logger } from "./contract/logger.ts";
import type { Observer } from "./contract/observer.ts";
import { checkBehaviors } from "./contract/behavior_check.ts";
import {
  checkInteger,
  checkKnown,
  checkNumber,
  checkRoute,
  checkStrings,
  checkTimes,
  checkToken,
  MAX_CONCURRENCY,
  MAX_TIMEOUT,
  show,
} from "./contract/checks.ts";
import { collect } from "./dispatch/registry.ts";
import type { Catga } from "./contract/running_node.ts";
import { onSignals } from "./node/signals.ts";
import type { ConnectionOptions, NatsConnection } from "./nats/open.ts";
import { sharedState } from "./state/state.ts";
import type { Transport } from "./ports/transport.ts";
import { VERSION } from "./version.ts";
import { AppWithSendBehaviors } from "./node/send_behaviors.ts";

export { MemoryNetwork };
export { VirtualClock } from "./memory/virtual_clock.ts";
export type { ConnectionOptions, NatsConnection };
export type { Faults, Outages } from "./memory/faults.ts";
export type { MemoryNetworkOptions } from "./memory/network.ts";

/** Options of {@link catga}. All of them may be left out. */
export interface CatgaOptions {
  /** A module namespace (`import * as orders`), a handler, or an array of these; none. */
  handlers?: Handlers;
  /** A NATS URL, URLs, nats.js options, or an open connection, which is then never closed here; none: in memory. */
  nats?: string | readonly string[] | ConnectionOptions | NatsConnection;
  /** A network in memory: several apps of one process as one cluster, for tests; none. */
  network?: MemoryNetwork;
  /** Keeps applications apart on one NATS: 1 to 64 letters, digits, `-` and `_`; `"default"`. */
  namespace?: string;
  /** What this node is a replica of, named like a namespace: an event reaches each service once; `"app"`. */
  service?: string;
  /** This node's id, named like a namespace and unique in it; 10 random letters and digits. */
  id?: string;
  /** What others see of it; over NATS its `host`, unless it is given, and its `address` are added; none. */
  metadata?: Readonly<Record<string, string>>;
  /** Which client of nats.js: `"deno"` (Deno only) or `"node"`; that of the runtime. */
  transport?: "deno" | "node";
  /** SIGTERM and SIGINT drain the app, then the process ends as it would have; `false`. */
  signals?: boolean;
  /** How long a send may take, retries included, in ms: 1 to 2^31 - 1; 30,000. */
  timeout?: number;
  /** How many further attempts after the first: 0 to 1,000; 3. */
  retries?: number;
  /** How a node is picked; `"round-robin"`. */
  route?: Route;
  /**
   * How many handlers run at once for other nodes: 1 to 65,536; others wait, 65,536 at most. 1,024. A request that cannot
   * have its turn before its deadline is refused with `OVERLOADED`.
   */
  concurrency?: number;
  /** How long a membership record lives, in ms, 3,000 at least; refreshed at a third of it; 30,000. */
  heartbeat?: number;
  /**
   * After `failures` failed deliveries in a row (5) nothing is sent to a node for `cooldown` ms (5,000); then one trial
   * decides. What a handler answers is no failure of delivery.
   */
  breaker?: { failures?: number; cooldown?: number };
  /** Wrapped around every handler, and around sends when they have a `send`, outermost first; none. */
  behaviors?: readonly Behavior[];
  /** Where it logs to; warnings and errors to the console. */
  logger?: Logger;
  /** On how many NATS servers the records of the nodes, locks, results and the cache are kept, 1 to 5; 1. */
  replicas?: number;
}

/**
 * Starts a node. Resolves when it has joined the cluster and knows the others (those that do not answer a ping
 * within 250 ms, when they do); with neither `nats` nor `network` at once.
 *
 * Rejects with a `TypeError` or `RangeError` for a bad option, before anything is opened, and then with a `CatgaError`:
 * `UNAVAILABLE` when the server cannot be reached, refuses the credentials or the subjects of a node, is older than 2.11, or
 * has no JetStream, and when the membership's bucket is missing and this user may not make it;
 * `BUCKET_MISMATCH` when the membership's bucket has other settings, or some that could do harm; `ID_TAKEN` when the id belongs to another live process;
 * `CLOSED` when the given connection is closed.
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
 */
export async function catga(options: CatgaOptions = {}): Promise<Catga> {
  check(options);
  const registrations = collect(options.handlers);
  const { logger = consoleWarnings, namespace = "default", heartbeat = 30_000, replicas = 1 } = options;
  const random = options.network?.random ?? systemRandom();
  const id = options.id ?? token(random, 10);
  const attachments = new BehaviorHooks(logTo(logger, id));
  const observer = attachments.observe;
  const link = await open(options, id, observer);
  const { behaviors = [] } = options;
  const { clock, random: chance } = link;
  const mediator = new Mediator(registrations, behaviors, observer, { clock, random: chance, logger: options.logger });
  let cluster: Cluster | undefined;
  try {
    const { transport, store } = link;
    const info = describe(options, id, token(random, 12), mediator.names, link);
    const parts: AppParts = {
      self: info,
      clock: link.clock,
      mediator,
      observer,
      timeout: options.timeout ?? 30_000,
      retries: options.retries ?? 3,
      route: options.route ?? "round-robin",
      state: (app) =>
        sharedState({
          store,
          namespace,
          replicas,
          clock: link.clock,
          random: link.random,
          node: id,
          endpoint: info.endpoint,
          liveness: { gone: (endpoint) => app.gone(endpoint) },
          observer,
        }),
    };
    const sending = foldSends(behaviors);
    const close = () => link.close();
    const app = sending === undefined ? new App(parts, close) : new AppWithSendBehaviors(parts, close, sending);
    // App is typed for any contract; what a contract promises is checked where Catga is used
    const face = app as unknown as Catga;
    const own = registrations.flatMap(({ handler }) => handler["~handler"].behaviors);
    await attachments.attach(new Set([...behaviors, ...own]), face);
    const detach = () => attachments.detach();
    app.closed.then(detach, detach);
    if (transport !== undefined) {
      const bucket = await store.open(bucketName(namespace, "nodes"), { ...BUCKETS.nodes, replicas });
      const { events, requests } = mediator;
      const { concurrency = 1_024, breaker: { failures = 5, cooldown = 5_000 } = {} } = options;
      const breaker = { failures, cooldown };
      cluster = new Cluster(
        { host: app, transport, namespace, info, events, requests, observer, heartbeat, concurrency, breaker },
        bucket,
      );
      app.join(cluster);
      await cluster.join();
      await link.permitted();
      transport.onStatus(({ state, error }) => {
        if (state === "closed") {
          app.fail(new CatgaError("CLOSED", "the network connection was closed", { cause: error }));
        }
      });
    }
    if (options.signals) {
      const off = onSignals(() => app.drain());
      // not before whoever waits for the end has heard of it: another app of this process may end it when nobody listens
      const later = () => systemClock.soon(off);
      app.closed.then(later, later);
    }
    return face;
  } catch (error) {
    await cluster?.close(); // first, for it would tell of the link's end
    await link.close();
    attachments.detach();
    throw error;
  }
}

/** A way to the others, or none. */
interface Link {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport?: Transport;
  readonly store: KeyValueStore;
  /** Rejects when the server does not let this node do what it cannot do without. */
  permitted(): Promise<void>;
  close(): Promise<void>;
}

async function open(options: CatgaOptions, id: string, observer: Observer): Promise<Link> {
  const onError = (error: unknown) => observer({ type: "fault", during: "taking a message", error });
  const permitted = () => Promise.resolve();
  if (options.nats !== undefined) {
    const { openNats } = await import("./nats/open.ts");
    const onNotice = (notice: string) => observer({ type: "notice", text: notice });
    const forbidden = new Forbidden(systemClock, observer, options.namespace ?? "default");
    const { transport, store } = await openNats(options.nats, {
      name: `catga ${id}`,
      transport: options.transport,
      onError,
      onForbidden: (violation) => forbidden.add(violation),
      onNotice,
    });
    return {
      clock: transport.clock,
      random: transport.random,
      transport,
      store,
      permitted: () => forbidden.check(),
      close: () => transport.close(),
    };
  }
  if (options.network !== undefined) {
    const transport = options.network.connect({ name: id, onError });
    return {
      clock: transport.clock,
      random: transport.random,
      transport,
      store: transport.store,
      permitted,
      close: () => transport.close(),
    };
  }
  const store = new MemoryKeyValueStore(systemClock);
  return { clock: systemClock, random: systemRandom(), store, permitted, close: () => Promise.resolve() };
}

function describe(options: CatgaOptions, id: string, nonce: string, handles: readonly string[], link: Link): NodeInfo {
  const server = link.transport?.server;
  const address = server?.clientAddress;
  return freeze({
    id,
    endpoint: `${id}.${nonce}`,
    service: options.service ?? "app",
    handles,
    startedAt: link.clock.now(),
    lastSeen: link.clock.now(),
    metadata: {
      // Deno asks for a permission to see the name; where nobody is on another machine, none must be needed
      ...(options.nats === undefined || options.metadata?.host !== undefined ? {} : { host: hostName() }),
      ...(address === undefined ? {} : { address }),
      ...options.metadata,
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
      "Deno does not let the node see the name of its host, which stands in its metadata: run it with " +
        '--allow-sys=hostname, or give a name yourself, `metadata: { host: "…" }`',
      { cause },
    );
  }
}

const OPTIONS: ReadonlySet<string> = new Set<keyof CatgaOptions>([
  "handlers",
  "nats",
  "network",
  "namespace",
  "service",
  "id",
  "metadata",
  "transport",
  "signals",
  "timeout",
  "retries",
  "route",
  "concurrency",
  "heartbeat",
  "breaker",
  "behaviors",
  "logger",
  "replicas",
]);

const BREAKER_OPTIONS = new Set(["failures", "cooldown"]);

/** Throws for options that are none. */
function check(options: CatgaOptions): void {
  checkKnown("catga", options, OPTIONS);
  const {
    nats,
    network,
    namespace,
    service,
    id,
    metadata,
    transport,
    signals,
    route,
    concurrency,
    heartbeat,
    breaker,
    behaviors,
    logger,
    replicas,
  } = options;
  if (nats !== undefined && network !== undefined) {
    throw new TypeError("nats and network exclude each other: give one of them");
  }
  if (network !== undefined && !(network instanceof MemoryNetwork)) {
    throw new TypeError(`network must be a MemoryNetwork; got ${show(network)}`);
  }
  if (namespace !== undefined) checkToken("namespace", namespace);
  if (service !== undefined) checkToken("service", service);
  if (id !== undefined) checkToken("id", id);
  if (metadata !== undefined) checkStrings("metadata", metadata);
  if (transport !== undefined && transport !== "deno" && transport !== "node") {
    throw new TypeError(`transport must be "deno" or "node"; got ${show(transport)}`);
  }
  if (signals !== undefined && typeof signals !== "boolean") {
    throw new TypeError(`signals must be true or false; got ${show(signals)}`);
  }
  checkTimes("", options);
  if (route !== undefined) checkRoute("route", route);
  if (heartbeat !== undefined) checkNumber("heartbeat", heartbeat, 3_000, MAX_TIMEOUT, "ms");
  if (concurrency !== undefined) checkInteger("concurrency", concurrency, 1, MAX_CONCURRENCY);
  if (breaker !== undefined) {
    checkKnown("breaker", breaker, BREAKER_OPTIONS);
    if (breaker.failures !== undefined) checkInteger("breaker.failures", breaker.failures, 1, 1_000_000);
    if (breaker.cooldown !== undefined) checkNumber("breaker.cooldown", breaker.cooldown, 1, MAX_TIMEOUT, "ms");
  }
  if (behaviors !== undefined) checkBehaviors("behaviors", behaviors);
  if (logger !== undefined) checkLogger(logger);
  if (replicas !== undefined) checkInteger("replicas", replicas, 1, 5);
}

function checkLogger(logger: Logger): void {
  if (typeof logger !== "object" || logger === null) {
    throw new TypeError(
      `logger must have the methods debug, info, warn and error, as console has; got ${show(logger)}`,
    );
  }
  for (const level of ["debug", "info", "warn", "error"] as const) {
    if (typeof logger[level] !== "function") {
      throw new TypeError(`logger.${level} must be a function; got ${show(logger[level])}`);
    }
  }
}
