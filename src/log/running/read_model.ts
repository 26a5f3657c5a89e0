/**
 * A read model: handlers that run on every node, each of which reads the whole log. Messages with one key run one at a
 * time and in order, whatever their contracts; so do all messages without a key. A message that fails is tried again
 * until it succeeds, and blocks only its key.
 */
import type { SubscriptionHealth } from "../../contract/nodes/node_info.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { ContextHost } from "../../dispatch/context_host.ts";
import type { HandledCount } from "../../dispatch/handled_count.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { asResult, type Outcome, Refusal } from "../../dispatch/outcome.ts";
import type { TurnBudget } from "../../dispatch/turn_budget.ts";
import { CatgaError } from "../../error.ts";
import { causeText } from "../../data/cause_text.ts";
import { decodeText } from "../../data/encoding.ts";
import { Fifo } from "../../data/fifo.ts";
import { Machine, type StateTable } from "../../data/state_table.ts";
import { type Clock, doubled, jittered, type Random, type Timer } from "../../ports/clock.ts";
import type { FollowOptions, LogMark, LogReader, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { isReadable, readGroup } from "../format/group.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { categoryPatterns } from "../format/names.ts";
import { copyJson } from "../format/run_request.ts";
import { BatchRun, memberOf } from "./batch_run.ts";
import type { BatchHandler, CategoryHandlers } from "./category_handlers.ts";
import { refusedOver } from "./run_answer.ts";
import { RunEnvelope } from "./run_envelope.ts";

/** The states of a read model, which hands the messages it has read out to its handlers. */
export const READ_MODEL_STATES = {
  /** Nothing waits, or too much is open. */
  idle: ["handing out", "closed"],
  /** Also while a handler runs that ends at once, and while messages come. */
  "handing out": ["idle", "next turn", "closed"],
  /** The time of this turn of the event loop is used up. */
  "next turn": ["idle", "closed"],
  /** No further message begins. */
  closed: [],
} as const satisfies StateTable<"idle" | "handing out" | "next turn" | "closed">;

/** Options of a read model. */
export interface ReadModelOptions {
  readonly host: ContextHost;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly handled: HandledCount;
  /** The time for which read models may run in one turn of the event loop. */
  readonly budget: TurnBudget;
  readonly namespace: string;
  /** Name of the read model in observations: `<service>/<name>`. */
  readonly label: string;
  /** Handlers by contract name. */
  readonly handlers: ReadonlyMap<string, CategoryHandlers>;
  /** First and longest pause before a failed message is tried again, in ms. */
  readonly delay: readonly [first: number, longest: number];
  /** True if reported failures include the errors that handlers throw. */
  readonly causes: boolean;
}

/** A read model on one node: handlers that get every stored message of their contracts on each node. */
export class ReadModel {
  readonly #options: ReadModelOptions;
  /**
   * Queues of waiting messages, by key (`undefined`: messages without a key). A key has a queue while one of its
   * messages runs or waits for its next attempt.
   */
  readonly #lanes: Map<string | undefined, Fifo<OpenMessage>> = new Map();
  /** Batches that are not full yet, by contract name. */
  readonly #fillingBatches: Map<string, FillingBatch> = new Map();
  /** Messages of the stream that wait to be parsed, each with several published messages. */
  readonly #unparsed: Fifo<StoredMessage> = new Fifo();
  #unparsedBytes = 0;
  #reader: LogReader | undefined;
  #stream: LogStream | undefined;
  /** The messages of the stored message that is being handed out to handlers: a stored message contains several. */
  #group: readonly LoggedMessage[] = [];
  /** Index in `#group` of the next message to hand out. */
  #nextInGroup = 0;
  /** Size of each message of `#group`, in bytes. */
  #sizeOfEach = 0;
  /** Number of messages that run, wait for their next attempt, or wait behind others of their key. */
  #open = 0;
  #openBytes = 0;
  /** Messages that run or wait for their next attempt: one of each key, or those of a batch. */
  readonly #held: Set<LoggedMessage> = new Set();
  /** Messages of `#held` that fail again and again or run longer than their timeout; with the last error. */
  readonly #failing: Map<LoggedMessage, Failing> = new Map();
  /**
   * Messages whose runs last longer than twice their timeout, and since when: messages behind them may wait for ever.
   */
  readonly #stuck: Map<readonly LoggedMessage[], number> = new Map();
  #caughtUp = false;
  /** True while reading the stream is paused, because too many of its messages wait to be parsed. */
  #paused = false;
  readonly #machine: Machine<keyof typeof READ_MODEL_STATES> = new Machine(READ_MODEL_STATES, "idle");
  /** Timers of pauses before further attempts, and of runs that have reached their timeout. */
  readonly #pauses: Set<Timer> = new Set();

  constructor(options: ReadModelOptions) {
    this.#options = options;
  }

  /**
   * True once this read model has handled all messages that the log had when it began to read it. Becomes false when
   * reading begins again after a loss of messages. It does not wait for messages whose handler has failed, nor for
   * those of their keys behind them, because a message may fail for ever.
   */
  get caughtUp(): boolean {
    if (this.#caughtUp || this.#retrying < this.#open) return this.#caughtUp;
    const isRead = this.#reader?.caughtUp === true && this.#unparsed.size === 0 &&
      this.#nextInGroup === this.#group.length;
    if (!isRead && !this.#isFull) return false;
    this.#caughtUp = true;
    const [failing] = this.#failing.values();
    if (this.#open > 0) {
      const during = `catching up: ${this.#open} messages wait for ${this.#failing.size} keys whose handlers fail`;
      this.#options.observer({ type: "fault", during: `${this.#options.label} ${during}`, error: failing?.error });
    }
    return true;
  }

  /** The error because of which the log cannot be read now; `undefined` while it can be read, and after `close()`. */
  get unreadable(): CatgaError | undefined {
    return this.#machine.is("closed") ? undefined : this.#reader?.fault;
  }

  /**
   * Counts of messages that this read model has received and not handled. `open`: published messages (events) that were
   * parsed; `lag`: messages of the stream that wait to be parsed; `oldest`: age of the oldest of all these, in ms;
   * `retrying`: messages that failed, and those that wait behind them.
   */
  get figures(): { readonly open: number; readonly lag: number; readonly oldest: number; readonly retrying: number } {
    const [first = this.#group[this.#nextInGroup] ?? this.#unparsed.first] = this.#held;
    const age = first === undefined || this.#stream === undefined ? 0 : this.#stream.serverTime - first.time;
    const open = this.#open + this.#group.length - this.#nextInGroup;
    return { open, lag: this.#unparsed.size, oldest: Math.max(0, Math.round(age)), retrying: this.#retrying };
  }

  /** The first message whose handler runs longer than twice its timeout, and the number of such messages. */
  get hanging(): SubscriptionHealth["hanging"] {
    const [first] = this.#stuck;
    if (first === undefined) return undefined;
    const [[{ category: contract }], since] = first;
    const count = [...this.#stuck.keys()].reduce((sum, { length }) => sum + length, 0);
    return { contract, node: this.#options.host.node, count, since };
  }

  /** The failure of the first message that fails again and again; `undefined`: none does. */
  get lastFailure(): SubscriptionHealth["lastFailure"] {
    for (const [{ category: contract, id }, { error, at }] of this.#failing) {
      if (at === undefined) continue;
      const cause = this.#options.causes ? causeText(error.cause ?? error) : undefined;
      return { contract, id, code: error.code, message: error.message, ...(cause === undefined ? {} : { cause }), at };
    }
    return undefined;
  }

  get #retrying(): number {
    let count = this.#failing.size;
    for (const { key } of this.#failing.keys()) count += this.#lanes.get(key)?.size ?? 0;
    return count;
  }

  /** True if the maximum number of messages, or of their bytes, is open (received and not handled). */
  get #isFull(): boolean {
    return this.#open >= MAX_OPEN_MESSAGES || this.#openBytes >= MAX_OPEN_BYTES;
  }

  /**
   * Begins to read the stream behind `after`, the last message that was read; `undefined`: from the first message on.
   */
  follow(stream: LogStream, after: LogMark | undefined): void {
    const { namespace, handlers, observer, label } = this.#options;
    this.#stream = stream;
    this.#reader = stream.follow({
      subjects: categoryPatterns(namespace, stream.name, handlers.keys()),
      after,
      onMessage: (message) => this.#arrive(message),
      onStart: (start) => this.#readingStarted(start),
      onFault: (error) => observer({ type: "fault", during: `reading the log for ${label}`, error }),
    });
  }

  /** Stops: no further message begins. Idempotent. */
  close(): void {
    if (!this.#machine.is("closed")) this.#machine.to("closed");
    this.#reader?.close();
    this.#options.handled.flush();
    for (const timer of this.#pauses) timer.cancel();
    this.#pauses.clear();
    for (const { timer } of this.#fillingBatches.values()) timer.cancel();
    this.#fillingBatches.clear();
  }

  #readingStarted({ lost }: Parameters<FollowOptions["onStart"]>[0]): void {
    if (lost === undefined) return;
    const { observer, label } = this.#options;
    // the stream was made anew: this node has not handled the messages of the new stream yet
    if (lost.reason === "remade") this.#caughtUp = false;
    observer({ type: "log-lost", subscription: label, ...lost });
  }

  #arrive(message: StoredMessage): void {
    this.#unparsed.push(message);
    this.#unparsedBytes += message.data.length;
    this.#pump();
    if (this.#paused || (this.#unparsed.size < MAX_STREAM_MESSAGES && this.#unparsedBytes < MAX_STREAM_BYTES)) return;
    this.#paused = true;
    this.#reader?.pause();
  }

  /**
   * Hands messages out to their handlers until the time of this turn of the event loop is used up (it goes on in the
   * next turn), or too many messages are open (run, or wait for another attempt or behind others of their key).
   */
  #pump(): void {
    const machine = this.#machine;
    if (!machine.is("idle")) return;
    const { budget } = this.#options;
    machine.to("handing out");
    while (machine.is("handing out") && !this.#isFull) {
      if (budget.over) {
        machine.to("next turn");
        budget.nextTurn(() => {
          if (machine.is("next turn")) machine.to("idle");
          this.#pump();
        });
        return;
      }
      if (this.#nextInGroup < this.#group.length) {
        this.#handOut(this.#group[this.#nextInGroup++]);
        budget.spent();
      } else if (!this.#parseNext()) break;
    }
    if (machine.is("handing out")) machine.to("idle");
  }

  #parseNext(): boolean {
    const stored = this.#unparsed.shift();
    if (stored === undefined) return false;
    this.#unparsedBytes -= stored.data.length;
    if (this.#paused && this.#unparsed.size <= MAX_STREAM_MESSAGES / 2 && this.#unparsedBytes <= MAX_STREAM_BYTES / 2) {
      this.#paused = false;
      this.#reader?.resume();
    }
    const group = readGroup(this.#options.namespace, stored);
    this.#nextInGroup = 0;
    this.#group = isReadable(group) ? group : [];
    this.#sizeOfEach = stored.data.length / Math.max(1, this.#group.length);
    if (!isReadable(group)) this.#reportSkipped(`message ${stored.sequence} of the log`, new Error(group.reason));
    return true;
  }

  /** Runs a message, or queues it behind other messages of its key. */
  #handOut(message: LoggedMessage): void {
    const handlers = this.#options.handlers.get(message.category);
    if (handlers === undefined) return;
    const lanes = this.#lanes;
    const lane = lanes.size === 0 ? undefined : lanes.get(message.key);
    const open = { message, size: this.#sizeOfEach };
    if (handlers.batch !== undefined) {
      this.#countOpen(open, 1);
      return this.#addToBatch(open, handlers.batch);
    }
    if (lane !== undefined) {
      this.#countOpen(open, 1);
      lane.push(open);
      return;
    }
    const ended = this.#run(message, 1);
    if (ended === true) return this.#options.handled.add(message.category);
    this.#countOpen(open, 1);
    lanes.set(message.key, new Fifo());
    void this.#runUntilHandled(open, ended);
  }

  /**
   * Adds a message to the batch of its contract. If the message's key is in use outside that batch, the message is
   * queued instead. The batch keeps the key until the batch has ended.
   */
  #addToBatch(open: OpenMessage, { max, within }: BatchHandler): void {
    const { category, key } = open.message;
    const lane = this.#lanes.get(key);
    let filling = this.#fillingBatches.get(category);
    if (lane !== undefined && (lane.size > 0 || !filling?.keys.has(key))) return lane.push(open);
    if (filling === undefined) {
      const end = () => this.#endBatch(category);
      filling = { opens: [], keys: new Set(), timer: this.#options.clock.after(within, end, { background: true }) };
      this.#fillingBatches.set(category, filling);
    }
    if (lane === undefined) this.#lanes.set(key, new Fifo());
    filling.keys.add(key);
    filling.opens.push(open);
    this.#held.add(open.message);
    if (filling.opens.length >= max) this.#endBatch(category);
  }

  #endBatch(category: string): void {
    const { timer, opens, keys } = this.#fillingBatches.get(category)!; // safe: a batch is removed only here
    timer.cancel();
    this.#fillingBatches.delete(category);
    // there is a handler: messages without one are not taken
    void this.#runBatch(this.#options.handlers.get(category)!, opens, keys);
  }

  /**
   * Runs a batch. Messages that failed in the batch run alone afterwards, before the later messages of their keys.
   * Never rejects.
   */
  async #runBatch(
    handlers: CategoryHandlers,
    opens: readonly OpenMessage[],
    keys: Iterable<string | undefined>,
  ): Promise<void> {
    const outcomes = await this.#runTogether(handlers, opens.map(({ message }) => message));
    if (this.#machine.is("closed")) return;
    const left = new Map<string | undefined, (readonly [OpenMessage, CatgaError | undefined])[]>();
    for (const [i, open] of opens.entries()) {
      const { message: { key, category }, message } = open;
      this.#held.delete(message);
      this.#failing.delete(message);
      const outcome = outcomes?.[i] ?? (outcomes === undefined ? "behind" : undefined);
      if (outcome === undefined) {
        this.#countOpen(open, -1);
        this.#options.handled.add(category);
      } else {
        const own = [open, outcome === "behind" ? undefined : outcome] as const;
        const others = left.get(key);
        if (others === undefined) left.set(key, [own]);
        else others.push(own);
      }
    }
    for (const key of keys) this.#freeKey(key, left.get(key) ?? []);
    this.#pump();
  }

  /**
   * Frees a key after a batch has ended, so that the messages queued behind it run. `left`: messages of the key that
   * the batch has not handled, each with its error (`undefined`: it waits behind one that failed).
   */
  #freeKey(key: string | undefined, left: readonly (readonly [OpenMessage, CatgaError | undefined])[]): void {
    const lanes = this.#lanes;
    const waiting = lanes.get(key)!; // a key held by a batch has a queue
    if (left.length === 0) {
      lanes.delete(key);
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        // there is a handler: messages without one are not taken
        const { batch } = this.#options.handlers.get(next.message.category)!;
        if (batch !== undefined) this.#addToBatch(next, batch);
        else if (lanes.has(key)) lanes.get(key)!.push(next);
        else {
          lanes.set(key, new Fifo());
          void this.#runUntilHandled(next, this.#run(next.message, 1));
        }
      }
      return;
    }
    const lane = new Fifo<OpenMessage>();
    const [[first, error], ...others] = left;
    for (const [open] of others) lane.push(open);
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) lane.push(next);
    lanes.set(key, lane);
    const { message } = first;
    void this.#runUntilHandled(
      first,
      error === undefined ? this.#run(message, 1) : this.#afterRun(message, { ok: false, error }),
    );
  }

  /** Runs the batch handler. Resolves with the outcome of each message; `undefined`: the batch failed as a whole. */
  async #runTogether(
    { contract, timeout, batch }: CategoryHandlers,
    messages: readonly LoggedMessage[],
  ): Promise<BatchRun["outcomes"] | undefined> {
    const { host } = this.#options;
    const members = messages.map((message) => memberOf(contract.name, { ...message, attempt: 1 }));
    const run = new BatchRun(members, messages.map(({ key }) => key));
    const own = new OwnRun(host);
    const logged = { id: own.call, attempt: 1, position: undefined, key: undefined, meta: undefined, fence: undefined };
    const ctx = new MessageContext(host, contract, timeout, new RunEnvelope(logged, own));
    // `batch` exists: this method is called only for a contract with a batch handler
    const running = batch!.run(run, ctx);
    const late = () =>
      `a batch of ${contract.name} has not ended within ${timeout} ms: later messages of its keys wait for it`;
    const outcome = running instanceof Promise ? await this.#endOf(running, ctx, messages, late) : running;
    return outcome instanceof Refusal || !outcome.ok ? undefined : run.outcomes;
  }

  #countOpen({ size }: OpenMessage, count: 1 | -1): void {
    this.#open += count;
    this.#openBytes += count * size;
  }

  /**
   * Runs a message. Returns, at once or by a promise, true if the message is finished, else the reason for another
   * attempt.
   */
  #run(message: LoggedMessage, attempt: number): MaybePromise<true | NotHandled> {
    const { host, handlers } = this.#options;
    // there is a handler: messages without one are not taken
    const { contract, timeout, run } = handlers.get(message.category)!;
    const { id, position, key, meta, tagged, payload: given, time } = message;
    // the cast is safe: readGroup has checked that a tagged payload is a string
    const decode = () => tagged ? decodeText(given as string) : copyJson(given);
    let payload: unknown;
    try {
      payload = decode();
    } catch (error) {
      this.#reportSkipped(`${contract.name} (${id})`, error);
      return true;
    }
    const logged = { id, attempt, position, key, meta, fence: undefined, storedAt: time };
    const ctx = new MessageContext(host, contract, timeout, new RunEnvelope(logged, new OwnRun(host)));
    const outcome = run(payload, decode, ctx);
    if (!(outcome instanceof Promise)) {
      return outcome instanceof Refusal || !outcome.ok ? this.#afterRun(message, outcome, ctx) : true;
    }
    const late = () =>
      `${contract.name} (${id}) has not ended within ${timeout} ms: later messages of its key wait for it`;
    return this.#endOf(outcome, ctx, [message], late).then((ended) =>
      ended instanceof Refusal || !ended.ok ? this.#afterRun(message, ended, ctx) : true
    );
  }

  /**
   * Waits for the end of a run that has not ended at once, and resolves with its outcome. If the run reaches its
   * timeout before, reports the text that `late` returns.
   */
  async #endOf(
    outcome: Promise<Outcome>,
    ctx: MessageContext,
    messages: readonly LoggedMessage[],
    late: () => string,
  ): Promise<Outcome> {
    let over = false;
    // this callback is called when the run is aborted, and when its handlers have ended
    ctx.execution.begin(() => {
      if (over || ctx.isQueued || ctx.aborted?.code !== "TIMEOUT") return;
      this.#pause(this.#options.handlers.get(ctx.contract.name)!.timeout).then(() => { // there is a handler: it has run
        if (over) return;
        this.#stuck.set(messages, this.#options.clock.now());
      });
      const error = new CatgaError("TIMEOUT", late());
      for (const message of messages) this.#failing.set(message, { error });
      const { observer, label } = this.#options;
      observer({ type: "fault", during: `handling ${ctx.contract.name} for ${label}`, error });
    });
    const ended = await outcome;
    over = true;
    this.#stuck.delete(messages);
    ctx.execution.end(ended);
    return ended;
  }

  /**
   * Runs a message of a key again until it is finished, and then the messages queued behind it; until then no other
   * message of the key runs. `first`: outcome of the message's first run.
   */
  async #runUntilHandled(open: OpenMessage, first: MaybePromise<true | NotHandled>): Promise<void> {
    const lanes = this.#lanes;
    const { clock, delay: [initial, longest], random, observer, label } = this.#options;
    const { key } = open.message;
    const lane = lanes.get(key)!;
    this.#held.add(open.message);
    let ended = await first;
    for (let next: OpenMessage | undefined = open; next !== undefined; next = lane.shift()) {
      const { message } = next;
      this.#held.add(message);
      if (next !== open) ended = await this.#run(message, 1);
      for (let tries = 0, failures = 0; ended !== true; tries++) {
        const { error, refused } = ended;
        const pause = jittered(random, doubled(tries, initial, longest));
        if (!refused) {
          const { category: contract, id } = message;
          const { code } = error;
          const attempt = ++failures;
          observer({ type: "message-failed", subscription: label, contract, id, attempt, code, pause });
        }
        if (failures > MAX_AWAITED_FAILURES || (refused && this.#stuck.size > 0)) {
          this.#failing.set(message, { error, at: refused ? undefined : clock.now() });
        }
        await this.#pause(pause);
        if (this.#machine.is("closed")) return;
        ended = await this.#run(message, failures + 1);
      }
      this.#countOpen(next, -1);
      this.#held.delete(message);
      this.#failing.delete(message);
      this.#options.handled.add(message.category);
      if (this.#machine.is("closed")) return;
      if (lane.size > 0) this.#pump(); // there may be room now: messages of other keys are handed out, too
    }
    lanes.delete(key);
    this.#pump();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, () => {
        this.#pauses.delete(timer);
        resolve();
      }, { background: true });
      this.#pauses.add(timer);
    });
  }

  /**
   * Decides about a message that has run. Returns true if it is finished (handled, or skipped for good), else the
   * reason for another attempt. `ctx`: context of its run, if it ran alone.
   */
  #afterRun({ category, id }: LoggedMessage, outcome: Outcome, ctx?: MessageContext): true | NotHandled {
    const ended = ctx === undefined ? outcome : refusedOver(outcome, ctx);
    const { error } = asResult(ended);
    if (this.#machine.is("closed") || error === undefined) return true;
    if (!error.final) return { error, refused: ended instanceof Refusal };
    this.#reportSkipped(`${category} (${id})`, error);
    return true;
  }

  /** Reports that a message is skipped, because no further attempt could handle it. */
  #reportSkipped(what: string, error: unknown): void {
    const { observer, label } = this.#options;
    observer({ type: "fault", during: `reading ${what}, which ${label} passes over`, error });
  }
}

