/**
 * Notes of stuck runs, by which stuck runs are found without reading all runs. A note is stored before the entry by
 * which its run becomes stuck, and may stay after the run has continued.
 */
import { STUCK } from "../../contract/declaration/contract.ts";
import { isToken } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";
import { entityPattern, entitySubject } from "../../log/format/names.ts";
import type { LogStream } from "../../ports/event_log.ts";
import type { RunRef } from "./run_ref.ts";

/** A note: this run is about to be stuck. */
export interface NotedRun {
  readonly ref: RunRef;
  readonly time: number;
  readonly sequence: number;
}

/** Dependencies of {@link StuckNotes}, the notes of stuck runs, on a node. */
interface StuckNotesHost {
  readonly namespace: string;
  /** Returns the stream of entities, opened. Rejects with a `CatgaError`. */
  stream(): NoteStream | Promise<NoteStream>;
}

type NoteStream = Pick<LogStream, "append" | "lasts" | "purge">;

/** The notes of stuck runs. */
export class StuckNotes {
  readonly #host: StuckNotesHost;

  constructor(host: StuckNotesHost) {
    this.#host = host;
  }

  /** Stores a note that the run is about to be stuck. Rejects with a `CatgaError`. */
  async add(ref: RunRef): Promise<void> {
    const stream = await this.#host.stream();
    const appended = await stream.append(this.#subject(ref), JSON.stringify(ref), { timeout: ANSWER_TIMEOUT });
    if (appended.type !== "stored" && appended.type !== "conflict") throw appended.error;
  }

  /** Returns the runs that have a note, the oldest note first. Rejects with `UNAVAILABLE`. */
  async all(): Promise<NotedRun[]> {
    const stream = await this.#host.stream();
    const found = new Map<string, NotedRun>();
    await stream.lasts(entityPattern(this.#host.namespace, STUCK), ({ subject, sequence, time, data }) => {
      const ref = readRef(data);
      if (ref !== undefined && this.#subject(ref) === subject) found.set(subject, { ref, time, sequence });
    });
    return [...found.values()];
  }

  /** Removes the note of a run that is no longer stuck. Rejects with `UNAVAILABLE`. */
  async remove(ref: RunRef, sequence: number): Promise<void> {
    await (await this.#host.stream()).purge(this.#subject(ref), { before: sequence + 1 });
  }

  #subject({ workflow, run }: RunRef): string {
    return entitySubject(this.#host.namespace, STUCK, `${workflow}/${run}`);
  }
}

function readRef(data: Uint8Array): RunRef | undefined {
  const { workflow, run } = (parsedJson(data) ?? {}) as Partial<RunRef>;
  // both texts are checked, because both are parts of a subject
  return isToken(workflow) && typeof run === "string" && run.isWellFormed() ? { workflow, run } : undefined;
}

/** Maximum time for storing a note, in ms. */
const ANSWER_TIMEOUT = 5_000;
