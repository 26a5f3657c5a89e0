/** A recorder of the messages that apps send, publish and handle. */
import { clearTimeout, setTimeout } from "node:timers";
import type { Behavior, Contract, Result } from "../../mod.ts";
import { show } from "../data/checks.ts";
import { checkNextOptions, type NextOptions, type RecordType } from "./test_cluster_options.ts";
import type { AnyCode } from "../error.ts";
import type { AnyContract, Kind } from "../contract/declaration/contract.ts";
import type { Context } from "../contract/calls/context.ts";
import type { BroadcastResult } from "../contract/calls/sender.ts";
import type { OutgoingMessage } from "../contract/declaration/behavior.ts";
import type { AppClock } from "../ports/clock.ts";

/** A message that was sent or handled. */
export interface Recorded<In = unknown, Out = unknown, F extends string = AnyCode> {
  /** Kind of the record. A message that is sent and handled has two records, and one more for each further attempt. */
  readonly type: RecordType;
  /** Kind of the message's contract. */
  readonly kind: Kind;
  /** Name of the message's contract. */
  readonly name: string;
  /**
   * Payload as the sender passed it; for a handled message, as the handler received it. A run of `onBatch` is one
   * record. Despite the type of this member, the record's payload is the batch, an array of members with a `payload`
   * each, and the record has no `position`.
   */
  readonly payload: In;
  /** Id of the node that sent or handled the message. */
  readonly node: string;
  /** Time at which the message was sent, or its handler began, in ms since 1970 by the node's clock. */
  readonly at: number;
  /** Id of the message; for a sent message only if the options of the send have an id. */
  readonly id: string | undefined;
  /** Headers in the options of the send, or in the context of the handler. */
  readonly headers: Readonly<Record<string, string>>;
  /** Correlation id of the message; `undefined` for a sent message that no handler sent. */
  readonly correlationId: string | undefined;
  /** Number of the attempt to handle the message, from 1; `undefined` for a sent message. */
  readonly attempt: number | undefined;
  /** Position of the message in the log; `undefined` for a sent message, and for one that is not in the log. */
  readonly position: number | undefined;
  /**
   * Name of the subscription that handles the message; `undefined` for a sent message, and for one that is not in the
   * log.
   */
  readonly subscription: string | undefined;
  /** Result of the message; `undefined` until it has one. The value of a broadcast is an array of `BroadcastResult`. */
  readonly result: Result<Out, F> | undefined;
}

/** Records of the messages that apps send and handle: made by {@link recorder}, and part of every `TestCluster`. */
export interface Recorder {
  /**
   * The behavior that records; put it before other behaviors of an app: `catga({ behaviors: [recorder.behavior] })`.
   */
  readonly behavior: Behavior;
  /** All records, in the order in which the messages were sent or their handlers began. */
  readonly all: readonly Recorded[];
  /** Returns the records of commands and queries of a contract that were sent. */
  sent<In, Out, F extends string>(contract: Contract<"command" | "query", In, Out, F>): readonly Recorded<In, Out, F>[];
  /** Returns the records of events of a contract that were published. */
  published<In>(contract: Contract<"event", In, void>): readonly Recorded<In, void, never>[];
  /** Returns the records of commands of a contract that were enqueued. */
  enqueued<In, Out, F extends string>(contract: Contract<"command", In, Out, F>): readonly Recorded<In, void, never>[];
  /** Returns the records of messages of a contract that were broadcast. */
  broadcast<In, Out, F extends string>(
    contract: Contract<Kind, In, Out, F>,
  ): readonly Recorded<In, BroadcastResult<Out, F>[], F>[];
  /** Returns the records of handled messages of a contract, one for each run of a handler. */
  handled<In, Out, F extends string>(contract: Contract<Kind, In, Out, F>): readonly Recorded<In, Out, F>[];
  /**
   * Resolves with the oldest record of this contract and type (an option) that `next` has not returned yet, and whose
   * message has its result; waits for such a record if there is none. For the type `"started"`, the handler need only
   * have begun. Rejects if no record comes within the limit, which is an option, too.
   */
  next<In, Out, F extends string>(
    contract: Contract<Kind, In, Out, F>,
    options?: NextOptions,
  ): Promise<Recorded<In, Out, F>>;
  /** Removes all records of this recorder. */
  clear(): void;
}

/** The time by which a recorder waits: the cluster's time. */
export interface RecorderTime {
  /** Calls back after `ms` of that time; returns a function that cancels the call. */
  after(ms: number, callback: () => void): () => void;
  /** Called with a promise that the test awaits, so that time passes. */
  drive<T>(promise: Promise<T>): Promise<T>;
}

