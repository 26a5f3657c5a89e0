/** What the tests of this folder share: a bucket in memory on virtual time, whose writes can go wrong, and parked messages. */
import { CatgaError } from "../../error.ts";
import type { Bucket, Entry } from "../../ports/key_value_store.ts";
import { MemoryKeyValueStore } from "../../memory/key_value_store.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { Parking } from "./parking.ts";
import type { ParkingOptions } from "./parking_options.ts";

/** What becomes of a write. */
export type Mishap =
  /** It is done, and its answer is lost. */
  | "answer lost"
  /** It is not done, and its answer is lost. */
  | "lost"
  /** It is done at a later time, when {@link Harness.late} is called; its answer is lost. */
  | "late"
  /** The store is full. */
  | "full";

/** A bucket, its clock, and leaders. */
export interface Harness {
  readonly clock: VirtualClock;
  readonly bucket: Bucket;
  /** What becomes of the next writes (`create`, `update`, `delete`), in order; of those after them: nothing special. */
  readonly mishaps: Mishap[];
  /** Writes that were made so far, also those that went wrong. */
  readonly writes: string[];
  readonly faults: unknown[];
  /** How often `onRunnable` was called. */
  readonly runnable: { count: number };
  /** Does the writes that are late. */
  late(): Promise<void>;
  parking(options?: Partial<ParkingOptions>): Parking;
  /** A parking that is open. */
  opened(options?: Partial<ParkingOptions>): Promise<Parking>;
  /** What is stored, by key. */
  stored(): Promise<Record<string, Record<string, unknown>>>;
  entry(position: number): Promise<Entry | undefined>;
  until<T>(promise: Promise<T>): Promise<T>;
}

export async function harness(): Promise<Harness> {
  const clock = new VirtualClock();
  const until = <T>(promise: Promise<T>) => clock.until(promise, 3_600_000);
  const real = await until(new MemoryKeyValueStore(clock).open("parked"));
  const [mishaps, writes, faults]: [Mishap[], string[], unknown[]] = [[], [], []];
  const waiting: (() => Promise<unknown>)[] = [];
  const runnable = { count: 0 };
  const silence = () => new CatgaError("UNAVAILABLE", "no answer", { retryable: true });

  async function write<T>(what: string, operation: () => Promise<T>): Promise<T> {
    writes.push(what);
    const mishap = mishaps.shift();
    if (mishap === undefined) return await operation();
    if (mishap === "full") throw new CatgaError("UNAVAILABLE", "the store is full");
    if (mishap === "answer lost") await operation();
    if (mishap === "late") waiting.push(operation);
    throw silence();
  }
  const bucket: Bucket = {
    name: real.name,
    get: (key) => real.get(key),
    create: (key, value, options) => write(`create ${key}`, () => real.create(key, value, options)),
    update: (key, value, revision, options) => write(`update ${key}`, () => real.update(key, value, revision, options)),
    put: (key, value, options) => real.put(key, value, options),
    delete: (key, options) => write(`delete ${key}`, () => real.delete(key, options)),
    entries: (prefix) => real.entries(prefix),
    watch: (prefix, onChange, options) => real.watch(prefix, onChange, options),
  };
  const parking = (options: Partial<ParkingOptions> = {}) =>
    new Parking({
      bucket,
      clock,
      service: "shop",
      name: "billing",
      generation: 0,
      token: 10,
      most: 100,
      longest: () => 86_400_000,
      onRunnable: () => void runnable.count++,
      fault: (error) => void faults.push(error),
      ...options,
    });
  return {
    clock,
    bucket: real,
    mishaps,
    writes,
    faults,
    runnable,
    late: async () => {
      for (const operation of waiting.splice(0)) await until(operation());
      await clock.advance(0);
    },
    parking,
    opened: async (options) => {
      const made = parking(options);
      await until(made.open());
      return made;
    },
    stored: async () =>
      Object.fromEntries((await until(real.entries(""))).map(({ key, value }) => [key, JSON.parse(value)])),
    entry: (position) => until(real.get(`shop.billing/0.${position}`)),
    until,
  };
}

/** A message of the category `Paid`. */
export function message(position: number, key?: string, payload: unknown = { position }): LoggedMessage {
  return {
    position,
    category: "Paid",
    id: `m${position}`,
    key,
    payload,
    tagged: false,
    meta: undefined,
    time: 1_000 + position,
  };
}

/** What the attempts of tests fail with. */
export const ERROR = { code: "BROKE", message: "a test" };
