/** A node of a cluster: endpoint, membership, ring, router and events, wired. */
import type { NodeHost } from "../dispatch/node_host.ts";
import { within } from "../ports/clock.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { CatgaError } from "../error.ts";
import type { Bucket } from "../ports/key_value_store.ts";
import type { NodeEvent, NodeInfo } from "../contract/node_info.ts";
import type { Observer } from "../contract/observer.ts";
import type { ClusterHealth, Remote, RemoteEvent, RemoteRequest } from "../dispatch/remote.ts";
import type { Result } from "../contract/result.ts";
import type { BroadcastResult } from "../contract/sender.ts";
import type { Transport } from "../ports/transport.ts";
import type { Dispatch } from "../dispatch/mediator.ts";
import { Absence } from "./membership/absence.ts";
import type { BreakerOptions } from "./routing/breaker.ts";
import { DroppedEvents } from "./wire/dropped_events.ts";
import { Endpoint } from "./wire/endpoint.ts";
import { EventChannel } from "./wire/event_channel.ts";
import { isEndpoint } from "./wire/frame.ts";
import { Interop } from "./interop/interop.ts";
import { MalformedCount } from "./wire/malformed_count.ts";
import { Membership } from "./membership/membership.ts";
import { freeze } from "./membership/node_record.ts";
import { NodeWatch } from "./membership/node_watch.ts";
import { processOf, Prover, proverOf } from "./membership/prover.ts";
import { FailureDetector } from "./membership/failure_detector.ts";
import { Router } from "./routing/router.ts";

/** What a node is made of. */
export interface ClusterOptions {
  readonly app: NodeHost;
  readonly transport: Transport;
  readonly namespace: string;
  /** This node, but for what changes while it runs. */
  readonly info: NodeInfo;
  /** The events that it has handlers for. */
  readonly events: readonly Dispatch[];
  /** The commands and queries that it has handlers for. */
  readonly requests: readonly AnyContract[];
  readonly observer: Observer;
  /** How long a membership record lives, in ms. */
  readonly heartbeat: number;
  /** How many handlers run at once for other nodes. */
  readonly concurrency: number;
  readonly breaker: BreakerOptions;
}

/** A node of a cluster. */
export class Cluster implements Remote {
  readonly #options: ClusterOptions;
  readonly #endpoint: Endpoint;
  readonly #prover: Prover;
  readonly #membership: Membership;
  readonly #ring: FailureDetector;
  readonly #router: Router;
  readonly #events: EventChannel;
  readonly #interop: Interop;
  readonly #malformed: MalformedCount;
  readonly #dropped: DroppedEvents;
  readonly #absence: Absence;
  readonly #probes: Map<string, (alive: boolean) => void> = new Map();
  readonly #stop = new AbortController();

