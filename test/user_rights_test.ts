/**
 * The table in docs/figures/rights.md of what each documented user can do: made by trying. A server has the permissions
 * of the pages, and each user publishes and subscribes to a subject of every kind, and tries what it is refused once
 * more by the `reply` of a message. That server has no JetStream, so that what is allowed does nothing. On one that has
 * it, each user has JetStream send the answers to all that it may request into a stream and to the API; and its
 * consumers send heartbeats there, over a restart.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { type DocumentedUser, documentedUsers, page } from "./support/documented_users.ts";
import { eventually } from "./support/eventually.ts";
import { PATIENT } from "./support/patient.ts";
import { runSetup } from "./support/run_setup.ts";

type Operation = "publish" | "subscribe";
/**
 * Something that a user tries: with the letter that stands for it in the table, which is that of all its subjects or of
 * none.
 */
type Attempt = readonly [letter: string, operation: Operation, ...subjects: string[]];

const BUCKETS = ["nodes", "locks", "idempotency", "cache", "snapshots"];
const OTHER = "orders-2.n";
const KEPT = "catga.default.log.Kept";

/** A row of the table. */
interface Row {
  readonly title: string;
  readonly attempts: readonly Attempt[];
}

/** Publishing and subscribing to one subject. */
const both = (subject: string): Attempt[] => [["w", "publish", subject], ["s", "subscribe", subject]];

/** Subjects of NATS core. */
function coreRows({ id, inbox }: DocumentedUser): Row[] {
  const own = `${id}.n`;
  return [
    {
      title: "frames in its own name; to itself",
      attempts: [
        ["w", "publish", `catga.default.node.${OTHER}.${own}`, `catga.default.node.${own}.${own}`],
        [
          ...["s", "subscribe"] as const,
          ...[
            `catga.default.node.${own}.${own}`,
            `catga.default.node.${own}.${OTHER}`,
            `catga.default.bounce.${own}.0.1`,
          ],
        ],
      ],
    },
    {
      title: "frames in another's name; to others",
      attempts: [
        ["w", "publish", `catga.default.node.${own}.${OTHER}`, `catga.default.node.orders-3.n.${OTHER}`],
        ["s", "subscribe", `catga.default.node.${OTHER}.orders-3.n`, `catga.default.node.${OTHER}.${own}`],
      ],
    },
    {
      title: "bounces; those of others",
      attempts: [
        ["w", "publish", `catga.default.bounce.${own}.0.1`, `catga.default.bounce.${OTHER}.0.1`],
        ["s", "subscribe", `catga.default.bounce.${OTHER}.0.1`],
      ],
    },
    { title: "events", attempts: both("catga.default.event.Paid") },
    { title: "plain requests: `call.Pay`", attempts: both("catga.default.call.Pay") },
    { title: "plain requests: others", attempts: both("catga.default.call.Refund") },
    { title: "`$SRV.>`", attempts: both("$SRV.PING") },
    { title: "its own inbox", attempts: both(`${inbox}.n.1`) },
    {
      title: "inboxes of other nodes",
      attempts: both("_INBOX_orders-2.n.1"),
    },
    { title: "inboxes of plain clients: `_REPLY.default.>`", attempts: both("_REPLY.default.other.n.1") },
    { title: "inboxes without a prefix: `_INBOX.>`", attempts: both("_INBOX.n.1") },
    { title: "`$JS.FC.>`", attempts: both("$JS.FC.catga_default_log.reader.n") },
    { title: "`$SYS.REQ.USER.INFO`", attempts: both("$SYS.REQ.USER.INFO") },
    {
      title: "other namespaces, and the rest of `$JS.>` and `$SYS.>`",
      attempts: [
        ...[
          ...["node.a.n.b.n", `node.a.n.${own}`, "event.Paid", "call.Pay", "log.Kept", "at.Kept.x", "entity.Cart.c"],
        ].flatMap((rest) => both(`catga.other.${rest}`)),
        ...["catga.default", "catga.default.unknown", "_REPLY.other.shell.n.1", "$SYS.REQ.SERVER.PING"].flatMap(both),
        ...["$JS.ACK.catga_default_log.audit.1.1.1.1.0", "$JS.SNAPSHOT.ACK.catga_default_log.n"].flatMap(both),
        ...["$JS.EVENT.ADVISORY.API", "$JS.hub.API.INFO", "$JSC.R.n", "$NRG.V.n", "$SYS._INBOX.n.1"].flatMap(both),
      ],
    },
  ];
}

