/**
 * The table in docs/figures/rights.md of what each documented user can do: made by trying. A server has the permissions
 * of the pages, and each user publishes and subscribes to a subject of every kind. The server has no JetStream, so that
 * what is allowed does nothing.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { type DocumentedUser, documentedUsers, page } from "./support/documented_users.ts";
import { eventually } from "./support/eventually.ts";

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
  {
    title: "pauses of subscriptions: `sub.set.>`",
    attempts: [
      ["w", "publish", "catga.default.sub.set.shop.billing"],
      ["s", "subscribe", "catga.default.sub.set.shop.billing"],
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
  async refused(attempts: readonly (readonly [Operation, subject: string])[]): Promise<ReadonlySet<string>> {
    this.#refused.clear();
    for (const [operation, subject] of attempts) {
      if (operation === "publish") this.#connection.publish(subject, "");
      else this.#connection.subscribe(subject, { callback: () => {} });
    }
    // nobody may publish there: the server refuses it after all that came before
    const sentinel = `forbidden.${++this.#sentinels}`;
    this.#connection.publish(sentinel);
    await eventually("the last refusal", () => this.#refused.has(`publish ${sentinel}`));
    return new Set(this.#refused);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}

/** Each row's letters of one user. */
async function measure(url: string, user: DocumentedUser): Promise<ReadonlyMap<string, string>> {
  const rows = [...coreRows(user), ...STREAMS, ...REST];
  const attempts = rows.flatMap((row) => row.attempts);
  const tried = attempts.flatMap(([, operation, ...subjects]) =>
    subjects.map((subject) => [operation, subject] as const)
  );
  await using trial = await Trial.open(url, user.name);
  const refused = await trial.refused(tried);
  const may = ([letter, operation, ...subjects]: Attempt): boolean => {
    const allowed = subjects.filter((subject) => !refused.has(`${operation} ${subject}`));
    if (allowed.length === 0) return false;
    assertEquals(allowed, subjects, `${user.name} may ${letter} ${subjects}, or none of them`);
    return true;
  };
  return new Map(rows.map(({ title, attempts }) => {
    const letters = new Set(attempts.filter(may).map(([letter]) => letter));
    return [title, [...letters].join(" ") || "–"];
  }));
}

/** The configuration of a server with these users. */
function configOf(users: readonly DocumentedUser[]): string {
  const all = users.map(({ name, permissions }) =>
    `{ user: ${JSON.stringify(name)}, password: p, permissions: {\n${permissions}\n} }`
  );
  return `authorization { users: [\n${all.join("\n")}\n] }\n`;
}

/** The rows of the table in docs/figures/rights.md, each as its cells. */
async function documented(): Promise<string[][]> {
  const [, table] = /^[^|]*((?:\|.*\n)+)/.exec(await page("figures/rights.md"))!;
  const lines = table.trim().split("\n").filter((line) => !/^\| *-/.test(line));
  return lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

describe("the users that the docs describe", await requireNatsServer(), () => {
  it("can do what docs/figures/rights.md says", { timeout: 300_000 }, async () => {
    const users = await documentedUsers();
    await using server = await startNatsServer({ config: configOf(users), jetstream: false });
    const measured: ReadonlyMap<string, string>[] = [];
    for (const user of users) measured.push(await measure(server.url, user));
    const rows = [...measured[0].keys()].map((title) => [title, ...measured.map((cells) => cells.get(title)!)]);
    const table = [["", ...users.map(({ name }) => `\`${name}\``)], ...rows];
    assertEquals(await documented(), table, table.map((row) => `| ${row.join(" | ")} |`).join("\n"));
  });

  it("have no `allow_responses`, and but for an operator no stream to create, to update or to delete", async () => {
    const users = await documentedUsers();
    assertEquals(users.filter(({ permissions }) => permissions.includes("allow_responses")), []);
    const managing = users.filter(({ permissions }) => /STREAM\.(?:CREATE|UPDATE|DELETE|RESTORE)\b/.test(permissions));
    assertEquals(managing.map(({ name }) => name), ["operator"]);
    assertEquals(users.filter(({ permissions }) => permissions.includes("$JS.API.DIRECT.GET")), []);
  });
});
