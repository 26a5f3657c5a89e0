/**
 * Maps and sets whose entries come and go all the time, as one for each thing that is under way.
 *
 * V8 has a `Map` refer from a table that is full to the table that follows it. If one table has got among the old
 * objects, which only a major collection looks at, it keeps all that follow it alive, with each entry that was in one
 * of them: all that ever passes through the map is then kept until that collection, and is copied twice. So these move
 * to a new `Map` before a table is full.
 */

/** A map whose entries come and go. An iteration that goes on while entries are added may miss later changes. */
export class ChurnMap<K, V> {
  #map = new Map<K, V>();
  /** Number of additions after which the entries move. */
  #left = LEAST;

  get size(): number {
    return this.#map.size;
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  set(key: K, value: V): void {
    if (--this.#left < 0) {
      this.#map = new Map(this.#map);
      this.#left = Math.max(LEAST, this.#map.size);
    }
    this.#map.set(key, value);
  }

  delete(key: K): boolean {
    return this.#map.delete(key);
  }

  clear(): void {
    this.#map = new Map();
  }

  keys(): MapIterator<K> {
    return this.#map.keys();
  }

  values(): MapIterator<V> {
    return this.#map.values();
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.#map.entries();
  }
}

/** A set whose values come and go. An iteration that goes on while values are added may miss later changes. */
export class ChurnSet<T> {
  #set = new Set<T>();
  /** Number of additions after which the values move. */
  #left = LEAST;

  get size(): number {
    return this.#set.size;
  }

  add(value: T): void {
    if (--this.#left < 0) {
      this.#set = new Set(this.#set);
      this.#left = Math.max(LEAST, this.#set.size);
    }
    this.#set.add(value);
  }

  delete(value: T): boolean {
    return this.#set.delete(value);
  }

  [Symbol.iterator](): SetIterator<T> {
    return this.#set.values();
  }
}

/** Least number of additions between two moves. */
const LEAST = 64;
