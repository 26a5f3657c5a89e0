/** A command over HTTP, the fetch handler alone: by hand, by an edge, and by peers. */
import { alternate } from "../rounds.ts";
import type { Measure } from "./section.ts";

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

/** Measures commands over HTTP. */
export const edge: Measure = async (stage, effort) => {
  await stage.clear();
  const ms = effort.ms(1_000, 200);
  const started = await Promise.all(
    [...OURS, ...effort.peers ? PEERS : []].map(({ name, file, args }) =>
      stage.orLeaveOut(name, file, async () => {
        const program = await stage.start(file, args);
        return { name, play: () => program.ask<number>("time", { ms }), drop: stage.dropping(name, file) };
      })
    ),
  );
  const players = started.filter((player) => player !== undefined);
  await alternate(players, 2);
  const times = await alternate(players, effort.rounds(11, 3));
  await stage.clear();
  return [{
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
  }];
};
