/**
 * The cluster side of a node: makes its membership, its routing and its wire (endpoint and event channel), and passes
 * events such as "this process is alive" from one part to the others.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { NodeChange, NodeInfo } from "../contract/nodes/node_info.ts";
import type { Observer } from "../contract/nodes/observer.ts";
import type { Result } from "../contract/calls/result.ts";
import type { Dispatch } from "../dispatch/mediator.ts";
import type { NodeHost } from "../dispatch/node_host.ts";
import type { ClusterHealth, Remote, RemoteEvent } from "../dispatch/remote.ts";
import type { MessageContext } from "../dispatch/message_context.ts";
import { unavailable } from "../error.ts";
import { within } from "../ports/clock.ts";
import type { Bucket } from "../ports/key_value_store.ts";
import { openOnce } from "../ports/open_once.ts";
import type { Transport } from "../ports/transport.ts";
import { Interop } from "./interop/interop.ts";
import { forPlainClient } from "./interop/plain_calls.ts";
import { Absence } from "./membership/absence.ts";
import { FailureDetector } from "./membership/failure_detector.ts";
import { NodeWatch } from "./membership/membership_view.ts";
import { ProcessProbe } from "./membership/own_record.ts";
import { Membership } from "./membership/membership.ts";
import { freeze } from "./membership/node_record.ts";
import { ShapeView } from "./membership/shape_view.ts";
import type { ObservedMismatch } from "../contract/nodes/alarms.ts";
import type { ContractShapes } from "../contract/schemas/shape.ts";
import { processOf, Prover, proverOf } from "./membership/unproven.ts";
import type { BreakerOptions } from "./routing/breakers.ts";
import { Router } from "./routing/router.ts";
import { DroppedEvents, EventChannel } from "./wire/event_channel.ts";
import { Endpoint } from "./wire/endpoint.ts";
import { isEndpoint } from "../contract/nodes/subjects.ts";
import { MalformedCount } from "./wire/frame_reader.ts";
import type { Peer } from "./wire/peer.ts";
import { StatsAnswer } from "./stats_answer.ts";
import { nodeAnswerLimit } from "../data/message_room.ts";

/** Dependencies of a {@link Cluster} on its node. */
interface ClusterOptions {
  readonly host: NodeHost;
  readonly transport: Transport;
  readonly namespace: string;
  /** Description of this node, without the members that change while the node runs. */
  readonly info: NodeInfo;
  /** The events that this node has handlers for as events that are not durable. */
  readonly events: readonly Dispatch[];
  /** The commands and queries that this node has handlers for. */
  readonly requests: readonly AnyContract[];
  /** All contracts that this node has handlers for. */
  readonly handled: readonly AnyContract[];
  /** Shapes of this program's contracts (hashes of schemas and options). */
  readonly shapes: ContractShapes;
  readonly observer: Observer;
  /** Time to live of this node's membership record in the store, in ms. */
  readonly heartbeat: number;
  /** Maximum number of handlers that run at once on behalf of other nodes. */
  readonly concurrency: number;
  readonly breaker: BreakerOptions;
}

/** Options of the parts of a {@link Cluster} that send and receive. */
interface WireOptions {
  readonly transport: Transport;
  readonly namespace: string;
  readonly endpoint: string;
  readonly observer: Observer;
  readonly malformed: MalformedCount;
}

/** Options of the parts of a {@link Cluster} that follow the other nodes. */
type ViewOptions = Pick<Transport, "clock" | "random"> & {
  readonly observer: Observer;
  connected(): boolean;
  server(): Transport["server"];
};

/** Loads the comparison of schemas, once for all apps: only nodes beside other versions of their contracts need it. */
export const loadMismatches = openOnce(() => import("./membership/schema_mismatches.ts"));

/**
 * The cluster as one of its nodes sees it: the other nodes, and the way to send messages to them.
 * @decides the parts of a node's cluster side are made and joined: membership, routing, wire; the order in which it
 * leaves
 */
export class Cluster implements Remote {
  readonly router: Router;
  readonly #options: ClusterOptions;
  readonly #malformed: MalformedCount;
  readonly #dropped: DroppedEvents;
  readonly #absence: Absence;
  readonly #probe: ProcessProbe;
  readonly #endpoint: Endpoint;
  readonly #events: EventChannel;
  readonly #interop: Interop;
  readonly #prover: Prover;
  readonly #membership: Membership;
  readonly #failureDetector: FailureDetector;
  readonly #shapes: ShapeView;
  /** True once {@link Cluster.join} has registered this node and read the other nodes' records. */
  #joined = false;
  readonly #stop = new AbortController();