/** Subjects that write to a stream, and requests of JetStream's API that name it. */
function streamRow(title: string, stream: string, ...subjects: string[]): Row {
  return {
    title,
    attempts: [
      ["w", "publish", ...subjects],
      ["s", "subscribe", ...subjects],
      ["i", "publish", `$JS.API.STREAM.INFO.${stream}`],
      ["c", "publish", `$JS.API.STREAM.CREATE.${stream}`],
      ["g", "publish", `$JS.API.STREAM.MSG.GET.${stream}`],
      ["d", "publish", ...subjects.map((subject) => `$JS.API.DIRECT.GET.${stream}.${subject}`)],
      ["b", "publish", `$JS.API.DIRECT.GET.${stream}`],
      [
        ...["r", "publish"] as const,
        ...subjects.map((subject) => `$JS.API.CONSUMER.CREATE.${stream}.reader.${subject}`),
        ...["CREATE", "DELETE"].map((verb) => `$JS.API.CONSUMER.${verb}.${stream}.reader`),
      ],
      ["e", "publish", `$JS.API.STREAM.MSG.DELETE.${stream}`],
      ["p", "publish", `$JS.API.STREAM.PURGE.${stream}`],
    ],
  };
}

const STREAMS: readonly Row[] = [
  ...BUCKETS.map((name) =>
    streamRow(`bucket \`${name}\``, `KV_catga_default_${name}`, `$KV.catga_default_${name}.key`)
  ),
  streamRow("the log: `log.>`", "catga_default_log", KEPT),
  {
    title: "schedules: `at.>`",
    attempts: [["w", "publish", "catga.default.at.Kept.x"], ["s", "subscribe", "catga.default.at.Kept.x"]],
  },
  streamRow("entities", "catga_default_entities", "catga.default.entity.Cart.c"),
  {
    title: "runs of `Order`; their ends",
    attempts: [
      ["w", "publish", "catga.default.entity.Order-run.7"],
      ["s", "subscribe", "catga.default.event.Order-run.ended"],
    ],
  },
  streamRow("subscriptions: `sub.>`", "catga_default_subscriptions", "catga.default.sub.rec.shop.billing"),
  {
    title: "requests to leaders: `sub.req.>`",
    attempts: [
      ["w", "publish", "catga.default.sub.req.shop.billing.x"],
      ["s", "subscribe", "catga.default.sub.req.shop.billing.x"],
    ],
  },
];

/** What the API has besides, for each stream and for all. */
const ANY_STREAM = [
  ...["UPDATE", "DELETE", "SNAPSHOT", "RESTORE", "PEER.REMOVE", "PEER.EVACUATE", "CANCEL_MOVE", "LEADER.STEPDOWN"]
    .map((verb) => `STREAM.${verb}`),
  ...["CREATE", "NAMES", "LIST"].map((verb) => `CONSUMER.${verb}`),
];
const ANY_CONSUMER = ["DURABLE.CREATE", "INFO", "PAUSE", "RESET", "UNPIN", "LEADER.STEPDOWN", "MSG.NEXT"];
const OF_ALL = [
  ...["INFO", "STREAM.NAMES", "STREAM.LIST", "META.LEADER.STEPDOWN", "META.RESCUE", "SERVER.REMOVE"],
  ...["SERVER.EVACUATE", "ACCOUNT.PURGE.A", "ACCOUNT.STREAM.MOVE.A.catga_default_log", "UNKNOWN"],
];
const names = [
  ...BUCKETS.map((name) => `KV_catga_default_${name}`),
  ...["log", "entities", "subscriptions"].map((name) => `catga_default_${name}`),
];
const REST: readonly Row[] = [
  {
    title: "the rest of `$JS.API.>`",
    attempts: [
      ...names.flatMap((stream) => [
        ...ANY_STREAM.map((verb) => `${verb}.${stream}`),
        ...ANY_CONSUMER.map((verb) => `CONSUMER.${verb}.${stream}.reader`),
      ]),
      ...OF_ALL,
    ].flatMap((request) => both(`$JS.API.${request}`)),
  },
  {
    title: "other streams and buckets",
    attempts: [
      ...streamRow("", "ORDERS", "orders.new").attempts,
      ...streamRow("", "KV_other", "$KV.other.key").attempts,
      ...streamRow("", "KV_catga_other_locks", "$KV.catga_other_locks.key").attempts,
    ],
  },
];
const BY_REPLY = "what is refused above, by `reply`";
const ANSWERS = "JetStream's answers, sent to any subject";
const HEARTBEATS = "heartbeats of its consumers, when a lone server restarts";

