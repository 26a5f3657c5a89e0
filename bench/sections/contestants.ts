/**
 * Who is measured over NATS: each has a client and one node or three, all of them processes of their own, in the same
 * runtime, and all of them on one nats-server.
 *
 * @module
 */
import type { Program } from "../program.ts";
import type { RemoteOptions } from "../programs/remote.ts";
import type { Stage } from "../stage.ts";

/** Somebody who answers requests over NATS. */
export interface Contestant {
  readonly name: string;
  /** Its program. */
  readonly file: string;
  /** How many nodes it has; 1. */
  readonly nodes?: number;
  /** What its programs are told beside the server's address; nothing. */
  readonly options?: Partial<RemoteOptions>;
  /** Of whose figures its own are to be given as so many times theirs. */
  readonly against?: readonly string[];
}

/** A contestant whose programs run. */
export interface Running {
  readonly name: string;
  readonly against: readonly string[];
  readonly client: Program;
  readonly nodes: readonly Program[];
}

/** nats.js by itself and Catga, over each transport; the rows of those that are not the default name theirs. */
export function ours(stage: Stage): Contestant[] {
  return stage.transports.flatMap((transport) => [
    { name: rawName(stage, transport), file: "programs/nats_request.ts", options: { transport } },
    {
      name: catgaName(stage, transport),
      file: "programs/catga.ts",
      options: { transport },
      against: [rawName(stage, transport), ...PEERS.map(({ name }) => name)],
    },
  ]);
}

/** What else can be tried: nats.js without its traces, Catga with three nodes. Over the default transport. */
export function variants(stage: Stage): Contestant[] {
  const [transport] = stage.transports;
  const three = { file: "programs/catga.ts", nodes: 3, against: [catgaName(stage, transport)] };
  return [
    {
      name: "nc.request, noAsyncTraces",
      file: "programs/nats_request.ts",
      options: { transport, variant: "noAsyncTraces" },
    },
    { ...three, name: "Catga, three nodes", options: { transport } },
    { ...three, name: "Catga, three nodes, strictly in turn", options: { transport, variant: "strict" } },
  ];
}

/** Those whose packages are in `bench/package.json`. */
export const PEERS: readonly Contestant[] = [
  { name: "@nats-io/services", file: "peers/services.ts" },
  { name: "Moleculer", file: "peers/moleculer.ts" },
  { name: "NestJS microservice", file: "peers/nest.ts" },
];

function rawName(stage: Stage, transport: string): string {
  return `nc.request${transport === stage.transports[0] ? "" : `, transport-${transport}`}`;
}

function catgaName(stage: Stage, transport: string): string {
  return `Catga${transport === stage.transports[0] ? "" : `, transport-${transport}`}`;
}

/** Starts the programs of all; the client of each when its nodes are ready. */
export async function start(stage: Stage, contestants: readonly Contestant[]): Promise<Running[]> {
  const group = stage.nextGroup();
  const started = contestants.map(({ name, file, nodes = 1, options, against = [] }, at) => {
    const launch = (side: "node" | "client") => {
      const told: RemoteOptions = { url: stage.url, group: `${group}-${at}`, ...options };
      return stage.start(file, [side, JSON.stringify(told)]);
    };
    return stage.orLeaveOut(name, file, async (): Promise<Running> => {
      const servers = await Promise.all(Array.from({ length: nodes }, () => launch("node")));
      return { name, against, nodes: servers, client: await launch("client") };
    });
  });
  return (await Promise.all(started)).filter((running) => running !== undefined);
}

/** The pairs of rows that their names make. */
export function pairsOf(all: readonly Running[]): { row: string; against: string }[] {
  return all.flatMap(({ name, against }) => against.map((against) => ({ row: name, against })));
}
