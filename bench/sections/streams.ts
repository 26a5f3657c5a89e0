/** Streams: items of one, of a thousand at once, and how long one item takes alone. */
import type { Latencies } from "../programs/load.ts";
import { alternate } from "../rounds.ts";
import type { Row, Table } from "../table.ts";
import { type Contestant, overOf, overRaw, type Running } from "./contestants.ts";
import type { Measure } from "./section.ts";

const STREAMS = 1_000;

/** Measures streams. */
export const streams: Measure = async (stage, effort, company) => {
  const file = "programs/streams.ts";
  const { transports, rawTransports } = stage;
  const contestants: Contestant[] = [
    ...rawTransports.flatMap((transport) =>
      ["1", "64"].map((variant) => ({
        name: `nc.publish, ${variant} a turn${overOf(transport, rawTransports)}`,
        file,
        options: { transport, variant },
      }))
    ),
    ...transports.map((transport, at) => ({
      name: `Catga${overOf(transport, transports)}`,
      file,
      options: { transport },
      against: [
        ...["1", "64"].map((variant) => `nc.publish, ${variant} a turn${overRaw(transport, stage)}`),
        ...at === 0 ? [] : ["Catga"],
      ],
    })),
  ];
  const players = await company.engage(contestants);
  const count = effort.count(300_000, 100_000, 2_000);
  const each = effort.count(1_000, 300, 10);
  const playing = <T>(task: string, count: number) => ({ name, client, options: { variant } }: Running) => ({
    name,
    // one a turn takes too long otherwise
    play: () => client.ask<T>(task, { streams: STREAMS, count: variant === "1" ? Math.ceil(count / 20) : count }),
  });
  const one = players.map(playing<number>("one", count));
  const many = players.map(playing<number>("many", each));
  const alone = players.map(playing<Latencies>("alone", effort.count(1_000, 300, 20)));
  await alternate(one, effort.warm(1));
  const ones = await alternate(one, effort.rounds(7, 3));
  const manies = await alternate(many, effort.rounds(5, 3));
  const alones = await alternate(alone, effort.rounds(5, 3));
  const pairs = players.flatMap(({ name, against }) => against.map((against) => ({ row: name, against })));
  const tables: Table[] = [
    {
      id: "streams",
      title: "Streams: items of 100 bytes a second, from the first request to the last item",
      unit: "per second",
      columns: ["one stream", `${STREAMS.toLocaleString("en")} at once`],
      rows: [...ones].map(([name, rounds]): Row => ({ name, cells: [rounds, manies.get(name)!] })),
      pairs,
      notes: ["messages of nats.js have no window; a turn of the event loop"],
    },
    {
      id: "streams-latency",
      title: "Streams: one item alone, from the handler to the reader",
      unit: "ms",
      columns: ["p50", "p99"],
      rows: [...alones].map(([name, rounds]): Row => ({
        name,
        cells: [rounds.map(({ p50 }) => p50), rounds.map(({ p99 }) => p99)],
      })),
      pairs,
      notes: ["one each 2 ms"],
    },
  ];
  return tables;
};
