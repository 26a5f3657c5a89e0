/**
 * `metrics()`: records durations and outcomes of sends and handlers, queues, and failures between nodes, through the
 * API of OpenTelemetry. The API is loaded when an app with this behavior starts.
 * @decides instruments and their names
 */
import type { Attributes, BatchObservableResult, Meter } from "@opentelemetry/api";
import { ALARM_KINDS } from "../contract/nodes/alarms.ts";
import { type Attachment, type Behavior, markMaker, type SendBehavior } from "../contract/declaration/behavior.ts";
import type { Observation } from "../contract/nodes/observer.ts";
import type { Result } from "../contract/calls/result.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import { isErrorCode } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import { OpenRuns } from "./open_runs.ts";
import { VERSION } from "../version.ts";

/**
 * Records metrics of the app and its handlers: `catga.handler.duration` and `catga.send.duration` by contract and
 * outcome, `catga.in_flight`, `catga.queued`, `catga.nodes`, `catga.breakers.open`, `catga.lock.wait.duration`, and
 * counters of `catga.retries`, `catga.bounces`, `catga.malformed`, `catga.breaker.transitions`, `catga.disconnects` and
 * `catga.events.dropped`. For each subscription to the log it records counters of messages that were stored, handled,
 * failed, became dead letters or were lost, and, on the leading node, gauges of messages that are not handled yet.
 * docs/observability.md describes each metric.
 *
 * This behavior needs an SDK that is registered before the app starts; without an SDK it does nothing. Given to a
 * handler, it measures that handler alone.
 *
 * @example
 * ```ts
 * import { metrics as api } from "@opentelemetry/api";
 * import * as sdk from "@opentelemetry/sdk-metrics";
 * import { catga, query } from "@catga/catga";
 * import { metrics } from "@catga/catga/behaviors";
 *
 * const exporter = new sdk.InMemoryMetricExporter(sdk.AggregationTemporality.CUMULATIVE);
 * const reader = new sdk.PeriodicExportingMetricReader({ exporter });
 * api.setGlobalMeterProvider(new sdk.MeterProvider({ readers: [reader] }));
 *
 * const Answer = query<void, number>("Answer");
 * await using app = await catga({ handlers: Answer.handle(() => 42), behaviors: [metrics()] });
 * console.log((await app.send(Answer)).value); // 42
 * await reader.forceFlush();
 * const [{ scopeMetrics: [{ metrics: all }] }] = exporter.getMetrics();
 * console.log(all.map(({ descriptor }) => descriptor.name)); // [ "catga.handler.duration", "catga.send.duration", … ]
 * await reader.shutdown();
 * ```
 */
export function metrics(): Behavior {
  let instruments: Instruments | undefined;
  const outcomes = new Outcomes();
  const timed = async (
    duration: "handler" | "send",
    clock: Pick<Clock, "monotonic">,
    attributes: Readonly<Record<string, string>>,
    next: () => Promise<Result<unknown>>,
  ) => {
    if (instruments === undefined) return await next();
    const start = clock.monotonic();
    const result = await next();
    const seconds = (clock.monotonic() - start) / 1_000;
    instruments[duration].record(seconds, { ...attributes, "catga.outcome": outcomes.of(result) });
    return result;
  };
  const handle: Behavior = ({ contract, clock }, next) =>
    timed("handler", clock, { "catga.contract": contract.name, "catga.kind": contract.kind }, next);
  const send: SendBehavior = ({ method, contract, clock }, next) =>
    timed("send", clock, { "catga.contract": contract.name, "catga.operation": method }, next);
  const attach = async (app: Catga): Promise<Attachment | undefined> => {
    const api = await import("@opentelemetry/api");
    const meter = api.metrics.getMeter("@catga/catga", VERSION);
    if (instruments === undefined && meter === api.createNoopMeter()) return undefined; // no SDK is registered
    instruments ??= instrumentsOf(meter);
    return observeApp(instruments, outcomes, app);
  };
  return Object.assign(handle, { send, attach });
}
markMaker(metrics);

type Instruments = ReturnType<typeof instrumentsOf>;