/**
 * Failure of a message that is not handled yet. `at`: time of the failure, in ms since 1970; `undefined`: its handler
 * still runs.
 */
interface Failing {
  readonly error: CatgaError;
  readonly at?: number | undefined;
}

/** Why a message needs another attempt: it failed, or it was refused. */
interface NotHandled {
  readonly error: CatgaError;
  /** True if the message did not run: it is tried again, and no attempt is counted. */
  readonly refused: boolean;
}

/** A batch that is not full yet: its messages, and their keys, of which no message runs outside the batch. */
interface FillingBatch {
  readonly opens: OpenMessage[];
  readonly keys: Set<string | undefined>;
  readonly timer: Timer;
}

/** A message that runs or waits in this read model, and its size in bytes. */
interface OpenMessage {
  readonly message: LoggedMessage;
  readonly size: number;
}

/** Identity of a run of a read model, which no request of a leader has started. Its id is made when first needed. */
class OwnRun {
  readonly #host: ContextHost;
  #call: string | undefined = undefined;

  constructor(host: ContextHost) {
    this.#host = host;
  }

  get call(): string {
    return this.#call ??= this.#host.nextCall();
  }

  get envelope(): this {
    return this;
  }
}

/** Number of failures of a message after which the start of a node no longer waits for it. */
const MAX_AWAITED_FAILURES = 3;
/** Maximum number of open messages (received and not handled); beyond it, reading stops. */
const MAX_OPEN_MESSAGES = 10_000;
/** Maximum size of all open messages (received and not handled), in bytes; beyond it, reading stops. */
const MAX_OPEN_BYTES = 33_554_432;
/** Maximum number of messages of the stream in memory, each with up to 512 events. */
const MAX_STREAM_MESSAGES = 1_024;
/** Maximum number of bytes of the messages of the stream in memory. */
const MAX_STREAM_BYTES = 4_194_304;
