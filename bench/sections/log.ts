/**
 * The log: publishing until a message is stored, handling what is stored, catching up, and read models that are built
 * at start.
 */
import type { Program } from "../program.ts";
import type { Handled } from "../programs/logged.ts";
import { alternate } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import { median, type Rounds } from "../statistics.ts";
import type { Table } from "../table.ts";
import { fetchPostgresClient, findPostgres } from "../../test/support/databases.ts";
import { type Company, type Contestant, overOf, overRaw, pairsOf, type Running } from "./contestants.ts";
import { cuts, takeovers } from "./log_takeover.ts";
import type { Effort, Measure } from "./section.ts";

/** So many publishes are under way while a backlog is made. */
const FILLING = 1_024;
/** So many at most in one task of a program, which must end within a minute. */
const PART = 50_000;
/** What is stored must be handled so soon after, in ms. */
const PATIENCE = 60_000;

/** Measures the log. */
export const log: Measure = async (stage, effort, company) => {
  const all = [...ours(stage), ...effort.peers ? PEERS : []];
  // some twenty processes that start at once may take more than their minute on a busy machine
  const contestants = await company.engage(all);
  const latency = async () => await alone(await company.engage([...all, ...oneOrTwo(stage)]), effort);
  if (effort.floors) {
    return [await latency(), ...await postgres(stage, effort, company), await takeovers(stage, effort)];
  }
  const tables = [...await publishing(contestants, effort), await handling(contestants, effort), await latency()];
  tables.push(
    await batches(stage, effort, company),
    ...await postgres(stage, effort, company),
    ...await behind(stage, effort, company),
  );
  return [...tables, await takeovers(stage, effort), ...await cuts(stage, effort)];
};

function ours(stage: Stage): Contestant[] {
  const { transports, rawTransports } = stage;
  return [
    ...rawTransports.map((transport) => ({
      name: `${NATS}${overOf(transport, rawTransports)}`,
      file: "programs/log_nats.ts",
      options: { transport },
    })),
    {
      name: BY_CALLBACK,
      file: "programs/log_nats.ts",
      options: { transport: rawTransports[0], variant: "callback" },
    },
    ...transports.map((transport, at) => ({
      name: `${CATGA}${overOf(transport, transports)}`,
      file: "programs/log_catga.ts",
      nodes: 2,
      options: { transport },
      against: [
        `${NATS}${overRaw(transport, stage)}`,
        `${BY_KEY}${overRaw(transport, stage)}`,
        ...at === 0 ? [BY_CALLBACK, ...PEERS.map(({ name }) => name)] : [CATGA],
      ],
    })),
  ];
}

/**
 * One node of Catga, without a way to another one, and its floor, messages with the same headers; and the same two
 * processes by hand, with that way.
 */
function oneOrTwo(stage: Stage): Contestant[] {
  const { transports, rawTransports } = stage;
  const file = "programs/log_nats.ts";
  return [
    ...rawTransports.map((transport) => overOf(transport, rawTransports)).flatMap((over, at) => [
      {
        ...{ name: `${BY_KEY}${over}`, file, nodes: 2, against: [`${NATS}${over}`] },
        options: { transport: rawTransports[at], variant: "by key" },
      },
      {
        ...{ name: `${WITH_HEADERS}${over}`, file, against: [`${NATS}${over}`] },
        options: { transport: rawTransports[at], variant: "id and ttl" },
      },
    ]),
    ...transports.map((transport) => ({
      name: `Catga, one node${overOf(transport, transports)}`,
      file: "programs/log_catga.ts",
      options: { transport },
      against: [NATS, WITH_HEADERS].map((name) => `${name}${overRaw(transport, stage)}`),
    })),
  ];
}

const CATGA = "Catga, two nodes";
const BY_KEY = "consume(), by hand to one of two processes by key";
const NATS = "consume()";
const WITH_HEADERS = "consume(), each with an id and a ttl";
const BY_CALLBACK = "consume(), callback, 2,048 in hand";

const PEERS: readonly Contestant[] = [
  { name: "@moleculer/channels", file: "peers/moleculer_channels.ts" },
  {
    name: "@moleculer/channels, maxInFlight 2,048",
    file: "peers/moleculer_channels.ts",
    options: { variant: "many" },
  },
];

