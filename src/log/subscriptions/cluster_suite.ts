/**
 * A cluster for the tests of this folder: nodes with real subscriptions around one log in memory, each with a small
 * worker in place of the real one.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { NodeInfo, SubscriptionHealth } from "../../contract/nodes/node_info.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { SubscriptionSettings } from "../../contract/declaration/handler.ts";
import { announcement, COMMANDS } from "../../contract/nodes/announcement.ts";
import type { SendOptions } from "../../contract/calls/send_options.ts";
import { CatgaError, type ErrorCode } from "../../error.ts";
import { weight } from "../../data/rendezvous_hash.ts";
import type { Faults } from "../../memory/faults.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { delay } from "../../ports/clock.ts";
import { groupText, itemText } from "../format/group.ts";
import { Administration } from "../administration/administration.ts";
import {
  type Commit,
  type Head,
  messageId,
  type ParkedState,
  readCommit,
  stateOf,
  type StoredState,
  writeCommit,
} from "../format/commit.ts";
import { categorySubject, commitSubject, logSubjects, requestSubject, subscriptionKey } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { streamOptions } from "../format/streams.ts";
import { type SubscriptionRequest, writeRequest } from "../format/subscription_request.ts";
import type { RunAnswer, RunRequest } from "../format/run_request.ts";
import type { LogHost } from "../log_host.ts";
import { Subscriptions } from "./subscriptions.ts";

/** One run of a message by a node's handler. */
export interface Run {
  readonly node: string;
  readonly category: string;
  readonly id: string;
  readonly key: string | null;
  readonly payload: unknown;
  readonly position: number;
  readonly attempt: number;
  readonly token: number;
}

/** Options of {@link Cluster.node}. */
export interface NodeOptions {
  readonly service?: string;
  /** Contracts that the node handles, by subscription; each with the settings in which it differs from the defaults. */
  readonly handles: Readonly<Record<string, Readonly<Record<string, Partial<SubscriptionSettings>>>>>;
  readonly commands?: readonly string[];
  /** Runs a message. Returns 0, or how the message failed. */
  readonly run?: (run: Run) => Promise<RunAnswer> | RunAnswer;
  readonly timeout?: number;
  readonly mostParked?: number;
}

const NAMESPACE = "test";

/** A cluster of nodes around one log in memory. */
export class Cluster {
  readonly clock = new VirtualClock();
  readonly network: MemoryNetwork;
  readonly nodes: Node[] = [];
  /** All runs of messages that have begun, in order. */
  readonly runs: Run[] = [];
  /** All runs of messages that have ended, in order. */
  readonly ends: Run[] = [];
  readonly seen: Observation[] = [];
  /**
   * Called at each request to a node. If it returns an error code, the request fails with it instead of reaching the
   * node.
   */
  intercept: ((node: string, contract: AnyContract, payload: unknown) => ErrorCode | undefined) | undefined;
  /** Called before each append to the stream of subscriptions' states; a promise delays it, as a slow store does. */
  mayStore: (subject: string) => Promise<void> | undefined = () => undefined;
  /** Called when an append to that stream is stored; a promise delays its acknowledgement, as a slow link does. */
  mayAcknowledge: (subject: string) => Promise<void> | undefined = () => undefined;
  /** Called before the last message of a subject of subscriptions' states is read; what it throws fails the read. */
  mayRead: (subject: string) => void = () => {};
  /** Answers whether a process has certainly ended, in place of the nodes that know at once; `undefined`: does not. */
  gone: (endpoint: string) => Promise<boolean> | undefined = () => undefined;
  /** Called for a command whose recorded failure is to be removed. */
  forgetFailure: () => Promise<void> = () => Promise.resolve();
  /** Time by which the server's clock is ahead of the nodes' clocks, in ms. */
  skew = 0;
  #stream: LogStream | undefined;
  #kept: LogStream | undefined;
  #observer: ReturnType<MemoryNetwork["connect"]> | undefined;
  #first = 0;
  #messages = 0;
  readonly #faulty: boolean;

  constructor(seed = 1, faults?: Faults) {
    this.network = new MemoryNetwork({ clock: this.clock, seed, faults });
    this.#faulty = faults !== undefined;
  }

  /** Calls `action` until it succeeds, while virtual time passes. */
  async again<T>(action: () => Promise<T>): Promise<T> {
    for (let tries = 0;; tries++) {
      try {
        return await this.clock.until(action());
      } catch (error) {
        if (tries > 100) throw error;
        await this.clock.advance(100);
      }
    }
  }

