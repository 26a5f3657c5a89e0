/** Support for tests of files: a folder that is removed, and files opened in it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../ports/clock.ts";
import { type OpenedFile, openFile, type OpenFileOptions } from "./open.ts";

/** A folder for the files of one test. */
export interface TestFolder extends AsyncDisposable {
  readonly path: string;
  /** Opens a file in the folder; by default `app.db`, on the system's clock, without syncs. */
  open(options?: Partial<OpenFileOptions>): Promise<OpenedFile>;
}

/** Makes a folder; it is removed when it is disposed of, after the files that are still open were closed. */
export async function testFolder(): Promise<TestFolder> {
  const path = await mkdtemp(join(tmpdir(), "catga-file-"));
  const opened = new Set<OpenedFile>();
  return {
    path,
    async open(options = {}) {
      const file = await openFile({
        path: join(path, "app.db"),
        durability: "process",
        clock: systemClock,
        onTrouble() {},
        onEnd() {},
        onFault(error) {
          throw error;
        },
        ...options,
      });
      opened.add(file);
      return { ...file, close: () => (opened.delete(file), file.close()) };
    },
    async [Symbol.asyncDispose]() {
      for (const file of opened) await file.close();
      await rm(path, { recursive: true, force: true });
    },
  };
}
