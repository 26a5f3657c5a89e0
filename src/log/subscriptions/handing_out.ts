/**
 * Sends the messages that may run to nodes that handle them, and acts on each answer. The ledger decides which
 * message may run, and keeps its state.
 */
import type { SubscriptionHealth } from "../../contract/nodes/node_info.ts";
import {
  afterRefusedMessage,
  mayBeReadNow,
  type ShapedNode,
  shapeName,
  untriedNodes,
} from "../../contract/schemas/shape_rules.ts";
import { nodeOf } from "../../contract/nodes/subjects.ts";
import { batchLimit } from "../../data/message_room.ts";
import { weight } from "../../data/rendezvous_hash.ts";
import { doubled, jittered, type Random, type Timer } from "../../ports/clock.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { TrackedCaller } from "../../dispatch/remote.ts";
import type { SendOptions } from "../../contract/calls/send_options.ts";
import type { HandledCount } from "../../dispatch/handled_count.ts";
import { controlName } from "../../contract/nodes/announcement.ts";
import {
  type AbortRequest,
  internalCommand,
  outcomeOf,
  outcomeOfError,
  outcomesOf,
  type RunFailure,
  type RunOutcome,
} from "../format/run_request.ts";
import type { LogHost } from "../log_host.ts";
import type { CapableNode } from "./leader_election.ts";
import type { Category, Item } from "./category.ts";
import { afterFailure } from "./after_failure.ts";
import type { NodeReport } from "./found_state.ts";
import type { ReportedRun } from "./late_outcome.ts";
import { isUnhandled, type Ledger } from "./ledger.ts";
import { SilentNodes } from "./silent_nodes.ts";
import type { SubscriptionSpec } from "./spec.ts";
import type { SubscriptionStore } from "./store.ts";
import type { Warnings } from "./warnings.ts";

/** Options of a {@link HandingOut}. */
export interface HandingOutOptions {
  readonly host: LogHost;
  readonly spec: Pick<SubscriptionSpec, "service" | "name">;
  readonly warnings: Warnings;
  readonly handled: HandledCount;
  readonly token: number;
  readonly ledger: Ledger;
  readonly store: Pick<SubscriptionStore, "load">;
  /** The live nodes that handle the subscription. */
  nodes(): readonly CapableNode[];
  /** Returns the leader's time, in ms since 1970. */
  now(): number;
  /** Called when messages have changed their state, which the next commit must record. */
  onProgress(): void;
}

/** An outage (of a service that handlers call) for whose end messages wait; in the subscription's health. */
type WaitedOutage = NonNullable<SubscriptionHealth["outage"]>;

/** Sends the messages of one subscription to nodes that handle them, for the subscription's leader. */
export class HandingOut {
  readonly #options: HandingOutOptions;
  /** Messages that wait for their next attempt, by their timer, each with its due time by the monotonic clock. */
  readonly #waiting = new Map<Timer, readonly [item: Item, due: number]>();
  /** While true, no message is sent to nodes; runs that have begun go on. */
  paused = true;
  #closed = false;
  /** The newest failure of a handler, for the subscription's health. */
  lastFailure: SubscriptionHealth["lastFailure"];
  /**
   * Messages that wait for the end of an outage (of a service that their handlers call), in the order in which they
   * began to wait.
   */
  readonly #outages = new Map<Item, WaitedOutage>();
  /**
   * Messages whose handler still runs after its timeout, each with the time, in ms since 1970, at which this node
   * learned that.
   */
  readonly #hanging = new Map<Item, number>();
  /** Requests that nodes have not answered yet. */
  readonly #unanswered = new Set<HandedOut>();
  /** Requests that may have to be aborted, of those that nodes have not answered yet, by message. */
  readonly #abortable = new Map<Item, HandedOut>();
  /** Messages whose nodes are told to abort their runs. */
  readonly #aborted = new Set<Item>();
  /** Requests that nodes have answered in this turn of the event loop, and whose messages are not settled yet. */
  #answers: HandedOut[] = [];
  /** Messages that waited for a node with another version of their contract, which is live now; in reverse order. */
  #readable: Item[] = [];
  /** Timers of incomplete batches, by category: when a timer ends, its batch is sent incomplete. */
  readonly #filling = new Map<Category, Timer>();
  /**
   * Timer of the next call of {@link HandingOut.pump}; set while messages must wait for a while ({@link Ledger.pause}):
   * others run that are suspected of ending their process, or a limit lets none begin.
   */
  #pause: Timer | undefined;
  /** True if {@link HandingOut.pumpRead} sends messages a microtask later. */
  #isPumpDue = false;
  readonly #silent: SilentNodes;
  /** Endpoints of the live nodes at the last look. */
  #present: Set<string>;
  /** Endpoints of the nodes that did not answer the barrier: one of them may be the last leader. */
  #wereSilent: ReadonlySet<string> = new Set();

