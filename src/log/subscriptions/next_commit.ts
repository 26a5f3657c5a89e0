/**
 * The next commit of a subscription, as its leader gathers it: everything of the ledger that has changed since the last
 * draft, and the messages that wait until the commit is stored.
 */
import type { Head, ParkedState } from "../format/commit.ts";
import type { Item } from "./category.ts";

/** Content of the next commit, and the messages that depend on it. */
export interface Draft {
  readonly head: Omit<Head, "leader" | "token">;
  /** Parked messages whose state has changed since the last draft. */
  readonly changed: readonly ParkedState[];
  /** Ids of messages that were parked, and were handled or discarded since the last draft. */
  readonly ended: readonly string[];
  /** Messages that must be stored, with their errors, before the commit. */
  readonly entries: readonly Item[];
  /** Messages whose run begins when the commit is stored. */
  readonly begins: readonly Item[];
  /** Messages whose failures the commit records: they may run again when the commit is stored. */
  readonly after: readonly Item[];
}

/** Gathers the next commit. */
export class NextCommit {
  /** By id of a parked message: the message, if its state has changed; `undefined`: it was handled or discarded. */
  #changed = new Map<string, Item | undefined>();
  /** Parked messages that the next commit stores, and their size in bytes. */
  #entries = new Set<Item>();
  #entriesBytes = 0;
  /** Size of the parked messages that are being stored, in bytes. */
  #storingBytes = 0;
  /** Messages whose run begins when the next commit is stored. */
  #beginning: Item[] = [];
  /** Number of messages whose run begins with the commit that is being stored. */
  #beingStored = 0;
  /** Messages whose failures the next commit records: they may run again when that commit is stored. */
  #after: Item[] = [];
  /** Messages whose attempts the next commit records, and those of the commit that is being stored. */
  #unrecorded = new Set<Item>();
  readonly #recording = new Set<Item>();

  /** Size of the parked messages that are to be stored, or are being stored, in bytes. */
  get bytes(): number {
    return this.#entriesBytes + this.#storingBytes;
  }

  /** True if messages wait for a commit before they may run. */
  get isAwaited(): boolean {
    return this.#beginning.length > 0 || this.#after.length > 0;
  }

  /** True if the commit that is being stored, or the next one, begins the run of a message. */
  get isBeginning(): boolean {
    return this.#beginning.length > 0 || this.#beingStored > 0;
  }

  /** True if the state of a parked message has changed since the last draft. */
  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** Records that the state of a parked message has changed. */
  change(item: Item): void {
    this.#changed.set(item.id, item);
  }

  /** Records that a parked message was handled or discarded. */
  end(item: Item): void {
    this.#changed.set(item.id, undefined);
    if (this.#entries.delete(item)) this.#entriesBytes -= item.size;
  }

  /** Records that neither the log nor the store has a parked message any more. */
  lost(id: string): void {
    this.#changed.set(id, undefined);
  }

  /** Lets a parked message be stored, with its error, before the commit. */
  store(item: Item): void {
    if (this.#entries.has(item)) return;
    this.#entries.add(item);
    this.#entriesBytes += item.size;
  }

  /** Lets the run of a message begin when the commit is stored. */
  begin(item: Item): void {
    this.#beginning.push(item);
  }

  /** Records that an attempt of a message has failed, or that its attempts begin again: it was replayed. */
  attempted(item: Item): void {
    this.#unrecorded.add(item);
  }

  /** Returns true if no stored commit has the attempts of a message as they are now. */
  isUnrecorded(item: Item): boolean {
    return this.#unrecorded.has(item) || this.#recording.has(item);
  }

  /** Lets a message run again once the commit is stored. */
  runsAfter(item: Item): void {
    this.#after.push(item);
  }

  /** Makes the content of the commit; from now on changes belong to the commit after it. */
  draft(head: Draft["head"]): Draft {
    const ended: string[] = [];
    const changed: ParkedState[] = [];
    for (const [id, item] of this.#changed) {
      if (item === undefined) ended.push(id);
      else changed.push(item.state);
    }
    const draft: Draft = {
      head,
      changed,
      ended,
      entries: [...this.#entries],
      begins: this.#beginning,
      after: this.#after,
    };
    for (const item of this.#unrecorded) this.#recording.add(item);
    this.#unrecorded = new Set();
    this.#changed = new Map();
    this.#entries = new Set();
    this.#storingBytes += this.#entriesBytes;
    this.#entriesBytes = 0;
    this.#beginning = [];
    this.#beingStored = draft.begins.length;
    this.#after = [];
    return draft;
  }

  /** Records that the commit made of the last draft, and of those before it, is stored. */
  stored(): void {
    this.#beingStored = this.#storingBytes = 0;
    this.#recording.clear();
  }
}
