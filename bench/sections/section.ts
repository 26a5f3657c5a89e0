/**
 * What the sections of the bench have in common.
 *
 * @module
 */
import type { Wanted } from "../arguments.ts";
import type { Player } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import type { Table } from "../table.ts";
import type { Company } from "./contestants.ts";

/** Measures something; gives one table or several. */
export type Measure = (stage: Stage, effort: Effort, company: Company) => Promise<Table[]>;

/** How long to measure. */
export interface Effort {
  readonly quick: boolean;
  readonly peers: boolean;
  /** True if nothing but the figures of docs/internals/measurements.md, "Floors", is measured. */
  readonly floors: boolean;
  /** So many rounds, where nobody asked for another number; one for a trial, for floors `inTurn`, 1 unless given. */
  rounds(usual: number, quick: number, inTurn?: number): number;
  /** So many rounds first, which do not count, until programs are compiled; none for a trial. */
  warm(usual: number, quick?: number): number;
  /** A round's length in ms; at most 50 for a trial. */
  ms(usual: number, quick: number): number;
  /** So many events, entities or the like. */
  count(usual: number, quick: number, trial?: number): number;
}

/** A program, and the arguments that make it one row of a table. */
export interface Contestant {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
}

/** Starts programs that have the task `time`, for `alternate`; one that cannot be had is left out. */
export async function timed(stage: Stage, contestants: readonly Contestant[], ms: number): Promise<Player<number>[]> {
  const started = await Promise.all(contestants.map(({ name, file, args }) =>
    stage.orLeaveOut(name, file, async () => {
      const program = await stage.start(file, args);
      return { name, play: () => program.ask<number>("time", { ms }), drop: stage.dropping(name, file) };
    })
  ));
  return started.filter((player) => player !== undefined);
}

/** The effort that was asked for. */
export function effortOf(wanted: Wanted, peers: boolean): Effort {
  const { quick, trial, floors } = wanted;
  return {
    quick,
    peers,
    floors,
    rounds: (usual, few, inTurn = 1) => wanted.rounds ?? (trial ? 1 : floors ? inTurn : quick ? few : usual),
    warm: (usual, few = usual) => trial ? 0 : quick ? few : usual,
    ms: (usual, short) => trial ? Math.min(short, 50) : quick ? short : usual,
    count: (usual, few, fewest = few) => trial ? fewest : quick ? few : usual,
  };
}

/** The note about what `programs/idle.ts` does beside Catga. */
export const BY_HAND =
  "a node by hand: a connection, a KV bucket, its record, a watch and a subscription over the modules of nats.js";
