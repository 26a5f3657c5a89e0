/**
 * The commands that were applied to an entity lately, each with its result: one that comes again gets that, and is not applied twice.
 * The last 256, and all of the last two minutes as far as there is room. Two commands of different contracts may have one id.
 */

/** A command that was applied. */
export interface RememberedCommand {
  /** As {@link rememberedAs} makes it. */
  readonly id: string;
  /** Of its payload. */
  readonly fingerprint: string;
  /** As `encodeValue` writes it; `undefined` for the result `undefined`. */
  readonly result: string | undefined;
  /** When it was stored, by the server's clock, in ms since 1970. */
  readonly time: number;
}

/** What a command is remembered as: names of contracts have no spaces. */
export function rememberedAs(name: string, id: string): string {
  return `${name} ${id}`;
}

/** The remembered commands of one entity, in the order in which they were applied. */
export class Remembered {
  readonly #commands: Map<string, RememberedCommand> = new Map();
  #chars = 0;
  /** When the youngest was stored of those that were dropped. */
  #dropped: number;

  constructor(commands: Iterable<RememberedCommand> = [], dropped = -Infinity) {
    this.#dropped = dropped;
    for (const command of commands) this.#add(command);
  }

  get count(): number {
    return this.#commands.size;
  }

  /** How many characters they have, about. */
  get size(): number {
    return this.#chars;
  }

  /** When the youngest was stored of those that were dropped; `-Infinity`: none was. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Oldest first. */
  get all(): Iterable<RememberedCommand> {
    return this.#commands.values();
  }

  get(id: string): RememberedCommand | undefined {
    return this.#commands.get(id);
  }

  /** Adds the youngest, and drops the oldest as far as there is no room. */
  add(command: RememberedCommand): void {
    this.#add(command);
    for (const oldest of this.#commands.values()) {
      const { size } = this.#commands;
      const past = size > LEAST && (oldest.time < command.time - KEPT || size > MOST);
      if (size === 1 || (!past && this.#chars <= MOST_CHARS)) break;
      this.#commands.delete(oldest.id);
      this.#chars -= charsOf(oldest);
      this.#dropped = Math.max(this.#dropped, oldest.time);
    }
  }

  /** No attempt of this send may be applied from now on: one of them came to a result without events. */
  end(send: string, time: number): void {
    this.add({ id: ENDED + send, fingerprint: "", result: undefined, time });
  }

  /** Whether {@link Remembered.end} was called for this send. */
  ended(send: string): boolean {
    return this.#commands.has(ENDED + send);
  }

  /** Whether a command that was stored at this time, or later, may have been dropped. */
  mayHaveDropped(since: number): boolean {
    return this.#dropped >= since;
  }

  #add(command: RememberedCommand): void {
    const known = this.#commands.get(command.id);
    if (known !== undefined) this.#chars -= charsOf(known);
    this.#commands.set(command.id, command);
    this.#chars += charsOf(command);
  }
}

/** How long commands are remembered if there are more than the least number of them, in ms. */
const KEPT = 120_000;
/** Before the names of ended sends: what {@link rememberedAs} makes begins with the name of a contract. */
const ENDED = " ";
const LEAST = 256;
const MOST = 4_096;
const MOST_CHARS = 262_144;

function charsOf({ id, fingerprint, result }: RememberedCommand): number {
  return id.length + fingerprint.length + (result?.length ?? 0) + 32;
}
