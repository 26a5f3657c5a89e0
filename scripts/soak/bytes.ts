/**
 * A small number for each message of a soak.
 *
 * @module
 */

/** An array of numbers from 0 to 255 that grows as it is filled. */
export class Bytes {
  #bytes = new Uint8Array(65_536);
  #end = 0;

  /** One more than the highest place that was filled. */
  get end(): number {
    return this.#end;
  }

  /** 0 where nothing was filled in. */
  get(n: number): number {
    return n < this.#end ? this.#bytes[n] : 0;
  }

  set(n: number, value: number): void {
    if (n >= this.#bytes.length) {
      const larger = new Uint8Array(Math.max(n + 1, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[n] = value;
    if (n >= this.#end) this.#end = n + 1;
  }

  /** Counts one more, up to 255. */
  add(n: number): void {
    this.set(n, Math.min(255, this.get(n) + 1));
  }
}