function instrumentsOf(meter: Meter) {
  const duration = (name: string, description: string, explicitBucketBoundaries = BOUNDARIES) =>
    meter.createHistogram(name, { description, unit: "s", advice: { explicitBucketBoundaries } });
  const count = (name: string, unit: string, description: string) => meter.createCounter(name, { unit, description });
  const level = (name: string, unit: string, description: string) =>
    meter.createObservableUpDownCounter(name, { unit, description });
  return {
    meter,
    handler: duration("catga.handler.duration", "How long handlers ran, behaviors inside of metrics() included"),
    send: duration("catga.send.duration", "How long sends took until their result was there, retries included"),
    lockWait: duration("catga.lock.wait.duration", "How long callers of lock() waited for locks that others held"),
    retries: count("catga.retries", "{attempt}", "Attempts that went on to another node, or to the same one again"),
    bounces: count("catga.bounces", "{frame}", "Frames that reached nobody"),
    malformed: count("catga.malformed", "{message}", "Messages on the subjects of this node that were no frames"),
    transitions: count("catga.breaker.transitions", "{transition}", "Moves of the breakers of the ways to other nodes"),
    disconnects: count("catga.disconnects", "{disconnect}", "Connections to NATS that were lost"),
    dropped: count("catga.events.dropped", "{event}", "Events that found too many waiting for their handlers"),
    stored: count(
      "catga.log.stored",
      "{message}",
      "Durable events and queued commands of this process that the log has",
    ),
    handled: count(
      "catga.log.handled",
      "{message}",
      "Messages that were handled without failing, for each subscription",
    ),
    skipped: count("catga.log.skipped", "{message}", "Messages that a limit has skipped, for each subscription"),
    failures: count("catga.log.failures", "{attempt}", "Attempts to handle a message that failed"),
    deadLetters: count("catga.log.dead_letters", "{message}", "Messages that became dead letters"),
    runs: duration("catga.workflow.duration", "How long runs of workflows took, waiting included", RUN_BOUNDARIES),
    openRuns: level(
      "catga.workflow.open",
      "{run}",
      "Runs of workflows that have not ended, as one of the nodes that handle them has counted them last",
    ),
    stuckRuns: count("catga.workflow.stuck", "{run}", "Runs of workflows that became stuck: somebody has to decide"),
    callbacks: count("catga.callbacks", "{call}", "Calls of this process that were to complete a callback of a run"),
    losses: count(
      "catga.log.losses",
      "{loss}",
      "Losses of a part of the log that a subscription had not handled, or of all of it",
    ),
    nearExpiry: count(
      "catga.log.near_expiry",
      "{warning}",
      "Warnings, at most one an hour, that unhandled messages are soon removed from the log",
    ),
    dead: level("catga.log.dead", "{message}", "Dead letters that wait to be replayed or discarded"),
    retrying: level(
      "catga.log.retrying",
      "{message}",
      "Messages put aside until their next attempt, for a handler, or behind another of their key",
    ),
    open: level("catga.log.open", "{message}", "Messages that were read and are neither handled nor parked"),
    lag: level(
      "catga.log.lag",
      "{message}",
      "Messages of the stream, of up to 512 events each, that a subscription has not read",
    ),
    oldest: meter.createObservableGauge("catga.log.oldest", {
      unit: "s",
      description: "The age of the oldest message that was read and is not handled",
    }),
    stopped: level(
      "catga.log.stopped",
      "{subscription}",
      "Subscriptions that hand nothing out: the log cannot be read, or failed messages cannot be put aside",
    ),
    paused: level("catga.log.paused", "{subscription}", "Subscriptions that an operator has paused"),
    outboxOldest: meter.createObservableGauge("catga.sql.oldest", {
      unit: "s",
      description: "The age of the oldest row of an outbox that the log does not have",
    }),
    outboxRefused: level("catga.sql.refused", "{row}", "Rows of an outbox that the log can never take"),
    outboxStopped: level("catga.sql.stopped", "{outbox}", "Outboxes that are not published until somebody decides"),
    limitRunning: level("catga.log.limit.running", "{message}", "Messages that have a slot of a limit over all nodes"),
    limitWaiting: level("catga.log.limit.waiting", "{message}", "Messages that wait for a limit over all nodes"),
    limitPaused: level("catga.log.limit.paused", "{limit}", "Limits that an operator has paused, or a key of which"),
    inFlight: level(
      "catga.in_flight",
      "{message}",
      "Asynchronous handlers that run, and sends that wait for their answers",
    ),
    alarms: level("catga.alarms", "{alarm}", "Alarms that this node sees"),
    queued: level("catga.queued", "{message}", "Messages of other nodes that wait for their turn"),
    breakersOpen: level("catga.breakers.open", "{node}", "Nodes whose circuit breaker is open or half-open"),
    nodes: meter.createObservableGauge("catga.nodes", {
      unit: "{node}",
      description: "Live nodes that this one knows, itself included",
    }),
  };
}