  constructor(options: HandingOutOptions) {
    this.#options = options;
    const fault = (error: unknown) => options.warnings.fault("asking a silent node", error);
    this.#silent = new SilentNodes({ ...options, fault });
    this.#present = new Set(options.nodes().map(({ endpoint }) => endpoint)); // the barrier has asked them
  }

  /** The first outage of a service that messages wait for; `undefined`: no message waits for the end of an outage. */
  get outage(): WaitedOutage | undefined {
    return this.#outages.values().next().value;
  }

  /** The first message whose handler still runs after its timeout, and the number of such messages. */
  get hanging(): SubscriptionHealth["hanging"] {
    const [first] = this.#hanging;
    if (first === undefined) return undefined;
    const [{ category: { name: contract }, node }, since] = first;
    return { contract, node, count: this.#hanging.size, since };
  }

  /**
   * True if messages may run at other nodes that are no longer among the live nodes, because they drain: the next
   * leader will not ask them, and would begin these messages elsewhere.
   */
  get runsAtDraining(): boolean {
    const { host, nodes } = this.#options;
    if (this.#unanswered.size === 0) return false;
    const live = new Set(nodes().map(({ endpoint }) => endpoint));
    return this.#unanswered.values().some(({ endpoint }) => endpoint !== host.endpoint && !live.has(endpoint));
  }

  /**
   * Parks messages that have failed and wait in memory: the store then has them, with their errors, for the next
   * leader.
   */
  putAside(): void {
    const { ledger, now, host: { clock } } = this.#options;
    for (const [item, due] of this.#waiting.values()) {
      const { attempts, error } = item;
      if (item.place !== "open" || item.turn === "begun" || error === undefined) continue;
      ledger.failed(item, { attempts, error, due: now() + Math.max(0, due - clock.monotonic()) });
    }
    this.#cancelWaits();
  }

  /** Stops sending messages; answers that arrive later are ignored. */
  close(): void {
    this.#closed = this.paused = true;
    this.#silent.close();
    for (const timer of this.#filling.values()) timer.cancel();
    this.#filling.clear();
    this.#pause?.cancel();
    this.#cancelWaits();
  }

  /** Sends all messages that may run to nodes that handle them. */
  pump(): void {
    if (this.paused) return;
    const { ledger, now, onProgress } = this.#options;
    if (this.#readable.length > 0) this.#wakeReadable();
    for (const item of ledger.begin(now)) this.send(item);
    if (ledger.pause !== undefined) this.#pumpAfter(ledger.pause);
    // `filling` is checked first, because an iterator for each message is expensive (measured)
    if (ledger.filling.size > 0 && !ledger.isPaused) {
      for (const category of ledger.filling.keys()) this.#fill(category);
    }
    if (ledger.waitsForCommit || ledger.changed) onProgress();
  }

  /**
   * Sends messages that were read, as `pump()` does. While messages are suspected, it does so once for all that are
   * read together: each division looks at all that wait, so one for each message would take a square of their number.
   */
  pumpRead(): void {
    if (!this.#options.ledger.isInDoubt) return this.pump();
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.pump();
    });
  }

  /**
   * Calls `pump()` after `pause` ms, unless messages wait for a commit, after which `pump()` is called anyway. (The
   * term also calls it every 100 ms.)
   */
  #pumpAfter(pause: number): void {
    this.#pause?.cancel();
    this.#pause = this.#options.host.clock.after(Math.max(1, pause), () => {
      if (!this.#options.ledger.isBeginning) this.pump();
    }, { background: true });
  }

  /** Sends the full batches of a category now, and the last, incomplete batch after the category's `within` ms. */
  #fill(category: Category): void {
    const { ledger, host: { clock } } = this.#options;
    while (ledger.isFull(category)) this.#sendBatch(category);
    if (this.#filling.has(category)) return;
    const timer = clock.after(category.batch!.within, () => { // `batch` is set for a category with batches
      this.#filling.delete(category);
      if (this.paused || ledger.isPaused) return; // the batch is collected again when the pause ends
      while (this.#sendBatch(category));
    });
    this.#filling.set(category, timer);
  }

  /** Sends one batch of a category, which may be incomplete. Returns false if no message waits. */
  #sendBatch(category: Category): boolean {
    const { ledger, token, now, host: { network } } = this.#options;
    const items = ledger.batch(category, batchLimit(network.maxPayload), sizeOf, now);
    if (items.length > 1) this.#handOut(items, category, category.batchRequest(items, token), category.options);
    else items.forEach(this.send);
    return items.length > 0;
  }

  /** Acts on one outcome that several messages have. `at`: endpoint of the process to which they were sent last. */
  #answered(items: readonly Item[], outcome: RunOutcome, at: string): void {
    const failure = typeof outcome === "object" && "code" in outcome ? outcome : undefined;
    if (failure?.code === "OUTCOME_UNKNOWN" && failure.node !== undefined) {
      return void this.#unknown(items, failure, at);
    }
    if (failure !== undefined && items.length > 1) this.#failedTogether(items, failure);
    else for (const item of items) this.#settle(item, outcome, at);
  }

