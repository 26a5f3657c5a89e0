/** The record of a simulated run. */
import type { Clock } from "../../src/ports/clock.ts";
import type { Logger, Result } from "../../mod.ts";
import type { MessageObservation } from "../../src/testing/checkers/messages.ts";
import type { RequestKind } from "../../src/testing/checkers/allowed_results.ts";
import type { LogFields } from "../../src/contract/nodes/observer.ts";

/** A {@link MessageObservation} whose moment is now. */
type Untimed<T> = T extends MessageObservation ? Omit<T, "at"> : never;

/** The history of a run, its violations, and the promises that have to settle. */
export class SimulationRecord {
  readonly history: MessageObservation[] = [];
  readonly wrongs: string[] = [];
  /** All that was seen, a line each; only when it was asked for. */
  readonly trace: string[] = [];
  /** Where the nodes log to. */
  readonly logger: Logger;
  readonly #clock: Clock;
  readonly #traces: boolean;
  readonly #pending = new Set<Promise<void>>();
  #messages = 0;
  #runs = 0;

  constructor(clock: Clock, traces: boolean) {
    this.#clock = clock;
    this.#traces = traces;
    const note = traces ? (text: string) => this.note(text) : () => {};
    const error = traces ? (text: string, { error = "" }: LogFields) => this.note(`${text} ${error}`) : () => {};
    this.logger = { debug: note, info: note, warn: note, error };
  }

  /** How many things have not come to their end. */
  get pending(): number {
    return this.#pending.size;
  }

  nextMessage(): number {
    return ++this.#messages;
  }

  nextRun(): number {
    return ++this.#runs;
  }

  happened(untimed: Untimed<MessageObservation>): void {
    // every member of the union has a moment
    const happening = { ...untimed, at: this.#clock.monotonic() } as MessageObservation;
    this.history.push(happening);
    if (this.#traces) this.trace.push(JSON.stringify(happening));
  }

  note(text: string): void {
    if (this.#traces) this.trace.push(`${this.#clock.monotonic()} ${text}`);
  }

  wrong(what: string): void {
    this.note(`WRONG ${what}`);
    this.wrongs.push(what);
  }

  /** Sees to it that something ends, and that it does not fail. */
  own(promise: Promise<unknown>): void {
    const end = this.owe(promise).finally(() => this.#pending.delete(end));
    this.#pending.add(end);
  }

  /** The same for what need not end, because its node may die. */
  owe(promise: Promise<unknown>): Promise<void> {
    return promise.then(() => {}, (error) => this.wrong(`${error}`));
  }

  /** A send of a node, from its beginning to its result. */
  send(
    kind: RequestKind,
    sender: string,
    timeout: number,
    begin: (n: number) => Promise<Result<string>>,
  ): Promise<void> {
    const n = this.nextMessage();
    this.happened({ type: "send", message: n, kind, sender, due: this.#clock.monotonic() + timeout });
    return this.owe(begin(n).then((result) => this.happened({ type: "result", message: n, result })));
  }
}