  /** Opens the stream of the log, over a connection of its own. */
  async stream(): Promise<LogStream> {
    const { log } = this.#observer ??= this.network.connect();
    const options = { subjects: logSubjects(NAMESPACE), replicas: 1, schedules: true };
    return this.#stream ??= await this.again(() => log.open(streamName(NAMESPACE, "log"), options));
  }

  /** Opens the stream in which the state of subscriptions is stored, over a connection of its own. */
  async kept(): Promise<LogStream> {
    const { log } = this.#observer ??= this.network.connect();
    const [name, options] = [streamName(NAMESPACE, "subscriptions"), streamOptions(NAMESPACE, "subscriptions", 1)];
    return this.#kept ??= await this.again(() => log.open(name, options));
  }

  /** Makes the operators' view of the log, from a process that leads no subscription. */
  async administration(): Promise<Administration> {
    const [stream, kept] = [await this.stream(), await this.kept()];
    return new Administration({
      namespace: NAMESPACE,
      clock: this.clock,
      network: { maxPayload: 1_048_576 },
      stream: () => Promise.resolve(stream),
      kept: () => Promise.resolve(kept),
      nodes: () => this.nodes.filter(({ alive }) => alive).map(({ info }) => info),
    });
  }

  /** Reads the stored state of a subscription. */
  async state(name: string, service = "shop"): Promise<StoredState | undefined> {
    return stateOf((await this.commits(name, service)).flatMap((commit) => typeof commit === "string" ? [] : [commit]));
  }

  /** Reads the stored state of a subscription, without its parked messages. */
  async record(name: string, service = "shop"): Promise<Head | undefined> {
    return (await this.state(name, service))?.head;
  }

  /** Reads the commits of a subscription; a string stands for one that is invalid. */
  async commits(name: string, service = "shop"): Promise<(Commit | string)[]> {
    const kept = await this.kept();
    const subject = commitSubject(NAMESPACE, subscriptionKey(service, name));
    const commits: (Commit | string)[] = [];
    for (let from = 0;;) {
      const messages = await this.again(() => kept.read(subject, { from }));
      if (messages.length === 0) return commits;
      for (const { data } of messages) commits.push(readCommit(new TextDecoder().decode(data)));
      from = messages.at(-1)!.sequence + 1;
    }
  }

  /** Stores one message with these events, each with its payload and key. Resolves with the message's sequence. */
  async publish(category: string, events: readonly (readonly [payload: unknown, key?: string])[]): Promise<number> {
    const items = events.map(([payload, key]) =>
      itemText({ text: JSON.stringify(payload), key, id: undefined, meta: undefined })
    );
    const head = { endpoint: "p.1", first: this.#first, sentAt: 0, keep: undefined, schedule: undefined };
    this.#first += events.length;
    return await this.append(category, groupText(head, items.join(",")));
  }

  /** Like {@link Cluster.publish}, but does not move the virtual time: the test does. */
  async publishNow(category: string, events: readonly (readonly [payload: unknown, key?: string])[]): Promise<void> {
    const items = events.map(([payload, key]) =>
      itemText({ text: JSON.stringify(payload), key, id: undefined, meta: undefined })
    );
    const head = { endpoint: "p.1", first: this.#first, sentAt: 0, keep: undefined, schedule: undefined };
    this.#first += events.length;
    await this.#stream!.append(categorySubject(NAMESPACE, category), groupText(head, items.join(",")), {
      timeout: 5_000,
    });
  }

  async append(category: string, text: string): Promise<number> {
    const stream = await this.stream();
    const id = `m${this.#messages++}`;
    for (;;) {
      const appended = await this.clock.until(
        stream.append(categorySubject(NAMESPACE, category), text, { timeout: 5_000, id }),
        600_000,
      );
      if (appended.type === "stored") return appended.sequence;
      await this.clock.advance(100);
    }
  }