/** The part of the API's stream info that is used here. */
interface StreamInfo {
  readonly config: unknown;
  readonly state: {
    readonly first_seq: number;
    readonly last_seq: number;
    readonly messages: number;
    readonly subjects?: Readonly<Record<string, number>>;
  };
}

/** One user's connection, and what NATS has refused it. */
class Trial implements AsyncDisposable {
  readonly #connection: NatsConnection;
  readonly #refused = new Set<string>();
  #sentinels = 0;

  static async open(servers: string, user: string): Promise<Trial> {
    return new Trial(await connect({ servers, user, pass: "p" }));
  }

  private constructor(connection: NatsConnection) {
    this.#connection = connection;
    (async () => {
      for await (const status of connection.status()) {
        if (status.type !== "error") continue;
        const { operation, subject } = status.error as Error & { operation?: string; subject?: string };
        this.#refused.add(`${operation === "publish" ? operation : "subscribe"} ${subject}`);
      }
    })();
  }

  /** Tries these, and returns those that NATS refused. */
  async refused(
    attempts: readonly (readonly [Operation, subject: string, reply?: string])[],
  ): Promise<ReadonlySet<string>> {
    this.#refused.clear();
    for (const [operation, subject, reply] of attempts) {
      if (operation === "publish") this.#connection.publish(subject, "", reply === undefined ? {} : { reply });
      else this.#connection.subscribe(subject, { callback: () => {} });
    }
    // nobody may publish there: the server refuses it after all that came before
    const sentinel = `forbidden.${++this.#sentinels}`;
    this.#connection.publish(sentinel);
    await eventually("the last refusal", () => this.#refused.has(`publish ${sentinel}`));
    return new Set(this.#refused);
  }

  /**
   * Has a message delivered to it on `subject` for each of these, with that `reply`, and returns to which of them it
   * may publish then.
   */
  async byReply(sender: Trial, subject: string, targets: readonly string[]): Promise<string[]> {
    let last = false;
    const subscription = this.#connection.subscribe(subject, {
      callback: (_, { reply }) => void (last ||= reply === "last"),
    });
    await this.#connection.flush();
    for (const reply of [...targets, "last"]) sender.#connection.publish(subject, "", { reply });
    await eventually("the last message", () => last);
    const refused = await this.refused(targets.map((target) => ["publish", target]));
    subscription.unsubscribe();
    return targets.filter((target) => !refused.has(`publish ${target}`));
  }

