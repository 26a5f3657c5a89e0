/**
 * Commands of one entity have their turns one after the other in a node, in the order in which they come: they would
 * only conflict. Whoever has the turn may take some that wait into it. One whose turn does not come in time leaves the
 * queue, as does one that the turn's holder waits for.
 */
import { Fifo } from "../data/queues.ts";
import { DEADLOCK_DELAY } from "../dispatch/admission_deadlock.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { Deadlined, DeadlineWheel } from "../ports/deadline_wheel.ts";

/** A command that asks for its turn. */
export interface Asking {
  /** Its run. */
  readonly call: string;
  /** The runs that wait for it. */
  readonly ancestry: readonly string[];
  /** Deadline of its wait, by the monotonic clock. */
  readonly due: number;
  /** It has left the queue, and gets no turn. */
  leave(why: "late" | "deadlock"): void;
}

/** The turns of all entities of a node. */
export class Turns<Command extends Asking> {
  readonly #clock: Clock;
  /**
   * Waiting commands, by their deadlines: a timer for each would take as long as all else that becomes of one that
   * waits.
   */
  readonly #late: DeadlineWheel;
  /**
   * Turns by entity, of those with a command and some that had one: a `Map` whose entries come and go with each command
   * takes as much time as all else here (V8, measured).
   */
  readonly #turns: Map<string, Turn<Command>> = new Map();
  /** How many of them nobody has. */
  #free = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#late = new DeadlineWheel(clock);
  }

  /**
   * Returns true if a command has the turn, because nobody else has it; else it waits, until {@link Turns.next} returns
   * it, or it leaves.
   */
  take(entity: string, command: Command): boolean {
    const turn = this.#turns.get(entity);
    if (turn === undefined) {
      this.#turns.set(entity, { holder: command.call, waiting: undefined });
      return true;
    }
    if (turn.holder === undefined) {
      turn.holder = command.call;
      this.#free--;
      return true;
    }
    this.#wait(turn, turn.holder, command);
    return false;
  }

  #wait(turn: Turn<Command>, holder: string, command: Command): void {
    const waiter = new TurnWaiter(command);
    (turn.waiting ??= new Fifo()).push(waiter);
    this.#late.add(waiter);
    // checked on entry alone: a run that waits for this one gains no turn meanwhile
    if (command.ancestry.length > 0 && command.ancestry.includes(holder)) {
      // a handler that sends without awaiting, and ends meanwhile, is no deadlock
      const check = () => {
        if (turn.holder !== holder) return;
        this.#end(waiter);
        command.leave("deadlock");
      };
      waiter.deadlock = this.#clock.after(DEADLOCK_DELAY, check, BACKGROUND);
    }
  }

  /** The one that waits longest, if it `fits`; it is part of the turn from now on. Only its holder asks. */
  next(entity: string, fits: (command: Command) => boolean): Command | undefined {
    const turn = this.#turns.get(entity);
    if (turn === undefined || !this.waited(entity)) return undefined;
    const first = turn.waiting!.first!;
    if (!fits(first.command)) return undefined;
    turn.waiting!.shift();
    turn.holder = first.command.call;
    this.#end(first);
    return first.command;
  }

  /** Returns true if one waits for the turn. */
  waited(entity: string): boolean {
    const waiting = this.#turns.get(entity)?.waiting;
    while (waiting?.first?.over) waiting.shift();
    return waiting?.first !== undefined;
  }

  /** Passes the turn on to the one that waits longest; `undefined`: nobody has it now. Only its holder does. */
  pass(entity: string): Command | undefined {
    const next = this.next(entity, () => true);
    const turn = this.#turns.get(entity);
    if (next === undefined && turn !== undefined) {
      turn.holder = turn.waiting = undefined;
      if (++this.#free > MOST_FREE) this.#forget();
    }
    return next;
  }

  /** Cancels the timer for deadlines while nobody waits. */
  rest(): void {
    this.#late.rest();
  }

  #end(waiter: TurnWaiter<Command>): void {
    waiter.over = true;
    this.#late.delete(waiter);
    waiter.deadlock?.cancel();
  }

  #forget(): void {
    for (const [entity, { holder }] of this.#turns) if (holder === undefined) this.#turns.delete(entity);
    this.#free = 0;
  }
}

/** The turn of an entity. */
interface Turn<Command extends Asking> {
  /**
   * The run that has it: the last one, if it was joined by others, for those before it have been decided; `undefined`:
   * nobody.
   */
  holder: string | undefined;
  waiting: Fifo<TurnWaiter<Command>> | undefined;
}

class TurnWaiter<Command extends Asking> extends Deadlined {
  readonly command: Command;
  /** Fires when its holder waits for it, perhaps. */
  deadlock: Timer | undefined = undefined;
  /** It waits no longer. It stays in the queue until its turn: so many may leave at once. */
  over = false;

  constructor(command: Command) {
    super(command.due);
    this.command = command;
  }

  override expire(): void {
    this.over = true;
    this.deadlock?.cancel();
    this.command.leave("late");
  }

  override abort(): void {
    this.expire();
  }
}

/** Turns that nobody has and that are kept. */
const MOST_FREE = 4_096;
/** The command's deadline keeps the process alive. */
const BACKGROUND = { background: true };
