/** Checks the order in which the messages of one process and one contract are stored. */

/** A message that was published and is stored. */
export interface StoredPublish {
  readonly key: string;
  /** True if the program gave the message an id. */
  readonly ownId: boolean;
  readonly position: number;
}

/**
 * The order of one process's messages of one contract: they are stored in the order in which they were published,
 * unless both have an id of the program and their keys differ.
 */
export class PublishOrder {
  /** Greatest position so far; `#withoutId`: of messages without an id of the program. */
  #greatest = 0;
  #withoutId = 0;
  /** Greatest position so far of messages with an id of the program, by key. */
  readonly #ofKey = new Map<string, number>();

  /**
   * Adds a message; call in the order in which the messages were published. Returns true if the message is stored
   * behind all earlier messages behind which it must be.
   */
  add({ key, ownId, position }: StoredPublish): boolean {
    const before = ownId ? Math.max(this.#withoutId, this.#ofKey.get(key) ?? 0) : this.#greatest;
    this.#greatest = Math.max(this.#greatest, position);
    if (!ownId) this.#withoutId = Math.max(this.#withoutId, position);
    else this.#ofKey.set(key, Math.max(this.#ofKey.get(key) ?? 0, position));
    return position > before;
  }
}
