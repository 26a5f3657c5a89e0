/** Puts the classes of this folder in the place of those of `src/memory` in Bun: `bun test --preload`. */
import { mock } from "bun:test";
import { MemoryEventLog } from "./event_log.ts";
import { BucketState, MemoryKeyValueStore } from "./key_value_store.ts";

const pathOf = (name: string) => Bun.fileURLToPath(new URL(`../../src/memory/${name}.ts`, import.meta.url));
mock.module(pathOf("event_log"), () => ({ MemoryEventLog }));
mock.module(pathOf("key_value_store"), () => ({ MemoryKeyValueStore, BucketState }));