/**
 * Makes a recorder for apps that a test starts by `catga()`; a `TestCluster` has one already.
 *
 * @example
 * ```ts
 * import { catga, event } from "@catga/catga";
 * import { recorder } from "@catga/catga/testing";
 *
 * const Brewed = event<{ tea: string }>("Brewed");
 * const messages = recorder();
 * await using app = await catga({ behaviors: [messages.behavior] });
 * await app.publish(Brewed, { tea: "assam" });
 * console.log((await messages.next(Brewed)).payload.tea); // assam
 * console.log(messages.published(Brewed).length); // 1
 * ```
 */
export function recorder(): Recorder {
  return new MessageRecorder({
    after(ms, callback) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
    drive: (promise) => promise,
  });
}

/** The implementation of {@link Recorder}. */
export class MessageRecorder implements Recorder {
  readonly behavior: Behavior;
  readonly sent: Recorder["sent"] = (contract) => this.#of("sent", contract);
  readonly published: Recorder["published"] = (contract) => this.#of("published", contract);
  readonly enqueued: Recorder["enqueued"] = (contract) => this.#of("enqueued", contract);
  readonly broadcast: Recorder["broadcast"] = (contract) => this.#of("broadcast", contract);
  readonly handled: Recorder["handled"] = (contract) => this.#of("handled", contract);
  readonly #waiting: RecorderTime;
  readonly #running = new Map<string, Set<symbol>>();
  /** Handlers that have not ended, aborted ones included, by node; each with the name of its contract. */
  readonly #unended = new Map<string, Set<{ readonly label: string }>>();
  /** Number of timers of the virtual clock that handlers have set and wait for. */
  #sleeps = 0;
  readonly #queues = new Map<string, RecordQueue>();
  #all: Recorded[] = [];

  constructor(waiting: RecorderTime) {
    this.#waiting = waiting;
    const handle: Behavior = async ({ contract, payload, ctx, subscription: name, clock }, next) => {
      const { node, id, headers, correlationId, attempt, position } = ctx;
      const subscription = position === undefined ? undefined : name;
      const of = { id, headers, correlationId, attempt, position, subscription };
      const record = this.#begin("handled", contract, { payload, node, at: clock.now(), ...of });
      this.#offer("started", record);
      const ended = this.#run(node);
      const label = subscription === undefined ? contract.name : `${contract.name} in ${subscription}`;
      const returned = this.#enter(node, label);
      this.#watchClock(ctx);
      // an aborted handler is no longer counted as running: it may run for ever, and no sender waits for it
      ctx.signal.addEventListener("abort", ended, { once: true });
      const result = await next().finally(returned);
      ended();
      this.#end(record, result);
      return result;
    };
    this.behavior = Object.assign(handle, {
      send: async (message: OutgoingMessage, next: () => Promise<Result<unknown>>) => {
        const { method, contract, payload, options, ctx, node, clock } = message;
        const type = METHODS[method];
        const { id, headers = {} } = options;
        const correlationId = ctx?.correlationId;
        const of = { id, headers, correlationId, attempt: undefined, position: undefined, subscription: undefined };
        const record = this.#begin(type, contract, { payload, node, at: clock.now(), ...of });
        const result = await next();
        this.#end(record, result);
        return result;
      },
    });
  }

