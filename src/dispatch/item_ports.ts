/**
 * Interfaces between the handler of a stream and its reader; the folder `streams/`, loaded when it is first needed,
 * implements them.
 */
import type { StreamOptions } from "../contract/calls/send_options.ts";
import type { Context } from "../contract/calls/context.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { HandlerFn } from "../contract/declaration/definition.ts";
import type { Result } from "../contract/calls/result.ts";
import type { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";

/** The connection of a stream's handler to a reader in another process. */
export interface ItemLine {
  /** Maximum size of an item, in bytes. */
  readonly limit: number;
  /** Limits how many items the streams of the process send in one turn of the event loop. */
  readonly bursts: Bursts;
  /**
   * The handler's end of the connection, which the handler sets. This end gets the reader's reports, and writes the
   * items.
   */
  sender: LineSender | undefined;
  /** Requests a call of {@link LineSender.write} at the end of this turn of the event loop. */
  gather(): void;
}

/** The handler's end of a connection to a reader in another process. */
export interface LineSender {
  /**
   * Called when the reader reports how many items it has consumed and received. `again`: true if the items after the
   * received ones may have been lost on the way.
   */
  onProgress(consumed: number, received: number, again: boolean): void;
  /** Writes the items and reports that are waiting to be sent. */
  write(out: ItemWriter): void;
}

/** Writes items and reports into the frames (network messages) that are sent at the end of a turn of the event loop. */
export interface ItemWriter {
  /**
   * Writes items: `list` from index `first` on, encoded as texts; `n`: number of the first item. `strings`: the items
   * are strings that have to be encoded.
   */
  items(n: number, list: readonly string[], first: number, strings: boolean): void;
  /** Writes a request: the reader shall report when it has consumed `n` items. */
  ask(n: number): void;
  /** Writes the end of the stream, which has `n` items in all. */
  end(n: number): void;
}

/**
 * Limits how many items the streams of a process send in a turn of the event loop. Each stream sends a burst at a time:
 * a limited number of its items, one after the other; then another stream may. So the items of a stream travel
 * together, and there is time for other work.
 */
export interface Bursts {
  /**
   * Requests permission to send one burst (limited number of items of one stream) in this turn of the event loop;
   * returns false if this turn has no burst left. After true the caller must send.
   */
  take(): boolean;
  /** Calls `go` in a later turn of the event loop, when the caller may request a burst again. */
  wait(go: () => void): void;
}

/** The connection of a stream's reader back to the handler, for one attempt of the handler. */
export interface ItemSource {
  /**
   * Reports how many items the reader has consumed and received; `again`: true if the items after the received ones may
   * have been lost on the way.
   */
  reportProgress(consumed: number, received: number, again: boolean): void;
}

/** Takes the items of a stream's handler that runs in this process. */
export interface ItemOutlet {
  /** True if another item may be sent now: the reader has consumed enough. */
  readonly room: boolean;
  /** Resolves when another item may be sent. */
  ready(): Promise<void>;
  /** Sends an item. Throws a `CatgaError` for an item that cannot be sent. */
  send(item: unknown): void;
  /** Reports that there are no more items. Resolves when the reader has received all of them. */
  end(): Promise<void>;
  /** Stops the sending: pending calls of `ready` resolve. */
  close(): void;
}

/** The receiving end of a stream: its reader. */
export interface ItemSink {
  /** Number of items that have arrived. */
  readonly received: number;
  /** Takes the items of a handler that runs in the reader's own process. */
  readonly here: ItemOutlet;
  /**
   * Receives the items of `list` from index `first` on; `n`: number of the first of these items in the stream.
   * `ItemReceiver` implements this method and the three below, which receive a request for a report, the end of the
   * stream, and a possible loss of items.
   */
  items(source: ItemSource, n: number, list: readonly unknown[], first: number): void;
  report(source: ItemSource, n: number): void;
  end(source: ItemSource, n: number): void;
  doubt(source: ItemSource): void;
}

/** Where a handler's items go: to a reader in its own process, or over the network. */
export type ItemTarget = (Pick<ItemSink, "here"> | { readonly line: ItemLine }) & {
  /** The newest run of the handler for this message. */
  run?: Promise<unknown>;
  /** True if at least one item was sent. */
  begun?: boolean;
};

/** The context that the handler of a stream gets. */
export interface FeedingContext extends Context {
  /** Ends the message with the error `reason`, in the way in which its deadline does. */
  abort(reason: CatgaError): void;
  readonly envelope: { readonly items?: ItemTarget | undefined };
  /** Reports the error of the items' schema, if the schema threw. Returns the result unchanged. */
  checkedBy<T extends Result<unknown>>(schema: "items", result: T): T;
}

/** The part of Catga that sends and reads the items of streams. */
export interface StreamEngine {
  /**
   * Calls the handler of a stream, and sends the items that it yields. Resolves with the number of items, or with the
   * handler's failure; rejects with an error that the handler throws. If an earlier call for the same message has sent
   * an item, the handler is not called again: the call ends like the earlier one.
   */
  feed(contract: AnyContract, fn: HandlerFn, payload: unknown, ctx: FeedingContext): Promise<unknown>;
  /** Returns an iterator over the items of a stream. */
  read(opening: StreamOpening): AsyncIterableIterator<unknown>;
}

/** A stream that is to be read. */
export interface StreamOpening {
  readonly contract: AnyContract;
  readonly input: unknown;
  readonly options: StreamOptions;
  readonly clock: Clock;
  /**
   * Sends a request for the stream with this input; `sink` gets the items. Resolves when the stream has ended, with its
   * result. `timeout`: time left for the whole stream, in ms; `undefined`: no limit. Rejects with an error that a
   * strategy or key function of the program throws.
   */
  open(
    input: unknown,
    sink: ItemSink,
    signal: AbortSignal,
    timeout: number | undefined,
  ): Promise<Result<unknown>>;
}
