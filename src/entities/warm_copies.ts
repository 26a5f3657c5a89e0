/** Entities that a node keeps in memory: the most recently used ones, up to a limit of bytes. */
import type { EntityCopy } from "./entity_copy.ts";

/** The copies of entities that a node keeps in memory. */
export class WarmCopies {
  /**
   * By subject: the copies of entities. To make room, copies are removed from the beginning of the list; but a copy
   * that was used since it was put at the end of the list is moved to the end again. (Moving a copy at every use would
   * take as much time as everything else here: V8, measured.)
   */
  readonly #copies: Map<string, KeptCopy> = new Map();
  readonly #maxSize: number;
  #size = 0;

  /** `maxSize`: approximate maximum size of all copies together, in bytes. */
  constructor(maxSize: number = MAX_CACHE_SIZE) {
    this.#maxSize = maxSize;
  }

  /** Approximate size of all copies, in bytes. */
  get size(): number {
    return this.#size;
  }

  get(subject: string): EntityCopy<unknown> | undefined {
    return this.#copies.get(subject)?.copy;
  }

  /**
   * Keeps a copy in memory, as a copy that was used just now. If there is no room, removes copies that were not used
   * for long.
   */
  keep(subject: string, copy: EntityCopy<unknown>): void {
    const { size } = copy;
    const kept = this.#copies.get(subject);
    if (kept === undefined) {
      this.#copies.set(subject, { copy, size, used: false });
      this.#size += size;
    } else {
      this.#size += size - kept.size;
      kept.copy = copy;
      kept.size = size;
      kept.used = true;
    }
    if (this.#size > this.#maxSize) this.#evict();
  }

  #evict(): void {
    // the loop ends, because it sets `used` to false: each copy is met twice at most
    for (const [subject, kept] of this.#copies) {
      if (this.#size <= this.#maxSize) return;
      this.#copies.delete(subject);
      if (kept.used) this.#copies.set(subject, { ...kept, used: false });
      else this.#size -= kept.size;
    }
  }

  drop(subject: string): void {
    const kept = this.#copies.get(subject);
    if (kept === undefined) return;
    this.#copies.delete(subject);
    this.#size -= kept.size;
  }
}

interface KeptCopy {
  copy: EntityCopy<unknown>;
  size: number;
  /** True if the copy was used since it was put at the end of the list. */
  used: boolean;
}

/** Default maximum size of all copies together, in bytes: 64 MB. */
const MAX_CACHE_SIZE = 67_108_864;
