import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { NodeInfo } from "../contract/node_info.ts";
import { eventForms } from "./contract_looks.ts";
import type { Pinger } from "./pinger.ts";

describe("eventForms", () => {
  it("asks for all names, however many the node does not know, and again for those that were not in its answer", async () => {
    const names = Array.from({ length: 350 }, (_, n) => `Event${n}`);
    const knows = (name: string) => Number(name.slice(5)) >= 120;
    const looks: Pinger["looks"] = (_, asked) => {
      // a node answers for as many as fit into one message
      const told = asked.filter(knows).slice(0, 40);
      return Promise.resolve(Object.fromEntries(told.map((name) => [name, { kind: "event", options: ["durable"] }])));
    };
    const node = { id: "a", service: "shop", endpoint: "a.1", handles: names } as Partial<NodeInfo> as NodeInfo;
    const asked = { names: new Set(names), silent: [] };
    const forms = await eventForms({ looks } as Pick<Pinger, "looks"> as Pinger, [node], asked);
    assertEquals(new Set(forms.map(({ name }) => name)), new Set(names.filter(knows)));
    assertEquals(forms.every(({ durable, handles }) => durable && handles), true);
  });

  it("does not know of a node that does not say so whether it handles both forms of an event", async () => {
    const described = { kind: "event", options: ["durable"] };
    const answer = {
      Old: described,
      One: { ...described, inBothForms: false },
      Both: { ...described, inBothForms: true },
    };
    const looks: Pinger["looks"] = () => Promise.resolve(answer);
    const names = Object.keys(answer);
    const node = { id: "a", service: "shop", endpoint: "a.1", handles: names } as Partial<NodeInfo> as NodeInfo;
    const asked = { names: new Set(names), silent: [] };
    const forms = await eventForms({ looks } as Pick<Pinger, "looks"> as Pinger, [node], asked);
    assertEquals(forms.map(({ name, inBothForms }) => [name, inBothForms]), [
      ["Old", undefined],
      ["One", false],
      ["Both", true],
    ]);
  });
});
