/**
 * Who is measured over NATS: each has a client and one node or three, all of them processes of their own, in the same
 * runtime, and all of them on one nats-server.
 *
 * @module
 */
import type { TransportName } from "../arguments.ts";
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
  /** Its program: sections give the same name to several. */
  readonly file: string;
  readonly against: readonly string[];
  readonly client: Program;
  readonly nodes: readonly Program[];
  /** What its programs were told. */
  readonly options: RemoteOptions;
  /** Told when a round of a peer failed; ours must not. */
  readonly drop: ((error: unknown) => void) | undefined;
}

/** nats.js by itself and Catga, over each transport; the rows of those that are not the default name theirs. */
export function ours(stage: Stage): Contestant[] {
  const { transports, rawTransports } = stage;
  return [
    ...rawTransports.map((transport) => ({
      name: `nc.request${overOf(transport, rawTransports)}`,
      file: "programs/nats_request.ts",
      options: { transport },
    })),
    ...transports.map((transport, at) => ({
      name: `Catga${overOf(transport, transports)}`,
      file: "programs/catga.ts",
      options: { transport },
      against: [
        `nc.request${overRaw(transport, stage)}`,
        ...at === 0 ? PEERS.map(({ name }) => name) : ["Catga"],
      ],
    })),
  ];
}

/** What else can be tried: nats.js without its traces, Catga with three nodes. */
export function variants(stage: Stage, { quick }: { readonly quick: boolean }): Contestant[] {
  const { transports, rawTransports } = stage;
  const three = transports.map((transport) => ({
    name: `Catga, three nodes${overOf(transport, transports)}`,
    file: "programs/catga.ts",
    nodes: 3,
    options: { transport },
    against: [`Catga${overOf(transport, transports)}`],
  }));
  if (quick) return three;
  return [
    {
      name: "nc.request, noAsyncTraces",
      file: "programs/nats_request.ts",
      options: { transport: rawTransports[0], variant: "noAsyncTraces" },
    },
    ...three,
    {
      ...three[0],
      name: "Catga, three nodes, strictly in turn",
      options: { transport: transports[0], variant: "strict" },
    },
  ];
}

/** How the name of a row ends: with its transport, unless it is the default one, the first. */
export function overOf(transport: TransportName, all: readonly TransportName[]): string {
  return transport === all[0] ? "" : `, transport-${transport}`;
}

/** How the name of the row by hand ends with which a row over this transport is compared: the default, if need be. */
export function overRaw(transport: TransportName, { rawTransports }: Stage): string {
  return rawTransports.includes(transport) ? overOf(transport, rawTransports) : "";
}

/** Those whose packages are in `bench/package.json`. */
export const PEERS: readonly Contestant[] = [
  { name: "@nats-io/services", file: "peers/services.ts" },
  { name: "Moleculer", file: "peers/moleculer.ts" },
  { name: "NestJS microservice", file: "peers/nest.ts" },
];

/** Those who run at present. */
export class Company {
  readonly #stage: Stage;
  #running: Running[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /**
   * Has these run, and nobody else: those that run already go on, warm as they are. Peers that cannot be started are
   * left out.
   */
  async engage(contestants: readonly Contestant[]): Promise<Running[]> {
    const same = (running: Running) => ({ name, file }: Contestant) => running.name === name && running.file === file;
    const kept = this.#running.filter((running) => this.#stage.runs(running.client) && contestants.some(same(running)));
    await this.#stage.clear(kept.flatMap(({ client, nodes }) => [client, ...nodes]));
    const all = await Promise.all(contestants.map((contestant) => {
      return kept.find((running) => same(running)(contestant)) ?? this.#start(contestant);
    }));
    return this.#running = all.filter((running) => running !== undefined);
  }

  /** The client starts when the nodes are ready. */
  async #start({ name, file, nodes = 1, options, against = [] }: Contestant): Promise<Running | undefined> {
    const told: RemoteOptions = { url: this.#stage.url, group: this.#stage.nextGroup(), nodes, ...options };
    const start = (side: "node" | "client") => this.#stage.start(file, [side, JSON.stringify(told)]);
    return await this.#stage.orLeaveOut(name, file, async () => {
      const servers = await Promise.all(Array.from({ length: nodes }, () => start("node")));
      const client = await start("client");
      return { name, file, against, nodes: servers, client, options: told, drop: this.#stage.dropping(name, file) };
    });
  }
}

/** The pairs of rows that their names make. */
export function pairsOf(all: readonly Running[]): { row: string; against: string }[] {
  return all.flatMap(({ name, against }) => against.map((against) => ({ row: name, against })));
}
