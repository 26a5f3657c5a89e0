/**
 * What test nodes wrote down: which commands ran where (`<id>.runs`), and which were acknowledged (`<id>.acks`). It
 * stands when the process that wrote it is killed.
 *
 * @module
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One run, or one acknowledgement. */
export interface Noted {
  /** The name of the message. */
  readonly name: string;
  readonly entry: string;
  /** The id of the node that ran it. */
  readonly node: string;
}

/** A folder that test nodes write to. */
export class RunLog implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Makes a folder. */
  static async open(): Promise<RunLog> {
    return new RunLog(await mkdtemp(join(tmpdir(), "catga-runs-")));
  }

  /** All runs of messages of these names. */
  async runs(...names: string[]): Promise<Noted[]> {
    return (await this.#read(".runs")).filter(({ name }) => names.includes(name));
  }

  /** All commands that were acknowledged. */
  acknowledged(): Promise<Noted[]> {
    return this.#read(".acks");
  }

  /** What must not be: commands of these names that were acknowledged and did not run, or that ran twice. */
  async violations(...names: string[]): Promise<string[]> {
    const acknowledged = await this.acknowledged();
    const ran = new Map<string, Noted[]>();
    for (const run of await this.runs(...names)) {
      const key = `${run.name} ${run.entry}`;
      ran.set(key, [...ran.get(key) ?? [], run]);
    }
    const lost = acknowledged.filter(({ name, entry }) => names.includes(name) && !ran.has(`${name} ${entry}`));
    const twice = [...ran].filter(([, runs]) => runs.length > 1);
    return [
      ...lost.map(({ name, entry, node }) => `${name} ${entry} was acknowledged by ${node}, and did not run`),
      ...twice.map(([key, runs]) => `${key} ran on ${runs.map(({ node }) => node).join(" and ")}`),
    ];
  }

  /** Deletes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  async #read(suffix: string): Promise<Noted[]> {
    const files = (await readdir(this.folder)).filter((file) => file.endsWith(suffix));
    const texts = await Promise.all(files.map((file) => readFile(join(this.folder, file), "utf8")));
    return texts.flatMap((text) =>
      text.split("\n").slice(0, -1).map((line) => {
        const [name, entry, node] = line.split(" ");
        return { name, entry, node };
      })
    );
  }
}
