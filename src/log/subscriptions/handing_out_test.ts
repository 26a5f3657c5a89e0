import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fail, type Result } from "../../contract/calls/result.ts";
import type { SendOptions } from "../../contract/calls/send_options.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { HandingOut } from "./handing_out.ts";

/** Time after which the run of a silent leader counts as an attempt, in ms. */
const SILENCE_LASTS = 10_000;

/** Makes the handing out of a new leader, with a ledger that only notes what it is told about silent nodes. */
function setUp() {
  const clock = new VirtualClock();
  const answers = new Map<string, Result<unknown>>();
  const live = new Set(["a"]);
  const told: string[] = [];
  const divided: number[] = [];
  const app = {
    sendInternal: (_: unknown, __: unknown, { node }: SendOptions) =>
      Promise.resolve(answers.get(node!) ?? fail("UNAVAILABLE", "no answer")),
    gone: () => Promise.resolve(false),
    onNodes: () => () => {},
  };
  const nodes = () => [...live].map((id) => ({ id, endpoint: `${id}.1`, categories: new Map() }));
  const ledger = {
    awaitsReports: false,
    isInDoubt: true,
    filling: new Map(),
    begin: () => (divided.push(clock.monotonic()), []),
    parked: { awaiting: new Set() },
    holdBack: () => {},
    byId: () => new Map(),
    silenceEnds: () => void told.push("ends"),
    silenceLasts: () => void told.push("lasts"),
  };
  const options = {
    host: { clock, app, endpoint: "self.1" },
    spec: { service: "shop", name: "billing" },
    nodes,
    ledger,
  };
  const warnings = {
    fault: (_: string, error: unknown) => {
      throw error;
    },
  };
  // a leader that hands nothing out uses no more of its options
  const handing = new HandingOut({ ...options, warnings, token: 7, onProgress: () => {} } as never);
  const answer = (node: string) => answers.set(node, { ok: true, value: { running: [], ended: [], finished: [] } });
  return { clock, live, told, divided, ledger, handing, nodes, answer };
}

describe("HandingOut", () => {
  it("the silence of the last leader ends when it answers, and its run counts no attempt", async () => {
    const { clock, told, handing, nodes, answer } = setUp();
    const heard = handing.hearOf(nodes(), "a.1");
    await clock.advance(SILENCE_LASTS / 2);
    answer("a");
    await clock.until(heard);
    await clock.advance(SILENCE_LASTS);
    assertEquals(told, ["ends"]);
  });

  it("the run of a last leader that leaves while it is silent counts as an attempt, before it begins elsewhere", async () => {
    const { clock, live, told, handing, nodes, answer } = setUp();
    const heard = handing.hearOf([...nodes(), { id: "s", endpoint: "s.1", categories: new Map() }], "s.1");
    await clock.advance(0);
    assertEquals(told, ["lasts"]);
    live.add("s");
    answer("s");
    handing.refresh();
    await clock.advance(SILENCE_LASTS / 2);
    assertEquals(told, ["lasts", "ends"]);
    handing.close();
    await clock.until(heard);
  });

  it("another silent node that leaves says nothing of the last leader", async () => {
    const { clock, told, handing, nodes } = setUp();
    const heard = handing.hearOf([...nodes(), { id: "s", endpoint: "s.1", categories: new Map() }], "a.1");
    await clock.advance(SILENCE_LASTS / 2);
    assertEquals(told, []);
    handing.close();
    await clock.until(heard);
    assertEquals(told, []);
  });

  it("a node that joins meanwhile does not end that silence (its run was no attempt, as often as it blocked a node)", async () => {
    const { clock, live, told, handing, nodes, answer } = setUp();
    const heard = handing.hearOf(nodes(), "a.1");
    await clock.advance(SILENCE_LASTS / 2);
    live.add("b");
    answer("b");
    handing.refresh();
    await clock.advance(SILENCE_LASTS);
    assertEquals(told, ["lasts"]);
    handing.close();
    await clock.until(heard);
  });

  it("suspected messages that are read together are divided once", async () => {
    const { divided, ledger, handing } = setUp();
    handing.paused = false;
    for (let n = 0; n < 256; n++) handing.pumpRead();
    await Promise.resolve();
    assertEquals(divided.length, 1);
    handing.pumpRead();
    await Promise.resolve();
    assertEquals(divided.length, 2);
    ledger.isInDoubt = false;
    handing.pumpRead();
    assertEquals(divided.length, 3);
    handing.close();
  });
});
