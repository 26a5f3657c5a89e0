/**
 * Commands of one entity run one after the other in a node, in the order in which they come: they would only conflict. One whose turn does
 * not come in time leaves the queue, as does one that its holder waits for.
 */
import { Fifo } from "../data/fifo.ts";
import { DEADLOCK_DELAY } from "../dispatch/admission_deadlock.ts";
import type { Clock, Timer } from "../ports/clock.ts";

/** A command that asks for its turn. */
export interface Asking {
  /** Its run. */
  readonly call: string;
  /** The runs that wait for it. */
  readonly ancestry: readonly string[];
  /** Until when it waits, by the monotonic clock. */
  readonly due: number;
}

/** How a wait ended: its turn has come, and must be passed on; or it has left the queue, and passes nothing on. */
export type Waited = "came" | "late" | "deadlock";

/** The turns of all entities of a node. */
export class Turns {
  readonly #clock: Clock;
  /** Of each entity that has a command. */
  readonly #turns: Map<string, Turn> = new Map();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the wait has ended; at once, as `undefined`, if nobody has the turn. */
  take(entity: string, { call, ancestry, due }: Asking): Promise<Waited> | undefined {
    const turn = this.#turns.get(entity);
    if (turn === undefined) {
      this.#turns.set(entity, { holder: call, waiting: undefined });
      return undefined;
    }
    const { promise, resolve } = Promise.withResolvers<Waited>();
    const waiter: Waiter = { call, resolve, timers: [], over: false };
    (turn.waiting ??= new Fifo()).push(waiter);
    const left = Math.max(0, due - this.#clock.monotonic());
    waiter.timers.push(this.#clock.after(left, () => end(waiter, "late"), BACKGROUND));
    // checked on entry alone: a run that waits for this one gains no turn meanwhile
    const { holder } = turn;
    if (ancestry.includes(holder)) {
      // a handler that sends without awaiting, and ends meanwhile, is no deadlock
      const check = () => turn.holder === holder && end(waiter, "deadlock");
      waiter.timers.push(this.#clock.after(DEADLOCK_DELAY, check, BACKGROUND));
    }
    return promise;
  }

  /** Passes the turn on to the next command. Only its holder does. */
  pass(entity: string): void {
    const turn = this.#turns.get(entity);
    let next = turn?.waiting?.shift();
    while (next?.over) next = turn?.waiting?.shift();
    if (turn === undefined || next === undefined) {
      this.#turns.delete(entity);
    } else {
      turn.holder = next.call;
      end(next, "came");
    }
  }
}

/** The turn of an entity. */
interface Turn {
  /** The run that has it. */
  holder: string;
  waiting: Fifo<Waiter> | undefined;
}

interface Waiter {
  readonly call: string;
  readonly resolve: (how: Waited) => void;
  readonly timers: Timer[];
  /** It waits no longer. It stays in the queue until its turn: so many may leave at once. */
  over: boolean;
}

function end(waiter: Waiter, how: Waited): void {
  waiter.over = true;
  for (const timer of waiter.timers) timer.cancel();
  waiter.resolve(how);
}

/** The command's deadline keeps the process alive. */
const BACKGROUND = { background: true };
