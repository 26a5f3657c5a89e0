/**
 * A number for each message of a soak, in little memory.
 *
 * @module
 */

/** What a {@link Column} keeps its numbers in. */
type Numbers = Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** An array of numbers that grows as it is filled. */
export class Column {
  #numbers: Numbers;
  #end = 0;

  private constructor(numbers: Numbers) {
    this.#numbers = numbers;
  }

  /** For numbers from 0 to 255. */
  static ofBytes(): Column {
    return new Column(new Uint8Array(FIRST));
  }

  /** For moments, in ms since 1970. */
  static ofMoments(): Column {
    return new Column(new Float64Array(FIRST));
  }

  /** One more than the highest place that was filled. */
  get end(): number {
    return this.#end;
  }

  /** 0 where nothing was filled in. */
  get(n: number): number {
    return n < this.#end ? this.#numbers[n] : 0;
  }

  set(n: number, value: number): void {
    const { length, constructor } = this.#numbers;
    if (n >= length) {
      // of the same type as the one before
      const larger = new (constructor as new (length: number) => Numbers)(Math.max(n + 1, 2 * length));
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[n] = value;
    if (n >= this.#end) this.#end = n + 1;
  }

  /** Counts one more, up to 255. */
  add(n: number): void {
    this.set(n, Math.min(255, this.get(n) + 1));
  }
}

const FIRST = 65_536;
