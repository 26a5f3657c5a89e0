/**
 * Queues of commands: commands of one entity run one after the other within a node, in the order of their arrival,
 * because they would only conflict. The command that has the turn may take waiting commands into it. A command leaves
 * the queue at its deadline, and if the holder of the turn waits for it.
 */
import { Fifo } from "../data/queues.ts";
import { DEADLOCK_DELAY } from "../dispatch/admission_deadlock.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { Deadlined, DeadlineWheel } from "../ports/deadline_wheel.ts";

/** A command that asks for the turn of its entity. */
export interface Asking {
  /** Id of its run. */
  readonly call: string;
  /** Ids of the runs that wait for it. */
  readonly ancestry: readonly string[];
  /** Deadline of its wait, by the monotonic clock. */
  readonly due: number;
  /** Called when the command has left the queue without a turn. */
  leave(why: "late" | "deadlock"): void;
}

/** The turns of all entities of a node. */
export class Turns<Command extends Asking> {
  readonly #clock: Clock;
  /** Waiting commands by deadline: a timer for each would cost as much as everything else about a waiting command. */
  readonly #late: DeadlineWheel;
  /**
   * Turns by entity: those that a command holds, and some free ones. (A `Map` whose entries come and go with each
   * command takes as much time as everything else here: V8, measured.)
   */
  readonly #turns: Map<string, Turn<Command>> = new Map();
  /** Number of free turns in the map. */
  #free = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#late = new DeadlineWheel(clock);
  }

  /**
   * Returns true if the command has the turn, because it was free. Else the command waits until {@link Turns.next}
   * returns it or it leaves.
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
    // checked only here: a run that waits for this command cannot gain the turn meanwhile
    if (command.ancestry.length > 0 && command.ancestry.includes(holder)) {
      // it is no deadlock if the handler sent this without awaiting and ends meanwhile
      const check = () => {
        if (turn.holder !== holder) return;
        this.#end(waiter);
        command.leave("deadlock");
      };
      waiter.deadlock = this.#clock.after(DEADLOCK_DELAY, check, BACKGROUND);
    }
  }

  /** Takes the longest waiting command into the turn if it `fits`. Only the holder of the turn may call this. */
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

  /** Returns true if a command waits for the turn. */
  waited(entity: string): boolean {
    const waiting = this.#turns.get(entity)?.waiting;
    while (waiting?.first?.over) waiting.shift();
    return waiting?.first !== undefined;
  }

  /**
   * Passes the turn to the longest waiting command; `undefined`: none waits, and the turn is free. Only the holder may
   * call this.
   */
  pass(entity: string): Command | undefined {
    const next = this.next(entity, () => true);
    const turn = this.#turns.get(entity);
    if (next === undefined && turn !== undefined) {
      turn.holder = turn.waiting = undefined;
      if (++this.#free > MOST_FREE) this.#forget();
    }
    return next;
  }

  /** Cancels the timer for deadlines while no command waits. */
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
   * Run that holds the turn; if several commands share the turn, that of the last, because the others have been
   * decided. `undefined`: the turn is free.
   */
  holder: string | undefined;
  waiting: Fifo<TurnWaiter<Command>> | undefined;
}

class TurnWaiter<Command extends Asking> extends Deadlined {
  readonly command: Command;
  /** Timer of the deadlock check; `undefined`: the holder does not wait for this command. */
  deadlock: Timer | undefined = undefined;
  /**
   * True if the command does not wait any more. It stays in the queue until its turn, because many may leave at once.
   */
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

/** Maximum number of free turns that are kept. */
const MOST_FREE = 4_096;
/** The command's deadline keeps the process alive. */
const BACKGROUND = { background: true };
