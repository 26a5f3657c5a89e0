/**
 * What a publisher of a test has published and no handler has begun with: it grows without an end where a starved
 * machine handles fewer than are published, and then no test ends in time.
 *
 * @module
 */
import { openSync, readSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { logFile } from "./log_file.ts";
import type { LogLine } from "./log_messages.ts";

/** So many may wait, more than a test on a machine with time ever has. */
const MOST = 2_000;
/** How long it waits before it looks again, in ms. */
const PAUSE = 100;

/** The backlog of one publisher. It reads the file of the test only when it seems to be long. */
export class LogBacklog {
  readonly #waiting = new Set<string>();
  readonly #file: number;
  readonly #buffer = new Uint8Array(1 << 20);
  #read = 0;
  #rest = "";

  constructor(folder: string) {
    this.#file = openSync(logFile(folder), "r");
  }

  /** Takes in an entry that is about to be published. */
  add(entry: string): void {
    this.#waiting.add(entry);
  }

  /** Resolves when there is room for one more, or when the publisher is to end. */
  async room(ended: () => boolean): Promise<void> {
    while (this.#waiting.size >= MOST && !ended()) {
      this.#take();
      if (this.#waiting.size >= MOST) await wait(PAUSE);
    }
  }

  #take(): void {
    for (let size = 1; size > 0; this.#read += size) {
      size = readSync(this.#file, this.#buffer, 0, this.#buffer.length, this.#read);
      // ids, keys and codes are ASCII
      const lines = (this.#rest + new TextDecoder("latin1").decode(this.#buffer.subarray(0, size))).split("\n");
      this.#rest = lines.pop()!;
      for (const text of lines) {
        const line = JSON.parse(text) as LogLine;
        if (line.event === "begin" || line.event === "failed" || line.event === "unknown") {
          this.#waiting.delete(line.entry);
        } else if (line.event === "lost") this.#waiting.clear();
      }
    }
  }
}