  /** Starts a node. Resolves when the node's subscriptions have begun. */
  async node(id: string, options: NodeOptions, wait = true): Promise<Node> {
    const node = new Node(this, id, options);
    this.nodes.push(node);
    this.changed();
    const started = node.start();
    // if a node cannot start, another node is started in its place
    if (wait) {
      try {
        await this.clock.until(started);
      } catch (error) {
        if (!this.#faulty) throw error;
        node.kill();
        return await this.node(`${id}x`, options);
      }
    }
    return node;
  }

  /** Waits until a node leads the subscription, and returns the node. */
  async leader(name: string): Promise<Node> {
    const find = () => this.nodes.find((node) => node.alive && node.leads(name));
    await this.until(`${name} is led`, () => find() !== undefined);
    return find()!;
  }

  /** Stores a commit that says that the node with this id leads, without the node's knowledge. */
  async take(name: string, id: string): Promise<void> {
    await this.change(name, (head) => ({ ...head, leader: `${id}.1`, token: head.token + 10_000 }));
  }

  /** Opens the log's stream again, after it was lost. */
  async reopen(): Promise<void> {
    this.#stream = undefined;
    await this.stream();
  }

  /** Stores a commit behind the last one, as another leader would, with a changed state. */
  async change(name: string, change: (head: Head) => Head, parked: readonly ParkedState[] = []): Promise<void> {
    const kept = await this.kept();
    const subject = commitSubject(NAMESPACE, subscriptionKey("shop", name));
    for (;;) {
      const found = await this.again(() => kept.last(subject, { latest: true }));
      const commit = readCommit(new TextDecoder().decode(found!.data)) as Commit;
      const { id: prev, base, counts } = commit;
      const next = { id: [`t${this.#messages++}`, 1] as const, prev, full: false, base, parked, ended: [], counts };
      const text = writeCommit({ ...next, head: change(commit.head) });
      const appended = await this.clock.until(kept.append(subject, text, { timeout: 5_000, expect: found!.sequence }));
      if (appended.type === "stored") return;
    }
  }

  /** Stores a request to a subscription's leader. */
  async request(name: string, request: SubscriptionRequest): Promise<void> {
    const kept = await this.kept();
    const subject = requestSubject(NAMESPACE, subscriptionKey("shop", name), `t${this.#messages++}`);
    await this.clock.until(kept.append(subject, writeRequest(request), { timeout: 5_000 }));
  }

  /** Stores a commit with changed states of the parked messages, as another leader would. */
  async park(name: string, change: (state: ParkedState) => ParkedState): Promise<void> {
    const state = await this.state(name);
    const parked = [...state!.parked.values()].map(change);
    await this.change(name, (head) => head, parked);
  }

  /** Returns the number of observations of a type. */
  count(type: Observation["type"]): number {
    return this.seen.filter((seen) => seen.type === type).length;
  }

  /** Returns how many times the observers got an observation that a subscription is in this state. */
  states(state: string): number {
    return this.seen.filter((seen) => seen.type === "subscription" && seen.state === state).length;
  }

  changed(): void {
    for (const node of this.nodes) for (const listener of node.listeners) listener();
  }

  /** Lets time pass until a condition is true. */
  async until(what: string, holds: () => boolean | Promise<boolean>, limit = 120_000): Promise<void> {
    for (let passed = 0; !await holds(); passed += 20) {
      if (passed > limit) throw new Error(`${what}: not within ${limit} ms`);
      await this.clock.advance(20);
    }
  }

  /** Returns the payloads of the messages whose handlers have returned, in order; `key`: only those of one key. */
  payloads(key?: string): unknown[] {
    return this.ends.filter((run) => key === undefined || run.key === key).map(({ payload }) => payload);
  }

  close(): void {
    for (const node of this.nodes) node.subscriptions?.close();
  }
}

/** Returns `count` events numbered from `from`, distributed over some keys. */
export function events(count: number, keys: number, from = 0): [number, string][] {
  return Array.from({ length: count }, (_, i) => [from + i, `k${(from + i) % keys}`]);
}

/** Returns the numbers of the events of one key, in order. */
export function ofKey(count: number, keys: number, key: number): number[] {
  return Array.from({ length: count }, (_, i) => i).filter((i) => i % keys === key);
}

/**
 * Throws unless all wanted numbers were handled: each number in order when it is handled for the first time, and after
 * a repeated number all numbers behind it again.
 */
export function inOrder(handled: readonly unknown[], wanted: readonly number[]): void {
  let next = 0;
  for (const each of handled) {
    const at = wanted.indexOf(each as number);
    if (at < 0 || at > next) throw new Error(`${each} came where ${wanted[next]} was due`);
    next = at + 1;
  }
  if (next !== wanted.length) throw new Error(`${handled.at(-1)} was the last, not ${wanted.at(-1)}`);
}

/** A node of the cluster: its subscriptions, and a small worker that runs messages. */
export class Node {
  readonly id: string;
  readonly endpoint: string;
  readonly listeners = new Set<() => void>();
  readonly info: NodeInfo;
  subscriptions: Subscriptions | undefined;
  alive = true;
  /** While true, the node neither runs messages nor answers: it is suspect, but not gone. */
  frozen = false;
  readonly running = new Map<string, Promise<RunAnswer>>();
  readonly tokens = new Map<string, number>();
  readonly options: NodeOptions;
  readonly #cluster: Cluster;
  readonly #died = Promise.withResolvers<void>();

