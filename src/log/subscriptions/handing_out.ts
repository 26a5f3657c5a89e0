/**
 * How a leader hands out what it has read: of each category and key one message at a time, in order, to a node that handles it; and what
 * follows each answer. A message ends by being handled, or in the parking; until then it is open.
 */
import type { Observer } from "../../contract/observer.ts";
import type { LogHost } from "../log_host.ts";
import type { Parking } from "../parking/parking.ts";
import type { ParkedState } from "../parking/parking_options.ts";
import { pauseAfter } from "../parking/retry.ts";
import type { Category, OpenItem } from "./category.ts";
import type { OpenItems } from "./open_items.ts";
import { ParkedRuns } from "./parked_runs.ts";
import { Putting } from "./putting.ts";
import { RecordedRuns } from "./recorded_runs.ts";
import { outcomeOf, outcomeOfError, type RunFailure, type RunOutcome } from "./run_outcome.ts";
import { Suspects } from "./suspects.ts";
import { Waiting } from "./waiting.ts";

/** What a {@link HandingOut} is made of. */
export interface HandingOutOptions {
  readonly host: Pick<LogHost, "clock" | "random" | "send">;
  readonly observer: Observer;
  /** The subscription's label in observations. */
  readonly label: string;
  readonly token: number;
  readonly open: OpenItems;
  readonly parking: Parking;
  /** Positions that were running when the leader began, and on which node. */
  readonly running: ReadonlyMap<number, string>;
  /** What ran when the last leader ended. */
  readonly suspects: ReadonlySet<OpenItem>;
  /** Whether the last leader may have begun more than it recorded. */
  readonly doubt: boolean;
  categoryOf(name: string): Category;
  /** Writes the record now. Resolves with whether it is stored. */
  record(): Promise<boolean>;
  /** A node says that another leads. */
  outvoted(): void;
  fault(error: unknown): void;
  /** A message of a category was handled. */
  onHandled(category: string): void;
  /** Something has ended, or an attempt has failed. */
  onProgress(): void;
  /** Messages cannot be parked (`error`), or can again (`undefined`). */
  onStopped(error: unknown): void;
}

/** The messages in the hand of a leader. */
export class HandingOut {
  readonly #options: HandingOutOptions;
  readonly #putting: Putting;
  readonly #parkedRuns: ParkedRuns;
  readonly #recorded: RecordedRuns;
  readonly #suspects: Suspects;
  /** Those that wait until handing out goes on. */
  #ready: OpenItem[] = [];
  #paused = true;
  #closed = false;
  /** Runs that have no answer. */
  #running = 0;
  /** Those in memory until their next attempt. */
  readonly #waiting: Waiting;

