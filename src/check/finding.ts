/** What `catga check` finds. */

/** Something that a deploy of the program would do to others, or to what is stored. */
export interface Finding {
  /**
   * - `break`: messages would be refused, or nobody would handle them.
   * - `unknown`: it could not be judged.
   * - `note`: nothing breaks, unless the deploy is taken back.
   */
  readonly level: "break" | "unknown" | "note";
  /** Which check found it. */
  readonly kind: string;
  /** The contract, event, workflow or subscription. */
  readonly about: string;
  /** A sentence for people, without its full stop. */
  readonly message: string;
  /** Number of messages or runs that are concerned. */
  readonly count?: number;
  /** The id of one of them. */
  readonly example?: string;
  /** What to do. */
  readonly advice: string;
}