/**
 * Types of changes of another node after which its circuit breaker is no longer open. `update`: another process has the
 * node's id, or the node is alive again.
 */
const END_BREAKER: ReadonlySet<string> = new Set(["leave", "lost", "update"]);
const NOTHING = { dead: 0, retrying: 0, open: 0, lag: 0, oldest: 0 };

/** Records the gauges and the counters of one app. */
function observeApp(instruments: Instruments, outcomes: Outcomes, app: Catga): Attachment {
  const { meter, alarms, inFlight, queued, breakersOpen, nodes, dead, retrying, open, lag, oldest, stopped, paused } =
    instruments;
  const node = { "catga.node": app.self.id };
  /** Limits of subscriptions that this node has led, by the text of both. */
  const limits = new Map<string, Attributes>();
  const openBreakers = new Set<string>();
  const led = new Set<string>();
  const raised = new Set<string>();
  /** Stores whose outboxes this node has relayed. */
  const relayed = new Set<string>();
  const { openRuns: level, limitRunning, limitWaiting, limitPaused, outboxOldest, outboxRefused, outboxStopped } =
    instruments;
  const openRuns = new OpenRuns(app);
  const ofLog = [dead, retrying, open, lag, oldest, stopped, paused, limitRunning, limitWaiting, limitPaused];
  const ofOutboxes = [outboxOldest, outboxRefused, outboxStopped];
  const gauges = [alarms, inFlight, queued, breakersOpen, nodes, ...ofLog, ...ofOutboxes, level];
  const read = (result: BatchObservableResult) => {
    const health = app.health();
    result.observe(inFlight, health.inFlight, node);
    result.observe(queued, health.queued, node);
    result.observe(breakersOpen, openBreakers.size, node);
    result.observe(nodes, health.nodes, node);
    for (const { workflow, status, count } of openRuns.counts) {
      result.observe(level, count, { ...node, "catga.workflow": workflow, "catga.status": status });
    }
    for (const kind of ALARM_KINDS) {
      const count = health.alarms.filter((alarm) => alarm.kind === kind).length;
      if (count > 0) raised.add(kind);
      // the number 0 is recorded for a kind of alarm that has ended, because an SDK keeps reporting the last value
      if (raised.has(kind)) result.observe(alarms, count, { ...node, "catga.alarm": kind });
    }
    for (const { service, name, state, ...known } of health.subscriptions) {
      const subscription = `${service}/${name}`;
      // only the leader of a subscription knows the values; a node that no longer leads it records 0, because an SDK
      // keeps reporting the last value
      if (state !== "following") led.add(subscription);
      else if (!led.has(subscription)) continue;
      const figures = state === "following" ? NOTHING : known;
      const attributes = { ...node, "catga.subscription": subscription };
      result.observe(dead, figures.dead, attributes);
      result.observe(retrying, figures.retrying, attributes);
      result.observe(open, figures.open, attributes);
      result.observe(lag, figures.lag, attributes);
      result.observe(oldest, figures.oldest / 1_000, attributes);
      for (const limit of known.limits ?? []) {
        limits.set(`${subscription} ${limit.name}`, { ...attributes, "catga.limit": limit.name });
      }
      for (const [text, of] of limits) {
        if (of["catga.subscription"] !== subscription) continue;
        // 0 for a limit that is gone, and once another node leads: an SDK keeps reporting the last value
        const limit = known.limits?.find((each) => `${subscription} ${each.name}` === text);
        result.observe(limitRunning, limit?.running ?? 0, of);
        result.observe(limitWaiting, limit?.waiting ?? 0, of);
        const isPaused = known.overrides?.some(({ limit, paused, keys }) =>
          (paused ?? keys) !== undefined && text.split(" by key")[0] === `${subscription} ${limit}`
        );
        result.observe(limitPaused, isPaused && state !== "following" ? 1 : 0, of);
      }
      result.observe(paused, state === "following" || known.paused === undefined ? 0 : 1, attributes);
      result.observe(stopped, state === "stopped" || state === "stalled" ? 1 : 0, attributes);
    }
    for (const { name, leads, oldest, refused, halted } of health.sql ?? []) {
      // only the node that relays knows the values, which are 0 on the others
      if (leads) relayed.add(name);
      else if (!relayed.has(name)) continue;
      const attributes = { ...node, "catga.store": name };
      result.observe(outboxOldest, oldest / 1_000, attributes);
      result.observe(outboxRefused, refused, attributes);
      result.observe(outboxStopped, halted === undefined ? 0 : 1, attributes);
    }
  };
  meter.addBatchObservableCallback(read, gauges);
  return {
    observe: (seen) => {
      if (seen.type === "breaker" && seen.state !== "closed") openBreakers.add(seen.node);
      else if (seen.type === "breaker") openBreakers.delete(seen.node);
      else if (seen.type === "node" && END_BREAKER.has(seen.change)) openBreakers.delete(seen.node);
      count(instruments, outcomes, seen);
    },
    detach: () => {
      openRuns.close();
      meter.removeBatchObservableCallback(read, gauges);
    },
  };
}