  /**
   * Settles the messages of a batch, each with its own outcome. `at`: endpoint of the node that ran them. A message
   * counts as not run if an earlier message of its key in the batch failed or did not run.
   */
  #eachAnswered(items: readonly Item[], outcomes: readonly RunOutcome[], at: string): void {
    const held = new Set<string | undefined>();
    for (const [i, item] of items.entries()) {
      const own: RunOutcome = item.key !== undefined && held.has(item.key) ? "not run" : outcomes[i];
      if (own !== "done") held.add(item.key);
      if (own === "not run" || own === "alone") this.#afterBatch(item, own);
      else this.#settle(item, own, at);
    }
  }

  /**
   * Settles a batch that failed as a whole: no attempt is counted, and each message is sent alone. During an outage
   * of a service that the handler calls, only the first message of each key waits for the end of the outage; the
   * others wait behind it.
   */
  #failedTogether(items: readonly Item[], failure: RunFailure): void {
    const { ledger, now } = this.#options;
    const held = new Set<string>();
    const { retryAfter } = failure;
    if (retryAfter !== undefined) { for (const item of items) ledger.pauseLimits(item, now() + retryAfter, now()); }
    for (const item of items) {
      const lasts = failure.outage !== undefined && now() - (item.error?.outage ?? now()) < failure.outage;
      if (!lasts) {
        ledger.notRun(item);
        item.alone = true;
        item.node = failure.node;
        ledger.retry(item);
      } else if (item.key !== undefined && held.has(item.key)) ledger.notRun(item);
      else this.#failed(item, failure);
      if (item.key !== undefined) held.add(item.key);
    }
  }

  /** Takes note that a message in hand was skipped: it waits for nothing any more. */
  skipped(item: Item): void {
    this.#hanging.delete(item);
    this.#endOutage(item);
  }

  /** Has the run of a message aborted, because a later one of its key takes its place. */
  abort(item: Item): void {
    if (this.#aborted.has(item)) return;
    this.#aborted.add(item);
    this.#tellToAbort(item, "");
  }

  /**
   * Tells the node that runs a message to abort it, again and again, as that may get lost, or the message be sent to
   * another node. `told`: endpoint of the node that knows.
   */
  #tellToAbort(item: Item, told: string): void {
    const { host: { clock, app }, spec: { service, name }, token, warnings } = this.#options;
    if (this.#closed || item.turn !== "begun") return void this.#aborted.delete(item);
    const again = (known: string) =>
      clock.after(TELL_AGAIN, () => this.#tellToAbort(item, known), { background: true });
    const endpoint = this.#abortable.get(item)?.endpoint ?? told;
    if (endpoint === told) return void again(told);
    const request: AbortRequest = ["abort", token, item.category.name, item.id];
    const options = { node: nodeOf(endpoint), timeout: ANSWER_TIMEOUT, retries: 0 };
    app.sendInternal(internalCommand(controlName(service, name)), request, options).then(
      // a node of an earlier build runs it to its end
      (answer) => void again(answer.ok || answer.error.code === "INVALID_MESSAGE" ? endpoint : told),
      (error) => {
        this.#aborted.delete(item);
        if (!this.#closed) warnings.fault("aborting a run", error);
      },
    );
  }

  /** Sends a message whose run the ledger (the leader's list of its messages) has begun. */
  readonly send = (item: Item): void => {
    if (item.loaded) this.#send(item);
    else void this.#load(item);
  };

  /** Loads the payload of a large parked message from the store, then sends the message. */
  async #load(item: Item): Promise<void> {
    const { ledger, store, now, warnings } = this.#options;
    try {
      const loaded = await store.load(item);
      if (this.#closed) return;
      if (loaded === "loaded") return this.#send(item);
      ledger.failed(item, { attempts: item.attempts, error: loaded === "lost" ? LOST : WITHOUT_PAYLOAD, dead: now() });
      this.#options.onProgress();
    } catch (error) {
      if (this.#closed) return;
      warnings.fault("handing out", error);
      this.#refused(item, undefined);
      this.#options.onProgress();
    }
  }

  #send(item: Item): void {
    const { category } = item;
    this.#handOut([item], category, category.request(item, this.#options.token), category.optionsOf(item));
  }

  #handOut(items: readonly Item[], { contract }: Category, request: unknown, options: SendOptions): void {
    const { host } = this.#options;
    const handed = new HandedOut(items, host.endpoint, this.#onAnswer);
    this.#unanswered.add(handed);
    const [item] = items;
    if (items.length === 1 && item.category.cancels) this.#abortable.set(item, handed);
    if (item.isReplaced) this.abort(item);
    try {
      host.app.handOut(contract, request, options, handed);
    } catch (error) {
      handed.reject(error); // the key of the message cannot be sent
    }
  }

  /**
   * Collects an answer. All answers of a turn of the event loop are settled together (measured: this costs a leader
   * less).
   */
  readonly #onAnswer = (handed: HandedOut): void => {
    this.#unanswered.delete(handed);
    if (this.#abortable.size > 0) { for (const item of handed.items) this.#abortable.delete(item); }
    if (this.#answers.push(handed) === 1) queueMicrotask(() => this.#settleAnswers());
  };

  #settleAnswers(): void {
    const answers = this.#answers;
    this.#answers = [];
    for (const handed of answers) {
      if (this.#closed) return;
      const { items, outcome, outcomes, endpoint } = handed;
      handed.items = [];
      if (outcomes === undefined) this.#answered(items, outcome, endpoint);
      else this.#eachAnswered(items, outcomes, endpoint);
    }
    if (this.#closed) return;
    this.#options.onProgress();
    this.pump();
  }

  #settle(item: Item, outcome: RunOutcome, at: string): void {
    const { ledger, handled, now } = this.#options;
    const isBusy = typeof outcome === "object" && "busy" in outcome;
    const isLate = isBusy && outcome.late;
    if (isLate) this.#hanging.set(item, this.#hanging.get(item) ?? now());
    else if (this.#hanging.size > 0) this.#hanging.delete(item);
    if (outcome === "done") {
      if (item.category.refused.size > 0) this.#shortenWaits(item.category);
      this.#endOutage(item);
      handled.add(item.category.name);
      ledger.done(item);
    } else if (outcome === "replaced") {
      ledger.replaced(item);
    } else if (typeof outcome === "object" && "code" in outcome) {
      if (!outcome.refused || !this.#tryOtherShape(item, outcome, at)) this.#failed(item, outcome);
    } else if (isBusy && !isLate) {
      item.alone = true; // a batch would not go to that node
      ledger.goesOn(item, outcome.busy);
    } else {
      // the message is sent alone from now on: a batch would not go to the node where its earlier run goes on
      if (outcome === "alone" || isBusy) item.alone = true;
      this.#refused(item, isBusy ? outcome.busy : undefined);
    }
  }

  /**
   * Sends a member of a batch again that did not run, although its node had room for it: the pause does not grow, as it
   * does for messages that nodes refuse.
   */
  #afterBatch(item: Item, how: "not run" | "alone"): void {
    const { ledger, host: { random } } = this.#options;
    this.#hanging.delete(item);
    ledger.notRun(item);
    if (how === "alone") item.alone = true;
    item.node = undefined;
    this.#retryAfter(item, jittered(random, REFUSED[0]));
  }

  /**
   * Settles messages of a request whose process has ended, is blocked or frozen, or cannot be reached.
   * `endpoint` names the process, because a new process may have the same node id by now.
   */
  async #unknown(items: readonly Item[], outcome: RunFailure, endpoint: string): Promise<void> {
    const { ledger, onProgress, host } = this.#options;
    // this node, which stops, has aborted them, and their handlers have ended: the next leader begins them
    if (this.paused && endpoint === host.endpoint) {
      for (const item of items) {
        ledger.notRun(item);
        this.#retryAfter(item, REFUSED[0]);
      }
      return;
    }
    const report = await this.#silent.hear(endpoint);
    if (this.#closed) return;
    for (const item of items) {
      this.#hanging.delete(item);
      if (report !== undefined) this.#asReported(item, report, endpoint);
      else {
        item.node = undefined;
        item.error = { code: outcome.code, message: outcome.message };
        ledger.processEnded(item, this.#silent.departure(endpoint));
        this.#retryAfter(item, REFUSED[0]);
      }
    }
    onProgress();
    this.pump();
  }

  /**
   * Acts on a message whose request was not answered in its time, as its node says what came of it. What the node
   * neither runs nor has run is no attempt: nobody knows that it has begun.
   */
  #asReported(item: Item, { running, finished }: NodeReport, endpoint: string): void {
    const { ledger, token } = this.#options;
    const run = finished.get(item.id);
    item.alone = true; // a batch would not join what runs
    if (running.has(item.id)) ledger.goesOn(item, nodeOf(endpoint));
    else if (run?.token === token && run.attempt === item.attempts + 1) this.#settle(item, run.outcome, endpoint);
    else this.#refused(item, undefined);
  }

  /**
   * Has nodes that did not answer the barrier say what they have run under earlier leaders, as soon as they can, and
   * acts on it. For a while, nothing begins elsewhere that such a node may run: a handler that blocks its process would
   * block the next one. `last`: endpoint of the last leader.
   */
  async hearOf(silent: readonly CapableNode[], last: string): Promise<void> {
    if (silent.length === 0) return;
    const { ledger, nodes, host: { clock } } = this.#options;
    ledger.awaitsReports = true;
    this.#wereSilent = new Set(silent.map(({ endpoint }) => endpoint));
    const all = nodes();
    const awaited = new Set(silent.map(({ id }) => id));
    const mayRun = ({ key, category: { name } }: Item): boolean => {
      const able = key === undefined ? [] : all.filter(({ categories }) => categories.has(name));
      const [first = undefined, ...others] = able;
      if (first === undefined || key === undefined) return true;
      return awaited.has(others.reduce((best, each) => isPreferred(key, each, best) ? each : best, first).id);
    };
    const heard = (id: string) => {
      if (!awaited.delete(id) || this.#closed) return;
      ledger.holdBack(awaited.size === 0 ? undefined : mayRun);
      this.pump();
    };
    ledger.holdBack(mayRun); // before anything begins
    const timer = clock.after(HELD_BACK, () => {
      ledger.silenceLasts();
      for (const id of [...awaited]) heard(id);
    }, { background: true });
    await Promise.all(silent.map(async ({ id, endpoint }) => {
      const report = await this.#hearOf(id, endpoint);
      // it has left while it was silent, as one does that is killed because it stands: its run counts as an attempt
      if (report === undefined && endpoint === last && !this.#closed) ledger.silenceLasts();
      heard(id);
    }));
    timer.cancel();
    ledger.awaitsReports = false;
  }

  /**
   * Acts on what a node says that it has run for leaders that no longer waited, and that it runs. Resolves with its
   * report; with `undefined` when the node has left.
   */
  async #hearOf(id: string, endpoint: string): Promise<NodeReport | undefined> {
    const { ledger, onProgress } = this.#options;
    const report = await this.#silent.hear(endpoint);
    if (report === undefined || this.#closed) return undefined;
    // a node that is new shows nothing about the last leader
    if (this.#wereSilent.has(endpoint)) ledger.silenceEnds();
    const items = ledger.byId([...report.finished.keys(), ...report.running]);
    for (const [message, run] of report.finished) this.#reported(message, run, items);
    for (const message of report.running) ledger.runsAt(items.get(message), id, report.running);
    onProgress();
    this.pump();
    return report;
  }

  /**
   * Asks the nodes that are there since the last call: a process that was frozen for long has left, and comes back.
   */
  #hearOfNew(): void {
    const { nodes, warnings } = this.#options;
    const present = new Map(nodes().map(({ id, endpoint }) => [endpoint, id]));
    for (const [endpoint, id] of present) {
      if (this.#present.has(endpoint)) continue;
      this.#hearOf(id, endpoint).catch((error) => warnings.fault("asking a node that is back", error));
    }
    this.#present = new Set(present.keys());
  }

  /** `items`: the messages that the node reports, by id. */
  #reported(id: string, run: ReportedRun, items: ReadonlyMap<string, Item>): void {
    const { ledger, token } = this.#options;
    const { item, then } = ledger.reported(id, items.get(id), run, token) ?? {};
    if (item === undefined) return;
    if (then === "done") this.#endOutage(item);
    if (then === "failed" && run.outcome !== "done") this.#failed(item, run.outcome);
  }

  /**
   * Lets a message wait that certainly did not run; no attempt is counted. `busy`: id of the node where the message's
   * handler still runs after its timeout; the next attempt goes there and waits for the handler's end.
   *
   * The more messages of a category are refused, the longer each waits, until {@link HandingOut.#shortenWaits}:
   * otherwise they would compete for the same room in vain, and idempotent commands would write a claim for each
   * attempt.
   */
  #refused(item: Item, busy: string | undefined): void {
    const { ledger, host: { clock, random } } = this.#options;
    const { category: { refused } } = item;
    ledger.notRun(item);
    item.node = busy;
    const pause = jittered(random, doubled(item.refusals++, REFUSED[0], REFUSED[1]));
    const shared = item.refusals < REFUSALS ? 0 : jittered(random, Math.min(REFUSED[2], EACH * refused.size));
    refused.set(this.#retryAfter(item, Math.max(pause, shared)), clock.monotonic() + pause);
  }

  /**
   * Shortens the waits of two messages of a category that nodes have refused ({@link HandingOut.#refused}). Call when a
   * message of the category has run, so that nodes may have room for others.
   */
  #shortenWaits({ refused }: Category): void {
    const now = this.#options.host.clock.monotonic();
    let left = 2;
    for (const [timer, from] of refused) {
      if (left-- === 0) return;
      timer.cancel();
      this.#retryAfter(this.#removeTimer(timer), Math.max(0, from - now));
    }
  }

  /**
   * Sends the message again after `ms`, and after a commit has recorded its failure, unless the message is settled
   * before that.
   */
  #retryAfter(item: Item, ms: number): Timer {
    const { ledger, host: { clock } } = this.#options;
    // the timer is a foreground timer: a process on the memory network must not end before the next attempt
    const timer = clock.after(ms, () => {
      ledger.retry(this.#removeTimer(timer));
      this.pump();
    });
    this.#waiting.set(timer, [item, clock.monotonic() + ms]);
    return timer;
  }

  /** Removes a timer that has fired, or was cancelled, and returns the message that was waiting for it. */
  #removeTimer(timer: Timer): Item {
    const [item] = this.#waiting.get(timer)!; // `#waiting` has an entry for each timer that runs
    this.#waiting.delete(timer);
    item.category.refused.delete(timer);
    return item;
  }

  #cancelWaits(): void {
    for (const timer of this.#waiting.keys()) {
      timer.cancel();
      this.#removeTimer(timer);
    }
  }

  /**
   * Registers the outages for whose end parked messages wait, as the last leader has recorded them, and the failures of
   * runs that have ended since, as nodes say.
   */
  takeOver(finished: ReadonlyMap<string, ReportedRun>): void {
    for (const item of this.#options.ledger.parked) {
      if (item.dead === 0 && !isUnhandled(item)) this.#beginOutage(item);
    }
    const items = this.#options.ledger.byId([...finished.keys()]);
    for (const [id, run] of finished) if (run.outcome !== "done") this.#reported(id, run, items);
  }

  /** Registers the outage of a service because of which a message failed, if there was one. */
  #beginOutage(item: Item): void {
    const { error, category: { name: contract } } = item;
    if (error?.outage === undefined) return;
    const { code, message, outage: since } = error;
    const begins = this.#outages.size === 0;
    this.#outages.set(item, { contract, code, message, since });
    if (begins) this.#options.warnings.outage(this.outage);
  }

  /** Records that a message no longer waits for the end of an outage. */
  #endOutage(item: Item): void {
    if (this.#outages.delete(item) && this.#outages.size === 0) this.#options.warnings.outage(undefined);
  }

  /**
   * Acts on a message that the input schema of a node refused: sends it to a node with another version (shape) of the
   * contract, or lets it wait for such a node. Returns false if the message must become a dead letter. `at`: endpoint
   * of the node.
   */
  #tryOtherShape(item: Item, { code, message, cause, awaitsWriter, outage = 0 }: RunFailure, at: string): boolean {
    const { ledger, now, onProgress, host } = this.#options;
    const { category: { name: contract }, message: { id, meta }, key } = item;
    const nodes = this.#shapedNodes(contract);
    const node = nodeOf(at);
    const refusedBy = item.refusedBy ??= new Set(item.error?.refusedBy);
    refusedBy.add(shapeName(nodes.find((each) => each.id === node) ?? { id: node, shape: undefined }));
    const after = afterRefusedMessage(nodes, refusedBy, awaitsWriter ? AWAY : meta?.w);
    if (after === "next") {
      ledger.notRun(item);
      item.alone = true; // the message is sent alone, because a batch would go to any node
      item.node = nodeOfKey(untriedNodes(nodes, refusedBy), key, host.random);
      ledger.retry(item);
      return true;
    }
    const since = item.error?.refusedBy === undefined ? now() : item.error.outage ?? now();
    const isOver = !awaitsWriter && now() - since >= outage;
    item.refusedBy = undefined;
    if (after === "dead letter" || isOver) return false;
    const error = item.error = { code, message, cause, outage: since, refusedBy: [...refusedBy] };
    this.lastFailure = { contract, id, code, message, cause, at: now() };
    item.refusals = 0;
    item.node = undefined;
    this.#beginOutage(item);
    onProgress();
    ledger.failed(item, {
      attempts: item.attempts,
      error,
      due: awaitsWriter ? now() + this.#versionRetryPause : since + outage,
    });
    return true;
  }

  /**
   * Pause before a workflow run that waits for another version is tried again, in ms: a live version may have refused
   * it only because of an error that passes.
   */
  get #versionRetryPause(): number {
    return AGAIN + AGAIN_EACH * this.#options.ledger.parked.awaiting.size;
  }

  /**
   * Returns the live nodes that handle a contract of this subscription, each with its shape of the contract (a hash
   * that identifies the version).
   */
  #shapedNodes(contract: string): readonly ShapedNode[] {
    const { host, nodes } = this.#options;
    const capable = new Set(nodes().flatMap(({ id, categories }) => categories.has(contract) ? [id] : []));
    return host.app.nodes().flatMap((info) =>
      capable.has(info.id) ? [{ id: info.id, shape: host.shapeAt(info, contract) }] : []
    );
  }

  /**
   * Finds the messages that waited for another version of their contract, or for a handler, and that a live node may
   * accept now; {@link HandingOut.pump} then sends them. Call when the live nodes have changed, or when this node has
   * learned which versions (shapes) of contracts they have.
   */
  refresh(): void {
    this.#hearOfNew();
    const { ledger: { parked: { awaiting } } } = this.#options;
    this.#readable = [];
    if (awaiting.size === 0) return;
    const nodes = new Map<string, readonly ShapedNode[]>();
    for (const item of awaiting) {
      const { category: { name }, error } = item;
      let own = nodes.get(name);
      if (own === undefined) nodes.set(name, own = this.#shapedNodes(name));
      if (mayBeReadNow(own, new Set(error?.refusedBy))) this.#readable.push(item);
    }
    this.#readable.reverse();
  }

  /**
   * Sends some of the messages that waited for a version (shape) of their contract that is live now; not all, because
   * thousands at once would be refused; but one at least, because others may run all the time.
   */
  #wakeReadable(): void {
    const { ledger, host: { random } } = this.#options;
    for (let left = Math.max(1, MAX_WOKEN - ledger.running); left > 0 && this.#readable.length > 0; left--) {
      const item = this.#readable.pop()!; // `#readable` is not empty here
      if (!isUnhandled(item)) {
        item.refusedBy = new Set(item.error?.refusedBy);
        item.alone = true;
        item.node = nodeOfKey(untriedNodes(this.#shapedNodes(item.category.name), item.refusedBy), item.key, random);
      }
      ledger.wakeAwaiting(item);
    }
  }

  #failed(item: Item, given: RunFailure): void {
    const failure = given.refused ? { ...given, outage: undefined } : given;
    const { host: { clock, random, observer }, warnings, ledger, now, onProgress } = this.#options;
    if (item.isReplaced) return ledger.replaced(item); // it has failed before it could be aborted
    const { code, message, cause, node, outage } = failure;
    const { category, category: { name: contract } } = item;
    const time = clock.monotonic();
    const since = outage === undefined ? undefined : item.error?.outage ?? now();
    const after = afterFailure(item, failure, category, {
      now: time,
      lasted: since === undefined ? Infinity : now() - since,
      random,
    });
    const error = item.error = { code, message, cause, ...(since === undefined ? {} : { outage: since }) };
    this.lastFailure = { contract, id: item.message.id, code, message, cause, at: now() };
    item.refusals = 0;
    item.failedAt ??= time;
    onProgress();
    const attempts = after.type !== "dead letter" && after.outage ? item.attempts : item.attempts + 1;
    if (attempts > item.attempts) this.#endOutage(item);
    if (failure.retryAfter !== undefined) ledger.pauseLimits(item, now() + failure.retryAfter, now());
    if (after.type === "dead letter") return ledger.failed(item, { attempts, error, dead: now() });
    // the run may go on at that node, so the next attempt goes to the same node; but if two runs there had no answer,
    // the node may be frozen, and the next attempt goes to any node
    item.node = code === "OUTCOME_UNKNOWN" && item.node !== undefined ? undefined : node;
    const { pause } = after;
    if (attempts > item.attempts) {
      const { message: { id } } = item;
      observer({ type: "message-failed", subscription: warnings.label, contract, id, attempt: attempts, code, pause });
    } else this.#beginOutage(item);
    if (after.type === "parked") return ledger.failed(item, { attempts, error, due: now() + pause });
    ledger.failedInPlace(item, attempts);
    this.#retryAfter(item, pause);
  }
}

