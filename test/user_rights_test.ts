/**
 * The table in docs/security.md of what each documented user can do: made by trying. A server has the permissions of the pages, and
 * each user publishes and subscribes to a subject of every kind, and tries what it is refused once more by the `reply` of a
 * message. That server has no JetStream, so that what is allowed does nothing. On one that has it, each user has JetStream send
 * its answers into a stream.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { type DocumentedUser, documentedUsers, page } from "./support/documented_users.ts";
import { eventually } from "./support/eventually.ts";
import { PATIENT } from "./support/patient.ts";
import { runSetup } from "./support/run_setup.ts";

type Operation = "publish" | "subscribe";
/** Something that a user tries: with the letter that stands for it in the table, which is that of all its subjects or of none. */
type Attempt = readonly [letter: string, operation: Operation, ...subjects: string[]];

const BUCKETS = ["nodes", "locks", "idempotency", "cache", "subscriptions", "parked", "snapshots"];
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
const names = [...BUCKETS.map((name) => `KV_catga_default_${name}`), "catga_default_log", "catga_default_entities"];
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

  /** Has a message delivered to it on `subject` for each of these, with that `reply`, and returns to which of them it may publish then. */
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

  /** Makes a stream of another program, with the subjects below its name. */
  async makeStream(name: string): Promise<void> {
    const made = await this.ask<{ error?: unknown }>(`$JS.API.STREAM.CREATE.${name}`, {
      name,
      subjects: [`${name}.>`],
    });
    assertEquals(made.error, undefined);
  }

  /** Whether there is such a stream. */
  async exists(stream: string): Promise<boolean> {
    return (await this.ask<{ error?: unknown }>(`$JS.API.STREAM.INFO.${stream}`, {})).error === undefined;
  }

  /** The last message of a subject; `undefined` if there is none. */
  async last(stream: string, subject: string): Promise<unknown> {
    const found = await this.ask<{ message?: unknown }>(`$JS.API.STREAM.MSG.GET.${stream}`, { last_by_subj: subject });
    return found.message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}

/** Each row's letters, of one user. */
async function measure(url: string, user: DocumentedUser): Promise<Map<string, string>> {
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
  return cells.set(BY_REPLY, opened.length === 0 ? "–" : opened.join(" "));
}

/**
 * The letters of the answers that a user has had JetStream send where it may not publish: of a stream's state and of a message, which
 * another program's bucket stores, and an empty one, which is a request to delete another program's stream.
 */
async function answersOf(url: string, { name }: DocumentedUser): Promise<string> {
  await using trial = await Trial.open(url, name);
  await using admin = await Trial.open(url, "admin");
  const own = `foreign_${name.replace(" ", "_")}`;
  await admin.makeStream(own);
  const log = "$JS.API.DIRECT.GET.catga_default_log.catga.default.log";
  const stored = async (subject: string) => (await admin.last(own, subject)) !== undefined;
  const answers = [
    ["j", "$JS.API.STREAM.INFO.KV_catga_default_nodes", `${own}.j`, () => stored(`${own}.j`)],
    ["m", `${log}.Kept`, `${own}.m`, () => stored(`${own}.m`)],
    ["x", `${log}.Nothing`, `$JS.API.STREAM.DELETE.${own}`, async () => !(await admin.exists(own))],
  ] as const;
  let letters = "";
  for (const [letter, request, reply, happened] of answers) {
    const refused = await trial.refused([["publish", request, reply]]);
    if (refused.has(`publish ${request}`)) continue;
    await eventually(`${name}: an answer to ${reply}`, happened);
    letters += ` ${letter}`;
  }
  return letters.trim() || "–";
}

/** The configuration of a server with these users, and with one who may do everything. */
function configOf(users: readonly DocumentedUser[]): string {
  const all = users.map(({ name, permissions }) =>
    `{ user: ${JSON.stringify(name)}, password: p, permissions: {\n${permissions}\n} }`
  );
  return `authorization { users: [\n${all.join("\n")}\n{ user: admin, password: p }\n] }\n`;
}

/** The rows of the table in docs/security.md, each as its cells. */
async function documented(): Promise<string[][]> {
  const [, table] = /### What each user can do\n[^|]*((?:\|.*\n)+)/.exec(await page("security"))!;
  const lines = table.trim().split("\n").filter((line) => !/^\| *-/.test(line));
  return lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

describe("the users that the docs describe", await requireNatsServer(), () => {
  it("can do what the table of docs/security.md says, and nothing else by `reply`", { timeout: 300_000 }, async () => {
    const users = await documentedUsers();
    const config = configOf(users);
    await using server = await startNatsServer({ config, jetstream: false });
    await using answering = await startNatsServer({ config });
    await prepare(answering.url);
    const measured: Map<string, string>[] = [];
    for (const user of users) {
      const cells = await measure(server.url, user);
      measured.push(cells.set(ANSWERS, await answersOf(answering.url, user)));
    }
    const rows = [...measured[0].keys()].map((title) => [title, ...measured.map((cells) => cells.get(title)!)]);
    const table = [["", ...users.map(({ name }) => `\`${name}\``)], ...rows];
    assertEquals(await documented(), table, table.map((row) => `| ${row.join(" | ")} |`).join("\n"));
  });

  it("could write every subject by `reply` if one of them had allow_responses: why none has", async () => {
    const users = (await documentedUsers()).map((user) => ({
      ...user,
      permissions: `${user.permissions}\nallow_responses: true`,
    }));
    await using server = await startNatsServer({ config: configOf(users), jetstream: false });
    for (const user of users) {
      const opened = (await measure(server.url, user)).get(BY_REPLY)!.split(" ");
      const wanted = ["$JS.API.STREAM.DELETE.KV_catga_default_locks", `catga.default.node.orders-3.n.${OTHER}`];
      assertEquals([user.name, wanted.filter((subject) => !opened.includes(subject))], [user.name, []]);
    }
  });
});

/** Has the buckets made, and stores a durable event. */
async function prepare(url: string): Promise<void> {
  await runSetup(url, 'user: operator, password: "p"');
  await using admin = await Trial.open(url, "admin");
  await admin.ask(KEPT, [1, "shop.n", 0, 0, 0, [1]]);
}