async function publishing(contestants: readonly Running[], effort: Effort): Promise<Table[]> {
  const renamed = (name: string) => name.replace(CATGA, "Catga").replace(NATS, "js.publish");
  const players = contestants
    .filter(({ name, file }) => name !== BY_CALLBACK && !file.startsWith("peers/"))
    .map((player) => ({ ...player, name: renamed(player.name), against: player.against.map(renamed) }));
  const levels = [256, 1_024];
  const storing = (outstanding: number, ms: number, ids = false) =>
    players.map(({ name, client }) => ({
      name,
      play: () => client.ask<{ rate: number; p50: number }>("storing", { outstanding, ms, ids }),
    }));
  const rates = async (ids: boolean) => {
    const cells = new Map(players.map(({ name }) => [name, [] as number[][]]));
    for (const outstanding of levels) {
      await alternate(storing(outstanding, effort.ms(600, 200), ids), effort.warm(1));
      const figures = await alternate(storing(outstanding, effort.ms(600, 100), ids), effort.rounds(7, 3));
      for (const [name, rounds] of figures) cells.get(name)!.push(rounds.map(({ rate }) => rate));
    }
    return [...cells].map(([name, cells]) => ({ name, cells }));
  };
  const [rows, withIds] = [await rates(false), await rates(true)];
  await alternate(storing(1, effort.ms(300, 50)), effort.warm(1));
  const alone = await alternate(storing(1, effort.ms(600, 100)), effort.rounds(7, 3));
  const pairs = pairsOf(players);
  return [{
    id: "log-publish",
    title: "Log: events stored a second, with so many publishes under way at once in one process",
    unit: "per second",
    columns: levels.map((outstanding) => outstanding.toLocaleString("en")),
    rows,
    pairs,
    notes: ["26 bytes of JSON; each publish resolves when JetStream has stored its event in a file"],
  }, {
    id: "log-publish-ids",
    title: "Log: the same, each event with an id of the program's, and one of 900 keys",
    unit: "per second",
    columns: levels.map((outstanding) => outstanding.toLocaleString("en")),
    rows: withIds,
    pairs,
    notes: ["an event with an id is a message of JetStream of its own; js.publish with msgID"],
  }, {
    id: "log-publish-alone",
    title: "Log: one publish at a time, until it is stored",
    unit: "ms",
    columns: ["p50"],
    rows: [...alone].map(([name, rounds]) => ({ name, cells: [rounds.map(({ p50 }) => p50)] })),
    pairs,
    notes: [],
  }];
}

async function handling(contestants: readonly Running[], effort: Effort): Promise<Table> {
  const overDeno = contestants.some(({ name, options }) => name === NATS && options.transport === "deno");
  return {
    ...await backlogs(contestants, effort, { warm: effort.warm(3, 1), count: (player) => countOf(player, effort) }),
    id: "log-handled",
    title: "Log: stored events handled a second, from the first one handed out to the last one handled",
    columns: ["handled"],
    notes: [
      "Catga: two processes, events of each of 900 keys strictly in order; consume(): one process, explicit " +
      "acknowledgements, no order, as it is: iterated, 100 in hand; @moleculer/channels: one process, in order with its default, " +
      "maxInFlight 1",
      ...overDeno ? [HELD_BACK] : [],
    ],
  };
}

const HELD_BACK =
  "consume() over transport-deno: Nagle's algorithm holds back the acknowledgements of the 100 in hand for 40 ms, " +
  "which it does not over transport-node (--no-published)";

/** How many stored events each of them handles a second, in turns; `warm` rounds come before those that count. */
async function backlogs(
  contestants: readonly Running[],
  effort: Effort,
  { warm, count }: { readonly warm: number; count(player: Running): number },
): Promise<Pick<Table, "unit" | "rows" | "pairs">> {
  const playing = contestants.map((player) => ({
    name: player.name,
    play: () => backlog(player, count(player)),
    drop: player.drop,
  }));
  await alternate(playing, warm);
  const figures = await alternate(playing, effort.rounds(5, 3, 2));
  return {
    unit: "per second",
    rows: [...figures].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: pairsOf(contestants),
  };
}

