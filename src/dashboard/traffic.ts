/**
 * Who sends how many requests to whom, from what nodes have counted of each other; by service in a cluster of many
 * nodes.
 */
import type { NodeStats } from "../contract/node_stats.ts";
import { shownText } from "./shown.ts";
import type { NodeView, TrafficEdge, TrafficView } from "./view.ts";

interface Before {
  readonly up: number;
  readonly sent: ReadonlyMap<string, readonly [sent: number, failed: number]>;
  /** Requests and failures a second, by the other node's id. */
  rates: ReadonlyMap<string, readonly [rate: number, failing: number]>;
}

/** A node in the picture. */
export interface TrafficNode {
  readonly id: string;
  readonly label?: string;
  readonly endpoint: string;
  readonly service: string;
  readonly state: NodeView["state"];
}

/** The traffic of a cluster. */
export class Traffic {
  readonly #before = new Map<string, Before>();

  /** An answer of a node. */
  take({ endpoint, up, peers }: Pick<NodeStats, "endpoint" | "up" | "peers">): void {
    const before = this.#before.get(endpoint);
    const seconds = before === undefined ? 0 : (up - before.up) / 1_000;
    // answers are made anew ten times a second at most
    if (before !== undefined && seconds <= 0) return;
    const sent = new Map(peers.map((peer) => [peer.endpoint, [peer.sent, peer.failed] as const]));
    const rates = new Map<string, readonly [number, number]>();
    for (const peer of before === undefined ? [] : peers) {
      const [sentBefore, failedBefore] = before?.sent.get(peer.endpoint) ?? [0, 0];
      const [rate, failing] = rates.get(peer.id) ?? [0, 0];
      rates.set(peer.id, [
        rate + Math.max(0, peer.sent - sentBefore) / seconds,
        failing + Math.max(0, peer.failed - failedBefore) / seconds,
      ]);
    }
    this.#before.set(endpoint, { up, sent, rates });
  }

  /** Forgets processes but these. */
  keep(endpoints: ReadonlySet<string>): void {
    for (const endpoint of this.#before.keys()) if (!endpoints.has(endpoint)) this.#before.delete(endpoint);
  }

  /** Forgets what is not to be compared with the next answers. */
  pause(): void {
    this.#before.clear();
  }

  view(nodes: readonly TrafficNode[]): TrafficView {
    const byService = nodes.length > MOST_NODES;
    const groups = new Map<string, { label: string; service: string; state: NodeView["state"]; count: number }>();
    for (const { id, label = id, service, state } of nodes) {
      const key = byService ? service : id;
      const group = groups.get(key);
      if (group === undefined) {
        if (groups.size < MOST_NODES) {
          groups.set(key, {
            label: shownText(byService ? service : label, 40),
            service: shownText(service, 40),
            state,
            count: 1,
          });
        }
      } else {
        group.count++;
        if (state === "live") group.state = "live";
      }
    }
    const places = new Map([...groups.keys()].map((key, index) => [key, index]));
    const groupOf = new Map(nodes.map(({ id, service }) => [id, places.get(byService ? service : id)]));
    const edges = new Map<string, TrafficEdge>();
    for (const node of nodes) {
      for (const [other, [rate, failing]] of this.#before.get(node.endpoint)?.rates ?? []) {
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
    return { byService, nodes: [...groups.values()], edges: all.slice(0, MOST_EDGES), total: all.length };
  }
}

/** Circles in the picture, and lines between them. */
const MOST_NODES = 32;
const MOST_EDGES = 200;