  constructor(cluster: Cluster, id: string, options: NodeOptions) {
    this.#cluster = cluster;
    this.id = id;
    const starts = cluster.nodes.filter((node) => node.id === id).length;
    this.endpoint = `${id}.${starts + 1}`;
    this.options = options;
    const subscriptions = [
      ...Object.entries(options.handles).flatMap(([name, categories]) =>
        Object.entries(categories).map(([category, settings]) =>
          announcement(this.service, name, category, settingsOf({ name, ...settings }))
        )
      ),
      ...(options.commands ?? []).map((name) => announcement(COMMANDS, name, name)),
    ];
    this.info = {
      id,
      endpoint: this.endpoint,
      service: this.service,
      handles: [],
      subscriptions: subscriptions.sort(),
      startedAt: 0,
      lastSeen: 0,
      metadata: {},
      load: { inFlight: 0, queued: 0 },
      server: "",
      protocol: 1,
      version: "0",
    };
  }

  get service(): string {
    return this.options.service ?? "shop";
  }

  leads(name: string): boolean {
    return this.state(name) !== undefined;
  }

  /** Returns the health of a subscription that this node leads. */
  state(name: string): SubscriptionHealth | undefined {
    return this.#led.find((each) => each.name === name);
  }

  /** Number of subscriptions that this node leads. */
  get led(): number {
    return this.#led.length;
  }

  get #led(): readonly SubscriptionHealth[] {
    return this.subscriptions?.health.filter((each) => each.state !== "following") ?? [];
  }

  async start(): Promise<void> {
    const { clock, network } = this.#cluster;
    const connection = network.connect();
    const { log } = connection;
    const [kept, opened] = await Promise.all([
      log.open(streamName(NAMESPACE, "subscriptions"), streamOptions(NAMESPACE, "subscriptions", 1)),
      log.open(streamName(NAMESPACE, "log"), { subjects: logSubjects(NAMESPACE), replicas: 1, schedules: true }),
    ]);
    const cluster = this.#cluster;
    const append = kept.append.bind(kept);
    kept.append = async (subject, ...rest) => {
      await cluster.mayStore(subject);
      const appended = await append(subject, ...rest);
      await cluster.mayAcknowledge(subject);
      return appended;
    };
    const last = kept.last.bind(kept);
    kept.last = async (subject, ...rest) => {
      cluster.mayRead(subject);
      return await last(subject, ...rest);
    };
    const stream: LogStream = {
      name: opened.name,
      abilities: opened.abilities,
      get serverTime() {
        return opened.serverTime + cluster.skew;
      },
      get latestServerTime() {
        return opened.latestServerTime + cluster.skew;
      },
      measureTime: () => opened.measureTime(),
      append: (...args) => opened.append(...args),
      appendNext: (...args) => opened.appendNext(...args),
      state: () => opened.state(),
      follow: (options) => opened.follow(options),
      last: (...args) => opened.last(...args),
      at: (sequence) => opened.at(sequence),
      read: (...args) => opened.read(...args),
      subjects: (pattern) => opened.subjects(pattern),
      lasts: (...args) => opened.lasts(...args),
      purge: (...args) => opened.purge(...args),
      onDoubt: (listener) => opened.onDoubt(listener),
    };
    // deno-lint-ignore no-this-alias
    const node = this;
    const isAlive = (endpoint: string) => this.#cluster.nodes.some((each) => each.endpoint === endpoint && each.alive);
    const host: LogHost = {
      namespace: NAMESPACE,
      service: this.service,
      node: this.id,
      endpoint: this.endpoint,
      replicas: 1,
      network: { maxPayload: 1_048_576 },
      timeout: this.options.timeout ?? 30_000,
      clock,
      random: network.random,
      observer: (seen) => this.#cluster.seen.push(seen),
      hooks: { watched: true },
      causes: true,
      log,
      get connected() {
        return node.alive;
      },
      app: {
        nodes: () => this.#cluster.nodes.filter(({ alive }) => alive).map(({ info }) => info),
        onNodes: (listener) => {
          this.listeners.add(listener);
          return () => this.listeners.delete(listener);
        },
        lost() {},
        gone: (endpoint) => this.#cluster.gone(endpoint) ?? Promise.resolve(!isAlive(endpoint)),
        absent: (endpoint) => isAlive(endpoint) ? 0 : Infinity,
        sendInternal: (contract, payload, options) => this.#send(contract, payload, options),
        handOut: (contract, payload, options, caller) => {
          this.#send(contract, payload, options, caller).then((result) => caller.resolve(result));
        },
      },
      shapeAt: () => undefined,
      shapeOf: () => undefined,
      forgetFailure: () => this.#cluster.forgetFailure(),
    };
    const handlers = [
      ...Object.entries(this.options.handles).flatMap(([name, categories]) =>
        Object.entries(categories).map(([category, settings]) => ({
          contract: { kind: "event", name: category, options: { durable: true } } as AnyContract,
          settings: settingsOf({ name, ...settings }),
        }))
      ),
      ...(this.options.commands ?? []).map((name) => ({
        contract: { kind: "command", name, options: { durable: true } } as AnyContract,
        settings: settingsOf({ name }),
      })),
    ];
    const { mostParked } = this.options;
    this.subscriptions = new Subscriptions({ host, kept, sources: [{ stream, handlers }], mostParked });
    await this.subscriptions.start();
  }

