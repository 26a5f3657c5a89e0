/**
 * Storage in a file for everything that a test keeps in memory: `task test:file` puts it under every memory network,
 * and under every app without one. Without syncs, because no power fails here; each network, and each app, has a file
 * of its own.
 */
import { copyFileSync, existsSync, mkdtempSync, renameSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Clock } from "../../src/ports/clock.ts";
import { RestingClock } from "../../src/ports/resting_clock.ts";
import type { NetworkStorage } from "../../src/memory/network.ts";
import { type FileDriver, systemDriver } from "../../src/file/driver.ts";
import { bucketsOf } from "../../src/file/entries.ts";
import { makeEmpty, openDatabase } from "../../src/file/format.ts";
import { FreePages } from "../../src/file/given_back.ts";
import { Room } from "../../src/file/room.ts";
import { streamsOf } from "../../src/file/rows.ts";

/** Folder of the files, which whoever runs the tests removes. */
export const FOLDER = "CATGA_TEST_FILES";

/** Storages by the clock of a network, or of an app: its store and its streams are in one file. */
const storages = new WeakMap<Clock, NetworkStorage>();

/** Returns the storage of a network, or of an app, by its clock; any other clock gets a new one at each call. */
export function storageOf(clock: Clock): NetworkStorage {
  if (!(clock instanceof RestingClock)) return makeStorage(clock);
  const found = storages.get(clock) ?? makeStorage(clock);
  storages.set(clock, found);
  return found;
}

function makeStorage(clock: Clock): NetworkStorage {
  const folder = process.env[FOLDER];
  if (folder === undefined) throw new TypeError(`${FOLDER} names no folder: run the tests by deno task test:file`);
  const path = join(mkdtempSync(join(folder, "network-")), "app.db");
  copyFileSync(emptyFile(folder), path);
  const database = openDatabase(path, driver);
  database.exec("UPDATE meta SET value = 1 WHERE key = 'open'"); // makes the log
  // the log is not copied into the file: a worker for each of a thousand networks takes too long
  const room = new Room({
    ...{ path, lockPath: path, database, driver, durability: "process", clock, left: 0 },
    ...{ epoch: 0, log: undefined, checkpoints: { grown() {}, close: () => Promise.resolve() } },
    onTrouble: failed,
    onEnd: failed,
  });
  new FreePages(room);
  return { streams: streamsOf(room), buckets: bucketsOf(room) };
}

/** The file system, asked at once: a virtual clock does not wait for the pool of threads. */
const driver: FileDriver = {
  ...systemDriver,
  statusLater: (path) => Promise.resolve(systemDriver.status(path)),
};

/** Returns the path of an empty file, made once: making one syncs it, which takes longer than most tests. */
function emptyFile(folder: string): string {
  const path = join(folder, "empty.db");
  if (existsSync(path)) return path;
  const made = join(mkdtempSync(join(folder, "empty-")), "made.db");
  makeEmpty(made, systemDriver).close();
  renameSync(made, path);
  return path;
}

function failed(error: unknown): never {
  throw error;
}
