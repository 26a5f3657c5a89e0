/** Remote requests: how many a second, from one request at a time to a thousand under way at once. */
import type { Closed } from "../programs/load.ts";
import { alternate } from "../rounds.ts";
import { ours, pairsOf, PEERS, variants } from "./contestants.ts";
import type { Measure } from "./section.ts";

/** Measures remote requests. */
export const remote: Measure = async (stage, effort, company) => {
  const players = await company.engage([...ours(stage), ...effort.peers ? PEERS : [], ...variants(stage, effort)]);
  const levels = effort.quick ? [1, 64, 256, 1_024] : [1, 16, 64, 256, 1_024];
  const ms = effort.ms(150, 40);
  const cells = new Map(players.map(({ name }) => [name, [] as number[][]]));
  for (const outstanding of levels) {
    const at = (ms: number) =>
      players.map(({ name, client, drop }) => ({
        name,
        play: () => client.ask<Closed>("closed", { outstanding, ms }),
        drop,
      }));
    await alternate(at(ms), effort.warm(1));
    const figures = await alternate(at(ms), effort.rounds(5, 3));
    for (const [name, rounds] of figures) cells.get(name)!.push(rounds.map(({ rate }) => rate));
  }
  const own = players.filter(({ name }) => /^(Catga|nc\.request)(, transport.*)?$/.test(name));
  const large = (ms: number) =>
    own.map(({ name, client, drop }) => ({
      name,
      play: () => client.ask<Closed>("closed", { outstanding: 256, ms, large: true }),
      drop,
    }));
  await alternate(large(ms), effort.warm(1));
  const largeFigures = await alternate(large(ms), effort.rounds(5, 3));
  return [{
    id: "remote",
    title: "Remote: requests a second with so many under way at once; 26 bytes of JSON, one client, one node",
    unit: "per second",
    columns: levels.map((outstanding) => outstanding.toLocaleString("en")),
    rows: [...cells].map(([name, cells]) => ({ name, cells })),
    pairs: pairsOf(players),
    notes: [
      "default settings; noAsyncTraces is an option of nats.js, off by default: with it an error does not say where the " +
      "request was made",
    ],
  }, {
    id: "remote-large",
    title: "Remote: requests a second with 1.2 kB of JSON, a short answer, 256 under way at once",
    unit: "per second",
    columns: ["256"],
    rows: [...largeFigures].map(([name, rounds]) => ({ name, cells: [rounds.map(({ rate }) => rate)] })),
    pairs: pairsOf(own),
    notes: ["JSON that holds nothing else is looked at once, and travels as it is"],
  }];
};
