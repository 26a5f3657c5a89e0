/** Asks the running nodes for descriptions of their contracts. */
import type { Look } from "../../check/running.ts";
import { isAskable } from "../../cluster/wire/frame_reader.ts";
import { readAnnouncement } from "../../contract/nodes/announcement.ts";
import { isInternalName } from "../../contract/declaration/contract.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import {
  type ContractDescription,
  type NodeShapes,
  readDescription,
  readNodeShapes,
} from "../../contract/schemas/shape.ts";
import { isRecord } from "../../data/checks.ts";
import { fewAtOnce } from "../../data/gate.ts";
import type { ClusterAsker } from "./cluster_link.ts";

/**
 * Asks each node for the shapes of its contracts, and for each shape one node for the schemas. `names`: the contracts
 * to ask for; `"differing"`: all contracts of which the nodes have different shapes. `silent`: the nodes without an
 * answer.
 */
export async function looksOf(
  asker: ClusterAsker,
  nodes: readonly NodeInfo[],
  names: ReadonlySet<string> | "differing",
): Promise<{ readonly looks: readonly Look[]; readonly silent: readonly NodeInfo[] }> {
  const silent: NodeInfo[] = [];
  const shaped = (await fewAtOnce(nodes, MAX_CONCURRENT_NODES, async (node) => {
    const shapes = readNodeShapes(await asker.looks(node.endpoint, [], ANSWER_TIMEOUT));
    if (shapes !== undefined) return [{ node, shapes }];
    silent.push(node);
    return [];
  })).flat();
  const wantedNames = names === "differing" ? differing(shaped.map(({ shapes }) => shapes)) : names;
  const known = new Map<string, Look>();
  const found = await fewAtOnce(
    shaped,
    MAX_CONCURRENT_NODES,
    async ({ node: { id, endpoint, service, entities }, shapes }) => {
      const wanted = [
        ...Object.entries(shapes.handles).map(([name, shape]) => ({ name, shape, handles: true, reads: false })),
        ...Object.entries(shapes.reads ?? {}).map(([name, shape]) => ({ name, shape, handles: true, reads: true })),
        ...Object.entries(shapes.sends).map(([name, shape]) => ({ name, shape, handles: false, reads: false })),
      ].filter(({ name }) => wantedNames.has(name));
      // a node that cannot compute the shape of a contract (`null`, its validator has no JSON Schema) is asked itself
      // for the schemas, because no other node is known to have the same ones
      const keyOf = ({ name, shape }: { name: string; shape: string | null }) => `${name} ${shape ?? `?${endpoint}`}`;
      const left = wanted.filter((each) => !known.has(keyOf(each)));
      const described = await descriptionsAt(asker, endpoint, left.map(({ name }) => name));
      for (const each of left) {
        const look = described.get(each.name);
        if (look === undefined) continue;
        const { options, input, output, items } = look;
        const { handles, name } = each;
        known.set(keyOf(each), { node: id, service, handles, name, options, input, output, items });
      }
      return wanted.flatMap((each) => {
        const look = known.get(keyOf(each));
        if (look === undefined) return [];
        const ofEntity = entities?.includes(each.name);
        const own: Look = { ...look, node: id, service, handles: each.handles, reads: each.reads, ofEntity };
        // a node that applies the events of an entity emits them, too
        return each.reads && look.options?.includes("entity")
          ? [own, { ...own, handles: false, reads: undefined }]
          : [own];
      });
    },
  );
  return { looks: found.flat(), silent };
}

/**
 * Asks a node for the descriptions of contracts, as many at once as it answers for. Contracts that it does not know, or
 * that have no description which can be read, are left out.
 */
async function descriptionsAt(
  asker: ClusterAsker,
  endpoint: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, ContractDescription>> {
  const found = new Map<string, ContractDescription>();
  // other nodes tell names, older ones some that no contract has: one of them makes the node drop the whole question
  for (let left = names.filter(isAskable); left.length > 0;) {
    const asked = left.slice(0, MAX_NAMES);
    const answer = await asker.looks(endpoint, asked, ANSWER_TIMEOUT);
    if (!isRecord(answer)) break;
    const before = found.size;
    for (const name of asked) {
      const look = readDescription(answer[name]);
      if (look !== undefined) found.set(name, look);
    }
    // an answer may have no room for some of the contracts, so the node is asked for those again; contracts for which
    // a whole answer has nothing new are given up
    left = found.size === before ? left.slice(asked.length) : left.filter((name) => !found.has(name));
  }
  return found;
}

/** An event as a node handles it, or as it publishes it without a handler. */
export interface EventForm {
  readonly node: NodeInfo;
  readonly name: string;
  readonly handles: boolean;
  readonly durable: boolean;
  /**
   * True if the node handles the event in both forms: stored events of this name, and events of this name that are
   * published without being stored. `undefined`: not known.
   */
  readonly inBothForms: boolean | undefined;
}

/**
 * Finds out where events are durable: by asking each node for its declarations, because a record tells neither a read
 * model of a durable event from a handler of an event that is not, nor what the node publishes. Of a node without an
 * answer, only the durable events are returned that its record lists with its subscriptions. `names`: the events to ask
 * for; `silent`: nodes that are not asked, because they have not answered before. A node that handles both forms counts
 * as one where the event is durable.
 */
export async function eventForms(
  asker: ClusterAsker,
  nodes: readonly NodeInfo[],
  { names, silent }: { readonly names: ReadonlySet<string>; readonly silent: readonly NodeInfo[] },
): Promise<readonly EventForm[]> {
  const mute = new Set(silent.map(({ endpoint }) => endpoint));
  const forms = await fewAtOnce(nodes, MAX_CONCURRENT_NODES, async (node) => {
    const read = new Set((node.subscriptions ?? []).map((text) => readAnnouncement(node.service, text).category));
    const handled = new Set(node.handles);
    const described = mute.has(node.endpoint)
      ? new Map<string, ContractDescription>()
      : await descriptionsAt(asker, node.endpoint, [...names]);
    return [...names].flatMap((name): EventForm[] => {
      const handles = handled.has(name);
      const found = described.get(name);
      if (found === undefined) {
        return handles && read.has(name) ? [{ node, name, handles, durable: true, inBothForms: undefined }] : [];
      }
      const { kind, options, inBothForms } = found;
      if (kind !== "event" || options?.includes("entity")) return [];
      return [{ node, name, handles, durable: options?.includes("durable") ?? false, inBothForms }];
    });
  });
  return forms.flat();
}

/** Returns the names of the events that nodes handle, without those of Catga itself. */
export function handledEvents(nodes: readonly NodeInfo[]): ReadonlySet<string> {
  return new Set(
    nodes.flatMap(({ handles, kinds }) => handles.filter((name, i) => kinds?.[i] === "e" && !isInternalName(name))),
  );
}

/** Returns the names of contracts of which the nodes have different shapes. */
function differing(all: readonly NodeShapes[]): ReadonlySet<string> {
  const shapes = new Map<string, Set<string | null>>();
  for (const { handles, sends, reads = {} } of all) {
    for (const [name, shape] of [handles, sends, reads].flatMap(Object.entries<string | null>)) {
      const known = shapes.get(name) ?? new Set();
      shapes.set(name, known.add(shape));
    }
  }
  return new Set([...shapes].filter(([, known]) => known.size > 1).map(([name]) => name));
}

/** Maximum number of nodes that are asked at once. */
const MAX_CONCURRENT_NODES = 16;
/** Maximum number of contract names in one question. */
const MAX_NAMES = 100;
/** Time for which a node's answer is awaited, in ms. */
const ANSWER_TIMEOUT = 2_000;
