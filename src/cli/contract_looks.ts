/** Asks the running nodes for descriptions of their contracts. */
import type { Look } from "../check/running.ts";
import { readAnnouncement } from "../contract/announcement.ts";
import { isInternalName } from "../contract/contract.ts";
import type { NodeInfo } from "../contract/node_info.ts";
import { type NodeShapes, readDescription, readNodeShapes } from "../contract/shape.ts";
import { fewAtOnce } from "../data/gate.ts";
import type { Pinger } from "./pinger.ts";

/**
 * Asks each node for the shapes of its contracts (hashes of schemas and options), and for each shape one node for the
 * schemas. `names`: the contracts to ask for; `"differing"`: all contracts of which the nodes have different shapes.
 * `silent`: the nodes without an answer.
 */
export async function looksOf(
  asker: Pinger,
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
        ...Object.entries(shapes.handles).map(([name, shape]) => ({ name, shape, handles: true })),
        ...Object.entries(shapes.sends).map(([name, shape]) => ({ name, shape, handles: false })),
      ].filter(({ name }) => wantedNames.has(name));
      // a node that cannot compute the shape of a contract (`null`, its validator has no JSON Schema) is asked itself
      // for the schemas, because no other node is known to have the same ones
      const keyOf = ({ name, shape }: { name: string; shape: string | null }) => `${name} ${shape ?? `?${endpoint}`}`;
      let left = wanted.filter((each) => !known.has(keyOf(each)));
      while (left.length > 0) {
        const asked = left.slice(0, MAX_NAMES);
        const answer = await asker.looks(endpoint, asked.map(({ name }) => name), ANSWER_TIMEOUT);
        if (typeof answer !== "object" || answer === null) break;
        const before = known.size;
        for (const each of asked) {
          const look = readDescription((answer as Record<string, unknown>)[each.name]);
          if (look === undefined) continue;
          const { options, input, output, items } = look;
          const { handles, name } = each;
          known.set(keyOf(each), { node: id, service, handles, name, options, input, output, items });
        }
        // the node is asked again until nothing new comes, because some contracts may not fit into one answer
        if (known.size === before) break;
        left = left.filter((each) => !known.has(keyOf(each)));
      }
      return wanted.flatMap((each) => {
        const look = known.get(keyOf(each));
        const ofEntity = entities?.includes(each.name);
        return look === undefined ? [] : [{ ...look, node: id, service, handles: each.handles, ofEntity }];
      });
    },
  );
  return { looks: found.flat(), silent };
}

/** An event as a node handles it, or as it publishes it without a handler. */
export interface EventForm {
  readonly node: NodeInfo;
  readonly name: string;
  readonly handles: boolean;
  readonly durable: boolean;
}

/**
 * Finds out where events are durable: by the records of nodes, which list their subscriptions, and by asking each node
 * for its declarations of the others, because a record tells neither a read model of a durable event from a handler of
 * an event that is not, nor what the node publishes. `names`: the events to ask for. Nothing is returned for a node
 * that handles an event and does not say how. A node that handles both forms counts as one where the event is durable.
 */
export async function eventForms(
  asker: Pinger,
  nodes: readonly NodeInfo[],
  names: ReadonlySet<string>,
): Promise<readonly EventForm[]> {
  const forms = await fewAtOnce(nodes, MAX_CONCURRENT_NODES, async (node) => {
    const read = new Set((node.subscriptions ?? []).map((text) => readAnnouncement(node.service, text).category));
    const handled = new Set(node.handles);
    const known = [...names].filter((name) => handled.has(name) && read.has(name));
    const asked = [...names].filter((name) => !(handled.has(name) && read.has(name))).slice(0, MAX_NAMES);
    const answer = asked.length === 0 ? undefined : await asker.looks(node.endpoint, asked, ANSWER_TIMEOUT);
    const declared = asked.flatMap((name) => {
      const look = readDescription((answer as Record<string, unknown> | undefined | null)?.[name]);
      if (look?.kind !== "event" || look.options?.includes("entity")) return [];
      return { node, name, handles: handled.has(name), durable: look.options?.includes("durable") ?? false };
    });
    return [...known.map((name) => ({ node, name, handles: true, durable: true })), ...declared];
  });
  return forms.flat();
}

/** Returns the names of the events that nodes handle, without those of Catga itself. */
export function handledEvents(nodes: readonly NodeInfo[]): ReadonlySet<string> {
  return new Set(
    nodes.flatMap(({ handles, kinds }) => handles.filter((name, i) => kinds?.[i] === "e" && !isInternalName(name))),
  );
}

/** Returns the names of contracts of which the nodes have different shapes (hashes of schemas and options). */
function differing(all: readonly NodeShapes[]): ReadonlySet<string> {
  const shapes = new Map<string, Set<string | null>>();
  for (const { handles, sends } of all) {
    for (const [name, shape] of [...Object.entries(handles), ...Object.entries(sends)]) {
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
