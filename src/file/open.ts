/**
 * Opens a file as the store and the log of one process: what `catga({ file })` runs on. Loaded only then.
 *
 * @decides durable state in one file, without a server
 */
import process from "node:process";
import { type CatgaError, isCatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";
import { MemoryEventLog } from "../memory/event_log.ts";
import { MemoryKeyValueStore } from "../memory/key_value_store.ts";
import type { NetworkStorage } from "../memory/network.ts";
import { WorkerCheckpoints } from "./checkpoints.ts";
import { FreePages } from "./given_back.ts";
import { type Database, type FileDriver, systemDriver } from "./driver.ts";
import { bucketsOf } from "./entries.ts";
import { openDatabase, placeOf } from "./format.ts";
import { takeFile, unopenable } from "./owner.ts";
import { RequestDesk, requestsPath, type ServedAnswers } from "./requests.ts";
import { type Durability, Room } from "./room.ts";
import { streamsOf } from "./rows.ts";

/**
 * Owns a file while `work` runs; `hasFailed` returns true once the file has had an error, with which everything then
 * rejects.
 */
export async function asOwner<T>(
  options: Pick<OpenFileOptions, "path" | "clock" | "driver">,
  work: (file: OpenedFile, hasFailed: () => boolean) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  const fail = (error: unknown) => void (failure ??= error);
  const file = await openFile({ ...options, durability: "disk", onTrouble: fail, onEnd: fail, onFault: fail });
  let result: T;
  try {
    result = await work(file, () => failure !== undefined);
  } finally {
    await file.close();
  }
  if (failure !== undefined) throw failure;
  return result;
}

/** Options of {@link openFile}. */
export interface OpenFileOptions {
  readonly path: string;
  readonly durability: Durability;
  readonly clock: Clock;
  /** Called when the file takes no writes, with the reason; every few seconds at most. */
  onTrouble(error: CatgaError): void;
  /** Called once, when the file can no longer be used. Nothing leaves from then on. */
  onEnd(error: CatgaError): void;
  /** Called when something has failed that nobody waits for. */
  onFault(error: unknown): void;
  readonly driver?: FileDriver;
}

/** A file that this process owns. */
export interface OpenedFile {
  readonly room: Room;
  /** The storage of the streams and of the buckets. */
  readonly storage: NetworkStorage;
  readonly store: KeyValueStore;
  /** The streams of the file; made when they are first needed. */
  log(): EventLog;
  /** Shows a node that runs on the file to tools, and carries out their requests, until the file is closed. */
  serve(node: ServedNode): void;
  /** Stores what was written, and gives the file back. */
  close(): Promise<void>;
}

/** A node that runs on a file, as tools see it. */
export interface ServedNode extends ServedAnswers {
  /** Name of the bucket of the records of nodes. */
  readonly bucket: string;
  readonly id: string;
  /** Record of the node. */
  readonly record: string;
}

/**
 * Opens a file, or makes it. Rejects with a `CatgaError` `UNAVAILABLE` if another process uses the file, or if it
 * cannot be used as it is; the error says why.
 */
export async function openFile(options: OpenFileOptions): Promise<OpenedFile> {
  const { clock, durability, driver = systemDriver, onTrouble, onEnd, onFault } = options;
  const path = await driver.resolve(options.path);
  const ownership = await takeFile(path, driver, clock);
  let database: Database | undefined;
  try {
    const own = database = openDatabase(path, driver);
    const value = (key: string) => Number(own.prepare("SELECT value FROM meta WHERE key = ?").get(key)?.value);
    const epoch = value("epoch") + 1;
    const left = value("clock");
    const place = placeOf(path, driver);
    const isLong = (driver.status(`${path}-wal`)?.size ?? 0) > SHORT_LOG;
    begin(own, { epoch, pid: process.pid, started: Math.floor(clock.now()), place }, isLong);
    if (durability === "disk") await driver.syncFolder(path);
    const checkpoints = new WorkerCheckpoints({
      path,
      database: own,
      onFault,
      onHeld: (size) => onFault(new Error(`a reader of ${path} holds its log, which has ${size} bytes now`)),
    });
    const logFile = durability === "disk" ? driver.openLog(`${path}-wal`) : undefined;
    const { lockPath } = ownership;
    const room = new Room({
      ...{ path, lockPath, database: own, driver, durability, clock, epoch, log: logFile, checkpoints, left },
      ...{ onTrouble, onEnd },
    });
    new FreePages(room);
    const storage = { streams: streamsOf(room), buckets: bucketsOf(room) };
    const store = new MemoryKeyValueStore(clock, undefined, storage.buckets);
    let made: EventLog | undefined;
    const log = () => made ??= new MemoryEventLog(clock, undefined, storage.streams);
    let desk: RequestDesk | undefined;
    /** Removes the record of the node, once it is written. */
    let leave: (() => Promise<unknown>) | undefined;
    return {
      ...{ room, storage, store, log },
      serve(node) {
        desk = new RequestDesk({
          ...{ path: requestsPath(path), driver, clock, target: { store, log, node }, onFault },
        });
        const written = store.open(node.bucket, { ofProcesses: true }).then(async (bucket) => {
          await bucket.put(node.id, node.record);
          return bucket;
        });
        // on a full disk, or in a file that has just ended: tools then see no node
        written.catch((error) => room.isEnded || isCatgaError(error) || onFault(error));
        leave = () => written.then((bucket) => bucket.delete(node.id)).catch(() => {});
      },
      async close() {
        desk?.close();
        await leave?.();
        try {
          await room.close();
        } finally {
          ownership.close();
        }
      },
    };
  } catch (error) {
    database?.close();
    ownership.close();
    throw isCatgaError(error) ? error : unopenable(path, error);
  }
}

/**
 * Notes in the file who owns it, and that it is open: without its log it is not whole from now on. The file itself says
 * so, not its log, so that is copied into it. A file with a long log says so already, because it was left open; a
 * worker copies its log, which would hold the event loop up.
 */
function begin(
  database: Database,
  values: Record<"epoch" | "pid" | "started", number> & { place: string },
  isLong: boolean,
): void {
  const set = database.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)");
  database.exec("BEGIN IMMEDIATE");
  for (const [key, value] of Object.entries({ ...values, open: 1 })) set.run(key, value);
  database.exec("COMMIT");
  if (!isLong) database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

/** Size of a log up to which a start copies it into the file, in bytes: that takes some ms. */
const SHORT_LOG = 1_048_576;
