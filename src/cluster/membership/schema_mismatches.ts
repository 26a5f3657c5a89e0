/**
 * Compares contracts of which this node has sent messages with the same contracts of the nodes that handle them, where
 * their shapes differ: they have to be able to read its messages, and it has to be able to read their answers. A node
 * that handles a contract compares it as well, as soon as it sends a message of it.
 */
import type { ObservedMismatch } from "../../contract/alarms.ts";
import { type JsonSchema, reads } from "../../contract/compatibility.ts";
import type { AnyContract } from "../../contract/contract.ts";
import { type ContractDescription, describeContract } from "../../contract/shape.ts";

/** Nodes that handle contracts with the same schemas, and descriptions of some of these contracts. */
export interface HandlingNodes {
  /** Hash of the shapes of these nodes. */
  readonly hash: string;
  /** Labels of the nodes, for people. */
  readonly nodes: readonly string[];
  readonly looks: ReadonlyMap<string, ContractDescription>;
}

/** The comparisons of one node. Each pair of contract and hash is compared once. */
export class SchemaMismatches {
  readonly #verdicts = new WeakMap<AnyContract, Map<string, Paths>>();

  /** Returns the mismatches, by contract. `handling`: nodes with other shapes. */
  find(sent: Iterable<AnyContract>, handling: readonly HandlingNodes[]): readonly ObservedMismatch[] {
    const found: ObservedMismatch[] = [];
    for (const contract of sent) {
      for (const { hash, nodes, looks } of handling) {
        const look = looks.get(contract.name);
        if (look === undefined) continue;
        const { unread, unreadable } = this.#compare(contract, hash, look);
        if (unread.length > 0 || unreadable.length > 0) {
          found.push({ contract: contract.name, nodes, unread, unreadable });
        }
      }
    }
    return found;
  }

  #compare(contract: AnyContract, hash: string, theirs: ContractDescription): Paths {
    let known = this.#verdicts.get(contract);
    if (known === undefined) this.#verdicts.set(contract, known = new Map());
    let verdict = known.get(hash);
    if (verdict === undefined) {
      const own = describeContract(contract);
      known.set(
        hash,
        verdict = {
          unread: pathsOf(theirs.input, own.input),
          unreadable: [...pathsOf(own.output, theirs.output), ...pathsOf(own.items, theirs.items)],
        },
      );
    }
    return verdict;
  }
}

/**
 * Paths, with the reasons in words, of values that are sent and not readable, and of values that are answered and not
 * readable.
 */
interface Paths {
  readonly unread: readonly string[];
  readonly unreadable: readonly string[];
}

/** Paths of values that `writer` allows and `reader` does not; empty if a schema is unknown. */
function pathsOf(reader: JsonSchema | null | undefined, writer: JsonSchema | null | undefined): readonly string[] {
  if (reader == null || writer == null) return [];
  const verdict = reads(reader, writer);
  return verdict.reads === "no" ? verdict.paths : [];
}
