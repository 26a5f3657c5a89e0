/** Events: how many a second, from the first one given away to the last one heard. */
import type { Heard, Published } from "../programs/remote.ts";
import { alternate } from "../rounds.ts";
import { ours, PEERS, type Running } from "./contestants.ts";
import type { Measure } from "./section.ts";

/** So many at most in a round: a node of Catga refuses more than 65,536 that wait. */
const MAX_EVENTS = 50_000;

/** What is published must have been heard so soon after, in ms. */
const PATIENCE = 10_000;

/** Measures events. */
export const events: Measure = async (stage, effort, company) => {
  const peers = PEERS.filter(({ name }) => name !== "@nats-io/services");
  const all = await company.engage([...ours(stage), ...effort.peers ? peers : []]);
  const players = all.map((player) => ({ ...player, name: player.name.replace("nc.request", "nc.publish") }));
  const cells = new Map(players.map(({ name }) => [name, [] as number[][]]));
  const turns = [1, 64];
  for (const perTurn of turns) {
    const options = { perTurn, ms: effort.ms(150, 40), most: MAX_EVENTS };
    const playing = players.map((player) => ({
      name: player.name,
      play: () => round(player, options),
      drop: player.drop,
    }));
    await alternate(playing, effort.warm(1));
    for (const [name, rounds] of await alternate(playing, effort.rounds(7, 3))) cells.get(name)!.push(rounds);
  }
  return [{
    id: "events",
    title: "Events: publishes a second, from the first one given away to the last one heard, with so many in one turn",
    unit: "per second",
    columns: turns.map((perTurn) => `${perTurn} a turn`),
    rows: [...cells].map(([name, cells]) => ({ name, cells })),
    pairs: players.flatMap(({ name, against }) =>
      against.map((against) => ({ row: name, against: against.replace("nc.request", "nc.publish") }))
    ),
    notes: [
      `a turn of the event loop; one client, one subscriber; ${MAX_EVENTS.toLocaleString("en")} at most in a round`,
    ],
  }];
};

async function round({ name, client, nodes: [node] }: Running, options: unknown): Promise<number> {
  await node.ask("forget");
  const { count, start } = await client.ask<Published>("publish", options);
  for (const late = Date.now() + PATIENCE;;) {
    const heard = await node.ask<Heard>("heard");
    if (heard.count >= count) return count / (heard.last - start) * 1_000;
    if (Date.now() > late) throw new Error(`${name}: ${heard.count} of ${count} events were heard in ${PATIENCE} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
