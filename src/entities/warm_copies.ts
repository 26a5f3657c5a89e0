/** Entities that a node keeps in memory: those whose commands it decided last, as far as there is room. */
import type { EntityCopy } from "./entity_copy.ts";

/** The warm copies of a node. */
export class WarmCopies {
  /** By subject, the one used last at the end. */
  readonly #copies: Map<string, { readonly copy: EntityCopy<unknown>; readonly size: number }> = new Map();
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

  /** Keeps one, as used last; forgets those that were not used for the longest time. */
  keep(subject: string, copy: EntityCopy<unknown>): void {
    this.drop(subject);
    const { size } = copy;
    this.#copies.set(subject, { copy, size });
    this.#size += size;
    for (const oldest of this.#copies.keys()) {
      if (this.#size <= this.#most) break;
      this.drop(oldest);
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

/** 64 MB. */
const MOST = 67_108_864;
