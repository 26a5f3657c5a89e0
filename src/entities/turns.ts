/**
 * Queues of commands: commands of one entity run one after the other within a node, in the order of their arrival,
 * because they would only conflict. The command that runs (it has the entity's turn) may let waiting commands run
 * together with it. A command leaves the queue at its deadline, and if the command that runs waits for it (a deadlock).
 */
import { Fifo } from "../data/fifo.ts";
import { DEADLOCK_DELAY } from "../dispatch/admission.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { Deadlined, DeadlineWheel } from "../ports/deadline_wheel.ts";

/** A command that wants to run on its entity. */
export interface QueuedCommand {
  /** Name of the command's run, unique among all runs. */
  readonly call: string;
  /** Names of the runs that wait for the command. */
  readonly ancestry: readonly string[];
  /** Deadline until which the command may wait, by the monotonic clock. */
  readonly due: number;
  /** Called when the command leaves the queue without having run: at its deadline, or because of a deadlock. */
  drop(why: "late" | "deadlock"): void;
}

/** The queues of all entities of a node: one command of an entity runs at a time. */
export class Turns<Command extends QueuedCommand> {
  readonly #clock: Clock;
  /** Waiting commands, by deadline. A timer for each would cost as much as everything else about a waiting command. */
  readonly #deadlines: DeadlineWheel;
  /**
   * By entity: which command runs, and which wait; also for some entities of which no command runs. (A `Map` whose
   * entries come and go with each command takes as much time as everything else here: V8, measured.)
   */
  readonly #turns: Map<string, Turn<Command>> = new Map();
  /** Number of entities in the map of which no command runs. */
  #free = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#deadlines = new DeadlineWheel(clock);
  }

  /**
   * Returns true if the command may run at once, because no other command of the entity runs. Otherwise the command
   * waits until {@link Turns.next} or {@link Turns.pass} returns it, or it leaves the queue.
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
    this.#deadlines.add(waiter);
    // one check at the beginning of the wait is enough: a run that waits for this command cannot get the entity's turn
    // later
    if (command.ancestry.length > 0 && command.ancestry.includes(holder)) {
      // the check is repeated after a delay: there is no deadlock if the running handler has sent this command without
      // awaiting it, and ends before the check
      const check = () => {
        if (turn.holder !== holder) return;
        this.#endWait(waiter);
        command.drop("deadlock");
      };
      waiter.deadlock = this.#clock.after(DEADLOCK_DELAY, check, BACKGROUND);
    }
  }

  /**
   * Lets the command that has waited longest run together with the running one, and returns it; `undefined`: no command
   * waits, or `fits` returns false for that command. Only the running command may call this.
   */
  next(entity: string, fits: (command: Command) => boolean): Command | undefined {
    const turn = this.#turns.get(entity);
    if (turn === undefined || !this.hasWaiting(entity)) return undefined;
    const first = turn.waiting!.first!;
    if (!fits(first.command)) return undefined;
    turn.waiting!.shift();
    turn.holder = first.command.call;
    this.#endWait(first);
    return first.command;
  }

  /** Returns true if a command waits for the running one. */
  hasWaiting(entity: string): boolean {
    const waiting = this.#turns.get(entity)?.waiting;
    while (waiting?.first?.hasLeft) waiting.shift();
    return waiting?.first !== undefined;
  }

  /**
   * Ends the turn of the running command, and returns the command that has waited longest, which runs now; `undefined`:
   * none waits. Only the running command may call this.
   */
  pass(entity: string): Command | undefined {
    const next = this.next(entity, () => true);
    const turn = this.#turns.get(entity);
    if (next === undefined && turn !== undefined) {
      turn.holder = turn.waiting = undefined;
      if (++this.#free > MAX_IDLE_ENTITIES) this.#forgetIdle();
    }
    return next;
  }

  /** Cancels the timer for deadlines, if no command waits. */
  stopIfIdle(): void {
    this.#deadlines.stopIfIdle();
  }

  #endWait(waiter: TurnWaiter<Command>): void {
    waiter.hasLeft = true;
    this.#deadlines.delete(waiter);
    waiter.deadlock?.cancel();
  }

  #forgetIdle(): void {
    for (const [entity, { holder }] of this.#turns) if (holder === undefined) this.#turns.delete(entity);
    this.#free = 0;
  }
}

/** Which command of an entity runs, and which wait. */
interface Turn<Command extends QueuedCommand> {
  /**
   * Name of the command that runs; if several run together, of the one that joined last, because the handlers of the
   * others have returned. `undefined`: none runs.
   */
  holder: string | undefined;
  waiting: Fifo<TurnWaiter<Command>> | undefined;
}

class TurnWaiter<Command extends QueuedCommand> extends Deadlined {
  readonly command: Command;
  /** Timer of the second deadlock check; `undefined`: the running command does not wait for this command. */
  deadlock: Timer | undefined = undefined;
  /**
   * True if the command no longer waits. Such a command stays in the queue until its turn, because many may stop
   * waiting at once.
   */
  hasLeft = false;

  constructor(command: Command) {
    super(command.due);
    this.command = command;
  }

  override expire(): void {
    this.hasLeft = true;
    this.deadlock?.cancel();
    this.command.drop("late");
  }

  override abort(): void {
    this.expire();
  }
}

/** Maximum number of entities in the map of which no command runs. */
const MAX_IDLE_ENTITIES = 4_096;
/** A background timer: the command's own deadline keeps the process alive. */
const BACKGROUND = { background: true };
