/**
 * Keeps sent frames by their number, in a ring: numbers follow each other, so that only a few old frames need a map.
 */

/**
 * Values by ascending frame number: a ring for the 256 newest, and a small `Map` for older ones that remain. A `Map`
 * for all of them cost 37 % of a client's time in garbage collection, because its old tables keep young objects alive
 * (measured).
 */
export class FrameRing<T extends { readonly seq: number }> {
  #ring: (T | undefined)[] | undefined;
  #stragglers: Map<number, T> | undefined;
  #size = 0;

  /** Number of values in the ring. */
  get size(): number {
    return this.#size;
  }

  /** Adds a value; its number must be higher than all numbers before. */
  add(value: T): void {
    const ring = this.#ring ??= new Array(RING).fill(undefined);
    const place = value.seq % RING;
    const old = ring[place];
    if (old !== undefined) (this.#stragglers ??= new Map()).set(old.seq, old);
    ring[place] = value;
    this.#size++;
  }

  /** Returns the value with this number; `undefined`: none has it. */
  get(seq: number): T | undefined {
    const value = this.#ring?.[seq % RING];
    return value?.seq === seq ? value : this.#stragglers?.get(seq);
  }

  /** Removes the value with this number, if there is one. */
  delete(seq: number): void {
    const place = seq % RING;
    if (this.#ring?.[place]?.seq === seq) this.#ring[place] = undefined;
    else if (this.#stragglers?.delete(seq) !== true) return;
    this.#size--;
  }

  /** Returns all present values, in no order. */
  values(): T[] {
    if (this.#size === 0) return [];
    const all = this.#ring!.filter((value) => value !== undefined);
    return this.#stragglers === undefined ? all : [...this.#stragglers.values(), ...all];
  }
}

const RING = 256;
