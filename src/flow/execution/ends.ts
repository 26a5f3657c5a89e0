/**
 * Passes the ends of steps, sleeps and waits to a workflow's handler: in the order in which they are recorded, one at a
 * time, each after all calls that follow from the previous end. So each replay of the run takes the same path through
 * the handler.
 */
import type { Activity } from "./activity.ts";
import { SparseSet } from "../../data/sparse.ts";
import type { Journal } from "../stored/journal.ts";

/** Dependencies of {@link Ends}, which pass ends of steps to a handler, on the execution of the run. */
export interface EndsHost {
  readonly journal: Journal;
  /** The names of the steps, sleeps and waits that the handler has called. */
  readonly names: ReadonlySet<string>;
  readonly activity: Pick<Activity, "askForTurn">;
}

/**
 * The recorded end of a step, sleep or wait, which the handler has not seen yet. A class, because V8 would make
 * literals among the old objects (`HeldRun`).
 */
class UnseenEnd {
  stored: boolean;
  /**
   * True if the end was stored before this execution of the run began: an earlier execution may have continued with it.
   */
  readonly before: boolean;
  /** Lets the handler continue with this end; `undefined`: the handler does not await the step, sleep or wait yet. */
  see: (() => void) | undefined = undefined;

  constructor(stored: boolean, before: boolean) {
    this.stored = stored;
    this.before = before;
  }
}

/** Passes the ends of the handler's calls to the handler, in order. */
export class Ends {
  readonly #drive: EndsHost;
  /**
   * Ends that the handler has not seen, by name of the step, sleep or wait, in the order in which they are recorded.
   */
  #unseen: Map<string, UnseenEnd>;
  /** Number of ends (of steps, sleeps and waits) that were taken over from the journal. */
  #known: number;
  /** Number of ends, in the order of the journal, that the handler has seen, or that were passed over. */
  seen = 0;
  /** Names of the steps, sleeps and waits whose ends the handler saw before the ends were stored. */
  readonly #ahead = new SparseSet<string>();
  /** Number of ends that the handler awaits and has not seen. */
  #asked = 0;
  /** Callbacks for ends that were skipped (`passOver`) before the handler awaited them. */
  readonly #late: (() => void)[] = [];
  /** Functions that make a decision, each to be called when the handler has seen all stored ends: signals first. */
  readonly #behindStored: { readonly signal: (() => void)[]; readonly time: (() => void)[] } = { signal: [], time: [] };
  /**
   * True once the handler has continued with an end of a step, sleep or wait that no earlier execution can have seen.
   */
  isBehindOthers = false;

  constructor(drive: EndsHost) {
    const { ends } = drive.journal;
    this.#drive = drive;
    this.#unseen = new Map(ends.map((name) => [name, new UnseenEnd(true, true)]));
    this.#known = ends.length;
  }

  /**
   * Registers that the handler awaits the end of the call with this name. `see` is called once, when it is this end's
   * turn in the order of the journal, and gives the end to the handler.
   */
  deliver(name: string, see: () => void): void {
    const end = this.#unseen.get(name);
    if (end === undefined) this.#late.push(see);
    else {
      if (end.see === undefined) this.#asked++;
      end.see = see;
    }
    this.#drive.activity.askForTurn();
  }

  /**
   * Calls `decide` once, as soon as the handler has seen all stored ends, and has made the calls that follow from them.
   * `about`: decisions about signals come before decisions about times.
   */
  afterStored(about: "signal" | "time", decide: () => void): void {
    this.#behindStored[about].push(decide);
    this.#drive.activity.askForTurn();
  }

  /** Adds the end of a step, sleep or wait that is about to be stored. */
  record(name: string): void {
    if (!this.#unseen.has(name)) this.#unseen.set(name, new UnseenEnd(false, false));
  }

  /**
   * Takes over the ends that applied messages have added to the journal. Returns true if the handler has already seen
   * an end that comes after one of these ends in the journal: then the handler has to restart.
   */
  takeIn(): boolean {
    const { ends } = this.#drive.journal;
    let contradicts = false;
    while (this.#known < ends.length) {
      const name = ends[this.#known++];
      const own = this.#unseen.get(name);
      if (own !== undefined) own.stored = true;
      else if (!this.#ahead.delete(name)) {
        // an end that another process has stored comes before ends that are not stored yet
        const all = [...this.#unseen, [name, new UnseenEnd(true, false)] as const];
        this.#unseen = new Map([...all.filter(([, { stored }]) => stored), ...all.filter(([, { stored }]) => !stored)]);
        contradicts ||= this.#ahead.size > 0;
      }
    }
    return contradicts;
  }

  /** Names of the steps, sleeps and waits whose recorded ends the handler has not seen. */
  get unseen(): Iterable<string> {
    return this.#unseen.keys();
  }

  /**
   * Does one of three things: lets the handler continue with the next end; calls the next function that {@link
   * Ends.afterStored} was given; or skips ends whose steps the handler has not called. Returns false if there is
   * nothing to do.
   */
  goOn(): boolean {
    return this.#deliverNext() || this.#decideNext() || this.passOver("uncalled");
  }

  /**
   * Skips ends that the handler does not await, because it was changed, or because an operator gave the outcome of a
   * step that the handler does not call: "uncalled": stored ends whose steps the handler has not called; "any": any
   * ends, because nothing else is in progress. Returns false if nobody is kept waiting by an end: the handler awaits
   * none, and {@link Ends.afterStored} was given no function. Returns false, too, if with "uncalled" an end stays that
   * the handler may still await. Otherwise returns true.
   */
  passOver(which: "uncalled" | "any"): boolean {
    const { signal, time } = this.#behindStored;
    if (this.#asked + signal.length + time.length === 0) return false;
    for (const [name, { stored, see }] of this.#unseen) {
      if (see !== undefined || (this.#asked === 0 && !stored)) break;
      if (which === "uncalled" && (!stored || this.#drive.names.has(name))) return false;
      this.#unseen.delete(name);
      this.seen++;
    }
    return true;
  }

  /**
   * Forgets ends of calls that the handler has made and does not await, so that an `undo` does not wait for them. To be
   * called when the handler has ended.
   */
  handlerIsOver(): void {
    const { names } = this.#drive;
    for (const [name, { see }] of this.#unseen) if (see === undefined && names.has(name)) this.#unseen.delete(name);
  }

  #deliverNext(): boolean {
    const late = this.#late.shift();
    if (late !== undefined) {
      late();
      return true;
    }
    const [next] = this.#unseen;
    if (next === undefined) return false;
    const [name, { stored, before, see }] = next;
    if (see === undefined) return false;
    this.#unseen.delete(name);
    this.seen++;
    this.#asked--;
    this.isBehindOthers ||= !before;
    if (!stored) this.#ahead.add(name);
    see();
    return true;
  }

  #decideNext(): boolean {
    const [next] = this.#unseen.values();
    if (next?.stored) return false;
    const { signal, time } = this.#behindStored;
    const decide = signal.shift() ?? time.shift();
    decide?.();
    return decide !== undefined;
  }
}
