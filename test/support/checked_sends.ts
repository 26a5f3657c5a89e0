/** Sends messages to nodes in other processes, and checks the results against what the handlers there wrote down. */
import { setTimeout as wait } from "node:timers/promises";
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import type { Contract, Kind } from "../../src/contract/declaration/contract.ts";
import type { SendOptions } from "../../src/contract/calls/send_options.ts";
import type { Result } from "../../src/contract/calls/result.ts";
import { type LoopGap, LoopGaps } from "../processes/loop_gaps.ts";
import type { RunLog } from "../processes/run_log.ts";
import { checkMessages, type MessageObservation } from "../../src/testing/checkers/messages.ts";

/** A contract whose handlers write the entry to disk, and then return the id of their node. */
export type Noting = Contract<"command" | "query", { entry: string; ms: number }, string>;

/** A message that was sent; with its result, once there is one. */
export interface Sent {
  readonly kind: Kind;
  readonly name: string;
  /** What its handlers write to disk. */
  readonly entry: string;
  /** The app's id. */
  readonly sender: string;
  /** In ms since 1970, as all times here. */
  readonly began: number;
  readonly due: number;
  ended?: number;
  result?: Result<string>;
}

/** Keeps every message that was sent through it, with its result. */
export class CheckedSends implements Disposable {
  readonly sent: Sent[] = [];
  readonly #run: string = crypto.randomUUID().slice(0, 8);
  readonly #ids: Map<Catga, string> = new Map();
  readonly #pending: Set<Promise<unknown>> = new Set();
  /** When this process, which sends, was starved: it did nothing, and computed nothing. */
  readonly #starved: LoopGap[] = [];
  readonly #loop: LoopGaps = new LoopGaps((gap) => {
    if (gap.busy < (gap.to - gap.from) / 2) this.#starved.push(gap);
  });

  /** Sends a message; resolves with its result. Never rejects. */
  async send(app: Catga, contract: Noting, ms = 0, options: SendOptions = {}): Promise<Required<Sent>> {
    const began = Date.now();
    const { kind, name, options: { timeout = 30_000 } } = contract;
    const sent: Sent = {
      kind,
      name,
      entry: `${this.#run}-${this.sent.length}`,
      sender: this.#idOf(app),
      began,
      due: began + (options.timeout ?? timeout),
    };
    this.sent.push(sent);
    const sending = app.send(contract, { entry: sent.entry, ms }, options);
    this.#pending.add(sending);
    sent.result = await sending;
    sent.ended = Date.now();
    this.#loop.beat();
    this.#pending.delete(sending);
    return sent as Required<Sent>;
  }

  #idOf(app: Catga): string {
    let id = this.#ids.get(app);
    if (id === undefined) this.#ids.set(app, id = app.self.id);
    return id;
  }

  /** Sends `count` of these messages at once. */
  many(count: number, ...message: Parameters<CheckedSends["send"]>): Promise<Required<Sent>[]> {
    return Promise.all(Array.from({ length: count }, () => this.send(...message)));
  }

  /** How many messages have no result yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Messages that failed with another code than these: a line each. */
  failures(...but: string[]): string[] {
    return this.sent.flatMap(({ kind, name, entry, result }) =>
      result?.ok === false && !but.includes(result.error.code)
        ? [`${kind} ${name} ${entry}: ${result.error.code}: ${result.error.message}`]
        : []
    );
  }

  /** How many messages had which code, `ok` among them, from most to least. */
  tally(sent: readonly Sent[] = this.sent): string {
    const counts = new Map<string, number>();
    for (const { result } of sent) {
      const what = result === undefined ? "pending" : result.ok ? "ok" : result.error.code;
      counts.set(what, (counts.get(what) ?? 0) + 1);
    }
    return [...counts].sort(([, a], [, b]) => b - a).map(([what, count]) => `${count} ${what}`).join(", ");
  }

  /**
   * Broken promises: a command that ran twice, a success without a run, a run of what certainly did not run, a value of
   * another run, a result later than `margin` ms after the deadline, unless this process was starved. A line each.
   */
  async violations(log: RunLog, margin = 1_000): Promise<string[]> {
    const history: MessageObservation[] = [];
    const numbers = new Map<string, number>();
    this.sent.forEach(({ entry, kind, sender, began, due, ended, result }, n) => {
      numbers.set(entry, n);
      history.push({ type: "send", at: began, message: n, kind: kind as "command" | "query", sender, due });
      if (result !== undefined) history.push({ type: "result", at: ended!, message: n, result });
    });
    for (const node of new Set(this.#ids.values())) {
      for (const { from, to } of this.#starved) history.push({ type: "resume", at: to, node, since: from });
    }
    const names = new Set(this.sent.map(({ name }) => name));
    for (const { entry, node } of await log.runs(...names)) {
      const n = numbers.get(entry);
      if (n === undefined) continue;
      const { kind } = this.sent[n];
      history.push({
        type: "run",
        at: 0,
        message: n,
        kind: kind as "command" | "query",
        node,
        id: kind === "query" ? `${n}` : entry,
        outcome: node,
      });
    }
    return checkMessages(history, { margin }).map(({ subject, text }) => `${subject}: ${text}`);
  }

  [Symbol.dispose](): void {
    this.#loop[Symbol.dispose]();
  }
}

/** Keeps `outstanding` calls of `send` under way until it is stopped. */
export class Load {
  readonly #senders: Promise<void>[];
  #stopped = false;
  /** How many calls have ended. */
  done = 0;

  constructor(outstanding: number, send: (i: number) => Promise<unknown>) {
    let i = 0;
    this.#senders = Array.from({ length: outstanding }, async () => {
      while (!this.#stopped) {
        const sent = await send(i++) as Partial<Sent> | undefined;
        this.done++;
        // a test that has failed stops its node, and not its load, which would fill the memory
        if (sent?.result?.error?.code === "CLOSED") return;
      }
    });
  }

  /** Makes no more calls; resolves when those under way have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#senders);
  }
}

/** Calls `send` at this rate, however long the calls take; resolves with all their results. */
export async function atRate<T>(perSecond: number, seconds: number, send: () => Promise<T>): Promise<T[]> {
  const all: Promise<T>[] = [];
  const began = performance.now();
  for (let passed = 0; passed < seconds; passed = (performance.now() - began) / 1_000) {
    while (all.length < passed * perSecond) all.push(send());
    await wait(1);
  }
  return Promise.all(all);
}
