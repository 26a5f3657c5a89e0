/** A running node, as the program that started it sees it. */
import type { AppClock } from "../../ports/clock.ts";
import type { AnyCode } from "../../error.ts";
import type { AnyWorkflow, RunInfo, RunsOptions, ViewChange, WatchOptions, WorkflowContract } from "../calls/flow.ts";
import type { Result } from "../calls/result.ts";
import type { Health, NodeChange, NodeInfo } from "./node_info.ts";
import type { MaybePromise } from "../schemas/schema.ts";
import type { Sender } from "../calls/sender.ts";
import type {
  DeadLetter,
  DeadLetterOptions,
  EventFollower,
  FollowableEvent,
  FollowEventsOptions,
  LimitControl,
  PauseOptions,
  SubscriptionInfo,
} from "../calls/durable_messages.ts";
import type { AnyEntity } from "../declaration/entity_definition.ts";
import type { LeadOptions, Term } from "../calls/shared_state.ts";

/** Options of `drain`, the orderly shutdown of a node. */
export interface DrainOptions {
  /**
   * Time for running handlers to end, in ms: 0 to 2^31 - 1. Then their signals abort, and they have 500 ms more.
   * Default: 30,000.
   */
  timeout?: number | undefined;
}

/**
 * A running node: `catga()` resolves with it. `await using` drains it.
 * @decides the methods of an app
 */
