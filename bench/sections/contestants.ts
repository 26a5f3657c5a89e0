/**
 * Who is measured over NATS: each has a client and one node or three, all of them processes of their own, in the same runtime.
 *
 * @module
 */
import type { Program } from "../program.ts";
import type { RemoteOptions } from "../programs/remote.ts";
import type { Stage } from "../stage.ts";
import type { Effort } from "./section.ts";

/** Somebody who answers requests over NATS. */
export interface Contestant {
  readonly name: string;
  /** Its program. */
  readonly file: string;
  readonly nodes: number;
  /** What its programs are told beside the server's address. */
  readonly options: Partial<RemoteOptions>;
  /** The names of those of whom its figures are to be so many times theirs. */
  readonly against: readonly string[];
}

/** A contestant whose programs run. */
export interface Running extends Contestant {
  readonly client: Program;
  readonly servers: readonly Program[];
}

/** Everybody: nats.js, Catga with one node and with three, the peers. */
export function contestants(stage: Stage, _effort: Effort): Contestant[] {
  return stage.transports.flatMap((transport) => {
    const suffix = stage.transports.length > 1 ? `, transport-${transport}` : "";
    const [raw, ours] = [`nc.request${suffix}`, `Catga${suffix}`];
    const nats = { file: "programs/nats_request.ts", nodes: 1, against: [] };
    const catga = { file: "programs/catga.ts", nodes: 3, against: [ours] };
    return [
      { ...nats, name: raw, options: { transport } },
      { ...nats, name: `${raw}, noAsyncTraces`, options: { transport, variant: "noAsyncTraces" } },
      { ...catga, name: ours, nodes: 1, options: { transport }, against: [raw] },
      { ...catga, name: `${ours}, three nodes`, options: { transport } },
      { ...catga, name: `${ours}, three nodes, strictly in turn`, options: { transport, variant: "strict" } },
    ];
  });
}

/** Starts the programs of all; the client of each when its nodes are ready. */
export async function start(stage: Stage, all: readonly Contestant[]): Promise<Running[]> {
  return await Promise.all(all.map(async (contestant, at) => {
    const args = (side: string) => [
      side,
      JSON.stringify({ url: stage.url, group: `g${at}`, ...contestant.options } satisfies RemoteOptions),
    ];
    const servers = await Promise.all(
      Array.from({ length: contestant.nodes }, () => stage.start(contestant.file, args("node"))),
    );
    const client = await stage.start(contestant.file, args("client"));
    return { ...contestant, client, servers };
  }));
}
