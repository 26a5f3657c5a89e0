/**
 * Snapshots of entities: after about every 100 events ({@link snapshotDue}) the state is stored, so that loading
 * reads only later events. There is one snapshot for each version of the definition (`log/format/snapshot_text.ts`). A
 * snapshot only saves time: a snapshot that does not match the stream is ignored.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { EntityDefinition } from "../contract/declaration/entity_definition.ts";
import { initialShape } from "../contract/schemas/initial_shape.ts";
import type { StreamsHost } from "../dispatch/node_host.ts";
import { decodeText, encodeValue } from "../data/encoding.ts";
import { snapshotKey, snapshotKeys } from "../log/format/names.ts";
import { readSnapshotText, writeSnapshotText } from "../log/format/snapshot_text.ts";
import { type Bucket, bucketName, BUCKETS, type KeyValueStore } from "../ports/key_value_store.ts";
import { EntityCopy } from "./entity_copy.ts";
import { delay, OnceAMinute } from "../ports/clock.ts";
import { openOnce } from "../ports/open_once.ts";
import type { Transport } from "../ports/transport.ts";

/**
 * Returns when a snapshot of a copy should be written: `now`; `later`: when the last snapshot is old enough;
 * `undefined`: after more events. Busy entities get fewer snapshots: one for each hundred events would cost a third of
 * the cost of their commands.
 * @decides after how many events a snapshot of an entity is written
 */
export function snapshotDue<State>(copy: EntityCopy<State>, now: number): "now" | "later" | undefined {
  const { version, at } = copy.snapshot;
  const events = copy.version - version;
  if (copy.forgotten || events < SNAPSHOT_EVENTS) return undefined;
  return events >= MAX_SNAPSHOT_EVENTS || now - at >= SNAPSHOT_PAUSE ? "now" : "later";
}

/**
 * The snapshots of the entities of a namespace.
 * @decides a snapshot is written and read
 */
export class Snapshots {
  readonly #host: EntitiesHost;
  readonly #open: () => Promise<Bucket>;
  readonly #writing: Map<string, Promise<void>> = new Map();
  readonly #reports: OnceAMinute;
  #closed = false;

  constructor(host: EntitiesHost) {
    const { clock, store, namespace, replicas } = this.#host = host;
    this.#reports = new OnceAMinute(clock);
    const name = bucketName(namespace, "snapshots");
    this.#open = openOnce(() => store.open(name, { ...BUCKETS.snapshots, replicas }));
  }