function count(instruments: Instruments, outcomes: Outcomes, seen: Observation): void {
  switch (seen.type) {
    case "retry":
      return instruments.retries.add(1, { "catga.contract": seen.contract, "catga.reason": seen.reason });
    case "bounce":
      return instruments.bounces.add(1);
    case "malformed":
      return instruments.malformed.add(seen.count);
    case "breaker":
      return instruments.transitions.add(1, { "catga.state": seen.state });
    case "connection":
      return seen.state === "disconnected" ? instruments.disconnects.add(1) : undefined;
    case "event-dropped":
      return instruments.dropped.add(seen.count, { "catga.contract": seen.contract });
    case "stored":
      return instruments.stored.add(seen.count, { "catga.contract": seen.contract });
    case "handled":
    case "skipped":
      return instruments[seen.type].add(seen.count, {
        "catga.subscription": seen.subscription,
        "catga.contract": seen.contract,
      });
    case "message-failed":
      return instruments.failures.add(1, failureOf(outcomes, seen));
    case "dead-letter": {
      const attributes = failureOf(outcomes, seen);
      if (seen.attempts > 0) instruments.failures.add(1, attributes); // 0 attempts: the message could not be read
      return instruments.deadLetters.add(1, attributes);
    }
    case "run-ended":
      return instruments.runs.record(seen.ms / 1_000, {
        "catga.workflow": seen.workflow,
        "catga.outcome": seen.code === undefined ? "ok" : outcomes.known(seen.code),
      });
    case "run-stuck":
      return instruments.stuckRuns.add(1, {
        "catga.workflow": seen.workflow,
        "catga.outcome": outcomes.known(seen.code),
      });
    case "callback":
      return instruments.callbacks.add(1, { "catga.outcome": seen.code ?? "ok" });
    case "near-expiry":
      return instruments.nearExpiry.add(1, { "catga.subscription": seen.subscription });
    case "log-lost":
      return instruments.losses.add(1, { "catga.subscription": seen.subscription, "catga.reason": seen.reason });
    case "lock-wait":
      return instruments.lockWait.record(seen.ms / 1_000, { "catga.outcome": seen.code ?? "ok" });
  }
}

function failureOf(
  outcomes: Outcomes,
  { subscription, contract, code }: { readonly subscription: string; readonly contract: string; readonly code: string },
): Record<string, string> {
  return { "catga.subscription": subscription, "catga.contract": contract, "catga.outcome": outcomes.known(code) };
}

/**
 * Outcomes of messages as attributes, limited in number: each outcome makes a series of its own, and other nodes may
 * send any code. Catga's own codes are always kept, because alarms depend on them.
 */
class Outcomes {
  readonly #codes: Set<string> = new Set();

  of(result: Result<unknown>): string {
    return result.ok ? "ok" : this.known(result.error.code);
  }

  /** Returns the code of a failure; for codes beyond the limit, a common code that stands for all of them. */
  known(code: string): string {
    if (isErrorCode(code) || this.#codes.has(code)) return code;
    if (this.#codes.size >= MAX_CODES || !/^[\w.-]{1,64}$/.test(code)) return "_OTHER";
    this.#codes.add(code);
    return code;
  }
}

const MAX_CODES = 100;

/**
 * Boundaries of the buckets of durations, in s: OpenTelemetry's boundaries for messaging, and three lower ones, because
 * a send within a data center is shorter.
 * @decides the bounds of histograms
 */
const BOUNDARIES = [
  ...[0.0005, 0.001, 0.0025],
  ...[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
];

/** Boundaries of the buckets of durations of workflow runs, in s: a run may take weeks. */
const RUN_BOUNDARIES = [0.01, 0.1, 1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800, 2_592_000];