/** Many times what a system may have in hand before the gate opens; fewer for one that has one message in hand. */
function countOf({ name }: Running, effort: Effort): number {
  if (name === PEERS[0].name) return effort.count(1_000, 500);
  return name.startsWith(CATGA) ? effort.count(200_000, 60_000, 1_000) : effort.count(16_000, 8_000, 1_000);
}

/** Stores so many while the nodes handle nothing, and gives how many they handle a second from then on. */
async function backlog({ name, client, nodes }: Running, count: number): Promise<number> {
  await Promise.all(nodes.map((node) => node.ask("close")));
  await fill(client, count);
  const start = Math.min(...await Promise.all(nodes.map((node) => node.ask<number>("open"))));
  const last = await handled(name, nodes, count);
  return count / (last - start) * 1_000;
}

async function fill(client: Program, count: number): Promise<void> {
  for (let left = count; left > 0; left -= PART) {
    await client.ask("fill", { count: Math.min(left, PART), outstanding: FILLING });
  }
}

/** When so many were handled, by all nodes together. */
async function handled(name: string, nodes: readonly Program[], count: number): Promise<number> {
  for (const late = Date.now() + PATIENCE;;) {
    const each = await Promise.all(nodes.map((node) => node.ask<Handled>("handled")));
    const sum = each.reduce((sum, { count }) => sum + count, 0);
    if (sum >= count) return Math.max(...each.map(({ last }) => last));
    if (Date.now() > late) throw new Error(`${name}: ${sum} of ${count} events were handled in ${PATIENCE} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function alone(contestants: readonly Running[], effort: Effort): Promise<Table> {
  const playing = (paced: { readonly count: number; readonly pause: number }) =>
    contestants.map(({ name, client, nodes, drop }) => ({
      name,
      async play() {
        await Promise.all(nodes.map((node) => node.ask("close")));
        await Promise.all(nodes.map((node) => node.ask("open")));
        await client.ask("paced", paced);
        await handled(name, nodes, paced.count);
        return median((await Promise.all(nodes.map((node) => node.ask<number[]>("latencies")))).flat());
      },
      drop,
    }));
  // the first 2,000 events of a process in Bun take Catga twice the time, because its code is not compiled yet; they
  // are published without pauses, so that a quick run has them as well
  await alternate(playing({ count: 3_000, pause: 0 }), effort.warm(1));
  const figures = await alternate(playing({ count: effort.count(100, 30), pause: 2 }), effort.rounds(15, 3, 5));
  return {
    id: "log-latency",
    title: "Log: one event at a time, from publish to its handler",
    unit: "ms",
    columns: ["p50"],
    rows: [...figures].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: pairsOf(contestants),
    notes: [
      "Catga, two nodes: about every second event is handled by the node that does not lead, as its key says",
      "by hand to one of two processes: nc.request for every second key, acknowledged when it is answered",
    ],
  };
}

/** The same rows in SQLite, with a transaction for each event, and for each batch. */
async function batches(stage: Stage, effort: Effort, company: Company): Promise<Table> {
  const { transports } = stage;
  const single = "a transaction for each event";
  const file = "programs/log_sqlite.ts";
  const contestants = await company.engage(transports.flatMap((transport, at) => {
    const over = overOf(transport, transports);
    const both: Contestant[] = [
      { name: `${single}${over}`, file, options: { transport } },
      {
        name: `onBatch, a transaction for each batch${over}`,
        file,
        options: { transport, variant: "batches" },
        against: [`${single}${over}`],
      },
    ];
    // a trial has over a further transport the second alone
    return both.slice(at === 0 ? 0 : -effort.count(both.length, both.length, 1));
  }));
  const count = effort.count(50_000, 8_000, 1_000);
  return {
    ...await backlogs(contestants, effort, { warm: effort.warm(1), count: () => count }),
    id: "log-batches",
    title: "Log: stored events written into SQLite a second, by one process",
    columns: ["written"],
    notes: [
      "journal_mode WAL, synchronous NORMAL, a row for each message id; batches of up to 500, of 900 keys in order",
    ],
  };
}

/** The same rows in PostgreSQL: by Catga and by hand, with a log and without one. */
async function postgres(stage: Stage, effort: Effort, company: Company): Promise<Table[]> {
  const found = findPostgres({ synced: true });
  if ("missing" in found) {
    stage.leaveOut("events into PostgreSQL", found.missing);
    return [];
  }
  const client = await fetchPostgresClient().catch((error: Error) => {
    stage.leaveOut("events into PostgreSQL", `its client cannot be fetched: ${error.message.split("\n")[0]}`);
    return undefined;
  });
  if (client === undefined) return [];
  await using server = await found.open();
  const database = { socket: server.socket, client };
  const file = "programs/log_postgres.ts";
  const { transports, rawTransports } = stage;
  const rows = "by hand, the rows are in memory";
  const byHand = "by hand, consume()";
  const contestants = await company.engage([
    { name: rows, file, options: { transport: rawTransports[0], variant: "rows", database } },
    ...rawTransports.map((transport) => ({
      name: `${byHand}${overOf(transport, rawTransports)}`,
      file,
      options: { transport, variant: "consume", database },
      against: [rows],
    })),
    ...transports.map((transport) => ({
      name: `onBatch${overOf(transport, transports)}`,
      file,
      options: { transport, variant: "batches", database },
      against: [rows, `${byHand}${overRaw(transport, stage)}`],
    })),
  ]);
  const count = effort.count(50_000, 8_000, 1_000);
  const figures = await backlogs(contestants, effort, { warm: effort.warm(1), count: () => count });
  await stage.clear();
  return [{
    ...figures,
    id: "log-postgres",
    title: "Log: stored events written into PostgreSQL a second, by one process, 500 rows a statement",
    columns: ["written"],
    notes: [
      "INSERT … SELECT * FROM unnest(…) by node-postgres, two statements under way at most, a row for each message id; " +
      "each commit synced",
    ],
  }];
}

/** A subscription that begins behind a long log, and a read model of it. */
async function behind(stage: Stage, effort: Effort, company: Company): Promise<Table[]> {
  const count = effort.count(1_000_000, 10_000, 1_000);
  const [filler] = await company.engage(ours(stage).filter(({ name }) => name === CATGA));
  await fill(filler.client, count);
  const { group, transport } = filler.options;
  const launched = { url: stage.url, group, transport };
  await stage.clear();
  const models: { ms: number; memory: number; orders: number }[] = [];
  for (let round = effort.rounds(3, 1); round > 0; round--) {
    const program = await stage.start("programs/log_model.ts", [JSON.stringify(launched)]);
    const built = await program.ask<{ ms: number; orders: number }>("build");
    if (built.orders < count) throw new Error(`the read model has ${built.orders} of ${count} orders`);
    models.push({ ...built, memory: await program.megabytes() });
    await stage.clear();
  }
  // as a service of its own: the other one has handled them
  const options = JSON.stringify({ ...launched, nodes: 2, variant: "start", closed: true });
  const nodes = await Promise.all([1, 2].map(() => stage.start("programs/log_catga.ts", ["node", options])));
  const resident = async () => (await Promise.all(nodes.map((node) => node.megabytes())));
  const begin = await resident();
  const start = Math.min(...await Promise.all(nodes.map((node) => node.ask<number>("open"))));
  await handled(CATGA, nodes, count / 2);
  const middle = await resident();
  const last = await handled(CATGA, nodes, count);
  const end = await resident();
  await stage.clear();
  const length = count.toLocaleString("en");
  const cells = (values: Rounds) => [values];
  return [{
    id: "log-behind",
    title: `Log: ${length} events behind, two nodes catch up, in order by key`,
    unit: "per second",
    columns: ["handled"],
    rows: [{ name: CATGA, cells: cells([count / (last - start) * 1_000]) }],
    pairs: [],
    notes: ["from the start of fresh processes: code runs for the first time"],
  }, {
    id: "log-behind-memory",
    title: `Log: ${length} events behind, memory of both nodes while they catch up`,
    unit: "MB",
    columns: ["before", "half way", "at the end"],
    rows: [{ name: "both", cells: [begin, middle, end] }],
    pairs: [],
    notes: ["resident, each of the two processes: the mean, and how far they lie apart"],
  }, {
    id: "log-model",
    title: `Log: a read model of ${length} events, built by a node that starts`,
    unit: "ms",
    columns: ["until catga() resolves"],
    rows: [{ name: "Catga", cells: cells(models.map(({ ms }) => ms)) }],
    pairs: [],
    notes: [`its process has ${Math.round(median(models.map(({ memory }) => memory)))} MB then`],
  }];
}
