/**
 * The versions of a workflow that were tried for a run: versions that have refused it, and nodes that have given it up.
 * A call of the run takes them along, from node to node.
 */
import type { TriedVersions } from "../contract/workflow_body.ts";

/** The versions that were tried for one run. */
export class VersionTrials {
  /** The names of their shapes. */
  readonly refusedBy = new Set<string>();
  /** By endpoint of a node that has given it up, the last message that it had read. */
  readonly #gaveUp = new Map<string, number>();

  constructor(tried: TriedVersions | undefined) {
    if (tried !== undefined) this.merge(tried);
  }

  /** Takes in what others have tried. */
  merge({ refusedBy, gaveUp }: TriedVersions): void {
    for (const shape of refusedBy) this.refusedBy.add(shape);
    for (const [endpoint, sequence] of gaveUp) {
      this.gaveUp(endpoint, Math.max(sequence, this.#gaveUp.get(endpoint) ?? 0));
    }
  }

  /** A node has given the run up, having read up to this message. */
  gaveUp(endpoint: string, sequence: number): void {
    this.#gaveUp.set(endpoint, sequence);
  }

  /** A node holds the run again. */
  holdsAgain(endpoint: string): void {
    this.#gaveUp.delete(endpoint);
  }

  /** Returns true if a node has given the run up behind the message by which it holds it; 0: behind any. */
  hasGivenUp(endpoint: string, heldAt = 0): boolean {
    return (this.#gaveUp.get(endpoint) ?? -1) >= heldAt;
  }

  /** As they are sent to another node. */
  get sent(): TriedVersions {
    return { refusedBy: [...this.refusedBy], gaveUp: [...this.#gaveUp] };
  }
}