  /**
   * Reads an entity from its snapshot. `created`: returns the identity of the stream. Resolves with `undefined` if
   * there is no snapshot for this stream and this version of the definition, or if the store does not answer; the
   * caller then reads all events, which give the same state.
   */
  async get<State>(
    definition: EntityDefinition<State>,
    id: string,
    created: () => string | Promise<string>,
  ): Promise<EntityCopy<State> | undefined> {
    try {
      const key = snapshotKey(definition.name, id, definition.version);
      const [entry, stream] = await Promise.all([this.#open().then((bucket) => bucket.get(key)), created()]);
      if (entry === undefined) return undefined;
      return readSnapshot(definition, id, { text: entry.value, created: stream });
    } catch (error) {
      this.#report(`reading the snapshot of ${definition.name} ${id}`, error);
      return undefined;
    }
  }

  /** Writes a snapshot of an entity in the background; does nothing if one is being written already. */
  write<State>(
    copy: EntityCopy<State>,
    created: () => string | Promise<string>,
    isForgotten: () => Promise<boolean>,
  ): void {
    const { definition: { name, version }, id } = copy;
    const key = snapshotKey(name, id, version);
    if (this.#writing.has(key)) return;
    const writing = this.#write(key, copy, created, isForgotten)
      .catch((error) => this.#report(`writing the snapshot of ${name} ${id}`, error))
      .finally(() => this.#writing.delete(key));
    this.#writing.set(key, writing);
  }

  /** Removes all snapshots of an entity. Rejects with `UNAVAILABLE`. */
  async remove(name: string, id: string): Promise<void> {
    const keys = snapshotKeys(name, id);
    await Promise.all(keys.map((key) => this.#writing.get(key)));
    const bucket = await this.#open();
    await Promise.all(keys.map((key) => bucket.delete(key)));
  }

  /** Resolves when no snapshot is being written. Call it when the node ends. */
  async settled(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#writing.values());
  }

  /**
   * Writes a snapshot. `created`: returns the identity of the stream, which is stored with it. If the entity was
   * forgotten during the write (`isForgotten`), removes the snapshot, even if it is unknown whether it was written.
   */
  async #write<State>(
    key: string,
    copy: EntityCopy<State>,
    created: () => string | Promise<string>,
    isForgotten: () => Promise<boolean>,
  ): Promise<void> {
    const [bucket, stream] = await Promise.all([this.#open(), created()]);
    // a state that cannot be encoded gets no snapshot, so that the entity is always read from its events
    const text = snapshotText(copy, stream);
    if (text.length > MAX_SNAPSHOT_CHARS) return;
    try {
      await bucket.put(key, text);
    } finally {
      await this.#removeForgotten(async () => await isForgotten() && await bucket.delete(key));
    }
  }

  /** Removes the snapshots of a forgotten entity, and tries again until the store answers or the node ends. */
  async #removeForgotten(remove: () => Promise<boolean>): Promise<void> {
    while (await remove().then(() => false, () => !this.#closed)) await delay(this.#host.clock, RETRY_PAUSE);
  }

  #report(during: string, error: unknown): void {
    if (this.#reports.due()) this.#host.observer({ type: "fault", during, error });
  }
}

/** Maximum length of a snapshot, in characters: a message of NATS has 1 MB unless the server allows more. */
const MAX_SNAPSHOT_CHARS = 786_432;
const RETRY_PAUSE = 1_000; // ms before a failed removal is tried again

/** Encodes an entity's snapshot. Throws for a state that cannot be encoded. */
export function snapshotText<State>(copy: EntityCopy<State>, created: string): string {
  const { definition, id, version, sequence, mark, state } = copy;
  return writeSnapshotText({
    ...{ definition: definition.version, created, sequence, mark, version, id, shape: initialShape(definition, id) },
    state: state === undefined ? "" : encodeValue(state, "state"),
  });
}

/**
 * Parses a snapshot; `undefined` if it belongs to another entity or version, was made by a program in which the
 * entity's initial state has another shape, or is malformed. Throws like `initial`.
 */
export function readSnapshot<State>(
  definition: EntityDefinition<State>,
  id: string,
  { text, created }: { text: string; created: string },
): EntityCopy<State> | undefined {
  const read = readSnapshotText(text);
  if (read === undefined || read.definition !== definition.version || read.created !== created || read.id !== id) {
    return undefined;
  }
  if (read.shape !== initialShape(definition, id)) return undefined;
  try {
    const { state, version, sequence, mark } = read;
    const copy = new EntityCopy<State>(definition, id, {
      // the type is certain: this version of the definition has written the state
      state: (state === "" ? undefined : decodeText(state)) as State,
      ...{ version, sequence, mark, time: -Infinity, size: text.length },
    });
    copy.snapshot = { version, at: -Infinity };
    return copy;
  } catch {
    return undefined; // the text was not written by Catga
  }
}

/** The part of a node that its entities use. */
export interface EntitiesHost extends StreamsHost {
  readonly store: KeyValueStore;
  /** The network, for the present maximum size of a message. */
  readonly network: Pick<Transport, "maxPayload">;
  /** Names of the headers that emitted events inherit from their command. */
  readonly carried: readonly string[];
  /** Returns the shape of a contract in this program; `undefined`: unknown. */
  shapeOf(contract: AnyContract): string | undefined;
}
/** Number of events between two snapshots. */
const SNAPSHOT_EVENTS = 100;
/** Number of new events after which a snapshot is due even if `SNAPSHOT_PAUSE` has not passed. */
const MAX_SNAPSHOT_EVENTS = 500;
/** Minimum time between two snapshots of an entity, in ms. */
const SNAPSHOT_PAUSE = 1_000;
