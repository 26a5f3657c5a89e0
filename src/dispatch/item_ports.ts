/**
 * Interfaces between the handler of a stream and its reader; `streams/`, loaded when it is first needed, implements
 * them.
 */
import type { StreamOptions } from "../contract/send_options.ts";
import type { Context } from "../contract/context.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { HandlerFn } from "../contract/definition.ts";
import type { Result } from "../contract/result.ts";
import type { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";

/** The line from a handler to a reader in another process. */
export interface ItemLine {
  /** Maximum size of an item, in bytes. */
  readonly limit: number;
  /** The limit of bursts, shared by all lines of the process. */
  readonly bursts: Bursts;
  /** The handler's side of the line, set by the handler. */
  sender: LineSender | undefined;
  /** Schedules a call of {@link LineSender.write} for the end of this turn of the event loop. */
  gather(): void;
}

/** The handler's side of a line. */
export interface LineSender {
  /**
   * Called when the reader reports how many items it has consumed and received. `again`: some of the items sent since
   * may be missing there.
   */
  word(consumed: number, received: number, again: boolean): void;
  /** Writes the items and reports that are to be sent. */
  write(out: ItemWriter): void;
}

/** Writes items and reports into the frames of one turn. */
export interface ItemWriter {
  /**
   * Writes items: `list` from index `first` on, encoded as texts; `n`: number of the first item. `strings`: the items
   * are strings that have to be encoded.
   */
  items(n: number, list: readonly string[], first: number, strings: boolean): void;
  /** Asks the reader for a report when it has consumed `n` items. */
  ask(n: number): void;
  /** Reports that the stream has `n` items in all. */
  end(n: number): void;
}

/** Makes streams send one after the other, so that the items of each stay together, and leaves time for other work. */
export interface Bursts {
  /** Takes one burst of this turn; false if none is left. After true the caller must send. */
  take(): boolean;
  /** Calls `go` in a later turn, when the caller may try again. */
  wait(go: () => void): void;
}

/** The line back from the reader to one attempt of the handler. */
export interface ItemSource {
  /** Reports how many items were consumed and received; `again`: some may be missing. */
  word(consumed: number, received: number, again: boolean): void;
}

/** Outlet for the items of a stream's handler in this process. */
export interface ItemOutlet {
  /** True if there is room for another item. */
  readonly room: boolean;
  /** Resolves when there is room for another item. */
  ready(): Promise<void>;
  /** Sends an item. Throws a `CatgaError` for an item that cannot be sent. */
  send(item: unknown): void;
  /** Ends the items. Resolves when the reader has all of them. */
  end(): Promise<void>;
  /** Ends the sending: callers that wait in `ready` go on. */
  close(): void;
}

/** A reader of a stream. */
export interface ItemSink {
  /** Number of items that have arrived. */
  readonly received: number;
  /** Outlet for a handler in the reader's own process. */
  readonly here: ItemOutlet;
  /** Called with items, a request for a report, or the end of the stream; see `ItemReceiver`. */
  items(source: ItemSource, n: number, list: readonly unknown[], first: number): void;
  report(source: ItemSource, n: number): void;
  end(source: ItemSource, n: number): void;
  doubt(source: ItemSource): void;
}

/** Target of a handler's items: a reader in its process, or the wire. */
export type ItemTarget = (Pick<ItemSink, "here"> | { readonly line: ItemLine }) & {
  /** The last run of the handler. */
  run?: Promise<unknown>;
  /** True if an item was sent. */
  begun?: boolean;
};

/** The context of the handler of a stream. */
export interface FeedingContext extends Context {
  /** Aborts the message with `reason`, as its deadline would. */
  abort(reason: CatgaError): void;
  readonly envelope: { readonly items?: ItemTarget | undefined };
  /** Observes the result of the items' schema if the schema threw. */
  checkedBy<T extends Result<unknown>>(schema: "items", result: T): T;
}

/** The engine that reads and feeds streams. */
export interface StreamEngine {
  /**
   * Sends the items that a handler yields. Resolves with their number, or with the handler's failure; rejects with an
   * error that the handler throws. After the first item, a further call ends like the run that gave that item.
   */
  feed(contract: AnyContract, fn: HandlerFn, payload: unknown, ctx: FeedingContext): Promise<unknown>;
  /** Reads a stream. */
  read(opening: StreamOpening): AsyncIterableIterator<unknown>;
}

/** A stream that is to be read. */
export interface StreamOpening {
  readonly contract: AnyContract;
  readonly input: unknown;
  readonly options: StreamOptions;
  readonly clock: Clock;
  /**
   * Sends the request. Resolves with the result that ended the stream. `timeout`: time left for the whole stream, in
   * ms. Rejects with an error that a user's strategy or key function throws.
   */
  open(
    input: unknown,
    sink: ItemSink,
    signal: AbortSignal,
    timeout: number | undefined,
  ): Promise<Result<unknown>>;
}
