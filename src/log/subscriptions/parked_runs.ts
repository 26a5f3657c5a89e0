/** Messages that come out of the parking to be run again. */
import { isCatgaError } from "../../error.ts";
import type { Parking } from "../parking/parking.ts";
import type { ParkedState } from "../parking/parking_options.ts";
import { type Category, OpenItem } from "./category.ts";

/** What a {@link ParkedRuns} is made of. */
export interface ParkedRunsOptions {
  readonly parking: Pick<Parking, "next" | "done" | "failed">;
  categoryOf(name: string): Category;
  run(item: OpenItem): void;
  /** Positions that were running when the leader began, and on which node. */
  readonly running: ReadonlyMap<number, string>;
  /** Whether the first attempt of an entry may have been begun, and not been recorded, by a leader that ended. */
  readonly doubt: boolean;
  fault(error: unknown): void;
}

/** What of the parking is under way. */
export class ParkedRuns {
  readonly #options: ParkedRunsOptions;
  /** Entries whose next attempt is stored already: its end may be that of this process. */
  readonly #counted = new Set<number>();
  /** Where entries may be running still. */
  readonly #nodes: Map<number, string>;
  #underWay = 0;

  constructor(options: ParkedRunsOptions) {
    this.#options = options;
    this.#nodes = new Map(options.running);
  }

  /** Runs what may be run. */
  pump(): void {
    const { parking, categoryOf, run, doubt } = this.#options;
    while (this.#underWay < MOST_UNDER_WAY) {
      const entry = parking.next();
      if (entry === undefined) return;
      const { message, attempts, error } = entry;
      const { position } = message;
      const category = categoryOf(message.category);
      const counted = this.#counted.delete(position);
      if ((attempts > 0 || doubt) && !counted && attempts < category.attempts) {
        // one that failed before, or may have ended a leader: its attempt is stored before it begins, so that it cannot end one leader after another
        this.#counted.add(position);
        this.#settle(parking.failed(position, { attempts: attempts + 1, error: error ?? BEGUN, due: 0 }));
        continue;
      }
      this.#underWay++;
      const wasUnderWay = error?.message === BEGUN.message && error.code === BEGUN.code;
      const item = new OpenItem(message, category, counted ? attempts - 1 : attempts, true);
      item.node = this.#nodes.get(position);
      if (!wasUnderWay) item.error = error;
      this.#nodes.delete(position);
      run(item);
    }
  }

  done(item: OpenItem): void {
    item.over = true;
    this.#settle(this.#options.parking.done(item.message.position));
    this.#ended();
  }

  failed(item: OpenItem, state: ParkedState): void {
    item.over = true;
    const { position } = item.message;
    if (item.node !== undefined) this.#nodes.set(position, item.node);
    this.#settle(this.#options.parking.failed(position, state));
    this.#ended();
  }

  #ended(): void {
    this.#underWay--;
    this.pump();
  }

  #settle(written: Promise<void>): void {
    written.catch((error) => {
      if (!(isCatgaError(error) && error.code === "CLOSED")) this.#options.fault(error);
    });
  }
}

const MOST_UNDER_WAY = 256;
const BEGUN = Object.freeze({ code: "OUTCOME_UNKNOWN", message: "an attempt has begun" });
