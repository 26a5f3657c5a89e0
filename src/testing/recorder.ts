/** Remembers what apps send, publish and handle. */
import { clearTimeout, setTimeout } from "node:timers";
import type { AnyContract, Behavior, BroadcastResult, Contract, Kind, OutgoingMessage, Result } from "../../mod.ts";

/** What happened to a message: it was sent, published or broadcast by an app, or handled by one. */
export type RecordType = "sent" | "published" | "broadcast" | "handled";

/** A message that was sent or handled. */
export interface Recorded<In = unknown, Out = unknown> {
  /** What happened to it. A message that is sent and handled is recorded twice, and once more for each further attempt. */
  readonly type: RecordType;
  /** Of its contract. */
  readonly kind: Kind;
  /** Of its contract. */
  readonly name: string;
  /** As the sender gave it; of a handled one, as the handler saw it. */
  readonly payload: In;
  /** The id of the node that sent it, or handled it. */
  readonly node: string;
  /** When it was sent, or its handler began, in ms since 1970 by the node's clock. */
  readonly at: number;
  /** The message id; of one that was sent, only when its sender gave one. */
  readonly id: string | undefined;
  /** The headers that its sender gave, or its handler saw. */
  readonly headers: Readonly<Record<string, string>>;
  /** The id of the message that it all began with; `undefined` for one that no handler sent. */
  readonly correlationId: string | undefined;
  /** What came of it; `undefined` while nothing has. The value of a broadcast is an array of `BroadcastResult`. */
  readonly result: Result<Out> | undefined;
}

/** Options of {@link Recorder.next}. */
export interface NextOptions {
  /** What is waited for; `"published"` for an event, `"handled"` for a command or a query. */
  type?: RecordType;
  /** How long, in ms by the cluster's time; 30,000. */
  limit?: number;
}

/** What {@link recorder} gives, and what a `TestCluster` has. */
export interface Recorder {
  /** To be given to an app: `catga({ behaviors: [recorder.behavior] })`, before others. */
  readonly behavior: Behavior;
  /** Everything, in the order in which it began. */
  readonly all: readonly Recorded[];
  /** The commands and queries of a contract that were sent. */
  sent<In, Out>(contract: Contract<"command" | "query", In, Out>): readonly Recorded<In, Out>[];
  /** The events of a contract that were published. */
  published<In>(contract: Contract<"event", In, void>): readonly Recorded<In, void>[];
  /** The messages of a contract that were broadcast. */
  broadcast<In, Out>(contract: Contract<Kind, In, Out>): readonly Recorded<In, BroadcastResult<Out>[]>[];
  /** The messages of a contract whose handlers ran, one for each run. */
  handled<In, Out>(contract: Contract<Kind, In, Out>): readonly Recorded<In, Out>[];
  /**
   * The next message of a contract that has come to its end and that `next` has not given yet: one that is there already, or
   * the first that comes. So nothing is missed between two calls. Rejects when none comes within the limit.
   */
  next<In, Out>(contract: Contract<Kind, In, Out>, options?: NextOptions): Promise<Recorded<In, Out>>;
  /** Forgets everything so far. */
  clear(): void;
}

/** How a recorder waits: by the time of its cluster. */
export interface Waiting {
  /** Calls back after `ms`; the answer takes it back. */
  after(ms: number, callback: () => void): () => void;
  /** Somebody waits for this. */
  drive<T>(promise: Promise<T>): Promise<T>;
}

/**
 * Makes a recorder for apps of your own; a `TestCluster` has one.
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

/** The one recorder there is. */
export class MessageRecorder implements Recorder {
  readonly behavior: Behavior;
  readonly #waiting: Waiting;
  readonly #running = new Map<string, Set<symbol>>();
  readonly #lines = new Map<string, Line>();
  #all: Recorded[] = [];