  /** Kills the node: its running messages get no answer. */
  kill(): void {
    this.alive = false;
    this.subscriptions?.close();
    this.#died.resolve();
    this.#cluster.changed();
  }

  async #send(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    sent?: { endpoint: string },
  ): Promise<Result<unknown>> {
    const { clock, nodes, intercept } = this.#cluster;
    await new Promise<void>((resolve) => clock.after(1, resolve));
    const [, subscription, category] = contract.name.split("/");
    const able = nodes.filter(({ alive, options: { handles, commands = [] } }) =>
      alive &&
      (category === undefined
        ? handles[subscription] !== undefined || commands.includes(subscription)
        : handles[subscription]?.[category] !== undefined || commands.includes(category))
    ).filter(({ id, frozen }) => options.node === undefined ? !frozen : options.node === id);
    const chosen = options.key === undefined
      ? able.sort((a, b) => a.running.size - b.running.size)[0]
      : able.sort((a, b) => weight(options.key!, b.id) - weight(options.key!, a.id))[0];
    const failure = (code: ErrorCode): Result<unknown> => ({
      ok: false,
      error: new CatgaError(code, `${code} of the test`, { node: chosen?.id }),
    });
    if (chosen === undefined) return failure("NO_HANDLER");
    if (sent !== undefined) sent.endpoint = chosen.endpoint;
    const intercepted = intercept?.(chosen.id, contract, payload);
    if (intercepted !== undefined) return failure(intercepted);
    // a live node reports that its handler did not end in time; a frozen one answers nothing
    const late = delay(clock, options.timeout ?? 30_000).then(() =>
      failure(chosen.frozen ? "OUTCOME_UNKNOWN" : "TIMEOUT")
    );
    const died = chosen.#died.promise.then(() => delay(clock, 250)).then(() => failure("OUTCOME_UNKNOWN"));
    if (chosen.frozen) return await Promise.race([late, died]);
    const answer = chosen.#take(contract.name, payload).then((value): Result<unknown> => ({ ok: true, value }));
    return await Promise.race([answer, late, died]);
  }

  #take(contract: string, payload: unknown): Promise<unknown> {
    const [, subscription, category] = contract.split("/");
    const known = this.tokens.get(subscription) ?? 0;
    if (category === undefined) {
      const [, token] = payload as [string, number];
      this.tokens.set(subscription, Math.max(known, token));
      const running = [...this.running.keys()].filter((key) => key.startsWith(`${subscription}/`))
        .map((key) => key.slice(subscription.length + 1));
      return Promise.resolve({ running, ended: [], finished: [] });
    }
    const [token, position, attempt, id, key, its, , time] = payload as RunRequest;
    if (token < known) return Promise.resolve(1);
    this.tokens.set(subscription, token);
    const own = `${subscription}/${messageId({ position, time })}`;
    const joined = this.running.get(own);
    if (joined !== undefined) return joined;
    const run: Run = { node: this.id, category, id, key, payload: its, position, attempt, token };
    const running = this.#run(run).finally(() => this.running.delete(own));
    this.running.set(own, running);
    return running;
  }

  async #run(run: Run): Promise<RunAnswer> {
    const { runs, ends, clock } = this.#cluster;
    runs.push(run);
    await new Promise<void>((resolve) => clock.after(2, resolve));
    const answer = await this.options.run?.(run) ?? 0;
    if (!this.alive) return await new Promise<never>(() => {}); // the node died while the handler ran
    if (answer === 0) ends.push(run);
    return answer;
  }
}

function settingsOf(settings: Partial<SubscriptionSettings> & { name: string }): SubscriptionSettings {
  return {
    from: "now",
    each: "service",
    attempts: 10,
    delay: [1_000, 300_000],
    outage: 0,
    timeout: undefined,
    ...settings,
  };
}
