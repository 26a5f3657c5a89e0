/** Findings: what `catga check` reports. */

/**
 * An effect that deploying the program would have on running nodes, on stored messages, or on open runs of workflows.
 * @decides what a finding of `catga check` consists of: break, unknown or note, and its advice
 */
export interface Finding {
  /**
   * - `break`: messages would be refused, or have no handler.
   * - `unknown`: the effect could not be judged.
   * - `note`: nothing breaks, except while older nodes are left, or if the deploy is rolled back.
   */
  readonly level: "break" | "unknown" | "note";
  /** Name of the check of `catga check` that found the effect. */
  readonly kind: string;
  /** Name of the contract, event, workflow or subscription that is affected. */
  readonly about: string;
  /** The effect in words: a sentence for people, without its full stop. */
  readonly message: string;
  /** Number of messages or runs that are affected. */
  readonly count?: number;
  /** Id of one affected message, run or entity, as an example. */
  readonly example?: string;
  /** Advice: how to deploy without this effect. */
  readonly advice: string;
}
