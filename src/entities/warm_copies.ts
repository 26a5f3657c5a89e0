/** Entities that a node keeps in memory: those whose commands it decided last, as far as there is room. */
import type { EntityCopy } from "./entity_copy.ts";

/** The warm copies of a node. */
export class WarmCopies {
  /**
   * By subject. One that was used since its place came at the front goes to the end instead of away: to move each at every use would take as
   * much time as all else here (V8, measured).
   */
  readonly #copies: Map<string, Kept> = new Map();
  readonly #most: number;
  #size = 0;

  /** `most`: bytes, about. */
  constructor(most: number = MOST) {
    this.#most = most;
  }

  /** How many there are. */
  get count(): number {
    return this.#copies.size;
  }

  /** What they take, in bytes, about. */
  get size(): number {
    return this.#size;
  }

  get(subject: string): EntityCopy<unknown> | undefined {
    return this.#copies.get(subject)?.copy;
  }

  /** Keeps one, as used now; forgets those that were not used for long. */
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
    if (this.#size > this.#most) this.#forget();
  }

  #forget(): void {
    // each comes again once at most: then it is not used any more
    for (const [subject, kept] of this.#copies) {
      if (this.#size <= this.#most) return;
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

  clear(): void {
    this.#copies.clear();
    this.#size = 0;
  }
}

interface Kept {
  copy: EntityCopy<unknown>;
  size: number;
  /** Since it was put at the end. */
  used: boolean;
}

/** 64 MB. */
const MOST = 67_108_864;