/** A request to handle one message, or a batch, that was sent to a node. */
class HandedOut implements TrackedCaller {
  /** The messages of the request. Emptied when they are settled, because the request may stay in memory for longer. */
  items: readonly Item[];
  endpoint: string;
  outcome: RunOutcome = "not run";
  /** Outcome of each message of a batch; `undefined`: all messages have the outcome of the request. */
  outcomes: readonly RunOutcome[] | undefined = undefined;
  readonly #onAnswer: (handed: HandedOut) => void;

  constructor(items: readonly Item[], endpoint: string, onAnswer: (handed: HandedOut) => void) {
    this.items = items;
    this.endpoint = endpoint;
    this.#onAnswer = onAnswer;
  }

  resolve(result: Result<unknown>): void {
    this.outcomes = this.items.length > 1 ? outcomesOf(result, this.items.length) : undefined;
    if (this.outcomes === undefined) this.outcome = outcomeOf(result);
    this.#onAnswer(this);
  }

  reject(error: unknown): void {
    this.outcome = outcomeOfError(error);
    this.#onAnswer(this);
  }
}

/**
 * Returns the node to which messages of a key go, by rendezvous hash, as the route `hash` does; a random node for a
 * message without a key; `undefined`: there are no nodes.
 */
function nodeOfKey(nodes: readonly ShapedNode[], key: string | undefined, random: Random): string | undefined {
  if (nodes.length === 0) return undefined;
  if (key === undefined) return nodes[Math.floor(random() * nodes.length)].id;
  return nodes.reduce((best, node) => isPreferred(key, node, best) ? node : best).id;
}

