/** A message in its leader's memory, and those of its key. */
import { messageId, type ParkedState } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import type { FailedWith } from "../format/parked_message.ts";

/** Settings of a category for keeping its messages in order. */
export interface LedgerCategory {
  readonly name: string;
  /** How often its messages are tried. */
  readonly attempts: number;
  /** The first and the longest pause before one is tried again, in ms. */
  readonly delay: readonly [first: number, longest: number];
  /** By key, those that are open or parked. */
  readonly lines: Map<string, Line>;
  /** How many live nodes handle it. */
  readonly capable: number;
  /** If its messages are handed out in batches: how many messages one has at most. */
  readonly batch?: { readonly max: number } | undefined;
  /** Messages that wait for a node that handles them. */
  readonly held: Item[];
}

/** The messages of a key, in the order of the log: those that are open come before those that are parked. */
export type Line = Item[];

/** A message of a subscription that is neither done nor discarded. */
export class Item {
  message: LoggedMessage;
  /**
   * True if the message has its payload, and its error the cause: those of a large one that is parked are read again
   * before it runs.
   */
  loaded = true;
  /** Size in the log, in bytes; 0: unknown. */
  size = 0;
  readonly category: LedgerCategory;
  readonly epoch: number;
  /** Attempts that failed. */
  attempts: number;
  /** Among those that are open, or put aside; or it is done, or discarded. */
  place: "open" | "parked" | "gone" = "open";
  /** It waits for its turn; may be handed out; or is handed out, or with the next commit. */
  turn: "waits" | "ready" | "begun" = "waits";
  /** When it is to be tried, and since when it is a dead letter, in ms since 1970; 0: at once, none. */
  due = 0;
  dead = 0;
  /** Failure of its last attempt. */
  error: FailedWith | undefined = undefined;
  /** It was in a batch that failed: it is handed out alone from now on. */
  alone = false;
  /** It runs at a node already: to hand it out is to join that run. */
  joins = false;
  /** The id of the node that the next attempt goes to: one where it may be running still. */
  node: string | undefined = undefined;
  /** How often in a row it was certainly not run, and when it failed first, by the monotonic clock. */
  refusals = 0;
  failedAt: number | undefined = undefined;
  /** The messages of its key, once it is among them. */
  line: Line | undefined = undefined;
  #id: string | undefined;

  constructor(message: LoggedMessage, category: LedgerCategory, attempts: number, epoch: number) {
    this.message = message;
    this.category = category;
    this.attempts = attempts;
    this.epoch = epoch;
  }

  get id(): string {
    return this.#id ??= messageId(this.message);
  }

  get position(): number {
    return this.message.position;
  }

  get key(): string | undefined {
    return this.message.key;
  }

  get state(): ParkedState {
    const { message: { position, time }, epoch, attempts, due, dead } = this;
    return { position, time, epoch, attempts, due, dead };
  }

  /** Returns true if it stands behind another in the log. */
  isBehind({ epoch, position }: Item): boolean {
    return this.epoch > epoch || (this.epoch === epoch && this.position > position);
  }
}
