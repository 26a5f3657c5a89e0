/** Puts the classes of this folder in the place of those of `src/memory` in Bun: `bun test --preload`. */
import { fileURLToPath } from "node:url";
import { MemoryEventLog } from "./event_log.ts";
import { BucketState, MemoryKeyValueStore } from "./key_value_store.ts";

// its types are not installed
const name = "bun:test";
const { mock } = await import(name);
const pathOf = (name: string) => fileURLToPath(new URL(`../../src/memory/${name}.ts`, import.meta.url));
mock.module(pathOf("event_log"), () => ({ MemoryEventLog }));
mock.module(pathOf("key_value_store"), () => ({ MemoryKeyValueStore, BucketState }));
