/**
 * Finds contracts whose schemas do not fit together: compares contracts of which this node has sent messages with the
 * same contracts on the nodes that handle them, where their shapes differ. The other nodes must be able to read this
 * node's messages, and this node their answers. A node that handles a contract compares it as well, as soon as it sends
 * a message of it.
 */
import type { ObservedMismatch } from "../../contract/nodes/alarms.ts";
import { reads } from "../../contract/schemas/compatibility.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { JsonSchema } from "../../contract/schemas/json_schema.ts";
import { type ContractDescription, describeContract } from "../../contract/schemas/shape.ts";

/** Nodes whose contracts all have the same shapes, and descriptions of some of these contracts. */
export interface HandlingNodes {
  /** Hash of the shapes of these nodes' contracts. */
  readonly hash: string;
  /** Labels of the nodes, for messages to people. */
  readonly nodes: readonly string[];
  readonly looks: ReadonlyMap<string, ContractDescription>;
}

/**
 * Compares the schemas of one node's contracts with other nodes' schemas: each contract once with each group of nodes
 * with equal schemas.
 * @decides nodes that use one contract name with different schemas are warned of
 */
export class SchemaMismatches {
  readonly #verdicts = new WeakMap<AnyContract, Map<string, Paths>>();

  /**
   * Returns the contracts whose schemas do not fit together. `sent`: contracts of which this node has sent messages;
   * `handling`: nodes that have other versions of contracts.
   */
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
 * Paths of values in two schemas, each with the reason in words. `unread`: values that this node may send and the other
 * nodes' schemas refuse; `unreadable`: values that the other nodes may answer and this node's schemas refuse.
 */
interface Paths {
  readonly unread: readonly string[];
  readonly unreadable: readonly string[];
}

/**
 * Returns the paths of values that the schema `writer` allows and the schema `reader` refuses; empty if a schema is
 * unknown.
 */
function pathsOf(reader: JsonSchema | null | undefined, writer: JsonSchema | null | undefined): readonly string[] {
  if (reader == null || writer == null) return [];
  const verdict = reads(reader, writer);
  return verdict.reads === "no" ? verdict.paths : [];
}
