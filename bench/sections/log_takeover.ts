/**
 * How soon the next event is handled when the process ends that leads a subscription, and how events fare when it
 * only loses its connection.
 */
import type { Cut } from "../programs/log_cut.ts";
import type { TransportName } from "../arguments.ts";
import type { Held, Manner } from "../programs/log_takeover.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Stage } from "../stage.ts";
import type { Table } from "../table.ts";
import { overOf } from "./contestants.ts";
import type { Effort } from "./section.ts";

/** How the process ends, and what the leader has then. */
interface Ending {
  readonly by: "drain" | "kill";
  readonly nodes: number;
  readonly parked: number;
  readonly open: number;
  readonly transport: TransportName;
}

/** For how long the leader has no connection, in ms. */
const CUTS = [500, 1_000, 1_500, 2_000, 2_500, 3_000];
/** So many are published at once. */
const PART = 1_000;

/** Measures takeovers. */
export async function takeovers(stage: Stage, effort: Effort): Promise<Table> {
  const [parked, open] = [effort.count(9_000, 9_000, 90), effort.count(8_000, 8_000, 80)];
  // each may have 1,024 messages in hand
  const nodes = effort.count(8, 8, 2);
  const endings: [string, Ending][] = [];
  for (const [at, transport] of stage.transports.entries()) {
    const over = overOf(transport, stage.transports);
    const drained: Ending = { by: "drain", nodes: 2, parked: 0, open: 0, transport };
    const killed: Ending = { ...drained, by: "kill", nodes };
    const busy = `with ${parked.toLocaleString("en")} parked and ${open.toLocaleString("en")} in hand`;
    const kills: [string, Ending][] = [
      [`killed, one of ${nodes}${over}`, killed],
      [`killed, one of ${nodes}, ${busy}${over}`, { ...killed, parked, open }],
    ];
    // a trial has the last kill alone, which does what the other one does, and over a further transport nothing else
    const all: [string, Ending][] = [
      [`drained, one of 2 nodes${over}`, drained],
      ...kills.slice(-effort.count(kills.length, kills.length, 1)),
    ];
    endings.push(...all.slice(at === 0 ? 0 : -effort.count(all.length, all.length, 1)));
  }
  const rows = [];
  for (const [name, ending] of endings) {
    const took: number[] = [];
    for (let left = effort.rounds(5, 3); left > 0; left--) took.push(await takeover(stage, ending));
    rows.push({ name, cells: [took] });
  }
  return {
    id: "log-takeover",
    title: "Log: from the end of the process that leads a subscription to the next event that is handled",
    unit: "ms",
    columns: ["handled"],
    rows,
    pairs: [],
    notes: ["a kill has to be noticed first"],
  };
}

/** Measures leaders that lose their connections for a while, on virtual time. */
export async function cuts(stage: Stage, effort: Effort): Promise<Table[]> {
  const program = await stage.start("programs/log_cut.ts");
  const lengths = CUTS.slice(0, effort.count(CUTS.length, CUTS.length, 2));
  const found: Cut[] = [];
  for (const ms of lengths) found.push(await program.ask<Cut>("cut", { ms, times: effort.count(60, 20, 1) }));
  await stage.clear();
  const title = "Log: the leader of a subscription loses its connection for a while, simulated";
  const columns = lengths.map((ms) => `${ms / 1_000} s`);
  return [
    {
      ...{ id: "log-cut", title, unit: "ms", columns, pairs: [] },
      rows: [{ name: "longest delay of an event", cells: found.map(({ longest }) => longest) }],
      notes: ["50 events a second, handlers of 20 ms; another node leads after 0.9 to 1.7 s"],
    },
    {
      ...{
        id: "log-cut-twice",
        title: `${title}: how many events are handled twice`,
        unit: "count",
        columns,
        pairs: [],
      },
      rows: [{ name: "handled twice", cells: found.map(({ twice }) => twice) }],
      notes: ["those that the leader handled itself since its last commit, when another node takes the lead"],
    },
  ];
}

async function takeover(stage: Stage, { by, nodes: count, parked, open, transport }: Ending): Promise<number> {
  const options = JSON.stringify({ url: stage.url, group: stage.nextGroup(), transport });
  const start = (side: string) => stage.start("programs/log_takeover.ts", [side, options]);
  const nodes = await Promise.all(Array.from({ length: count }, () => start("node")));
  const client = await start("client");
  let published = 0;
  const publish = async (count: number) => {
    for (const end = published + count; published < end;) {
      const part = Math.min(PART, end - published);
      await client.ask("publish", { from: published, count: part });
      published += part;
    }
  };
  const tell = (manner: Manner) => Promise.all(nodes.map((node) => node.ask("handle", manner)));
  const held = () => Promise.all(nodes.map((node) => node.ask<Held>("held")));
  await eventually("the nodes know each other", async () => await client.ask<number>("nodes") === count);
  await publish(1);
  await eventually("one is handled", async () => (await held()).some(({ first }) => first !== undefined));
  if (open > 0) {
    await tell("fail");
    await publish(parked);
    await eventually(
      "they are parked",
      async () => (await held()).some((each) => each.parked === parked && each.open === 0),
    );
    await tell("hold");
    await publish(open);
    await eventually("they are in hand", async () => (await held()).some((each) => each.open === open));
  } else await tell("take");
  const at = (await held()).findIndex(({ leads }) => leads);
  const [leader] = nodes.splice(at, 1);
  const ended = performance.timeOrigin + performance.now();
  if (by === "drain") await leader.ask("drain");
  else await leader.stop();
  if (open > 0) await tell("take");
  await publish(1);
  const taken = () => held().then((all) => all.flatMap(({ first }) => first ?? []));
  await eventually("the next one is handled", async () => (await taken()).length > 0);
  const first = Math.min(...await taken());
  await stage.clear();
  return first - ended;
}
