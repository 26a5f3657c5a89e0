/** The cache in a handler's context (`ctx.cache`): its waits for a load end when the handler's message is aborted. */
import type { MaybePromise } from "../contract/schema.ts";
import type { CacheKey } from "../contract/sendable.ts";
import type { Cache, CacheLoadOptions, CacheSetOptions } from "../contract/shared_state.ts";

/** The cache as one run of a handler sees it: waits for a load end when the handler's message is aborted. */
export class RunCache implements Cache {
  readonly #cache: Cache;
  readonly #run: { readonly signal: AbortSignal };

  constructor(cache: Cache, run: { readonly signal: AbortSignal }) {
    this.#cache = cache;
    this.#run = run;
  }

  get<T>(key: string): Promise<T | undefined> {
    return this.#cache.get(key);
  }

  set(key: string, value: unknown, options?: CacheSetOptions): Promise<boolean> {
    return this.#cache.set(key, value, options);
  }

  delete(key: string): Promise<void> {
    return this.#cache.delete(key);
  }

  getOrSet<T>(key: CacheKey<T>, load: () => MaybePromise<T>, options?: CacheLoadOptions): Promise<T> {
    const { signal: own } = this.#run;
    const given = options?.signal;
    const signal = given instanceof AbortSignal ? AbortSignal.any([own, given]) : given ?? own;
    return this.#cache.getOrSet(key, load, { ...options, signal });
  }
}
