/**
 * The versions of a workflow that were tried for a run: versions that have refused the run, and nodes that have given
 * it up. They are sent along with the call to execute the run, from node to node.
 */
import type { TriedVersions } from "../../contract/declaration/workflow_body.ts";

/** The versions that were tried for one run. */
export class VersionTrials {
  /** Names of the shapes (versions of the workflow) that have refused the run. */
  readonly refusedBy = new Set<string>();
  /**
   * By endpoint of a node that has given the run up: sequence of the last message that it had read when it gave the run
   * up.
   */
  readonly #gaveUp = new Map<string, number>();

  constructor(tried: TriedVersions | undefined) {
    if (tried !== undefined) this.merge(tried);
  }

  /** Adds the versions and nodes that were tried for the run as far as another node knows. */
  merge({ refusedBy, gaveUp }: TriedVersions): void {
    for (const shape of refusedBy) this.refusedBy.add(shape);
    for (const [endpoint, sequence] of gaveUp) {
      this.gaveUp(endpoint, Math.max(sequence, this.#gaveUp.get(endpoint) ?? 0));
    }
  }

  /** Notes that a node has given the run up, after it had read the run up to the message of this sequence. */
  gaveUp(endpoint: string, sequence: number): void {
    this.#gaveUp.set(endpoint, sequence);
  }

  /** Forgets that a node has given the run up, because the node executes it again. */
  holdsAgain(endpoint: string): void {
    this.#gaveUp.delete(endpoint);
  }

  /**
   * Returns true if a node has given the run up. `heldAt`: sequence of the message by which the node took the run over;
   * only a refusal after that message counts (0: any refusal counts).
   */
  hasGivenUp(endpoint: string, heldAt = 0): boolean {
    return (this.#gaveUp.get(endpoint) ?? -1) >= heldAt;
  }

  /** Returns the tried versions and nodes in the form in which they are sent to another node. */
  get sent(): TriedVersions {
    return { refusedBy: [...this.refusedBy], gaveUp: [...this.#gaveUp] };
  }
}
