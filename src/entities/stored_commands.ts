/**
 * Finds recently stored commands and their outcomes in the stream. An id that Catga made is used again only by attempts
 * of the same send; an id that a program gave may be used again for {@link ID_REUSE_TIME} ms. A node remembers in which
 * messages the recent commands are ({@link RecentCommands}); where it does not remember, the entity's messages of that
 * time are searched (`optimistic_appends.ts`).
 */
import type { EntityCommand } from "../log/format/entity_group.ts";
import type { Clock } from "../ports/clock.ts";
import type { StoredAt } from "./entity_copy.ts";
import { hashOf, RecentCommands } from "./recent_commands.ts";

/** A command that is looked up, because an earlier attempt of it may have been stored. */
export interface CommandIdentity {
  /** Subject of the command's entity. */
  readonly subject: string;
  /** Name of the command's contract. */
  readonly name: string;
  /** Id of the command. */
  readonly id: string;
  /** Id of the send, the same in all of its attempts; the command's id if Catga made that id. */
  readonly send: string;
  /**
   * Hash of the send's id and the subject. It is computed once, because both texts are long and the hash is needed
   * twice.
   */
  readonly sendHash: number;
  /** True if the program that sent the command gave it its id. */
  readonly hasGivenId: boolean;
}

/** Outcome of the search for a command: an attempt of the command was stored, or its send has ended. */
export type FoundCommand = { readonly type: "stored"; readonly command: EntityCommand } | { readonly type: "ended" };

/** Remembers the commands that a node has stored or read. */
export class StoredCommands {
  readonly #givenIds: RecentCommands;
  readonly #madeIds: RecentCommands;

  constructor(clock: Clock) {
    this.#givenIds = new RecentCommands(clock, KEPT_GIVEN);
    this.#madeIds = new RecentCommands(clock, KEPT_MADE);
  }

  /** Adds the commands of a stored message. `now`: the present time, by the server's clock. */
  add(subject: string, commands: readonly EntityCommand[], at: Omit<StoredAt, "size">, now: number): void {
    const age = now - at.time;
    if (age > KEPT_GIVEN) return;
    const seed = hashOf(subject) | 0;
    for (const { name, id, fingerprint } of commands) {
      if (fingerprint !== undefined) this.#givenIds.add(hashOf(name, hashOf(id, seed) | 0), at.sequence);
      else if (age <= KEPT_MADE) this.#madeIds.add(hashOf(id, seed), at.sequence);
    }
  }

  /**
   * Adds a command that was stored in the message with this sequence. `events`: false if the message says only that the
   * send of the command has ended. `now`: the time by the monotonic clock.
   */
  note(command: CommandIdentity, events: boolean, sequence: number, now: number): void {
    const { sendHash, hasGivenId } = command;
    if (hasGivenId && events) this.#givenIds.add(idHash(command), sequence, now);
    else this.#madeIds.add(sendHash, sequence, now);
  }

  /** Returns true if commands that were added within the last `ms` milliseconds are still remembered. */
  remembers(ms: number, { hasGivenId }: CommandIdentity): boolean {
    return ms <= (hasGivenId ? KEPT_GIVEN : KEPT_MADE);
  }

  /**
   * Sequences of messages that may contain the command, or the end of its send; `undefined`: no such message is known.
   */
  places(command: CommandIdentity): readonly number[] | undefined {
    const ended = this.#madeIds.find(command.sendHash);
    if (!command.hasGivenId) return ended;
    const stored = this.#givenIds.find(idHash(command));
    return stored === undefined ? ended : [...stored, ...ended ?? []];
  }
}

/** Hashes a command's contract, id and entity. */
function idHash({ subject, name, id }: CommandIdentity): number {
  return hashOf(name, hashOf(id, hashOf(subject) | 0) | 0);
}

/** Finds a command among the commands of a stored message; `undefined`: the message does not contain it. */
export function foundIn(
  stored: readonly EntityCommand[],
  { name, id, send }: CommandIdentity,
): FoundCommand | undefined {
  for (const command of stored) {
    if (command.name === name && command.id === id) return { type: "stored", command };
    if (command.name === "" && command.id === send) return { type: "ended" };
  }
  return undefined;
}

/** Time for which a sender may send a command again with the same id, without `firstSent`, in ms. */
export const ID_REUSE_TIME = 120_000;
/** Greatest difference that is assumed between the clocks of servers and nodes, in ms. */
export const MAX_CLOCK_SKEW = 10_000;
const KEPT_GIVEN = ID_REUSE_TIME + MAX_CLOCK_SKEW + 1_000;
const KEPT_MADE = 30_000;
