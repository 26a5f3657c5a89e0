/** Stands in for `src/memory/key_value_store.ts` in Deno: buckets that nobody has given a storage are in a file. */
import { MemoryKeyValueStore as InMemory } from "../../src/memory/key_value_store.ts";
import { storageOf } from "./storage.ts";

export { BucketState } from "../../src/memory/key_value_store.ts";

export class MemoryKeyValueStore extends InMemory {
  constructor(...[clock, faults, storage = storageOf(clock).buckets]: ConstructorParameters<typeof InMemory>) {
    super(clock, faults, storage);
  }
}