  /** Asks JetStream. */
  async ask<T>(request: string, body: unknown): Promise<T> {
    return (await this.#connection.request(request, JSON.stringify(body), PATIENT)).json<T>();
  }

  /** Makes a request. `reply`: where the answer goes. */
  send(request: string, body: unknown, reply?: string): void {
    const options = reply === undefined ? {} : { reply };
    this.#connection.publish(request, body === "" ? "" : JSON.stringify(body), options);
  }

  /** Asks JetStream for what has to exist. */
  async get<T>(request: string, body: unknown = {}): Promise<T> {
    const answer = await this.ask<T & { error?: unknown }>(`$JS.API.${request}`, body);
    assertEquals(answer.error, undefined, request);
    return answer;
  }

  /** Makes a stream of another program, with subjects of each kind, a message and a consumer. */
  async makeStream(name: string): Promise<void> {
    const subjects = [`${name}.>`, `$KV.${name}.>`, `catga.${name}.>`];
    await this.get(`STREAM.CREATE.${name}`, { name, subjects });
    const config = { name: "reader", durable_name: "reader", ack_policy: "explicit" };
    await this.get(`CONSUMER.CREATE.${name}.reader`, { stream_name: name, config, action: "create" });
    await this.ask(`${name}.kept`, "kept");
  }

  /** Whether there is such a stream. */
  async exists(stream: string): Promise<boolean> {
    return (await this.ask<{ error?: unknown }>(`$JS.API.STREAM.INFO.${stream}`, {})).error === undefined;
  }

  /** How many messages a stream has of each subject. */
  async counts(stream: string): Promise<Readonly<Record<string, number>>> {
    const { state } = await this.get<StreamInfo>(`STREAM.INFO.${stream}`, { subjects_filter: ">" });
    return state.subjects ?? {};
  }

  /** Everything about a stream that a request of the API could change. */
  async stateOf(stream: string): Promise<unknown> {
    if (!await this.exists(stream)) return undefined;
    const { config, state: { first_seq, last_seq, messages } } = await this.get<StreamInfo>(`STREAM.INFO.${stream}`);
    const { consumers } = await this.get<{ consumers: unknown }>(`CONSUMER.NAMES.${stream}`);
    const reader = await this.ask<Record<string, unknown>>(`$JS.API.CONSUMER.INFO.${stream}.reader`, "");
    const { config: settings, delivered, ack_floor, paused } = reader;
    return { config, first_seq, last_seq, messages, consumers, settings, delivered, ack_floor, paused };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}

/** Each row's letters of one user, and the subjects that it may publish to. */
async function measure(url: string, user: DocumentedUser): Promise<{ cells: Map<string, string>; allowed: string[] }> {
  const rows = [...coreRows(user), ...STREAMS, ...REST];
  const attempts = rows.flatMap((row) => row.attempts);
  const tried = attempts.flatMap(([, operation, ...subjects]) =>
    subjects.map((subject) => [operation, subject] as const)
  );
  await using direct = await Trial.open(url, user.name);
  const refused = await direct.refused(tried);
  const may = ([letter, operation, ...subjects]: Attempt): boolean => {
    const allowed = subjects.filter((subject) => !refused.has(`${operation} ${subject}`));
    if (allowed.length === 0) return false;
    assertEquals(allowed, subjects, `${user.name} may ${letter} ${subjects}, or none of them`);
    return true;
  };
  const cells = new Map(rows.map(({ title, attempts }) => {
    const letters = new Set(attempts.filter(may).map(([letter]) => letter));
    return [title, [...letters].join(" ") || "–"];
  }));

  const subjects = (operation: Operation) =>
    new Set(tried.filter(([tried]) => tried === operation).map(([, subject]) => subject));
  const targets = [...subjects("publish")].filter((subject) => refused.has(`publish ${subject}`));
  const heard = [...subjects("subscribe")].filter((subject) => !refused.has(`subscribe ${subject}`));
  // a message of its own, if it may publish where it subscribes; else of somebody else
  const spoken = heard.find((subject) => subjects("publish").has(subject) && !refused.has(`publish ${subject}`));
  // each on a connection of its own: a server that allows responses allows one for each delivery
  await using trial = await Trial.open(url, user.name);
  await using admin = await Trial.open(url, "admin");
  const opened = await trial.byReply(spoken === undefined ? admin : trial, spoken ?? heard[0], targets);
  cells.set(BY_REPLY, opened.length === 0 ? "–" : opened.join(" "));
  return { cells, allowed: [...subjects("publish")].filter((subject) => !refused.has(`publish ${subject}`)) };
}

/** What a request of the API is sent with: so that it succeeds, finds nothing, and is invalid. */
function bodiesOf(request: string): readonly unknown[] {
  const [, verb, stream] = /^\$JS\.API\.([A-Z.]+)\.([^.]+)/.exec(request) ?? [];
  switch (verb) {
    case "STREAM.MSG.GET":
      return ["", { last_by_subj: ">" }, { seq: 1, next_by_subj: ">" }, { seq: 1_000_000_000_000_000 }];
    case "STREAM.MSG.DELETE":
      return ["", { seq: 1_000_000_000_000_000, no_erase: true }];
    case "STREAM.PURGE":
      return ["", { filter: "none" }];
    case "DIRECT.GET":
      return ["", { seq: 1, next_by_subj: ">" }, { seq: 1_000_000_000_000_000, next_by_subj: ">" }];
    case "CONSUMER.CREATE": {
      const [, , , filter] = /^((?:[^.]+\.){5})([^.]+)\.?(.*)$/.exec(request) ?? [];
      const config = { name: "reader", ack_policy: "none", ...(filter ? { filter_subject: filter } : {}) };
      return ["", { stream_name: stream, config, action: "create" }];
    }
    default:
      return [""];
  }
}

/** Every request of the API that does something to a stream and its consumer, or makes one. */
const requestsFor = (stream: string): readonly string[] =>
  [
    ...[...ANY_STREAM, "STREAM.PURGE", "STREAM.MSG.DELETE"].map((verb) => `${verb}.${stream}`),
    ...[...ANY_CONSUMER, "CREATE", "DELETE"].map((verb) => `CONSUMER.${verb}.${stream}.reader`),
    ...[`STREAM.CREATE.${stream}_more`, `CONSUMER.CREATE.${stream}.more`],
  ].map((request) => `$JS.API.${request}`);

/**
 * The letters of the answers that a user has had JetStream send where it may not publish: to all that it may request,
 * into another program's stream, and as requests of the API for another one.
 */
async function answersOf(url: string, { name }: DocumentedUser, allowed: readonly string[]): Promise<string> {
  await using trial = await Trial.open(url, name);
  await using admin = await Trial.open(url, "admin");
  const own = `of_${name.replace(" ", "_")}`;
  for (const stream of [own, `${own}_2`]) await admin.makeStream(stream);
  const before = await admin.stateOf(`${own}_2`);
  const requests = allowed.filter((subject) =>
    /^\$JS\.API\.|^\$KV\.|^catga\.default\.(log|at|entity)\.|^\$SYS\./.test(subject)
  );
  // a stored message that is a request, and the answer to a direct get of none is an empty one
  const stored = { name: `${own}_2_more`, subjects: [`${own}_2_more`] };
  const answers = requests.flatMap((request) =>
    (request.startsWith("$JS.") ? bodiesOf(request) : [stored]).map((body) => ({ request, body }))
  );
  if (answers.length === 0) return "–";
  const kinds = [`$KV.${own}.j`, `catga.${own}.j`, ...answers.keys().map((n) => `${own}.j.${n}`)];
  for (const [n, { request, body }] of answers.entries()) {
    const [first, second, ...each] = kinds;
    const targets = [...requestsFor(`${own}_2`), ...(n === 0 ? [first, second] : []), each[n]];
    for (const target of targets) trial.send(request, body, target);
  }
  await eventually(`${name}: the answers in a stream`, async () => {
    const found = await admin.counts(own);
    return kinds.every((kind) => found[kind] !== undefined);
  });
  const letters = ["j"];
  const direct = requests.find((request) => request.startsWith("$JS.API.DIRECT.GET.catga_default_log."));
  if (direct !== undefined) {
    trial.send(`$JS.API.DIRECT.GET.catga_default_log.${KEPT}`, "", `${own}.m`);
    await eventually(`${name}: a stored message`, async () => (await admin.counts(own))[`${own}.m`] === 1);
    letters.push("m");
  }
  const after = await admin.stateOf(`${own}_2`);
  if (!isDeepStrictEqual(after, before) || await admin.exists(stored.name)) letters.push("x");
  return letters.join(" ");
}

/**
 * Which users have their consumers' heartbeats, which are empty messages, delete another program's stream: it happens
 * when the server restarts, which `restart` does.
 */
async function heartbeatsOf(
  url: string,
  users: readonly { readonly name: string; readonly allowed: readonly string[] }[],
  restart: () => Promise<AsyncDisposable>,
): Promise<ReadonlySet<string>> {
  const deleted = new Set<string>();
  const targets = new Map<string, string>();
  {
    await using admin = await Trial.open(url, "admin");
    for (const { name, allowed } of users) {
      const request = allowed.find((subject) => /^\$JS\.API\.CONSUMER\.CREATE\.\w+\.reader$/.test(subject));
      if (request === undefined) continue;
      const stream = `heard_by_${name.replace(" ", "_")}`;
      await admin.makeStream(stream);
      const config = {
        ...{ name: stream, ack_policy: "none", deliver_subject: `$JS.API.STREAM.DELETE.${stream}` },
        ...{ idle_heartbeat: 100_000_000, inactive_threshold: 3_600_000_000_000 },
      };
      await using trial = await Trial.open(url, name);
      const stream_name = request.split(".")[4];
      trial.send(request.replace(/reader$/, stream), { stream_name, config, action: "create" });
      const made = async () => (await admin.get<{ consumers: string[] }>(`CONSUMER.NAMES.${stream_name}`)).consumers;
      await eventually(`${name}: its consumer`, async () => (await made()).includes(stream));
      targets.set(name, stream);
    }
  }
  await using _ = await restart();
  await using admin = await Trial.open(url, "admin");
  for (const [name, stream] of targets) {
    await eventually(`${name}: the heartbeat`, async () => !await admin.exists(stream));
    deleted.add(name);
  }
  return deleted;
}

/** The configuration of a server with these users, and with one who may do everything. */
function configOf(users: readonly DocumentedUser[]): string {
  const all = users.map(({ name, permissions }) =>
    `{ user: ${JSON.stringify(name)}, password: p, permissions: {\n${permissions}\n} }`
  );
  return `jetstream { strict: true }\nauthorization { users: [\n${all.join("\n")}\n{ user: admin, password: p }\n] }\n`;
}

/** The rows of the table in docs/figures/rights.md, each as its cells. */
async function documented(): Promise<string[][]> {
  const [, table] = /^[^|]*((?:\|.*\n)+)/.exec(await page("figures/rights.md"))!;
  const lines = table.trim().split("\n").filter((line) => !/^\| *-/.test(line));
  return lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

describe("the users that the docs describe", await requireNatsServer(), () => {
  it("can do what docs/figures/rights.md says, and nothing else by `reply`", { timeout: 300_000 }, async () => {
    const users = await documentedUsers();
    const config = configOf(users);
    await using server = await startNatsServer({ config: withoutJetStream(config), jetstream: false });
    await using answering = await startNatsServer({ config });
    const { url, port, storeDir } = answering;
    await prepare(url);
    const rights: (Awaited<ReturnType<typeof measure>> & { readonly name: string })[] = [];
    for (const user of users) {
      const { cells, allowed } = await measure(server.url, user);
      rights.push({ name: user.name, allowed, cells: cells.set(ANSWERS, await answersOf(url, user, allowed)) });
    }
    const heard = await heartbeatsOf(url, rights, async () => {
      await answering.kill("SIGTERM");
      return await startNatsServer({ config, port, storeDir });
    });
    const measured = rights.map(({ name, cells }) => cells.set(HEARTBEATS, heard.has(name) ? "x" : "–"));
    const rows = [...measured[0].keys()].map((title) => [title, ...measured.map((cells) => cells.get(title)!)]);
    const table = [["", ...users.map(({ name }) => `\`${name}\``)], ...rows];
    assertEquals(await documented(), table, table.map((row) => `| ${row.join(" | ")} |`).join("\n"));
  });

  it("could write every subject by `reply` if one of them had allow_responses: why none has", async () => {
    const users = (await documentedUsers()).map((user) => ({
      ...user,
      permissions: `${user.permissions}\nallow_responses: true`,
    }));
    await using server = await startNatsServer({ config: withoutJetStream(configOf(users)), jetstream: false });
    for (const user of users) {
      const opened = (await measure(server.url, user)).cells.get(BY_REPLY)!.split(" ");
      const wanted = ["$JS.API.STREAM.DELETE.KV_catga_default_locks", `catga.default.node.orders-3.n.${OTHER}`];
      assertEquals([user.name, wanted.filter((subject) => !opened.includes(subject))], [user.name, []]);
    }
  });

  it("could administer JetStream by `reply` with a line of DIRECT.GET: why none has one", async () => {
    const users = (await documentedUsers()).filter(({ name }) => name === "orders-1").map((user) => ({
      ...user,
      permissions: user.permissions.replace("allow: [", 'allow: [ "$JS.API.DIRECT.GET.catga_default_log.>"'),
    }));
    const config = configOf([...users, (await documentedUsers()).find(({ name }) => name === "operator")!]);
    await using server = await startNatsServer({ config: withoutJetStream(config), jetstream: false });
    await using answering = await startNatsServer({ config });
    await prepare(answering.url);
    const { allowed } = await measure(server.url, users[0]);
    assertEquals(await answersOf(answering.url, users[0], allowed), "j m x");
  });
});

/** The same, for a server on which nothing happens. */
function withoutJetStream(config: string): string {
  return config.replace(/^jetstream .*\n/, "");
}

/** Has the buckets made, and stores a durable event. */
async function prepare(url: string): Promise<void> {
  await runSetup(url, 'user: operator, password: "p"');
  await using admin = await Trial.open(url, "admin");
  await admin.ask(KEPT, [1, "shop.n", 0, 0, 0, [1]]);
}
