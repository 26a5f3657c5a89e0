/** Stands in for `src/memory/event_log.ts` in Deno: streams that nobody has given a storage are in a file. */
import { MemoryEventLog as InMemory } from "../../src/memory/event_log.ts";
import { storageOf } from "./storage.ts";

export class MemoryEventLog extends InMemory {
  constructor(...[clock, faults, storage = storageOf(clock).streams]: ConstructorParameters<typeof InMemory>) {
    super(clock, faults, storage);
  }
}
