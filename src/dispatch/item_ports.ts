/** Ports between the handler of a stream and its reader; `streams/` implements them, loaded when it is first needed. */
import type { StreamOptions } from "../contract/send_options.ts";
import type { Context } from "../contract/context.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { HandlerFn } from "../contract/definition.ts";
import type { Result } from "../contract/result.ts";
import type { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";

/** The way from a handler to a reader in another process. */
export interface ItemLine {
  /** The largest item, in bytes. */
  readonly limit: number;
  /** The turns of all lines of the process. */
  readonly bursts: Bursts;
  /** The handler's side, which sets it. */
  sender: LineSender | undefined;
  /** Calls {@link LineSender.write} when this turn of the event loop ends. */
  gather(): void;
}

/** The handler's side of a line. */
export interface LineSender {
  /**
   * The reader says how many items it has consumed and received; `again`: it may lack some of those that were sent
   * since.
   */
  word(consumed: number, received: number, again: boolean): void;
  /** Writes what is to be sent. */
  write(out: ItemWriter): void;
}

/** Writes into the frames of one turn. */
export interface ItemWriter {
  /**
   * Items from number `n` on: those of `list` from `first` on, which are texts; `strings`: strings that have to be
   * encoded.
   */
  items(n: number, list: readonly string[], first: number, strings: boolean): void;
  /** Asks the reader to report when it has consumed `n` items. */
  ask(n: number): void;
  /** Says that there are `n` items in all. */
  end(n: number): void;
}

/**
 * Has streams send one after the other, so that the items of each stand together, and leaves time for everything else.
 */
export interface Bursts {
  /** Returns true if a stream may send a burst in this turn of the event loop; it has to, if so. */
  take(): boolean;
  /** Calls back in a later turn, when it may. */
  wait(go: () => void): void;
}

/** The way back, of one attempt. */
export interface ItemSource {
  /** Says how many items were consumed and received; `again`: some may be missing. */
  word(consumed: number, received: number, again: boolean): void;
}

/** Outlet of the items of a handler of a stream in this process. */
export interface ItemOutlet {
  /** True if there is room for another item. */
  readonly room: boolean;
  /** Resolves when there is. */
  ready(): Promise<void>;
  /** Puts an item there. Throws a `CatgaError` for one that cannot be sent. */
  send(item: unknown): void;
  /** There are no more. Resolves when the reader has all. */
  end(): Promise<void>;
  /** Nothing more is sent: who waits goes on. */
  close(): void;
}

/** A reader of a stream. */
export interface ItemSink {
  /** How many items have come. */
  readonly received: number;
  /** For a handler in its own process. */
  readonly here: ItemOutlet;
  /** As `ItemReceiver` has them. */
  items(source: ItemSource, n: number, list: readonly unknown[], first: number): void;
  report(source: ItemSource, n: number): void;
  end(source: ItemSource, n: number): void;
  doubt(source: ItemSource): void;
}

/** Destination of a handler's items: a reader in its process, or the wire. */
export type ItemTarget = (Pick<ItemSink, "here"> | { readonly line: ItemLine }) & {
  /** The last run of the handler, and whether an item was sent. */
  run?: Promise<unknown>;
  begun?: boolean;
};

/** The context of the handler of a stream. */
export interface FeedingContext extends Context {
  /** Ends the message for `reason`, as its deadline would. */
  abort(reason: CatgaError): void;
  readonly envelope: { readonly items?: ItemTarget | undefined };
  /** Observes a result of the schema of its items if the schema threw. */
  checkedBy<T extends Result<unknown>>(schema: "items", result: T): T;
}

/** Reads and feeds streams. */
export interface StreamEngine {
  /**
   * Passes on what a handler gives. Resolves with how many items there were, or with the handler's failure; rejects
   * with what it throws. After the first item a further call ends as the run that gave it.
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
   * Sends the request, and resolves with how the stream ended. `timeout`: what is left of that of the whole stream, in
   * ms. Rejects with what a user's strategy or key throws.
   */
  open(
    input: unknown,
    sink: ItemSink,
    signal: AbortSignal,
    timeout: number | undefined,
  ): Promise<Result<unknown>>;
}