  constructor(options: HandingOutOptions) {
    this.#options = options;
    const { parking, host: { clock }, onStopped, categoryOf, fault, running, doubt, suspects, record } = options;
    this.#putting = new Putting({ parking, clock, onStopped, put: (item) => this.#end(item) });
    this.#suspects = new Suspects(clock, suspects, () => queueMicrotask(() => this.#pump()));
    this.#waiting = new Waiting(clock, (item) => this.#begin(item));
    this.#recorded = new RecordedRuns({
      record,
      run: (item) => this.#paused ? this.#back(item) : this.#send(item),
      onFailed: (items) => {
        for (const item of items) this.#back(item);
        this.#paused = true; // the lease decides when to go on
      },
    });
    this.#parkedRuns = new ParkedRuns({
      ...{ parking, categoryOf, fault, running, doubt },
      run: (item) => this.#begin(item),
    });
  }

  /** Runs that have no answer yet. */
  get running(): number {
    return this.#running;
  }

  /** Whether messages are handed out one at a time. */
  get careful(): boolean {
    return this.#suspects.careful;
  }

  /** How many of those that ran when the last leader ended have had no outcome since. */
  get suspects(): number {
    return this.#suspects.left;
  }

  /** Takes the next message; those of a key in the order of their positions. */
  add(item: OpenItem): void {
    const { category, message: { key } } = item;
    if (key !== undefined) {
      const last = category.keys.get(key);
      category.keys.set(key, item);
      if (last !== undefined) {
        last.behind = item;
        return;
      }
    }
    this.#begin(item);
  }

  /** Takes a message that cannot be read: it becomes a dead letter. */
  bury(item: OpenItem, message: string): void {
    this.#deadLetter(item, { code: "INVALID_MESSAGE", message });
  }

  /** Begins, or goes on. `careful`: what ran when the last leader ended runs alone first. */
  resume(careful = false): void {
    if (careful) this.#suspects.begin();
    if (this.#closed) return;
    this.#paused = false;
    this.#pump();
  }

  /** Hands out nothing until {@link HandingOut.resume}; what runs goes on. */
  pause(): void {
    this.#paused = true;
  }

  /** The nodes that handle these categories have changed. */
  refresh(categories: Iterable<Category>): void {
    for (const category of categories) {
      if (category.capable === 0) continue;
      for (const item of category.held.splice(0)) this.#begin(item);
    }
  }

  /** An entry of the parking may be run. */
  onRunnable(): void {
    if (!this.#paused && !this.#closed) this.#parkedRuns.pump();
  }

  /** Ends it: answers that come still are ignored. */
  close(): void {
    this.#closed = this.#paused = true;
    this.#putting.close();
    this.#recorded.close();
    this.#suspects.close();
    this.#waiting.close();
    this.#ready = [];
  }

  #pump(): void {
    const ready = this.#ready;
    this.#ready = [];
    for (const item of ready) this.#begin(item);
    if (this.#paused) return;
    if (this.#suspects.tried()) this.#pump();
    else this.#parkedRuns.pump();
  }

  #begin(item: OpenItem): void {
    if (this.#closed) return;
    if (this.#paused) {
      this.#ready.push(item);
      return;
    }
    const { category, message: { key } } = item;
    if (!item.parked) {
      const { parking } = this.#options;
      if (parking.holds(category.name, key)) return this.#put(item, { attempts: item.attempts });
    }
    if (category.capable === 0) {
      category.held.push(item);
      return;
    }
    if (item.attempts >= category.attempts) {
      const message = `its leader ended while attempt ${item.attempts} was under way`;
      return this.#deadLetter(item, item.error ?? { code: "OUTCOME_UNKNOWN", message });
    }
    if (!item.parked) {
      // one that runs already at a live node has not ended its leader
      if ((item.doubt || item.node === undefined) && !this.#suspects.admits(item)) {
        this.#ready.push(item);
        return;
      }
      if (item.doubt) return this.#recorded.begin(item);
    }
    item.attempts++;
    item.running = true;
    this.#send(item);
  }

  /** Its attempt is not to begin now. */
  #back(item: OpenItem): void {
    item.attempts--;
    item.running = false;
    this.#suspects.back(item);
    this.#ready.push(item);
  }

  #send(item: OpenItem): void {
    this.#running++;
    this.#suspects.sent(item);
    try {
      this.#options.host.send(item.category.contract, item.request(this.#options.token), item.options).then(
        (result) => this.#answered(item, outcomeOf(result)),
        (error) => this.#answered(item, outcomeOfError(error)),
      );
    } catch (error) {
      this.#answered(item, outcomeOfError(error)); // a key that cannot be sent
    }
  }

  #answered(item: OpenItem, outcome: RunOutcome): void {
    this.#running--;
    if (this.#closed) return;
    item.running = false;
    this.#suspects.over(item);
    if (outcome === "done") return this.#done(item);
    if (outcome === "outvoted") this.#options.outvoted();
    if (typeof outcome === "object" && "code" in outcome) return this.#failed(item, outcome);
    this.#refused(item);
    // its handler goes on there after its time: the next attempt waits for its end
    if (typeof outcome === "object") item.node = outcome.busy;
  }

  #done(item: OpenItem): void {
    this.#options.onHandled(item.category.name);
    if (item.parked) this.#parkedRuns.done(item);
    else this.#end(item);
  }

  /** It is handled or parked: the next of its key begins. */
  #end(item: OpenItem): void {
    const { category: { keys }, message: { key }, behind } = item;
    item.over = true;
    item.behind = undefined; // else what has ended keeps all those behind it in memory, until all of it is collected
    this.#options.open.remove(item);
    this.#suspects.over(item);
    if (key !== undefined) {
      if (behind === undefined) keys.delete(key);
      else this.#begin(behind);
    }
    this.#options.onProgress();
  }

  /** It was certainly not run: that is no attempt. */
  #refused(item: OpenItem): void {
    item.attempts--;
    item.node = undefined;
    const pause = Math.min(REFUSED[1], REFUSED[0] * 2 ** Math.min(item.refusals++, 8));
    this.#waiting.add(item, pause * (0.5 + this.#options.host.random() / 2));
  }

  #failed(item: OpenItem, { code, message, final, node }: RunFailure): void {
    const { host: { clock, random }, observer, label } = this.#options;
    const { category, attempts } = item;
    const error = item.error = { code, message };
    item.refusals = 0;
    if (final || attempts >= category.attempts) return this.#deadLetter(item, error);
    // it may be going on there still; a node that does not answer twice may be frozen
    item.node = code === "OUTCOME_UNKNOWN" && item.node !== undefined ? undefined : node;
    // what it did may have ended that process
    item.doubt ||= node !== undefined;
    const pause = pauseAfter(attempts, category.delay, random);
    const about = { subscription: label, contract: category.name, id: item.message.id };
    observer({ type: "message-failed", ...about, attempt: attempts, code, pause });
    const now = clock.monotonic();
    item.failedAt ??= now;
    if (item.parked) return this.#parkedRuns.failed(item, { attempts, error, due: clock.now() + pause });
    if (now + pause - item.failedAt <= IN_MEMORY && this.#waiting.size < MOST_WAITING) {
      this.#options.onProgress(); // its attempts are recorded
      this.#waiting.add(item, pause);
    } else {
      this.#put(item, { attempts, error, due: clock.now() + pause });
    }
  }

  #deadLetter(item: OpenItem, error: { readonly code: string; readonly message: string }): void {
    const { observer, label } = this.#options;
    const { category: { name: contract }, message: { id }, attempts } = item;
    observer({ type: "dead-letter", subscription: label, contract, id, attempts, ...error });
    if (item.parked) this.#parkedRuns.failed(item, { attempts, error, dead: true });
    else this.#put(item, { attempts, error, dead: true });
  }

  #put(item: OpenItem, state: ParkedState): void {
    this.#suspects.over(item);
    this.#putting.put(item, state);
  }
}

/** The first and the longest pause after a refusal, in ms. */
const REFUSED = [50, 2_000] as const;
/** How long a message that fails stays in memory, in ms; then it is parked. */
const IN_MEMORY = 5_000;
/** How many do at most. */
const MOST_WAITING = 2_000;
