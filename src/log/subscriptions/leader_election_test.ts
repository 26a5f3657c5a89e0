import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { capableNodes, mayLead } from "./leader_election.ts";
import { DEFAULT_SETTINGS, type SubscriptionSpec } from "./spec.ts";

function spec(service: string, name: string, ...categories: string[]): SubscriptionSpec {
  return { service, name, categories: new Map(categories.map((category) => [category, DEFAULT_SETTINGS])) };
}

function node(id: string, service: string, ...subscriptions: string[]): NodeInfo {
  // cast: members that the tested code does not read are missing
  return { id, endpoint: `${id}.1`, service, subscriptions } as unknown as NodeInfo;
}

describe("capableNodes", () => {
  it("finds the nodes of the service that announce a subscription, and this one whatever it announces", () => {
    const specs = [spec("shop", "billing", "Placed"), spec("@", "Mail", "Mail")];
    const nodes = [
      node("a", "shop"),
      node("b", "shop", "billing/Paid", "billing/Placed", "other/Placed"),
      node("c", "else", "@/Mail", "billing/Placed"),
      node("d", "shop"),
    ];
    const found = capableNodes({ node: "a", endpoint: "a.1", nodes }, specs);
    const billing = found.get("shop.billing") ?? [];
    assertEquals(billing.map(({ id }) => id).sort(), ["a", "b"]);
    assertEquals([...billing.find(({ id }) => id === "b")!.categories.keys()].sort(), ["Paid", "Placed"]);
    assertEquals((found.get("=40.Mail") ?? []).map(({ id }) => id).sort(), ["a", "c"]);
    assertEquals(found.size, 2);
  });

  it("agrees on every node about who is first, and spreads that", () => {
    const ids = ["a", "b", "c", "d"];
    const specs = Array.from({ length: 100 }, (_, i) => spec("shop", `s${i}`, "Placed"));
    const nodes = ids.map((id) => node(id, "shop", ...specs.map(({ name }) => `${name}/Placed`)));
    const views = ids.map((id) => capableNodes({ node: id, endpoint: `${id}.1`, nodes }, specs));
    const firsts = [...views[0].keys()].map((key) => {
      const [first, ...others] = views.map((view) => view.get(key)![0].id);
      for (const other of others) assertEquals(other, first);
      return first;
    });
    for (const id of ids) assert(firsts.filter((first) => first === id).length > 10);
  });
});

describe("the order of nodes of two versions", () => {
  it("has those first that know limits by key, or tenants, on every node", () => {
    const plain = "s/Placed";
    const entries: Record<string, string> = {
      ...Object.fromEntries(["a", "b", "c", "d"].map((id) => [id, plain])),
      limited: "s/Placed/10,1000,300000/,5,,,1",
      byKey: "s/Placed/10,1000,300000/,5,,,1,key",
      newer: "s/Placed/10,1000,300000/,5,,,1,key,soft/fair",
    };
    const nodes = Object.entries(entries).map(([id, entry]) => node(id, "shop", entry));
    for (const id of ["a", "c"]) {
      const all = capableNodes({ node: id, endpoint: `${id}.1`, nodes }, [spec("shop", "s", "Placed")]).get("shop.s")!;
      assertEquals(all.map((each) => each.id).slice(0, 2), ["newer", "byKey"]);
    }
  });
});

describe("mayLead", () => {
  const signs = (stood: number, still = 0, ended = false) => ({ stood, still: () => still, ended: () => ended });

  it("waits until the leader's lease has stood still for 3 s, and 300 ms longer for each node in front", () => {
    assertEquals([0, 1, 2].map((place) => mayLead(place, "a.1", signs(9_000, 3_300))), [true, true, false]);
  });

  it("takes over from a leader whose process has ended, and that would have stopped, before its lease ends", () => {
    assertEquals(mayLead(0, "a.1", signs(9_000, 1_700, true)), true);
    assertEquals(mayLead(0, "a.1", signs(9_000, 1_700)), false);
  });

  it("takes at once what was handed over, in the same order", () => {
    assertEquals([0, 1, 2].map((place) => mayLead(place, "", signs(300))), [true, true, false]);
  });

  it("takes what cannot be read once nothing has changed for as long", () => {
    assertEquals([0, 1].map((place) => mayLead(place, undefined, signs(3_000))), [true, false]);
  });
});
