/**
 * Copies the log of SQLite into the file when the log has grown, in a worker: that takes up to a second, and the event
 * loop goes on meanwhile. Without it the log would grow for ever.
 * @decides when the log of a file is copied into it
 */
import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import type { Database } from "./driver.ts";

/** Keeps the log of one file small. */
export interface Checkpoints {
  /** Call when the log has been looked at. `size`: size of the log, in bytes. */
  grown(size: number): void;
  /** Resolves when no checkpoint is under way. */
  close(): Promise<void>;
}

/** Dependencies of {@link WorkerCheckpoints}. */
export interface CheckpointsHost {
  readonly path: string;
  readonly database: Database;
  /** Called when a checkpoint has failed. */
  onFault(error: unknown): void;
  /** Called when a reader has kept the log from being emptied for too long. `size`: size of the log, in bytes. */
  onHeld(size: number): void;
}

/** Size of the log above which it is copied into the file, in bytes; SQLite shrinks an emptied log to it. */
export const LOG_KEPT = 8 * 1_048_576;
/** Size of the log above which a reader must be holding it, in bytes. */
export const LOG_HELD = 64 * 1_048_576;

/** Checkpoints in a worker, which is started when the first one is needed. */
export class WorkerCheckpoints implements Checkpoints {
  readonly #host: CheckpointsHost;
  #worker: Worker | undefined;
  #running: Promise<void> | undefined;
  #isHeld = false;
  #closed = false;

  constructor(host: CheckpointsHost) {
    this.#host = host;
  }

  grown(size: number): void {
    if (size > LOG_HELD !== this.#isHeld) {
      this.#isHeld = size > LOG_HELD;
      if (this.#isHeld) this.#host.onHeld(size);
    }
    if (size <= LOG_KEPT || this.#running !== undefined || this.#closed) return;
    this.#running = this.#run().catch((error) => this.#host.onFault(error)).finally(() => this.#running = undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    // the process must live until the worker has closed the database
    this.#worker?.ref();
    await this.#running;
    await this.#worker?.terminate();
  }

  async #run(): Promise<void> {
    // loaded now, because most programs need no checkpoint before they have run for long
    const { Worker } = await import("node:worker_threads");
    if (this.#closed) return;
    const worker = this.#worker ??= new Worker(SOURCE, { eval: true, workerData: this.#host.path });
    worker.unref();
    const answered = once(worker, "message");
    worker.postMessage("checkpoint");
    const [error] = await answered.catch((error) => {
      this.#worker = undefined;
      throw error;
    });
    if (error !== null) throw new Error(error);
    // the few pages that were written while the worker copied the last ones: then all is copied, and the next write
    // begins the log anew
    if (!this.#closed && !this.#host.database.isTransaction) this.#host.database.exec("PRAGMA wal_checkpoint(PASSIVE)");
  }
}

/**
 * Source of the worker, as text because a bundle has no file for it. It copies the log again until little was written
 * meanwhile.
 */
const SOURCE = `
const { DatabaseSync } = require("node:sqlite");
const { parentPort, workerData } = require("node:worker_threads");
parentPort.on("message", () => {
  try {
    const database = new DatabaseSync(workerData);
    try {
      database.exec("PRAGMA synchronous = NORMAL");
      const checkpoint = database.prepare("PRAGMA wal_checkpoint(PASSIVE)");
      for (let i = 0, last = 0; i < 5; i++) {
        const { log } = checkpoint.get();
        if (log - last < 256) break;
        last = log;
      }
    } finally {
      database.close();
    }
    parentPort.postMessage(null);
  } catch (error) {
    parentPort.postMessage(String(error));
  }
});
`;
