/** Findings of `catga check`. */

/** An effect that a deploy of the program would have on running nodes, on stored messages, or on open runs. */
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
  /** Advice: how to deploy without this effect. */
  readonly advice: string;
}
