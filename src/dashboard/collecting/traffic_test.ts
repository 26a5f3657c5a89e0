import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Traffic, type TrafficNode } from "./traffic.ts";

const node = (id: string, service = "s"): TrafficNode => ({ id, endpoint: `${id}.1`, service, state: "live" });
const peer = (id: string, sent: number, failed = 0) => ({
  id,
  endpoint: `${id}.1`,
  sent,
  answered: sent - failed,
  failed,
});

describe("Traffic", () => {
  it("is the difference of two answers by their time, between circles", () => {
    const traffic = new Traffic();
    const first = { endpoint: "a.1", up: 1_000, peers: [peer("b", 1_000)] };
    traffic.take(first);
    assertEquals(traffic.view([node("a"), node("b")]).edges, []);
    traffic.take({ endpoint: "a.1", up: 3_000, peers: [peer("b", 1_100, 10)] }, first);
    assertEquals(traffic.view([node("a"), node("b")]).edges, [[0, 1, 50, 5]]);
    traffic.keep(new Set());
    assertEquals(traffic.view([node("a"), node("b")]).edges, []);
  });

  it("of many nodes is drawn by service, and a peer that is not there is left out", () => {
    const traffic = new Traffic();
    const nodes = Array.from({ length: 100 }, (_, n) => node(`n${n}`, `s${n % 4}`));
    const answer = (up: number) => ({ up, peers: [peer("n1", up), peer("gone", up)] });
    for (const { endpoint } of nodes) traffic.take({ endpoint, ...answer(1_000) }, answer(0));
    const view = traffic.view(nodes);
    assertEquals([view.byService, view.nodes.length, view.nodes[0].count], [true, 4, 25]);
    assertEquals(view.edges.map(([from, to, rate]) => [from, to, rate]), [0, 1, 2, 3].map((from) => [from, 1, 25_000]));
  });

  it("10,000 services are cut to what a picture can show", () => {
    const view = new Traffic().view(Array.from({ length: 10_000 }, (_, n) => node(`n${n}`, `s${n}`)));
    assertEquals(view.nodes.length, 32);
  });
});