  /**
   * Subscribes to this node's subjects at once; {@link Cluster.join} makes the node known to the others. `bucket`:
   * the bucket with the membership records.
   *
   * The parts need each other in a circle: the endpoint reports to the failure detector and the router, and both send
   * through the endpoint. So each part is made after the parts that its constructor uses (the failure detector after
   * the membership, the router after the endpoint), and reaches the others by callbacks: no message arrives before
   * this constructor has returned.
   */
  constructor(options: ClusterOptions, bucket: Bucket) {
    this.#options = options;
    const { host, transport, namespace, observer, info, info: { endpoint } } = options;
    const { clock, random } = transport;
    const malformed = this.#malformed = new MalformedCount(transport, observer);
    // options that several parts share: `wire` for parts that send and receive, `view` for parts that follow the
    // other nodes
    const wire = { transport, namespace, endpoint, observer, malformed };
    const view = { clock, random, observer, connected: () => this.#endpoint.connected, server: () => transport.server };
    this.#dropped = new DroppedEvents(clock, observer);
    this.#absence = new Absence({
      clock,
      conclusive: () => this.#endpoint.conclusive,
      ping: (endpoint) => this.#endpoint.peer(endpoint).ping(),
    });
    this.#probe = new ProcessProbe({ transport, ping: (endpoint) => this.#endpoint.peer(endpoint).ping() });
    this.#endpoint = this.#openEndpoint(wire);
    this.#events = this.#openEvents(wire);
    this.#interop = this.#makeInterop(wire);
    this.#prover = new Prover({
      ...wire,
      alive: (endpoint) => this.#failureDetector.report(endpoint, "alive"),
      bounced: (endpoint) => this.#membership.bounced(endpoint),
    });
    this.#shapes = this.#makeShapes();
    this.#membership = this.#makeMembership(view, bucket);
    this.#failureDetector = new FailureDetector({
      membership: this.#membership,
      ...view,
      grace: this.#endpoint.grace,
      self: info.id,
      ping: (endpoint) => this.#endpoint.peer(endpoint).ping(),
      patience: (endpoint) => this.#endpoint.peer(endpoint).patience,
      accuse: (witness, endpoint, server) => this.#endpoint.peer(witness).outgoing.add(["b", endpoint, server]),
    });
    this.router = new Router({
      ...{ app: host, endpoint: this.#endpoint, clock, random, observer },
      shapes: {
        of: (node, name) => this.#shapes.of(node, name),
        own: (contract) => options.shapes.of(contract),
      },
      breaker: options.breaker,
      members: () => this.#membership.view.members,
      gaps: this.#membership.gaps,
    });
  }

  get self(): NodeInfo {
    const { info, host, transport } = this.#options;
    const shapes = this.#shapes.hash;
    return freeze({
      ...info,
      ...(shapes === undefined ? {} : { shapes }),
      ...(host.unready === undefined ? {} : { unready: host.unready }),
      lastSeen: transport.clock.now(),
      load: { inFlight: host.inFlight, queued: this.#endpoint.inbound.load[1] },
      server: transport.server.id,
    });
  }

  get health(): ClusterHealth {
    return {
      connection: this.#options.transport.status.state,
      member: this.#membership.listed,
      forbidden: this.#endpoint.forbidden || this.#events.forbidden,
      queued: this.#endpoint.inbound.load[1],
      backlog: this.#endpoint.inbound.backlog,
    };
  }

  /**
   * Registers this node, and reads the records of the other nodes. Rejects with `ID_TAKEN` if a live process has its
   * id.
   */
  async join(): Promise<void> {
    // plain requests (of NATS clients) are accepted only when this node is registered: a process that fails to join
    // would lose them. The server confirms the subscriptions while the other nodes answer their first pings.
    await this.#membership.join(() => this.#interop.start());
    this.router.joined();
    this.#joined = true;
    this.#options.host.refresh();
    this.#shapes.begin();
    this.#options.host.used.onRead = () => this.#shapes.begin();
    this.#failureDetector.start();
  }

  announce(): void {
    this.router.refresh();
    this.#membership.refresh();
  }

  nodes(): readonly NodeInfo[] {
    if (this.#stop.signal.aborted) return [];
    return this.#membership.view.members.map(({ info }) => info.id === this.#options.info.id ? this.self : info);
  }

  watchNodes(signal: AbortSignal | undefined): AsyncIterableIterator<NodeChange> {
    const stop = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    return new NodeWatch((onEvent) => this.#membership.view.watch(onEvent), stop);
  }

  shapeAt(node: NodeInfo, name: string): string | undefined {
    return this.#shapes.of(node, name);
  }

  get mismatches(): readonly ObservedMismatch[] {
    return this.#shapes.mismatches;
  }

  alone(name: string): boolean {
    return this.#joined && this.#membership.view.alone(name);
  }

  ofEntity(name: string): boolean {
    return this.#membership.view.ofEntity(name);
  }

  publish(event: RemoteEvent): Result<void> {
    return this.#events.publish(event);
  }

  gone(endpoint: string): Promise<boolean> {
    // the endpoint is checked first, because it comes from a record that anybody may have written, and becomes part
    // of a subject
    return isEndpoint(endpoint) ? this.#absence.gone(endpoint) : Promise.resolve(false);
  }

  absent(endpoint: string): number {
    return isEndpoint(endpoint) ? this.#absence.absent(endpoint) : 0;
  }

  async leave(): Promise<void> {
    this.#failureDetector.stop();
    this.#shapes.close();
    this.router.stop();
    const { observer, transport } = this.#options;
    const left = this.#membership.leave().catch((error) => {
      // the node's record expires by itself, or the failure detector of another node removes it
      observer({ type: "fault", during: "leaving the membership", error });
    });
    // a limit, because a store that does not answer must not delay the rest of the drain
    await within(transport.clock, LEAVE, left);
    // messages that NATS has delivered to this process already are still handled
    await Promise.all([this.#events.close(), this.#interop.close()]);
    this.refuse();
  }

  refuse(): void {
    this.#endpoint.refuse(this.#membership.view.members.map(({ info }) => info.endpoint));
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#membership.close();
    this.#absence.reset();
    await this.#interop.close();
    this.#prover.close();
    await this.#endpoint.close();
    this.router.close();
    this.#malformed.report();
    this.#dropped.report();
  }

  /** Subscribes to the frames of other processes. */
  #openEndpoint(wire: WireOptions): Endpoint {
    const { host, info, concurrency } = this.#options;
    const { clock } = wire.transport;
    const opened: Endpoint = new Endpoint({
      ...{ ...wire, host },
      concurrency,
      runner: host.runner,
      observed: (peer, news) => this.#onPeer(peer, news),
      accused: (endpoint, server) => this.#failureDetector.accused(endpoint, server),
      asked: (name) => this.#membership.gaps.answer(name),
      gap: (name, left) => this.#membership.gaps.answered(name, left),
      stats: () => stats.text(),
      shapes: (names) => this.#shapes.answer(names, nodeAnswerLimit(opened.payloadLimit)),
      shapesKnown: (n, answer) => this.#shapes.answered(n, answer),
      reconnected: () => this.#onReconnect(),
      unread: (stream) => this.#interop.calls.unread(stream),
    });
    const stats = new StatsAnswer({ clock, info, host, endpoint: opened });
    return opened;
  }

  /** Subscribes to the events that this node has handlers for. */
  #openEvents(wire: WireOptions): EventChannel {
    const { host, info: { service }, events: handledEvents } = this.#options;
    const passOn = (ctx: MessageContext, payload: unknown) => this.#passOn(host, service, ctx, payload);
    const events = new EventChannel({
      ...{ ...wire, service },
      counts: host.runner.counts,
      deliver: (name, payload, from) =>
        host.runner.deliver(name, payload, from, (begin) => {
          if (!this.#endpoint.inbound.event(name, begin)) this.#dropped.add(name);
        }, passOn),
    });
    for (const { contract, runs, nodeRuns } of handledEvents) {
      if (runs.length > 0) events.subscribe(contract.name, "service");
      if (nodeRuns.length > 0) events.subscribe(contract.name, "node");
    }
    return events;
  }

  #makeInterop(wire: WireOptions): Interop {
    const { host, info, requests, shapes } = this.#options;
    return new Interop({
      ...{ ...wire, info, host },
      requests,
      carried: host.carried,
      keyed: (contract) => host.keyed(contract),
      timeLeft: (contract) => host.timeLeft(contract),
      plainOf: (contract) => {
        const plain = forPlainClient(contract);
        shapes.copied(plain, contract);
        return plain;
      },
      shapeBesideOthers: (contract) => this.router.shapeBesideOthers(contract),
      send: (contract, payload, sending, refusedBy) =>
        host.relay(contract, payload, sending, {
          admit: (ctx, run) => this.#endpoint.inbound.admit(ctx, run),
          refusedBy,
        }),
      stream: (contract, payload, options) => host.stream(contract, payload, options),
      bounces: this.#endpoint.plainBounces,
    });
  }

  #makeShapes(): ShapeView {
    const { host, transport: { clock }, observer, info, shapes, handled, events } = this.#options;
    return new ShapeView({
      ...{ clock, observer, self: info.id, shapes, handled },
      plainEvents: new Set(events.map(({ contract }) => contract.name)),
      loadMismatches,
      sent: () => [...host.used.sent, ...host.runner.counts.sentContracts],
      followed: () => host.used.read,
      members: () => this.#membership.view.members,
      ask: (endpoint, n, names) => this.#endpoint.peer(endpoint).outgoing.add(["k", n, ...names]),
      announce: () => this.#membership.refresh(),
      changed: () => {
        this.router.refresh();
        host.refresh();
      },
    });
  }

  #makeMembership(view: ViewOptions, bucket: Bucket): Membership {
    const { host, heartbeat } = this.#options;
    const malformed = this.#malformed;
    const isAlive = (endpoint: string) => (this.#endpoint.find(endpoint)?.lastSeenAt ?? -1) >= 0;
    return new Membership({
      ...{ ...view, bucket, malformed, heartbeat },
      self: () => this.self,
      probe: (endpoint) => this.#probe.isAlive(endpoint),
      isAlive: (endpoint) => isAlive(endpoint) || isAlive(proverOf(endpoint)),
      ping: (endpoint, n) => this.#prover.ping(endpoint, n),
      conclusive: () => this.#endpoint.conclusive,
      changed: (handled) => {
        this.router.refresh();
        if (handled) host.refresh();
        this.#shapes.look();
        this.#failureDetector.membersChanged();
      },
      recordGone: (member) => this.#failureDetector.probe(member),
      evicted: (error) => host.fail(error),
      askGap: (endpoint, name) => this.#endpoint.peer(endpoint).outgoing.add(["h", name]),
      gapFound: (name) => this.router.gapFound(name),
    });
  }

  /**
   * Reports news of another process to the parts that decide about it: `ProcessProbe`, `Absence`, the failure detector
   * and the router. `alive`: the process has sent something; `bounced`: a frame (message) to it came back from the
   * server (no responders); `silent`: it did not answer a ping in time.
   */
  #onPeer(peer: Peer, news: "alive" | "bounced" | "silent"): void {
    const { endpoint } = peer;
    if (news !== "silent") this.#probe.report(endpoint, news === "alive");
    if (news === "alive") this.#absence.conclude(endpoint, { gone: false });
    if (news === "bounced") this.#absence.bounced(endpoint, peer.bouncedSeq);
    this.#failureDetector.report(news === "alive" ? processOf(endpoint) : endpoint, news);
    if (news === "alive") this.router.reachable(peer);
    if (news === "bounced") this.router.deliveryFailed(peer);
    // A bounce (the server's answer that nobody subscribes to the process's endpoint) moves no requests if it proves
    // that the process is gone: the endpoint then ends the requests that were under way to the process.
    if (news === "silent" || (news === "bounced" && !this.#endpoint.concludes(peer))) this.router.moveFrom(peer);
  }

  /**
   * Sends an event that this node's schema refuses to one node of the service that has another version of the contract,
   * once: if the event fails there, too, the failure is only reported. Returns false if there is no such node.
   */
  #passOn(host: NodeHost, service: string, ctx: MessageContext, payload: unknown): boolean {
    const { contract, envelope: { id, correlation, causation, headers } } = ctx;
    const node = this.router.ofAnotherVersion(contract, service);
    if (node === undefined) return false;
    host.underWay.begin();
    const ended = (result: Result<unknown>) => {
      host.underWay.end();
      host.runner.failed(ctx, result);
    };
    this.router.begin({
      ...{ contract, payload, parsed: payload, timeout: host.timeLeft(contract), retries: 0, node: node.id },
      ...{ route: "least-loaded", key: undefined, signal: undefined, parent: undefined },
      meta: { id, correlation, causation, headers, passedOn: true },
    }, {
      resolve: ended,
      reject: (error) => ended({ ok: false, error: unavailable(`it was not passed on: ${error}`) }),
    });
    return true;
  }

  #onReconnect(): void {
    this.#absence.reset();
    this.router.resume();
    this.#events.resume();
    this.#failureDetector.resume();
    this.#membership.resume();
  }
}

/** Maximum time for which a drain waits until the store has removed this node's record, in ms. */
export const LEAVE = 2_000;