  /** Subscribes at once; {@link Cluster.join} makes it known. `bucket`: the membership's, perhaps not open yet. */
  constructor(options: ClusterOptions, bucket: Bucket) {
    this.#options = options;
    const { app, transport, namespace, observer, info, heartbeat } = options;
    const { clock, random } = transport;
    const malformed = this.#malformed = new MalformedCount(transport, observer);
    const dropped = this.#dropped = new DroppedEvents(clock, observer);
    const absence = this.#absence = new Absence({
      clock,
      conclusive: () => this.#endpoint.conclusive,
      ping: (endpoint) => {
        const peer = this.#endpoint.peer(endpoint);
        const { seq } = peer;
        peer.ping();
        return seq;
      },
    });
    this.#endpoint = new Endpoint({
      transport,
      namespace,
      endpoint: info.endpoint,
      observer,
      malformed,
      concurrency: options.concurrency,
      host: app,
      budget: app.runner.budget,
      receive: (name, payload, timeout, envelope) => app.runner.receive(name, payload, timeout, envelope),
      heard: (peer, news) => {
        if (news !== "silent") this.#probes.get(peer.endpoint)?.(news === "alive");
        if (news === "alive") absence.conclude(peer.endpoint, false);
        if (news === "bounced") absence.bounced(peer.endpoint, peer.bouncedSeq);
        this.#ring.heard(news === "alive" ? processOf(peer.endpoint) : peer.endpoint, news);
        if (news === "alive") this.#router.heard(peer);
        if (news === "bounced") this.#router.failed(peer);
        // a conclusive bounce says more: what was in hand is lost
        if (news === "silent" || (news === "bounced" && !this.#endpoint.conclusive)) this.#router.deaf(peer);
      },
      answered: (peer) => this.#router.heard(peer),
      accused: (endpoint, server) => this.#ring.accused(endpoint, server),
      resumed: () => {
        absence.reset();
        this.#router.resume();
        this.#events.resume();
        this.#ring.resume();
        this.#membership.resume();
      },
    });
    const { service, endpoint } = info;
    this.#events = new EventChannel({
      transport,
      namespace,
      service,
      endpoint,
      observer,
      malformed,
      deliver: (name, payload, from) =>
        app.runner.deliver(name, payload, from, (begin) => {
          if (!this.#endpoint.inbox.event(begin)) dropped.add(name);
        }),
    });
    for (const { contract, runs, nodeRuns } of options.events) {
      if (runs.length > 0) this.#events.subscribe(contract.name, "service");
      if (nodeRuns.length > 0) this.#events.subscribe(contract.name, "node");
    }
    this.#interop = new Interop({
      transport,
      namespace,
      info,
      requests: options.requests,
      observer,
      malformed,
      host: app,
      keyed: (contract) => app.keyed(contract),
      timeLeft: (contract) => app.timeLeft(contract),
      send: (contract, payload, sending) =>
        app.relay(contract, payload, sending, (ctx, run) => this.#endpoint.inbox.admit(ctx, run)),
    });
    this.#prover = new Prover({
      transport,
      namespace,
      endpoint,
      malformed,
      alive: (endpoint) => this.#ring.heard(endpoint, "alive"),
      bounced: (endpoint) => this.#membership.bounced(endpoint),
    });
    const heard = (endpoint: string) => (this.#endpoint.find(endpoint)?.heardAt ?? -1) >= 0;
    this.#membership = new Membership({
      bucket,
      clock,
      observer,
      malformed,
      heartbeat,
      self: () => this.self,
      connected: () => this.#endpoint.connected,
      server: () => transport.server,
      probe: (endpoint) => this.#probe(endpoint),
      heard: (endpoint) => heard(endpoint) || heard(proverOf(endpoint)),
      ping: (endpoint, n) => this.#prover.ping(endpoint, n),
      conclusive: () => this.#endpoint.conclusive,
      changed: (handled) => {
        this.#router.refresh();
        if (handled) app.refresh();
      },
      lapsed: (member) => this.#ring.probe(member),
      evicted: (error: CatgaError) => app.fail(error),
    });
    this.#ring = new FailureDetector({
      membership: this.#membership,
      clock,
      random,
      observer,
      self: info.id,
      connected: () => this.#endpoint.connected,
      server: () => transport.server,
      ping: (endpoint) => this.#endpoint.peer(endpoint).ping(),
      accuse: (witness, endpoint, server) => this.#endpoint.peer(witness).accuse(endpoint, server),
    });
    this.#router = new Router({
      app,
      endpoint: this.#endpoint,
      clock,
      random,
      observer,
      breaker: options.breaker,
      members: () => this.#membership.members,
    });
  }

  get self(): NodeInfo {
    const { info, app, transport } = this.#options;
    return freeze({
      ...info,
      lastSeen: transport.clock.now(),
      load: { inFlight: app.inFlight, queued: this.#endpoint.inbox.load[1] },
      server: transport.server.id,
    });
  }

  get health(): ClusterHealth {
    return {
      connection: this.#options.transport.status.state,
      member: this.#membership.listed,
      queued: this.#endpoint.inbox.load[1],
    };
  }

  /** Registers this node and reads the others. */
  async join(): Promise<void> {
    await this.#membership.join();
    this.#ring.start();
    // not before: a process that cannot be a node would lose what is asked of it
    await this.#interop.start();
  }

  nodes(): readonly NodeInfo[] {
    if (this.#stop.signal.aborted) return [];
    const { id } = this.#options.info;
    return this.#membership.members.map(({ info }) => info.id === id ? this.self : info);
  }

  watchNodes(signal: AbortSignal | undefined): AsyncIterableIterator<NodeEvent> {
    const stop = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    return new NodeWatch((onEvent) => this.#membership.watch(onEvent), stop);
  }

  alone(name: string): boolean {
    return this.#membership.alone(name);
  }

  request(request: RemoteRequest): Promise<Result<unknown>> {
    return this.#router.request(request);
  }

  broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]> {
    return this.#router.broadcast(request);
  }

  publish(event: RemoteEvent): Result<void> {
    return this.#events.publish(event);
  }

  gone(endpoint: string): Promise<boolean> {
    // from a record of the store: anybody may have written it, and it becomes part of a subject
    return isEndpoint(endpoint) ? this.#absence.gone(endpoint) : Promise.resolve(false);
  }

  async leave(): Promise<void> {
    this.#ring.stop();
    const { observer, transport } = this.#options;
    const left = this.#membership.leave().catch((error) => {
      // the record expires by itself, or the ring finds that nobody is there
      observer({ type: "fault", during: "leaving the membership", error });
    });
    // a store that does not answer must not hold up what is to follow
    await within(transport.clock, LEAVE, left);
    // what NATS has handed over is this node's to have handled
    await Promise.all([this.#events.close(), this.#interop.close()]);
    this.#endpoint.refuse();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#absence.reset();
    await this.#interop.close();
    this.#prover.close();
    await this.#endpoint.close();
    this.#router.close();
    this.#malformed.report();
    this.#dropped.report();
  }

  /** Whether somebody is at an endpoint; `undefined` when neither an answer nor a bounce comes in time. */
  #probe(endpoint: string): Promise<boolean | undefined> {
    const { clock } = this.#options.transport;
    return new Promise((resolve) => {
      const timer = clock.after(PROBE, () => done(undefined));
      const done = (alive: boolean | undefined) => {
        timer.cancel();
        this.#probes.delete(endpoint);
        resolve(alive);
      };
      this.#probes.set(endpoint, done);
      this.#endpoint.peer(endpoint).ping();
    });
  }
}

/** How long a process with our id may take to show that it is alive, in ms. */
const PROBE = 1_000;

/** How long the store has to take this node's record away, in ms. */
const LEAVE = 2_000;
