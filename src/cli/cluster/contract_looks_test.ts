import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { command, entity, event, workflow } from "../../../mod.ts";
import { readFrame } from "../../cluster/wire/frame_reader.ts";
import { ShapeView } from "../../cluster/membership/shape_view.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { ContractShapes } from "../../contract/schemas/shape.ts";
import { encode } from "../../data/utf8.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { PROTOCOL } from "../../version.ts";
import { eventForms, looksOf } from "./contract_looks.ts";
import type { Pinger } from "./pinger.ts";

/** Answers as a node of this version of a program does. Questions go through the frames of the wire. */
function answering(paid: z.ZodType): Pinger["looks"] {
  const Till = entity("Till", { initial: () => ({ cents: 0 }) });
  const Paid = Till.event("Paid", (state) => state, { input: paid });
  const Bill = workflow("Bill", { input: paid });
  const Charge = command("Charge", { durable: true, input: paid });
  const Moved = event("Moved", { durable: true, input: paid });
  const Pay = command("Pay", { key: () => "1" });
  const handlers = [
    Till.handle(Pay, (till) => till.emit(Paid, {})),
    Bill.handle(() => {}),
    Charge.handle(() => {}),
    Paid.on(() => {}),
  ];
  const workflows = handlers.flatMap((each) => each["~handler"].workflow?.definition ?? []);
  const entities = handlers.flatMap((each) => each["~handler"].entity?.definition ?? []);
  const view = new ShapeView({
    ...{ clock: new VirtualClock(), self: "a", shapes: new ContractShapes(workflows, entities) },
    handled: handlers.flatMap((each) => [each, ...each["~handler"].with ?? []]).map(({ contract }) => contract),
    plainEvents: new Set<string>(),
    sent: () => [],
    followed: () => [Moved],
    observer() {},
    loadMismatches: () => Promise.reject(new Error("not needed here")),
    members: () => [],
    ask() {},
    announce() {},
    changed() {},
  });
  return (_, names) => {
    const { items } = readFrame(encode(JSON.stringify([PROTOCOL, 1, 0, ["k", 1, ...names]])));
    const [, , ...asked] = items[0] as ["k", number, ...string[]];
    return Promise.resolve(JSON.parse(view.answer(asked, 100_000)));
  };
}

const nodeAt = (id: string) => ({ id, service: "shop", endpoint: `${id}.1` }) as Partial<NodeInfo> as NodeInfo;

describe("looksOf", () => {
  it("sends only names that the receiver takes, of contracts of all kinds (one was dropped as malformed)", async () => {
    const [cents, euros] = [z.object({ cents: z.number() }), z.object({ euros: z.number() })].map(answering);
    const looks: Pinger["looks"] = (endpoint, ...more) => (endpoint === "a.1" ? cents : euros)(endpoint, ...more);
    const asker = { looks } as Pick<Pinger, "looks"> as Pinger;
    const found = await looksOf(asker, [nodeAt("a"), nodeAt("b")], "differing");
    const names = (handles: boolean) =>
      found.looks.filter((look) => look.handles === handles && look.node === "a").map(({ name }) => name).sort();
    assertEquals(names(true), [
      "Bill-run.begun",
      "Bill-run.called",
      "Bill-run.due",
      "Bill-run.join",
      "Charge",
      "Moved",
      "Till.Paid",
    ]);
  });

  it("does not send names that nodes tell and no receiver takes, as those of older builds", async () => {
    const answer = answering(z.object({ cents: z.number() }));
    const told = { Charge: "aaaaaaaa", "Till.Paid applied": "aaaaaaaa", "": "aaaaaaaa", "a b": "aaaaaaaa" };
    const other = { ...told, "Till.Paid applied": "bbbbbbbb", Charge: "bbbbbbbb", "": null, "a b": null };
    const looks: Pinger["looks"] = (endpoint, names, limit) =>
      names.length > 0
        ? answer(endpoint, names, limit)
        : Promise.resolve({ handles: endpoint === "a.1" ? told : other, sends: {} });
    const found = await looksOf({ looks } as Pick<Pinger, "looks"> as Pinger, [nodeAt("a"), nodeAt("b")], "differing");
    assertEquals(found.looks.map(({ node, name }) => [node, name]), [["a", "Charge"], ["b", "Charge"]]);
  });
});

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