export interface Catga extends Sender, AsyncDisposable {
  /**
   * Runs `fn` on one node of the cluster at a time: on the node that leads `name`. The signal aborts when the node no
   * longer leads (`LOCK_LOST`), or when the candidacy or the app ends (`CLOSED`). If the leader's node dies, another
   * takes over within `ttl` and 1.5 s (plus an election of JetStream, up to 10 s, if a NATS server died too); if the
   * leader drains, at once. When `fn` ends, another candidate may lead, and this node is a candidate again a second
   * later; an error that `fn` throws is logged. A process that was paused for longer than `ttl` may still run `fn`
   * while the next leader does, until it checks the signal. For a job at fixed times, `enqueue` a durable command with
   * `cron` instead: each time is stored, and one node runs the command.
   *
   * Returns at once. Throws a `TypeError` for a bad name, a `RangeError` for a bad ttl, and a `CatgaError` `CLOSED` if
   * the app stops.
   *
   * @example
   * ```ts
   * import { catga } from "@catga/catga";
   *
   * await using app = await catga();
   * const began = Promise.withResolvers<void>();
   * await using term = app.lead("billing", async (signal) => {
   *   began.resolve();
   *   await new Promise((resolve) => signal.addEventListener("abort", resolve));
   * });
   * await began.promise;
   * console.log(term.leading); // true
   * ```
   */
  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term;
  /** The app's clock: this machine's clock, or the clock of the app's `MemoryNetwork`. */
  readonly clock: AppClock;
  /**
   * Aborts (`DRAINING`) when this node shuts down in an orderly way, as soon as new messages go to other nodes: end
   * work that would otherwise last as long as the drain, such as an HTTP response without an end.
   */
  readonly draining: AbortSignal;
  /** This node, as other nodes see it; a new object at each reading. */
  readonly self: NodeInfo;
  /**
   * Resolves when the app has stopped; rejects with the error if it had to stop by itself. It need not be awaited: the
   * error is logged, too.
   */
  readonly closed: Promise<void>;
  /**
   * The live nodes of the cluster that this node knows, sorted by id, itself included until it drains; none after a
   * drain.
   */
  nodes(): readonly NodeInfo[];
  /**
   * Changes of the membership after the call: nodes that join, change and leave. Ends when the signal aborts or the app
   * stops.
   *
   * @example
   * ```ts
   * import { catga } from "@catga/catga";
   * import { MemoryNetwork } from "@catga/catga/testing";
   *
   * const network = new MemoryNetwork();
   * await using first = await catga({ network });
   * const changes = first.watchNodes();
   * await using second = await catga({ network, id: "second" });
   * const { value } = await changes.next();
   * console.log(value.type, value.node.id); // join second
   * ```
   */
  watchNodes(options?: { signal?: AbortSignal | undefined }): AsyncIterableIterator<NodeChange>;
  /**
   * Returns the health of this node, for probes; the call does not use the network.
   *
   * @example
   * ```ts
   * import { catga } from "@catga/catga";
   *
   * await using app = await catga();
   * const healthz = () => Response.json(app.health(), { status: app.health().ready ? 200 : 503 });
   * console.log(healthz().status, app.health().status); // 200 ready
   * ```
   */
  health(): Health;
  /**
   * Says that this node is not ready, or is ready again, as when its database is down: other nodes, and this one, send
   * requests to it only if no other node handles them, `health()` is `unready`, and `catga nodes` and `catga top` show
   * why. Requests that run or wait go on. `why`: up to 200 characters. Throws a `TypeError` or `RangeError` for other
   * arguments.
   *
   * @example
   * ```ts
   * import { catga } from "@catga/catga";
   *
   * await using app = await catga();
   * app.ready(false, "the database does not answer");
   * console.log(app.health().status); // unready
   * app.ready(true);
   * console.log(app.health().status); // ready
   * ```
   */
  ready(isReady: boolean, why?: string): void;
  /**
   * Resolves with the state of all subscriptions of the namespace, sorted by service and name. Rejects with
   * `UNAVAILABLE` if the log does not answer.
   */
  subscriptions(): Promise<readonly SubscriptionInfo[]>;
  /**
   * Returns the dead letters (messages that a subscription gave up on), oldest first within each subscription. Rejects
   * with `UNAVAILABLE` if the store does not answer.
   */
  deadLetters(options?: DeadLetterOptions): AsyncIterableIterator<DeadLetter>;
  /**
   * Returns the runs of workflows of this namespace; the run that changed longest ago comes first. A run is forgotten
   * when its workflow's `keep` has passed since its end. Rejects with `UNAVAILABLE` if the store does not answer.
   *
   * @example
   * ```ts
   * import { catga } from "@catga/catga";
   *
   * await using app = await catga();
   * for await (const run of app.runs({ status: "stuck" })) await run.retry();
   * ```
   */
  runs(options?: RunsOptions): AsyncIterableIterator<RunInfo>;
  /**
   * Resolves with what a run shows (`flow.show`), also after its end; `undefined`: nothing. It is read from the store:
   * no node has to handle the workflow. The failure is `NO_RUN` if there is no such run, or `UNAVAILABLE`.
   */
  view<View>(
    workflow: WorkflowContract<never, unknown, AnyCode, View>,
    run: string,
  ): Promise<Result<View | undefined, never>>;
  /**
   * Returns what a run shows now, each change of it, and, as the last item, its end. The iteration goes on over deaths
   * of nodes and lost connections. A reader that is slower than the run gets the latest view, and not those before it;
   * the last one is never left out, and none is older than one before. The iteration ends behind the end of the run,
   * and when the signal aborts; `next` rejects with `NO_RUN` if there is no such run, and with `CLOSED` when the app
   * stops.
   *
   * @example
   * ```ts
   * import { catga, unwrap, workflow } from "@catga/catga";
   *
   * const Order = workflow("Order").view<{ state: "packing" | "sent" }>();
   * const order = Order.handle(async (flow) => {
   *   flow.show({ state: "packing" });
   *   await flow.step("pack", () => {});
   *   flow.show({ state: "sent" });
   * });
   * await using app = await catga({ handlers: order });
   * const run = unwrap(await app.start(Order));
   * for await (const { view, result } of app.watch(Order, run)) {
   *   if (result !== undefined) console.log(view, result.ok); // { state: "sent" } true
   * }
   * ```
   */
  watch<Out, F extends string, View>(
    workflow: WorkflowContract<never, Out, F, View>,
    run: string,
    options?: WatchOptions,
  ): AsyncIterableIterator<ViewChange<View, Out, F>>;
  /**
   * Follows a durable event: returns its events in the order of their positions, each once, on any node, without a
   * subscription. The follower begins at the call, and ends with `break` or `return()`, when its signal aborts, and
   * when this app drains. All followers of a process share one reader of the log; a slow follower does not hold up the
   * others.
   *
   * The first `next` rejects with `UNAVAILABLE` if the log does not answer. Any `next` may reject with a `CatgaError`,
   * which ends the follower: `LOG_MISMATCH` if the log has lost messages, or events that were not returned may have
   * expired; `INVALID_MESSAGE` for an event that does not fit the schema. The error's `details.position` is the
   * position from which a new follower can begin.
   *
   * @example
   * ```ts
   * import { catga, event } from "@catga/catga";
   *
   * const Placed = event<{ order: string }>("Placed", { durable: true });
   * await using app = await catga();
   * await app.publish(Placed, { order: "7" });
   * for await (const { position, payload } of app.follow(Placed, { from: "start" })) {
   *   console.log(position > 0, payload.order); // true 7
   *   break;
   * }
   * ```
   */
  follow<Payload>(event: FollowableEvent<Payload>, options?: FollowEventsOptions): EventFollower<Payload>;
  /**
   * Makes a subscription of this service handle messages again, from `to` on: `"start"` (the oldest stored message), a
   * position in the log, or a time of this process's clock (the messages stored since then). `subscription`: its name;
   * for a queued command, the contract's name. Handlers of events of entities that share the name go to the same time,
   * or to their start; a position is one of the log, and of theirs for `<name>:entities`. Nothing changes if the
   * subscription has not yet reached that position.
   * Resolves when the request is recorded; rejects with a `TypeError` for an unknown subscription.
   */
  rewind(subscription: string, to: "start" | number | Date): Promise<void>;
  /**
   * Pauses a subscription of this service: its messages stay in the log, in their order, until {@link Catga.resume},
   * over restarts and deploys; what runs ends. `subscription`: its name; for a queued command, the contract's name.
   * Handlers of events of entities that share the name are paused, too. Resolves when that is recorded, which the
   * leader follows within a moment; rejects with a `TypeError` for an unknown subscription.
   */
  pause(subscription: string, options?: PauseOptions): Promise<void>;
  /** Resumes a subscription that is paused; does nothing if it is not. Otherwise like {@link Catga.pause}. */
  resume(subscription: string): Promise<void>;
  /**
   * Returns what changes a limit of a subscription of this service, without a deploy. `subscription`: its name; for a
   * queued command, the contract's name. `limit`: the limit's name; of one without a name, its contract and place among
   * the limits of the handler, as `Paid/0`.
   *
   * @example
   * ```ts
   * import { catga, event } from "@catga/catga";
   *
   * const Paid = event<{ account: string }>("Paid", { durable: true });
   * const limit = { name: "bank", key: ({ account }: { account: string }) => account, running: 5 };
   * await using app = await catga({ handlers: Paid.on(() => {}, { name: "books", limit }) });
   * const bank = app.limit("books", "bank");
   * await bank.set({ running: 2 }); // at most 2 at once of each account, on all nodes
   * await bank.pause({ key: "acme", reason: "they are moving", for: 3_600_000 });
   * const [{ overrides = [] }] = await app.subscriptions();
   * console.log(overrides[0].set?.running, overrides[0].keys?.[0].key); // 2 acme
   * await bank.clear();
   * ```
   */
  limit(subscription: string, limit: string): LimitControl;
  /**
   * Forgets an entity for ever: its events and its snapshot are removed, and later commands get `FORGOTTEN`. The event
   * `<Entity>.forgotten` remains, for subscribers. Resolves when everything is removed. Rejects with `UNAVAILABLE`;
   * then call it again.
   */
  forget<State>(entity: AnyEntity<State>, id: string): Promise<void>;
  /**
   * Forgets a run that has ended, before its `keep` is over, with all runs that its steps have started: what they
   * recorded is removed, and their ids are free. Resolves when everything is removed, also if there is no such run.
   * Rejects with `NOT_ENDED` if the run, one that it has started, or the one that has started it, goes on; and with
   * `UNAVAILABLE`: then call it again.
   */
  forget(workflow: AnyWorkflow, run: string): Promise<void>;
  /**
   * Leaves the cluster, refuses requests of other nodes (`DRAINING`; they go to another node), waits for running
   * handlers and sends, and closes everything that the app opened; afterwards sends fail with `CLOSED`. Idempotent:
   * later calls wait for the first, and their options are ignored. Works while disconnected. A `timeout` out of range
   * is a `RangeError`.
   */
  drain(options?: DrainOptions): Promise<void>;
}