  constructor(waiting: Waiting) {
    this.#waiting = waiting;
    const handle: Behavior = async ({ contract, payload, ctx, clock }, next) => {
      const { node, id, headers, correlationId } = ctx;
      const record = this.#begin("handled", contract, { payload, node, at: clock.now(), id, headers, correlationId });
      const ended = this.#run(node);
      // who was given up on may run for ever, and nobody waits for it
      ctx.signal.addEventListener("abort", ended, { once: true });
      const result = await next();
      ended();
      this.#end(record, result);
      return result;
    };
    this.behavior = Object.assign(handle, {
      send: async (message: OutgoingMessage, next: () => Promise<Result<unknown>>) => {
        const { method, contract, payload, options, ctx, node, clock } = message;
        const type = method === "send" ? "sent" : method === "publish" ? "published" : "broadcast";
        const { id, headers = {} } = options;
        const correlationId = ctx?.correlationId;
        const record = this.#begin(type, contract, { payload, node, at: clock.now(), id, headers, correlationId });
        const result = await next();
        this.#end(record, result);
        return result;
      },
    });
  }

  get all(): readonly Recorded[] {
    return [...this.#all];
  }

  /** Whether handlers run on a node that somebody waits for. */
  busy(node: string): boolean {
    return (this.#running.get(node)?.size ?? 0) > 0;
  }

  /** The node is dead: what runs there runs for nobody. */
  forget(node: string): void {
    this.#running.delete(node);
  }

  sent<In, Out>(contract: Contract<"command" | "query", In, Out>): readonly Recorded<In, Out>[] {
    return this.#of("sent", contract);
  }

  published<In>(contract: Contract<"event", In, void>): readonly Recorded<In, void>[] {
    return this.#of("published", contract);
  }

  broadcast<In, Out>(contract: Contract<Kind, In, Out>): readonly Recorded<In, BroadcastResult<Out>[]>[] {
    return this.#of("broadcast", contract);
  }

  handled<In, Out>(contract: Contract<Kind, In, Out>): readonly Recorded<In, Out>[] {
    return this.#of("handled", contract);
  }

  next<In, Out>(contract: Contract<Kind, In, Out>, options: NextOptions = {}): Promise<Recorded<In, Out>> {
    const { type = contract.kind === "event" ? "published" : "handled", limit = 30_000 } = options;
    const line = this.#line(type, contract.name);
    const ended = line.ended.shift();
    // what stands in the line of a contract has its types
    if (ended !== undefined) return Promise.resolve(ended as Recorded<In, Out>);
    const coming = new Promise<Recorded>((resolve, reject) => {
      const cancel = this.#waiting.after(limit, () => {
        line.waiters.delete(take);
        const seen = this.#all.slice(-MOST_SHOWN).map(({ type, name, node }) => `${type} ${name} on ${node}`);
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
      line.waiters.add(take);
    });
    return this.#waiting.drive(coming) as Promise<Recorded<In, Out>>;
  }

  clear(): void {
    this.#all = [];
    for (const line of this.#lines.values()) line.ended.length = 0;
  }

  #of<In, Out>(type: RecordType, { name }: { readonly name: string }): readonly Recorded<In, Out>[] {
    // records of this contract have its types
    return this.#all.filter((record) => record.type === type && record.name === name) as Recorded<In, Out>[];
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
    const line = this.#line(record.type, record.name);
    const [first] = line.waiters;
    if (first === undefined) {
      line.ended.push(record);
      return;
    }
    line.waiters.delete(first);
    first(record);
  }

  #line(type: RecordType, name: string): Line {
    const key = `${type} ${name}`;
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, line = { ended: [], waiters: new Set() });
    return line;
  }

  /** A handler begins; the answer ends it. */
  #run(node: string): () => void {
    let runs = this.#running.get(node);
    if (runs === undefined) this.#running.set(node, runs = new Set());
    const run = Symbol();
    runs.add(run);
    return () => void runs.delete(run);
  }
}

/** A record whose result is still to come. */
type OpenRecord = { -readonly [Member in keyof Recorded]: Recorded[Member] };

/** What has come to its end and was not given yet, and who waits for what has not. */
interface Line {
  readonly ended: Recorded[];
  readonly waiters: Set<(record: Recorded) => void>;
}

const MOST_SHOWN = 10;
