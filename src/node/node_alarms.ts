/**
 * The alarms that one node can compute without asking others: about its connection, the nodes that it knows, its
 * subscriptions, and its circuit breakers.
 */
import {
  type Alarm,
  alarmsOf,
  declaredName,
  GROWN,
  type Lag,
  lagOf,
  nodeLabel,
  type Observed,
  type ObservedLetters,
  type ObservedMismatch,
  type ObservedRetry,
  type ObservedSettings,
  type ObservedSubscription,
  splitText,
  type UnreadableEntity,
} from "../contract/nodes/alarms.ts";
import type { NodeInfo, SubscriptionHealth } from "../contract/nodes/node_info.ts";
import type { Observation } from "../contract/nodes/observer.ts";
import type { ClusterHealth } from "../dispatch/remote.ts";
import { drivenWorkflow } from "../contract/declaration/workflow.ts";
import { causeText } from "../data/cause_text.ts";
import type { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import { isStoreFull } from "../ports/transport.ts";

/**
 * Collects observations, and returns the alarms that follow from them.
 * @decides the alarms that a node sees by itself
 */
export class NodeAlarms {
  readonly #clock: Clock;
  readonly #label: string;
  readonly #nodes: () => readonly NodeInfo[];
  #alarms: readonly Alarm[] = [];
  #disconnected: { readonly since: number } | undefined;
  readonly #breakers = new Map<string, number>();
  /** By label of a subscription that has stopped: the reason, and since when. */
  readonly #stopped = new Map<string, { readonly why: string; readonly since: number }>();
  readonly #letters = new Map<string, ObservedLetters>();
  readonly #runs = new Map<string, NonNullable<Observed["runs"]>[number]>();
  /** Runs of which a step failed and is tried again, by workflow and run, with the time by which that has begun. */
  readonly #retried = new Map<string, { readonly retry: ObservedRetry; readonly until: number }>();
  /** Entities that this node could not read, by type and id. */
  readonly #unreadable = new Map<string, UnreadableEntity>();
  readonly #streams = new Map<string, { readonly bytes: number; readonly limit: number }>();
  readonly #settings = new Map<string, ObservedSettings>();
  /** The alarm about a NATS store without room, and the time at which the store refused the last write. */
  #full: { readonly alarm: Alarm; readonly at: number } | undefined;
  /** The alarm about a namespace in two JetStream domains, and the time at which that was last noticed. */
  #split: { readonly alarm: Alarm; readonly at: number } | undefined;
  readonly #seen = new Map<string, NodeInfo>();
  /** Nodes that died, by id, and when this node noticed each death. */
  readonly #dead = new Map<string, { readonly info: NodeInfo; readonly since: number }>();
  /** By contract: the last node with a handler that died, and when it died. */
  readonly #lastHandlers = new Map<string, { readonly label: string; readonly since: number }>();
  /**
   * By label of a subscription: its last counted number of unread messages, and how many times in a row that number has
   * grown; compared every 10 s.
   */
  readonly #lags = new Map<string, Lag>();

  /** `self`: this node; `nodes`: returns the nodes that are alive. */
  constructor(clock: Clock, self: Pick<NodeInfo, "id" | "service">, nodes: () => readonly NodeInfo[]) {
    this.#clock = clock;
    this.#label = nodeLabel(self);
    this.#nodes = nodes;
  }

  /** Takes an observation of the app, from which alarms may follow. */
  take(seen: Observation): void {
    const now = this.#clock.now();
    switch (seen.type) {
      case "connection":
        this.#disconnected = seen.state === "connected" ? undefined : this.#disconnected ?? { since: now };
        return;
      case "breaker":
        if (seen.state === "closed") this.#breakers.delete(seen.node);
        else if (!this.#breakers.has(seen.node)) this.#breakers.set(seen.node, now);
        return;
      case "node":
        return this.#noteChange(seen.change, seen.node, now);
      case "subscription":
        if (seen.state === "stopped") {
          const since = this.#stopped.get(seen.subscription)?.since ?? now;
          this.#stopped.set(seen.subscription, { why: seen.reason ?? "it gave no reason", since });
        } else if (seen.state !== "waiting" && seen.state !== "paused") this.#stopped.delete(seen.subscription);
        return;
      case "dead-letter":
        return this.#noteDeadLetter(seen, now);
      case "fault":
        return this.#noteFault(seen.error as Error, now);
      case "split":
        return this.#noteSplit(seen, now);
      case "log-filling":
        return void this.#streams.set(seen.stream, { bytes: seen.bytes, limit: seen.maxBytes });
      case "settings": {
        const { stream, reason, removed } = seen;
        if (reason === undefined) return void this.#settings.delete(stream);
        const since = this.#settings.get(stream)?.since ?? now;
        return void this.#settings.set(stream, { stream, reason, removed, since });
      }
      case "loop-blocked":
        return void (this.#blocked = { node: this.#label, contract: seen.contract, ms: seen.ms, since: now });
      case "entity-unreadable": {
        const { entity, id, message: why } = seen;
        const key = `${entity} ${id}`;
        const known = this.#unreadable.get(key);
        if (known === undefined && this.#unreadable.size >= MAX_OBSERVATIONS) return;
        return void this.#unreadable.set(key, { entity, id, since: known?.since ?? now, why });
      }
      case "entity-readable":
        return void this.#unreadable.delete(`${seen.entity} ${seen.id}`);
      case "run-failed": {
        const { workflow, run, code, message, pause, error } = seen;
        const cause = error === undefined ? undefined : causeText(error);
        const retry = { about: `workflow ${workflow}`, count: 1, code, message, cause };
        if (this.#retried.size < MAX_OBSERVATIONS) {
          this.#retried.set(`${workflow} ${run}`, { retry, until: now + pause + ATTEMPT });
        }
        return;
      }
      case "run-ended":
        return void this.#retried.delete(`${seen.workflow} ${seen.run}`);
      case "run-resumed":
        return void this.#runs.delete(`${seen.workflow} ${seen.run}`);
      case "run-stuck": {
        const { workflow, run, code, message, cause } = seen;
        const why = `${code}: ${message}`;
        this.#retried.delete(`${workflow} ${run}`);
        if (this.#runs.size < MAX_OBSERVATIONS) {
          this.#runs.set(`${workflow} ${run}`, { workflow, run, since: now, why, cause });
        }
        return;
      }
    }
  }

  /** The last standstill of this node's event loop. */
  #blocked: Observed["blocked"];

  /** Entities that this node could not read. */
  get unreadable(): readonly UnreadableEntity[] {
    return [...this.#unreadable.values()];
  }

  /**
   * Returns the current alarms. `subscriptions`: their state; `backlog`: messages of other nodes that wait on this node
   * for handlers; `stores`: the databases that this node serves.
   */
  alarms(
    subscriptions: readonly SubscriptionHealth[],
    backlog?: ClusterHealth["backlog"],
    mismatches: readonly ObservedMismatch[] = [],
    stores: Observed["stores"] = [],
  ): readonly Alarm[] {
    const now = this.#clock.now();
    const nodes = this.#liveNodes();
    for (const [id, { info, since }] of this.#dead) {
      const { service, lastSeen } = info;
      const replaced = nodes.some((node) => node.service === service && node.startedAt > lastSeen);
      if (replaced || now - since > ALARM_LIFETIME) this.#dead.delete(id);
    }
    // this set is rarely needed, so it is made only then: with 50 nodes of 100 contracts, making it takes longer than
    // the rest of an answer to the dashboard
    const handled = this.#lastHandlers.size === 0 ? undefined : new Set(nodes.flatMap(({ handles }) => handles));
    for (const [name, { since }] of this.#lastHandlers) {
      if (handled?.has(name) || now - since > ALARM_LIFETIME) this.#lastHandlers.delete(name);
    }
    if (this.#blocked !== undefined && now - this.#blocked.since > ALARM_LIFETIME) this.#blocked = undefined;
    if (this.#full !== undefined && now - this.#full.at > FULL_ALARM_LIFETIME) this.#full = undefined;
    if (this.#split !== undefined && now - this.#split.at > SPLIT_ALARM_LIFETIME) this.#split = undefined;
    return this.#alarms = alarmsOf({
      now,
      disconnected: this.#disconnected,
      nodes: [...this.#dead.values()].map(({ info, since }) => ({ label: nodeLabel(info), state: "gone", since })),
      contracts: [
        ...[...this.#lastHandlers].map(([name, { label, since }]) => ({ ...UNHANDLED, name, last: [label], since })),
        ...subscriptions.flatMap(({ unhandled = {} }) => Object.entries(unhandled)).map(([name, waiting]) => {
          return { ...UNHANDLED, name, waiting };
        }),
      ],
      subscriptions: subscriptions.map((each) => this.#subscription(each)),
      letters: this.#lettersOf(subscriptions),
      retrying: [...subscriptions.flatMap((each) => retriesOf(each, now)), ...this.#failedRuns(now)],
      streams: [...this.#streams].map(([name, { bytes, limit }]) => ({ name, bytes, limit, replicas: 1, missing: [] })),
      others: [this.#full, this.#split].flatMap((each) => each === undefined ? [] : [each.alarm]),
      settings: [...this.#settings.values()],
      breakers: [...this.#breakers].map(([id, since]) => {
        const info = this.#seen.get(id);
        return { node: info === undefined ? id : nodeLabel(info), since };
      }),
      runs: [...this.#runs.values()],
      entities: this.unreadable,
      blocked: this.#blocked,
      stores,
      mismatches: mismatches.map((each) => ({ ...each, sender: this.#label })),
      backlog: this.#backlog(backlog, now - this.#clock.monotonic()),
    }, this.#alarms);
  }

  /** Returns the runs that wait for the next attempt of a step, those of one workflow together. */
  #failedRuns(now: number): readonly ObservedRetry[] {
    for (const [run, { until }] of this.#retried) if (now > until) this.#retried.delete(run);
    const all = [...this.#retried.values()].map(({ retry }) => retry);
    return [...Map.groupBy(all, ({ about }) => about).values()].map((own) => ({ ...own[0], count: own.length }));
  }

  /**
   * Makes the observation about waiting messages. `epoch`: the time at which the monotonic clock began, in ms since
   * 1970.
   */
  #backlog(backlog: ClusterHealth["backlog"], epoch: number): Observed["backlog"] {
    if (backlog === undefined) return undefined;
    return { node: this.#label, ...backlog, since: epoch + backlog.since, freed: epoch + backlog.endedAt };
  }

  #noteFault(error: Error, now: number): void {
    if (!isStoreFull(error)) return;
    const file = ((error as CatgaError).details as { readonly file?: unknown } | undefined)?.file;
    const about = typeof file === "string" ? file : "NATS";
    const message = `The store ${about === "NATS" ? "of NATS" : about} is full: nothing more is stored.`;
    const what = { kind: "store-full", about, severity: "error", count: 1, docs: "" } as const;
    this.#full = { alarm: { ...what, message, cause: error.message, since: this.#full?.alarm.since ?? now }, at: now };
  }

  #noteSplit({ namespace: about, own, other }: Extract<Observation, { type: "split" }>, now: number): void {
    const message = splitText(about, own, other);
    const what = { kind: "namespace-split", about, severity: "error", count: 2, message, docs: "" } as const;
    this.#split = { alarm: { ...what, since: this.#split?.alarm.since ?? now }, at: now };
  }

  #noteChange(change: string, id: string, now: number): void {
    // a node that is updated has not left: another process has taken its id, or the node is alive again
    const left = change === "leave" || change === "lost";
    if (left || change === "update") this.#breakers.delete(id);
    if (change === "join" && this.#dead.size > 0) {
      const service = this.#liveNodes().find((node) => node.id === id)?.service;
      for (const [gone, { info }] of this.#dead) if (info.service === service) this.#dead.delete(gone);
    }
    if (change === "suspect") this.#liveNodes(); // remembers the node, which will not be in the list when it leaves
    if (!left) return;
    const info = this.#seen.get(id);
    this.#seen.delete(id);
    if (info === undefined) return;
    if (change === "lost" && this.#dead.size < MAX_OBSERVATIONS) this.#dead.set(id, { info, since: now });
    for (const name of info.handles) {
      if (change === "leave") this.#lastHandlers.delete(name); // an orderly shutdown, no death
      else if (this.#lastHandlers.size < MAX_OBSERVATIONS) {
        this.#lastHandlers.set(name, { label: nodeLabel(info), since: now });
      }
    }
  }

  /** Returns the nodes that are alive, and remembers them, so that an alarm can name a node that dies later. */
  #liveNodes(): readonly NodeInfo[] {
    const nodes = this.#nodes();
    for (const info of nodes) this.#seen.set(info.id, info);
    return nodes;
  }

  #subscription(health: SubscriptionHealth): ObservedSubscription {
    const { service, name, state, error, lag, open, ends, retrying, lastFailure, hanging, awaiting, paused } = health;
    const { limits, overrides } = health;
    const label = `${service}/${name}`;
    const stopped = this.#stopped.get(label);
    const why = state === "stalled"
      ? `${error?.code}: ${error?.message}`
      : stopped?.why ?? "failed messages find no room";
    return {
      label,
      lag,
      ends,
      ...{ hanging, awaiting, paused, limits, overrides, open: open + retrying },
      ...(READ_MODEL_STATES.has(state) && lastFailure !== undefined
        ? { failing: { ...lastFailure, count: retrying } }
        : {}),
      growing: this.#isGrowing(label, lag, this.#clock.now()),
      ...(state === "stalled" || state === "stopped" ? { stopped: why, since: stopped?.since } : {}),
      cause: lastFailure === undefined
        ? undefined
        : `${lastFailure.code}: ${lastFailure.message}\n${lastFailure.cause ?? ""}`,
    };
  }

  #isGrowing(label: string, lag: number, now: number): boolean {
    const known = this.#lags.get(label);
    const next = lagOf(known, lag, now);
    if (next !== known) this.#lags.set(label, next);
    return next.grown >= GROWN;
  }

  /** Returns the dead letters that have been noticed and still exist. */
  #lettersOf(subscriptions: readonly SubscriptionHealth[]): ObservedLetters[] {
    const dead = new Map(subscriptions.map(({ service, name, dead }) => [`${service}/${name}`, dead]));
    const letters: ObservedLetters[] = [];
    for (const [key, group] of this.#letters) {
      const left = dead.get(group.subscription) ?? 0;
      if (left === 0) this.#letters.delete(key);
      else letters.push({ ...group, count: Math.min(left, group.count) });
    }
    return letters;
  }

  #noteDeadLetter(seen: Extract<Observation, { type: "dead-letter" }>, now: number): void {
    const { subscription, contract, code, message, cause } = seen;
    const key = `${subscription} ${contract} ${code}`;
    const known = this.#letters.get(key);
    if (known === undefined && this.#letters.size >= MAX_OBSERVATIONS) return;
    const { count, first } = known ?? { count: 0, first: now };
    const failure = `${code}: ${message}`;
    // for an error that a handler threw, the text contains neither the failure's message, which differs from message to
    // message, nor the thrown error, which not everybody who reads alarms may see
    const why = code === "HANDLER_FAILED" ? "its handler or a behavior threw" : failure;
    const group = { subscription, contract, code, why, cause: cause ?? failure };
    this.#letters.set(key, { ...group, count: count + 1, first, last: now });
  }
}

/** States of subscriptions that are read models. */
const READ_MODEL_STATES: ReadonlySet<string> = new Set(["catching up", "caught up"]);
const UNHANDLED = Object.freeze({ handlers: 0, last: [], waiting: 0, wanted: false });
/**
 * How long the alarm about a full store lasts after a refused write, in ms: while the store is full, a node tries to
 * write its record within 7 s.
 */
const FULL_ALARM_LIFETIME = 15_000;
/** How long the alarm about a split namespace lasts after it was noticed, in ms: nodes look once a minute. */
const SPLIT_ALARM_LIFETIME = 150_000;
/** How long an alarm lasts whose cause was observed once, in ms. */
const ALARM_LIFETIME = 15 * 60_000;
const MAX_OBSERVATIONS = 1_000;

/** Returns the messages of a subscription that this node leads, and that wait for their next attempt. */
function retriesOf(health: SubscriptionHealth, now: number): readonly ObservedRetry[] {
  const { service, name, state, open, retrying, dead, lastFailure, unhandled = {}, awaiting, hanging } = health;
  // a message is parked only if its pause is long; of the open ones, it is not known which have failed. With dead
  // letters, the last failure may be that of one, and there is an alarm about them
  const inMemory = open > 0 && dead === 0 && lastFailure !== undefined && now - lastFailure.at < UNPARKED ? 1 : 0;
  // messages that wait for a node, or for another version, have alarms of their own
  const count = Math.max(inMemory, retrying) -
    Object.values(unhandled).reduce((sum, each) => sum + each, awaiting?.count ?? 0);
  if (count <= 0 || lastFailure === undefined || hanging !== undefined || READ_MODEL_STATES.has(state)) return [];
  const { contract, code, message, cause } = lastFailure;
  if (drivenWorkflow(contract) !== undefined) return []; // `run-failed` reports failures of runs
  return [{ about: declaredName(contract), subscription: `${service}/${name}`, count, code, message, cause }];
}

/** Time after its failure in which an open message may still wait in memory for its next attempt, in ms. */
const UNPARKED = 10_000;
/** Time for which the next attempt of a step may take until the alarm about its last failure ends, in ms. */
const ATTEMPT = 30_000;
