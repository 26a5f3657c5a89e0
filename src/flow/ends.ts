/**
 * The ends of steps, sleeps and waits as the handler sees them: in the order of the journal, one in each turn of the
 * drive, when all that follows from the one before has been called. So each replay takes the way that the run has
 * taken.
 */
import type { Journal } from "./journal.ts";

/** The part of a drive that its {@link Ends} use. */
export interface EndsHost {
  readonly journal: Journal;
  /** The names of the steps, sleeps and waits that the handler has called. */
  readonly names: ReadonlySet<string>;
  /** Something is to be done in a turn. */
  askForTurn(): void;
}

/** An end that the handler has not seen yet. */
interface UnseenEnd {
  stored: boolean;
  /** Stored before this drive, so that another one may have gone on with it. */
  readonly before: boolean;
  /** Has the handler go on, once it asks for this one. */
  see: (() => void) | undefined;
}

/** The ends of the calls of a drive. */
export class Ends {
  readonly #drive: EndsHost;
  /** By name, in the order of the journal. */
  #unseen: Map<string, UnseenEnd>;
  /** How many of the journal's ends are among them, or were. */
  #known: number;
  /** Names of ends that the handler has seen before they are stored. */
  readonly #ahead = new Set<string>();
  /** How many of them the handler asks for. */
  #asked = 0;
  /** The handler asks for these, and they were passed over before. */
  readonly #late: (() => void)[] = [];
  /** Decisions that are not made before the handler has seen all that is stored. */
  readonly #behindStored: (() => void)[] = [];
  /** The handler has gone on with an end that no drive before this one has seen. */
  isBehindOthers = false;

  constructor(drive: EndsHost) {
    const { ends } = drive.journal;
    this.#drive = drive;
    this.#unseen = new Map(ends.map((name) => [name, { stored: true, before: true, see: undefined }]));
    this.#known = ends.length;
  }

  /** The handler asks for one: `see` has it go on, in a turn. */
  deliver(name: string, see: () => void): void {
    const end = this.#unseen.get(name);
    if (end === undefined) this.#late.push(see);
    else {
      if (end.see === undefined) this.#asked++;
      end.see = see;
    }
    this.#drive.askForTurn();
  }

  /** Calls back in a turn in which the handler has seen all that is stored, and has called what follows from it. */
  afterStored(decide: () => void): void {
    this.#behindStored.push(decide);
    this.#drive.askForTurn();
  }

  /** One is to be stored. */
  record(name: string): void {
    if (!this.#unseen.has(name)) this.#unseen.set(name, { stored: false, before: false, see: undefined });
  }

  /**
   * Takes in what has ended by what was applied to the journal. Returns true if the handler has seen something that is
   * behind it.
   */
  takeIn(): boolean {
    const { ends } = this.#drive.journal;
    let contradicts = false;
    while (this.#known < ends.length) {
      const name = ends[this.#known++];
      const own = this.#unseen.get(name);
      if (own !== undefined) own.stored = true;
      else if (!this.#ahead.delete(name)) {
        // of others: it comes before what is not stored yet
        const all = [...this.#unseen, [name, { stored: true, before: false, see: undefined }] as const];
        this.#unseen = new Map([...all.filter(([, { stored }]) => stored), ...all.filter(([, { stored }]) => !stored)]);
        contradicts ||= this.#ahead.size > 0;
      }
    }
    return contradicts;
  }

  /**
   * The handler goes on with the next end, or a decision is made, or an end that it has not called is passed over.
   * Returns false if there is nothing of it to be done.
   */
  goOn(): boolean {
    return this.#deliverNext() || this.#decideNext() || this.passOver(false);
  }

  /**
   * Passes over what the handler does not ask for, as it was changed, or an operator gave it: what it has not called,
   * and anything if all `rests`. Returns true if it goes on.
   */
  passOver(rests: boolean): boolean {
    if (this.#asked === 0 && this.#behindStored.length === 0) return false;
    for (const [name, { stored, see }] of this.#unseen) {
      if (see !== undefined || (this.#asked === 0 && !stored)) break;
      if (!rests && (!stored || this.#drive.names.has(name))) return false;
      this.#unseen.delete(name);
    }
    return true;
  }

  /** The handler's calls are over: an `undo` does not wait for what they did not see. */
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
    this.#asked--;
    this.isBehindOthers ||= !before;
    if (!stored) this.#ahead.add(name);
    see();
    return true;
  }

  #decideNext(): boolean {
    const [next] = this.#unseen.values();
    if (next?.stored) return false;
    const decide = this.#behindStored.shift();
    decide?.();
    return decide !== undefined;
  }
}
