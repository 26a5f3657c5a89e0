/**
 * A command over HTTP, the fetch handler alone: by hand, by an edge, and by peers. Readers of one tail in one process.
 * The size of the client.
 */
import { runtimeBinary } from "../../test/processes/node_process.ts";
import { clientSize } from "../client_size.ts";
import { alternate } from "../rounds.ts";
import type { Program } from "../program.ts";
import type { Stage } from "../stage.ts";
import type { Table } from "../table.ts";
import { type Effort, type Measure, timed } from "./section.ts";

const OURS = [
  { name: "by hand", file: "programs/edge_catga.ts", args: ["hand"] },
  { name: "edge", file: "programs/edge_catga.ts", args: ["edge"] },
  { name: "edge, authorize and limit", file: "programs/edge_catga.ts", args: ["limited"] },
];
/** Those whose packages are in `bench/package.json`. */
const PEERS = [
  { name: "oRPC", file: "peers/orpc.ts", args: [] },
  { name: "tRPC", file: "peers/trpc.ts", args: [] },
];

/** Measures the edge. */
export const edge: Measure = async (stage, effort) => {
  const commands = await commandsOf(stage, effort);
  const readers = await readersOf(stage, effort);
  const { minified, compressed } = await clientSize(await runtimeBinary("bun"));
  return [commands, ...readers, {
    id: "edge-client",
    title: "Edge: the client in a browser",
    unit: "bytes",
    columns: ["size"],
    rows: [{ name: "minified", cells: [[minified]] }, { name: "minified, gzip", cells: [[compressed]] }],
    pairs: [],
    notes: ["bun build --minify, gzip -9"],
  }];
};

async function commandsOf(stage: Stage, effort: Effort): Promise<Table> {
  await stage.clear();
  const ms = effort.ms(1_000, 200);
  const players = await timed(stage, [...OURS, ...effort.peers ? PEERS : []], ms);
  await alternate(players, effort.warm(2));
  const times = await alternate(players, effort.rounds(11, 3));
  await stage.clear();
  return {
    id: "edge",
    title: "Edge: a command over HTTP, by the fetch handler alone; schemas of zod for its input and output",
    unit: "ns",
    columns: ["a call"],
    rows: [...times].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: [
      { row: "edge", against: "by hand" },
      { row: "edge, authorize and limit", against: "by hand" },
      ...PEERS.map(({ name }) => ({ row: name, against: "edge" })),
    ],
    notes: [
      "a call makes a Request, and reads the text of its Response; by hand: the path, request.json(), app.send, respond",
    ],
  };
}

async function readersOf(stage: Stage, effort: Effort): Promise<Table[]> {
  const words = stage.setting.runtime.startsWith("Deno") ? ["--no-code-cache", "--v8-flags=--expose-gc"] : [];
  // fewer can fit into memory that the process has already: the figure of a trial would be 0
  const half = effort.count(4_900, 2_400, 1_000);
  const open = async (program: Program) => {
    await program.ask("open", { count: 200 }); // the program is compiled
    const first = await program.ask<{ heap: number; resident: number }>("open", { count: half });
    const further = await program.ask<{ heap: number; resident: number }>("open", { count: half });
    return { heap: (first.heap + further.heap) / 2, resident: (first.resident + further.resident) / 2, further };
  };
  const hand = await open(await stage.start("programs/edge_readers.ts", [stage.url, "hand"], words));
  await stage.clear();
  const program = await stage.start("programs/edge_readers.ts", [stage.url], words);
  const { heap, resident, further } = await open(program);
  const times: number[] = [];
  for (let round = 0; round < effort.rounds(11, 3); round++) times.push(await program.ask("reach"));
  const consumers = await program.ask<number>("consumers");
  await stage.clear();
  if (consumers !== 1) throw new Error(`the readers of a tail have ${consumers} consumers on the server, not one`);
  const readers = (2 * half + 200).toLocaleString("en");
  return [{
    id: "edge-readers",
    title: `Edge: memory of a reader of a tail, one of ${readers} in a process`,
    unit: "bytes",
    columns: ["a reader"],
    rows: [
      { name: "heap in use", cells: [[heap]] },
      { name: "resident", cells: [[resident]] },
      { name: "resident, of the further half of them", cells: [[further.resident]] },
      { name: "by hand: heap in use", cells: [[hand.heap]] },
      { name: "by hand: resident", cells: [[hand.resident]] },
      { name: "by hand: resident, of the further half", cells: [[hand.further.resident]] },
    ],
    pairs: [],
    notes: [
      "with the Request and the loop that reads its response; all of them have one consumer on the server",
      "by hand: a Response of a ReadableStream that stays open, without Catga: what the runtime takes",
    ],
  }, {
    id: "edge-reach",
    title: `Edge: from publish until each of ${readers} readers of a tail has the event`,
    unit: "ms",
    columns: ["all have it"],
    rows: [{ name: "server-sent events", cells: [times] }],
    pairs: [],
    notes: [],
  }];
}
