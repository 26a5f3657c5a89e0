/**
 * Computes the rates of requests between nodes, from the numbers of requests that each node has sent to each other
 * node. In a cluster of many nodes, computes the rates between services.
 */
import type { NodeStats } from "../../contract/nodes/node_stats.ts";
import { shownText } from "../shown.ts";
import type { NodeView, TrafficEdge, TrafficView } from "../view.ts";

/** A node in the picture of requests. */
export interface TrafficNode {
  readonly id: string;
  readonly label?: string;
  readonly endpoint: string;
  readonly service: string;
  readonly state: NodeView["state"];
}

/** Computes the rates of requests between the nodes of a cluster. */
export class Traffic {
  /**
   * Requests and failed requests per second, by the endpoint of the sending node, then by the id of the receiving
   * node.
   */
  readonly #rates = new Map<string, ReadonlyMap<string, readonly [rate: number, failing: number]>>();

  /** Adds a node's answer with its counts, and its earlier answer, if there is one. */
  take(
    { endpoint, up, peers }: Pick<NodeStats, "endpoint" | "up" | "peers">,
    before?: Pick<NodeStats, "up" | "peers">,
  ): void {
    const rates = new Map<string, readonly [number, number]>();
    const earlier = new Map(before?.peers.map((peer) => [peer.endpoint, peer]));
    for (const peer of before === undefined ? [] : peers) {
      const since = earlier.get(peer.endpoint) ?? { sent: 0, failed: 0 };
      const seconds = (up - before!.up) / 1_000;
      const [rate, failing] = rates.get(peer.id) ?? [0, 0];
      rates.set(peer.id, [
        rate + Math.max(0, peer.sent - since.sent) / seconds,
        failing + Math.max(0, peer.failed - since.failed) / seconds,
      ]);
    }
    this.#rates.set(endpoint, rates);
  }

  /** Forgets the rates of all processes except the processes at these endpoints. */
  keep(endpoints: ReadonlySet<string>): void {
    for (const endpoint of this.#rates.keys()) if (!endpoints.has(endpoint)) this.#rates.delete(endpoint);
  }

  view(nodes: readonly TrafficNode[]): TrafficView {
    const byService = nodes.length > MAX_CIRCLES;
    const groups = [...Map.groupBy(nodes, ({ id, service }) => byService ? service : id)].slice(0, MAX_CIRCLES);
    const groupOf = new Map(groups.flatMap(([, own], place) => own.map(({ id }) => [id, place])));
    const circles = groups.map(([key, [{ label = key, service, state }, ...more]]) => ({
      label: shownText(byService ? service : label, 40),
      state: more.some((other) => other.state === "live") ? "live" : state,
      count: 1 + more.length,
    }));
    const edges = new Map<string, TrafficEdge>();
    for (const node of nodes) {
      for (const [other, [rate, failing]] of this.#rates.get(node.endpoint) ?? []) {
        const [from, to] = [groupOf.get(node.id), groupOf.get(other)];
        if (from === undefined || to === undefined || rate === 0) continue;
        const key = `${from} ${to}`;
        const [, , sum, failed] = edges.get(key) ?? [0, 0, 0, 0];
        edges.set(key, [from, to, sum + rate, failed + failing]);
      }
    }
    const all = [...edges.values()].sort((a, b) => b[2] - a[2]).map(([from, to, rate, failing]) =>
      [from, to, Math.round(rate * 10) / 10, Math.round(failing * 10) / 10] as const
    );
    return { byService, nodes: circles, edges: all.slice(0, MAX_EDGES), total: all.length };
  }
}

/** Maximum number of circles (nodes or services) in the picture of requests. */
const MAX_CIRCLES = 32;
/** Maximum number of lines between circles in the picture of requests. */
const MAX_EDGES = 200;
