/**
 * Maps and sets for objects that have many of them, most of which stay empty, as a workflow run has twenty: an empty
 * one has no table. (The table of an empty `Map` can take more memory than the rest of such an object, and each
 * minor garbage collection copies it while the object lives.)
 */

/** A map without a table while nothing was added. */
export class SparseMap<K, V> implements Iterable<[K, V]> {
  #map: Map<K, V> | undefined;

  get size(): number {
    return this.#map === undefined ? 0 : this.#map.size;
  }

  has(key: K): boolean {
    return this.#map !== undefined && this.#map.has(key);
  }

  get(key: K): V | undefined {
    return this.#map === undefined ? undefined : this.#map.get(key);
  }

  set(key: K, value: V): void {
    (this.#map ??= new Map()).set(key, value);
  }

  delete(key: K): boolean {
    return this.#map !== undefined && this.#map.delete(key);
  }

  clear(): void {
    this.#map = undefined;
  }

  keys(): MapIterator<K> {
    return this.#entries.keys();
  }

  values(): MapIterator<V> {
    return this.#entries.values();
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.#entries.entries();
  }

  get #entries(): ReadonlyMap<K, V> {
    return this.#map ?? NO_ENTRIES as ReadonlyMap<K, V>; // safe: an empty map has keys and values of all types
  }
}

/** A set without a table while nothing was added. */
export class SparseSet<T> implements Iterable<T> {
  #set: Set<T> | undefined;

  get size(): number {
    return this.#set === undefined ? 0 : this.#set.size;
  }

  has(value: T): boolean {
    return this.#set !== undefined && this.#set.has(value);
  }

  add(value: T): void {
    (this.#set ??= new Set()).add(value);
  }

  delete(value: T): boolean {
    return this.#set !== undefined && this.#set.delete(value);
  }

  clear(): void {
    this.#set = undefined;
  }

  [Symbol.iterator](): SetIterator<T> {
    return (this.#set ?? NO_VALUES as ReadonlySet<T>).values(); // safe: an empty set has values of all types
  }
}

const NO_ENTRIES: ReadonlyMap<unknown, unknown> = new Map();
const NO_VALUES: ReadonlySet<unknown> = new Set();
