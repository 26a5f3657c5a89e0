/**
 * Election of a subscription's leader: the order of the live nodes that handle the subscription, and when each of
 * them may take the lead. `leases.ts` has the leases of leaders, and the write that stops the last leader.
 */
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { type AnnouncedSettings, knowledge, readAnnouncement } from "../../contract/nodes/announcement.ts";
import { weight } from "../../data/rendezvous_hash.ts";
import { subscriptionKey } from "../format/names.ts";
import type { LogHost } from "../log_host.ts";
import type { SubscriptionSpec } from "./spec.ts";

/** A live node that handles a subscription. */
export interface CapableNode {
  readonly id: string;
  readonly endpoint: string;
  /** The subscription's categories (contracts) that the node handles, each with its settings of retries and limits. */
  readonly categories: ReadonlyMap<string, AnnouncedSettings>;
}

/** Live nodes of each subscription, by subscription key; the first node of a list should lead. */
export type CapableNodes = ReadonlyMap<string, readonly CapableNode[]>;

/**
 * Returns the live nodes that handle these subscriptions, by subscription key: this node (even if its record does not
 * say so yet) and others.
 */
export function capableNodes(
  { node, endpoint, nodes }: Pick<LogHost, "node" | "endpoint"> & { readonly nodes: readonly NodeInfo[] },
  specs: readonly SubscriptionSpec[],
): CapableNodes {
  const found = new Map<string, (CapableNode & { categories: Map<string, AnnouncedSettings> })[]>();
  for (const { service, name, categories } of specs) {
    found.set(subscriptionKey(service, name), [{ id: node, endpoint, categories: new Map(categories) }]);
  }
  for (const { id, endpoint, service: its, subscriptions } of nodes) {
    if (id === node) continue;
    for (const text of subscriptions ?? []) {
      const { service, name, category, retry } = readAnnouncement(its, text);
      const capable = found.get(subscriptionKey(service, name));
      if (capable === undefined) continue;
      const last = capable[capable.length - 1];
      if (last.id === id) last.categories.set(category, retry);
      else capable.push({ id, endpoint, categories: new Map([[category, retry]]) });
    }
  }
  for (const [key, capable] of found) {
    const known = new Map(capable.map(({ id, categories }) => [id, knowledge(categories.values())]));
    const more = (one: CapableNode, other: CapableNode) => (known.get(one.id) ?? 0) - (known.get(other.id) ?? 0);
    capable.sort((a, b) => more(b, a) || weight(key, b.id) - weight(key, a.id) || (a.id < b.id ? -1 : 1));
  }
  return found;
}

/**
 * Returns true if the node at this place in the order of nodes may take the lead now. `leader`: endpoint of the leader;
 * "": the lead was handed over; `undefined`: the last commit is invalid. `stood`: time since this node saw the last
 * commit, in ms. `still`: time for which the leader has not renewed its lease, in ms. `ended`: returns true if the
 * leader's process has ended, or has lost its connection and must have stopped leading.
 * @decides the node that leads a subscription, and when another takes over
 */
export function mayLead(
  place: number,
  leader: string | undefined,
  { stood, still, ended }: {
    readonly stood: number;
    still(leader: string): number;
    ended(leader: string): boolean;
  },
): boolean {
  const turn = turnOf(place);
  if (leader === undefined) return stood >= STILL + turn;
  if (leader === "") return stood >= turn;
  return still(leader) >= STILL + turn || ended(leader);
}

/** Returns the time by which the node at this place in the order waits longer than the first one, in ms. */
export function turnOf(place: number): number {
  return Math.min(place, LAST_RANK) * TURN;
}

/**
 * Time without a renewal of the leader's lease after which other nodes take the lead, in ms. The leader itself stops
 * handing out messages before this time has passed (`leases.ts`).
 */
export const STILL = 3_000;
/** Time by which each node of the order waits longer than the node before it, in ms. */
const TURN = 300;
/** Place in the order from which on all nodes wait equally long. */
const LAST_RANK = 10;
