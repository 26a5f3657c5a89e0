/**
 * Which commands were stored lately, and what became of them, as the stream says it. The id of a command that Catga made comes again only in
 * attempts of the same send; that of a user's for as long as is promised. Both are looked up in `recent_commands.ts`, and else in the subject of
 * the entity, back in time.
 */
import type { EntityCommand } from "../log/format/entity_group.ts";
import type { Clock } from "../ports/clock.ts";
import type { StoredAt } from "./entity_copy.ts";
import { numberOf, RecentCommands } from "./recent_commands.ts";

/** A command that may have been stored. */
export interface Sought {
  /** The subject of its entity. */
  readonly subject: string;
  /** The name of its contract, and its id. */
  readonly name: string;
  readonly id: string;
  /** The send, in all of its attempts. */
  readonly send: string;
  /** Whether its id is its sender's. */
  readonly named: boolean;
}

/** What was found of a command: it was stored, or its send is over. */
export type Found = { readonly type: "stored"; readonly command: EntityCommand } | { readonly type: "ended" };

/** The commands that a node has stored or read. */
export class StoredCommands {
  readonly #named: RecentCommands;
  readonly #made: RecentCommands;

  constructor(clock: Clock) {
    this.#named = new RecentCommands(clock, KEPT_NAMED);
    this.#made = new RecentCommands(clock, KEPT_MADE);
  }

  /** The commands of a message of this subject. `now`: by the server's clock. */
  add(subject: string, commands: readonly EntityCommand[], at: Omit<StoredAt, "size">, now: number): void {
    const age = now - at.time;
    if (age > KEPT_NAMED) return;
    const seed = numberOf(subject) | 0;
    for (const { name, id, fingerprint } of commands) {
      if (fingerprint !== undefined) this.#named.add(numberOf(name, numberOf(id, seed) | 0), at.sequence);
      else if (age <= KEPT_MADE) this.#made.add(numberOf(id, seed), at.sequence);
    }
  }

  /** One was stored in the message of this sequence; without events its send was ended. */
  note({ subject, name, id, send, named }: Sought, events: boolean, sequence: number): void {
    const seed = numberOf(subject) | 0;
    if (named && events) this.#named.add(numberOf(name, numberOf(id, seed) | 0), sequence);
    else this.#made.add(numberOf(events ? id : send, seed), sequence);
  }

  /** Whether what passed by in the last `ms` is still known. */
  reaches(ms: number, { named }: Sought): boolean {
    return ms <= (named ? KEPT_NAMED : KEPT_MADE);
  }

  /** Where it may be stored, or that its send is over; `undefined`: nowhere, of those that are known. */
  places({ subject, name, id, send, named }: Sought): readonly number[] | undefined {
    const seed = numberOf(subject) | 0;
    const ended = this.#made.find(numberOf(send, seed));
    if (!named) return ended;
    const stored = this.#named.find(numberOf(name, numberOf(id, seed) | 0));
    return stored === undefined ? ended : [...stored, ...ended ?? []];
  }
}

/** What the commands of a message say of a command. */
export function foundIn(stored: readonly EntityCommand[], { name, id, send }: Sought): Found | undefined {
  for (const command of stored) {
    if (command.name === name && command.id === id) return { type: "stored", command };
    if (command.name === "" && command.id === send) return { type: "ended" };
  }
  return undefined;
}

/** For how long the sender of an id may send it again without saying since when, in ms. */
export const PROMISED = 120_000;
/** By how much clocks of servers and nodes may differ, in ms. */
export const SKEW = 10_000;
const KEPT_NAMED = PROMISED + SKEW + 1_000;
const KEPT_MADE = 30_000;