  get all(): readonly Recorded[] {
    return [...this.#all];
  }

  /** Returns true if handlers run on the node whose senders still wait. */
  busy(node: string): boolean {
    return (this.#running.get(node)?.size ?? 0) > 0;
  }

  /** Returns true if a handler waits for virtual time. */
  get asleep(): boolean {
    return this.#sleeps > 0;
  }

  /** Returns the names of the contracts whose handlers have not ended on the node. */
  unended(node: string): readonly string[] {
    return [...new Set([...this.#unended.get(node) ?? []].map(({ label }) => label))];
  }

  /** Forgets the running handlers of a node that was killed. */
  forget(node: string): void {
    this.#running.delete(node);
    this.#unended.delete(node);
  }

  next<In, Out, F extends string>(
    contract: Contract<Kind, In, Out, F>,
    options: NextOptions = {},
  ): Promise<Recorded<In, Out, F>> {
    checkContract("recorder.next", contract);
    checkNextOptions(options);
    const { type = contract.kind === "event" ? "published" : "handled", limit = 30_000 } = options;
    const queue = this.#queueOf(type, contract.name);
    const ready = queue.ready.shift();
    // cast: the records in a contract's queue have the contract's types
    if (ready !== undefined) return Promise.resolve(ready as Recorded<In, Out, F>);
    const coming = new Promise<Recorded>((resolve, reject) => {
      const cancel = this.#waiting.after(limit, () => {
        queue.waiters.delete(take);
        const seen = this.#all.slice(-MAX_SHOWN).map(({ type, name, node }) => `${type} ${name} on ${node}`);
        reject(
          new Error(
            `no ${contract.kind} ${contract.name} was ${type} within ${limit} ms; ` +
              (seen.length === 0 ? "nothing was recorded at all" : `recorded last: ${seen.join(", ")}`),
          ),
        );
      });
      const take = (record: Recorded) => {
        cancel();
        resolve(record);
      };
      queue.waiters.add(take);
    });
    return this.#waiting.drive(coming) as Promise<Recorded<In, Out, F>>;
  }

  clear(): void {
    this.#all = [];
    for (const queue of this.#queues.values()) queue.ready.length = 0;
  }

  #of<In, Out, F extends string>(type: RecordType, contract: AnyContract): readonly Recorded<In, Out, F>[] {
    checkContract(`recorder.${type}`, contract);
    const { name } = contract;
    // cast: records of this contract have the contract's types
    return this.#all.filter((record) => record.type === type && record.name === name) as Recorded<In, Out, F>[];
  }

  #begin(
    type: RecordType,
    { kind, name }: AnyContract,
    rest: Omit<Recorded, "type" | "kind" | "name" | "result">,
  ): OpenRecord {
    const record: OpenRecord = { type, kind, name, ...rest, result: undefined };
    this.#all.push(record);
    return record;
  }

  #end(record: OpenRecord, result: Result<unknown>): void {
    record.result = result;
    this.#offer(record.type, record);
  }

  /** Passes a record to the first call of `next` that waits for it; if none does, keeps it for the next call. */
  #offer(type: RecordType | "started", record: Recorded): void {
    const queue = this.#queueOf(type, record.name);
    const [first] = queue.waiters;
    if (first === undefined) {
      queue.ready.push(record);
      return;
    }
    queue.waiters.delete(first);
    first(record);
  }

  #queueOf(type: RecordType | "started", name: string): RecordQueue {
    const key = `${type} ${name}`;
    let queue = this.#queues.get(key);
    if (queue === undefined) this.#queues.set(key, queue = { ready: [], waiters: new Set() });
    return queue;
  }

  /** Counts a handler as running. Returns a function to be called when the handler's sender no longer waits. */
  #run(node: string): () => void {
    let runs = this.#running.get(node);
    if (runs === undefined) this.#running.set(node, runs = new Set());
    const run = Symbol();
    runs.add(run);
    return () => void runs.delete(run);
  }

  /** Takes note that a handler begins. Returns a function to be called when the handler has returned, or has thrown. */
  #enter(node: string, label: string): () => void {
    let handlers = this.#unended.get(node);
    if (handlers === undefined) this.#unended.set(node, handlers = new Set());
    const handler = { label };
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  /** Counts the timers that a handler sets on its `ctx.clock`, until each fires. */
  #watchClock(ctx: Context): void {
    const begin = () => {
      let set = true;
      this.#sleeps++;
      return () => {
        if (set) this.#sleeps--;
        set = false;
      };
    };
    const prototype = Object.getPrototypeOf(ctx);
    const get = (): AppClock => {
      const clock: AppClock = Reflect.get(prototype, "clock", ctx);
      return {
        ...clock,
        after: (ms, callback, options) => {
          const end = begin();
          const timer = clock.after(ms, () => (end(), callback()), options);
          return { cancel: () => (end(), timer.cancel()) };
        },
        sleep: (ms, signal) => {
          const end = begin();
          return clock.sleep(ms, signal).finally(end);
        },
      };
    };
    Object.defineProperty(ctx, "clock", { get, configurable: true });
  }
}

/** A record whose members may still be written: it has no result yet. */
type OpenRecord = { -readonly [Member in keyof Recorded]: Recorded[Member] };

/** The records of one type and contract that `next` has not returned, and the calls of `next` that wait. */
interface RecordQueue {
  readonly ready: Recorded[];
  readonly waiters: Set<(record: Recorded) => void>;
}

function checkContract(method: string, contract: AnyContract): void {
  if (typeof contract?.kind === "string" && typeof contract.name === "string") return;
  throw new TypeError(`${method} takes a command, a query or an event; got ${show(contract)}`);
}

const METHODS = {
  send: "sent",
  stream: "sent",
  publish: "published",
  enqueue: "enqueued",
  broadcast: "broadcast",
} as const;
const MAX_SHOWN = 10;