/** Returns true if messages of a key go to this node rather than to the other one. */
function isPreferred(key: string, { id }: { readonly id: string }, other: { readonly id: string }): boolean {
  return weight(key, id) > weight(key, other.id);
}

/**
 * Time in ms for which messages that a silent node may run begin nowhere else, once all others have told a new leader
 * what they run: 13 to 16 s after the node has stopped. A node that is silent for 17 to 30 s leaves the cluster.
 */
const HELD_BACK = 10_000;

/**
 * Given as the shape (version) of a publisher, to say that no live node has it: no contract has this text as its shape.
 */
const AWAY = "";
/** Pause before a workflow run that waits for another version is tried again, in ms. */
const AGAIN = 60_000;
/** Time by which the pause grows for each workflow run that waits for another version, in ms. */
const AGAIN_EACH = 30;

/**
 * Number of running messages up to which messages that waited for another version (shape) of their contract are sent
 * again, as many as fit; above it they are sent one by one.
 */
const MAX_WOKEN = 256;

/** Approximate size of a message in a request to a node, in bytes. */
function sizeOf({ size, message: { payload } }: Item): number {
  // the size of a message taken over from the last leader is unknown
  return ENVELOPE + (size > 0 ? size : JSON.stringify(payload ?? null).length);
}

/** Approximate size of a request without the payload of its message, in bytes. */
const ENVELOPE = 128;
/** Failure of a message that was put aside and that the store has lost. */
const LOST = Object.freeze({
  code: "INVALID_MESSAGE",
  message: "it was put aside, and the store has lost it: rewind the subscription to handle it again from the log",
});
/** Failure of a message that was put aside without its payload, which the log has removed since. */
const WITHOUT_PAYLOAD = Object.freeze({
  code: "INVALID_MESSAGE",
  message:
    "its payload was too large for the server's max_payload to be put aside, and the log has removed it: replay " +
    "it with its payload, or discard it",
});
/** Time after which a node is told again to abort a run, and time that it gets to answer, in ms. */
const [TELL_AGAIN, ANSWER_TIMEOUT] = [250, 2_000];
/**
 * First pause of a message that nodes refuse for now, longest pause, and longest pause if many messages are refused,
 * in ms.
 */
const REFUSED = [50, 2_000, 60_000] as const;
/**
 * Number of refusals of a message from which on its pause also grows by `EACH` ms for each refused message of its
 * category.
 */
const [REFUSALS, EACH] = [6, 60];
