/**
 * Snapshots: every 100 events, or 500 of an entity with many commands, its state is written, so that a cold load reads what came after
 * it only. Of the last one, for each entity (`log/format/snapshot_text.ts`); `load` does not parse the remembered commands. A snapshot
 * is a shortcut, never the truth: one that does not fit is not used.
 */
import type { EntityDefinition } from "../contract/entity_definition.ts";
import { decodeText, encodeValue } from "../data/encoding.ts";
import { snapshotKey } from "../log/format/names.ts";
import { readSnapshotText, writeSnapshotText } from "../log/format/snapshot_text.ts";
import { bucketName, BUCKETS } from "../ports/buckets.ts";
import type { Bucket, Entry } from "../ports/key_value_store.ts";
import { EntityCopy } from "./entity_copy.ts";
import type { EntitiesHost } from "./host.ts";
import { Remembered, type RememberedCommand } from "./remembered.ts";

/** The snapshots of a namespace. */
export class Snapshots {
  readonly #host: EntitiesHost;
  #bucket: Promise<Bucket> | undefined;
  readonly #writing: Map<string, Promise<void>> = new Map();
  #reported = -Infinity;

  constructor(host: EntitiesHost) {
    this.#host = host;
  }

  /**
   * The entity as its snapshot has it, if that was made of the stream of this creation and by `apply` functions of this version; `undefined`
   * also if the store does not answer: all events make the same state.
   */
  async get<State>(
    definition: EntityDefinition<State>,
    id: string,
    { created, remember }: { created: () => string | Promise<string>; remember: boolean },
  ): Promise<EntityCopy<State> | undefined> {
    try {
      const [entry, stream] = await Promise.all([this.#read(snapshotKey(definition.name, id)), created()]);
      if (entry === undefined) return undefined;
      return readSnapshot(definition, id, { text: entry.value, created: stream, remember });
    } catch (error) {
      this.#report(`reading the snapshot of ${definition.name} ${id}`, error);
      return undefined;
    }
  }

  /** Writes a snapshot in the background, unless one of this entity is being written. */
  write<State>(copy: EntityCopy<State>, created: string, isForgotten: () => Promise<boolean>): void {
    const { definition: { name }, id } = copy;
    const key = snapshotKey(name, id);
    if (this.#writing.has(key)) return;
    let text: string;
    try {
      text = snapshotText(copy, created);
    } catch (error) {
      // a state may be anything: then it is made of all events
      return this.#report(`writing the snapshot of ${name} ${id}`, error);
    }
    copy.measured(text.length);
    if (text.length > MOST_CHARS) return;
    const writing = this.#put(key, text, isForgotten)
      .catch((error) => this.#report(`writing the snapshot of ${name} ${id}`, error))
      .finally(() => this.#writing.delete(key));
    this.#writing.set(key, writing);
  }

  /** Removes that of an entity. Rejects with `UNAVAILABLE`. */
  async remove(name: string, id: string): Promise<void> {
    await this.#writing.get(snapshotKey(name, id));
    await (await this.#open()).delete(snapshotKey(name, id));
  }

  /** Resolves when none is being written. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing.values());
  }

  /** One that was written while its entity was forgotten is removed again. */
  async #put(key: string, text: string, isForgotten: () => Promise<boolean>): Promise<void> {
    const bucket = await this.#open();
    const revision = await bucket.put(key, text);
    if (await isForgotten()) await bucket.delete(key, { revision });
  }

  async #read(key: string): Promise<Entry | undefined> {
    return await (await this.#open()).get(key);
  }

  #open(): Promise<Bucket> {
    const { store, namespace, replicas } = this.#host;
    return this.#bucket ??= store.open(bucketName(namespace, "snapshots"), { ...BUCKETS.snapshots, replicas })
      .catch((error) => {
        this.#bucket = undefined;
        throw error;
      });
  }

  #report(during: string, error: unknown): void {
    const { clock, observer } = this.#host;
    const now = clock.monotonic();
    if (now - this.#reported < REPORT) return;
    this.#reported = now;
    observer({ type: "fault", during, error });
  }
}

/** Whether an entity gets a snapshot, which had so many events `before` a command. One with a long list of remembered commands gets fewer. */
export function snapshotDue<State>({ forgotten, version, remembered }: EntityCopy<State>, before: number): boolean {
  const every = (remembered?.count ?? 0) > MANY ? SELDOM : EVERY;
  return !forgotten && Math.floor(version / every) > Math.floor(before / every);
}

/** How many events there are between two snapshots. */
const EVERY = 100;
/** The same while more commands are remembered than this: then a snapshot is many times as long as the events since the last one. */
const SELDOM = 500;
const MANY = 1_024;
/** The longest snapshot, in characters: a message of NATS has 1 MB unless the server allows more. */
const MOST_CHARS = 786_432;
const REPORT = 60_000; // ms

/** The text of an entity's snapshot. Throws for a state that cannot be written. */
export function snapshotText<State>(copy: EntityCopy<State>, created: string): string {
  const { definition, id, version, sequence, state, remembered } = copy;
  const commands = [...remembered?.all ?? []].map(({ id, fingerprint, result, time }) => [
    id,
    fingerprint,
    result ?? null,
    time,
  ]);
  const dropped = remembered === undefined || remembered.dropped === -Infinity ? null : remembered.dropped;
  return writeSnapshotText({
    definition: definition.version,
    created,
    sequence,
    version,
    id,
    state: state === undefined ? "" : encodeValue(state, "state"),
    commands: JSON.stringify([dropped, ...commands]),
  });
}

/** The entity of a snapshot; `undefined` if it is another one's, of another version, or malformed. */
export function readSnapshot<State>(
  definition: EntityDefinition<State>,
  id: string,
  { text, created, remember }: { text: string; created: string; remember: boolean },
): EntityCopy<State> | undefined {
  const read = readSnapshotText(text);
  if (read === undefined || read.definition !== definition.version || read.created !== created || read.id !== id) {
    return undefined;
  }
  let remembered: Remembered | undefined;
  if (remember) {
    remembered = readCommands(parsed(read.commands));
    if (remembered === undefined) return undefined;
  }
  try {
    const { state, version, sequence } = read;
    return new EntityCopy<State>(definition, id, {
      // written by this version of the definition, of a state of this type
      state: (state === "" ? undefined : decodeText(state)) as State,
      version,
      sequence,
      size: text.length,
      remembered,
      forgotten: false,
    });
  } catch {
    return undefined; // no value of ours
  }
}

function readCommands(value: unknown): Remembered | undefined {
  if (!Array.isArray(value)) return undefined;
  const [dropped, ...entries] = value;
  if (dropped !== null && !Number.isFinite(dropped)) return undefined;
  const commands: RememberedCommand[] = [];
  for (const entry of entries) {
    if (!Array.isArray(entry)) return undefined;
    const [id, fingerprint, result, time] = entry;
    if (typeof id !== "string" || typeof fingerprint !== "string" || !Number.isFinite(time)) return undefined;
    if (result !== null && typeof result !== "string") return undefined;
    commands.push({ id, fingerprint, result: result ?? undefined, time });
  }
  return new Remembered(commands, dropped ?? -Infinity);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not a snapshot
  }
}
