/**
 * The permissions of docs/nats.conf are enough, and each of them is needed: a server runs with that file, and
 * then with one line of it missing.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { readFile } from "node:fs/promises";
import { after, describe, it } from "node:test";
import { type Catga, catga, type CatgaOptions, command, event, type Logger, query } from "../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { LEAVE } from "../src/cluster/cluster.ts";
import { CatgaError, isCatgaError } from "../src/error.ts";
import { chances } from "./support/chances.ts";
import { eventually } from "./support/eventually.ts";
import { ofThisRuntime } from "./support/of_this_runtime.ts";
import { runSetup } from "./support/run_setup.ts";
import { isOfLateStore, PATIENT } from "./support/patient.ts";
import { fillStore, SMALL_STORE } from "./support/small_store.ts";

const Pay = command<number, string>("Pay", { idempotent: true });
const Paid = event<number>("Paid");
const Kept = event<number>("Kept", { durable: true });

const CONFIG = await readFile(new URL("../docs/nats.conf", import.meta.url), "utf8");
const USERS = ["operator", "orders-1", "gateway-1", "shell"] as const;
type User = typeof USERS[number];
/** How many features are tried at once. */
const AT_ONCE = 6;
const LEFT = "a consumer was left behind";
const LATE = "the record was left to expire";

/** The part of the configuration that is one user's. */
function blockOf(user: User): string {
  const [, block] = new RegExp(`( {4}\\{\\n {6}user: ${user},[\\s\\S]*?\\n {4}\\}\\n)`).exec(CONFIG)!;
  return block;
}

/** The lines of a user's block, each with the permission that it gives: `publish catga.>`, for instance. */
function linesOf(user: User): { line: string; permission: string | undefined }[] {
  let operation = "";
  return blockOf(user).split("\n").map((line) => {
    operation = /^\s+(publish|subscribe): \{/.exec(line)?.[1] ?? operation;
    const [, quoted] = /^\s+"([^"]+)"/.exec(line) ?? [];
    return { line, permission: quoted && `${operation} ${quoted}` };
  });
}

/** The page's configuration without a permission, with a second node, and with one who may everything. */
function configWithout(user: User, missing: string | undefined, small: boolean): string {
  // an empty list would allow everything
  const less = linesOf(user).map(({ line, permission }) =>
    permission === undefined || permission !== missing ? line : '"nothing"'
  );
  const second = blockOf("orders-1").replaceAll("orders-1", "orders-2");
  const block = less.join("\n");
  const config = small ? CONFIG.replace(/^jetstream \{.*\}$/m, SMALL_STORE) : CONFIG;
  return config.replace(blockOf(user), () => `${block}${second}    { user: admin, password: admin }\n`);
}

/** A server with such a configuration, and its users. */
class Stage implements AsyncDisposable {
  readonly #server: NatsServer;
  readonly #open: AsyncDisposable[] = [];
  /** What the nodes have logged. */
  readonly log: string[] = [];
  /** What was paid: called for each command, and decides when it ends. */
  pay: () => Promise<void> | void = () => {};
  readonly heard: number[] = [];
  /** What was handled of the log, and how often it is to fail first. */
  readonly kept: number[] = [];
  failures = 0;
  /** Decides when its handler ends. */
  keep: () => Promise<void> | void = () => {};
  #closed = false;
  readonly #waits: Promise<unknown>[] = [];
  readonly #made = new Set<string>();
  readonly #removed = new Set<string>();
  #watcher: NatsConnection | undefined;

  private constructor(server: NatsServer) {
    this.#server = server;
  }

  /** For one feature, without a permission. */
  static async open(user: User, feature: string, permission?: string): Promise<Stage> {
    const config = configWithout(user, permission, needsFullStore(feature));
    const stage = new Stage(await startNatsServer({ config }));
    // nodes may not create buckets; the operator's permissions have tests of their own
    if (user !== "operator") await stage.setUp();
    if (feature.startsWith("leave no")) await stage.#watchConsumers();
    return stage;
  }

  #address(user: string) {
    const pass = new RegExp(`user: ${user.replace("-2", "-1")}, password: "(.*)"`).exec(CONFIG)?.[1] ?? user;
    return {
      servers: this.#server.url,
      user,
      pass: pass.replace("-1", user.endsWith("-2") ? "-2" : "-1"),
      ...(user === "admin" ? {} : { inboxPrefix: user === "shell" ? "_REPLY.default.shell" : `_INBOX_${user}` }),
    };
  }

  /** Has the operator make the buckets. */
  setUp(): Promise<void> {
    return runSetup(this.#server.url, CONFIG);
  }

  /** Starts a node of that user's. */
  async start(user: string, options: CatgaOptions = {}): Promise<Catga> {
    const write = (text: string) => void this.log.push(text);
    const logger: Logger = { debug() {}, info() {}, warn: write, error: write };
    const handlers = user.startsWith("orders") ? { handlers: this.#handlers() } : {};
    const service = user.split("-")[0];
    const app = await catga({ nats: this.#address(user), id: user, service, logger, ...handlers, ...options });
    this.#open.push(app);
    return app;
  }

  /** A node that handles what is kept, as well. */
  startLog(user: string, options: CatgaOptions = {}): Promise<Catga> {
    const kept = Kept.on(async (n) => {
      if (this.failures-- > 0) throw new Error("not yet");
      await this.keep();
      this.kept.push(n);
    }, { name: "kept", from: "start", retry: { attempts: 2, delay: [1, 1] } });
    return this.start(user, { handlers: [...this.#handlers(), kept], ...options });
  }

  #handlers() {
    return [
      Pay.handle(async (_, ctx) => {
        await this.pay();
        return ctx.node;
      }),
      Paid.on((amount) => void this.heard.push(amount)),
    ];
  }

  /** A connection of nats.js. */
  async client(user: string): Promise<NatsConnection> {
    const client = await connect(this.#address(user));
    this.#open.push({ [Symbol.asyncDispose]: () => client.close() });
    return client;
  }

  /** As {@link eventually}, for a wait that may be raced by another: the end of the stage ends it. */
  until<T>(what: string, ask: () => T | Promise<T>, limit?: number): Promise<T | string> {
    const waiting = eventually<T | string>(what, () => this.#closed ? "the test is over" : ask(), limit);
    this.#waits.push(waiting);
    return waiting;
  }

  /** Resolves with that warning when there is one. */
  async warned(what: RegExp): Promise<string> {
    const warning = () => this.log.find((line) => what.test(line));
    return await this.until(`a warning ${what}`, warning) as string; // `warning` returns the text once it is there
  }

  /** "ok" when a node has handled it, or what NATS refused. */
  async handled(n: number): Promise<string> {
    const handled = this.until(`${n} to be handled`, () => this.kept.includes(n)).then(() => "ok");
    return await Promise.race([handled, this.warned(/not let this node publish to /)]);
  }

  /**
   * Notes from now on which consumers are asked for, and whose removal: those that are not removed expire after 5 s.
   */
  async #watchConsumers(): Promise<void> {
    const admin = this.#watcher = await this.client("admin");
    const note = (names: Set<string>) => (_: unknown, { subject }: { subject: string }) => {
      const [, , , , stream, name] = subject.split(".");
      names.add(`${stream} ${name}`);
    };
    admin.subscribe("$JS.API.CONSUMER.CREATE.>", { callback: note(this.#made) });
    admin.subscribe("$JS.API.CONSUMER.DELETE.>", { callback: note(this.#removed) });
    await admin.flush();
  }

  /** Resolves with true if the stream has a consumer. */
  async watches(stream: string): Promise<boolean> {
    const admin = await this.client("admin");
    const answer = await admin.request(`$JS.API.CONSUMER.NAMES.${stream}`, "{}", PATIENT);
    return answer.json<{ total: number }>().total > 0;
  }

  /** "ok" if the stream has no consumer any more, and each was removed, else the reason. */
  async consumersOf(bucket: string, prefix = "KV_"): Promise<string> {
    const stream = `${prefix}${bucket}`;
    await eventually("no consumers", async () => !await this.watches(stream));
    await this.#watcher!.flush();
    const made = [...this.#made].filter((name) => name.startsWith(`${stream} `));
    assertGreater(made.length, 0);
    return made.every((name) => this.#removed.has(name)) ? "ok" : LEFT;
  }

  /** Takes all room away that the server has left. */
  async fill(): Promise<void> {
    await fillStore(await this.client("admin"));
  }

  /** "ok" when nothing is left in a bucket, or why not. */
  async emptied(name: string): Promise<string> {
    const admin = await this.client("admin");
    const gone = this.until("the entry to go", async () => {
      const answer = await admin.request(`$JS.API.STREAM.INFO.KV_catga_default_${name}`, "", PATIENT);
      return answer.json<{ state: { messages: number } }>().state.messages === 0;
    }).then(() => "ok");
    return await Promise.race([gone, this.warned(new RegExp(`publish to .*KV_catga_default_${name}`))]);
  }

  async [Symbol.asyncDispose]() {
    this.#closed = true;
    for (const opened of this.#open.reverse()) await opened[Symbol.asyncDispose]();
    await this.#server.stop();
    await Promise.allSettled(this.#waits);
  }
}

/** What a user does, one thing at a time: "ok", or what went wrong. */
type Feature = (stage: Stage, user: string) => Promise<string>;

/** "ok" if it resolves with the wanted value. */
async function outcome(work: Promise<unknown>, wanted?: unknown): Promise<string> {
  try {
    const value = await work;
    return wanted === undefined || JSON.stringify(value) === JSON.stringify(wanted) ? "ok" : JSON.stringify(value);
  } catch (error) {
    return isCatgaError(error) ? `${error.code} ${error.message}` : String(error);
  }
}

/** "ok" if it is stored. */
async function stored(published: Promise<{ readonly error?: CatgaError | undefined }>): Promise<string> {
  const { error } = await published;
  return error === undefined ? "ok" : `${error.code} ${error.message}`;
}

/**
 * What it said on a server of its own, and what nodes have logged by then. Leases are not renewed in a full store, a
 * node that drains before its watch is made leaves that behind, and one whose store is slow leaves its record: on a
 * busy machine there are further chances.
 */
async function attempt(feature: string, user: User, permission?: string) {
  return await chances(
    5,
    async () => {
      await using stage = await Stage.open(user, feature, permission);
      let what = "";
      const failed = await outcome(FEATURES[feature](stage, user).then((said) => what = said));
      return { said: failed === "ok" ? what : failed, log: [...stage.log] };
    },
    ({ said, log }) =>
      needsFullStore(feature)
        ? said !== LATE && !log.some((line) => line.includes("leading of subscription"))
        : said !== LEFT || permission !== undefined,
  );
}

/** What an attempt has shown, and what nodes have logged. */
type Attempt = Awaited<ReturnType<typeof attempt>>;

/** Attempts that begin when the first of them is asked for: so many at once, because most of them wait. */
class Attempts implements AsyncDisposable {
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #workers: Promise<void>[] = [];

  /** Adds one; returns what asks for it. Those that take longest, in a store that is full, begin first. */
  add(feature: string, user: User, permission?: string): () => Promise<Attempt> {
    const { promise, resolve, reject } = Promise.withResolvers<Attempt>();
    promise.catch(() => {}); // who asks for it gets the error
    const begin = () => attempt(feature, user, permission).then(resolve, reject);
    if (needsFullStore(feature)) this.#waiting.unshift(begin);
    else this.#waiting.push(begin);
    return () => {
      while (this.#workers.length < AT_ONCE) this.#workers.push(this.#work());
      return promise;
    };
  }

  async #work(): Promise<void> {
    for (let begin = this.#waiting.shift(); begin !== undefined; begin = this.#waiting.shift()) await begin();
  }

  /** Begins no more of them, and waits for those that have begun. */
  async [Symbol.asyncDispose]() {
    this.#waiting.length = 0;
    await Promise.all(this.#workers);
  }
}

/** Such features get a server that is soon full. */
function needsFullStore(feature: string): boolean {
  return feature.endsWith("when the store is full");
}

const FEATURES: Record<string, Feature> = {
  "make the buckets": (stage) => outcome(stage.setUp()),
  start: (stage, user) => outcome(stage.start(user)),
  "take over the id of a dead process": async (stage, user) => {
    await (await stage.start(user)).drain();
    const admin = await stage.client("admin");
    const record = { ...(await stage.start("orders-2")).self, id: user, endpoint: `${user}.dead` };
    await admin.request(`$KV.catga_default_nodes.${user}`, JSON.stringify(record), PATIENT);
    return await outcome(stage.start(user));
  },
  "leave nothing behind": async (stage, user) => {
    await (await stage.start(user)).drain();
    return await stage.consumersOf("catga_default_nodes");
  },
  "join a large cluster": async (stage, user) => {
    await (await stage.start(user)).drain();
    const admin = await stage.client("admin");
    // 4 MB: so much that the server asks whether it has arrived
    for (let n = 0; n < 8; n++) await admin.request(`$KV.catga_default_nodes.x${n}`, "x".repeat(500_000), PATIENT);
    await (await stage.start(user)).drain();
    return stage.log.find((line) => line.includes("$JS.FC")) ?? "ok";
  },
  send: async (stage, user) => {
    await stage.start("orders-2");
    const app = await stage.start(user);
    return await outcome(app.send(Pay, 1, { node: "orders-2" }), { ok: true, value: "orders-2" });
  },
  broadcast: async (stage, user) => {
    await stage.start("orders-2");
    const app = await stage.start(user);
    const answers = await app.broadcast(Pay, 1, { id: "all" });
    const nodes = app.nodes().filter(({ handles }) => handles.includes("Pay")).map(({ id }) => id);
    return await outcome(Promise.resolve(answers.map(({ result }) => result.value)), nodes);
  },
  watchNodes: async (stage, user) => {
    const app = await stage.start(user);
    const changes = app.watchNodes();
    await stage.start("orders-2");
    const { value } = await changes.next();
    return await outcome(Promise.resolve([value.type, value.node.id]), ["join", "orders-2"]);
  },
  publish: async (stage, user) => {
    await stage.start("orders-2", { service: "others" });
    const app = await stage.start(user);
    await app.publish(Paid, 7);
    const heard = stage.until("the event", () => stage.heard.includes(7), 20_000).then(() => "ok");
    return await Promise.race([heard, stage.warned(/not let this node publish to catga\.default\.event\.Paid/)]);
  },
  "publish a durable event": async (stage, user) => {
    const app = await stage.start(user);
    return await stored(app.publish(Kept, 1, { timeout: 20_000 }));
  },
  "handle a durable event": async (stage, user) => {
    const app = await stage.startLog(user);
    const published = await stored(app.publish(Kept, 1, { timeout: 20_000 }));
    return published === "ok" ? await stage.handled(1) : published;
  },
  "go on after a restart": async (stage, user) => {
    const first = await stage.startLog(user);
    await first.publish(Kept, 1);
    const handled = await stage.handled(1);
    await first.drain();
    if (handled !== "ok") return handled;
    const again = await stage.startLog(user);
    await again.publish(Kept, 2);
    return await stage.handled(2);
  },
  "schedule and unschedule": async (stage, user) => {
    const app = await stage.start(user, { timeout: 20_000 });
    const scheduled = await stored(app.publish(Kept, 1, { delay: 3_600_000, id: "later" }));
    return scheduled === "ok" ? await outcome(app.unschedule(Kept, "later"), true) : scheduled;
  },
  "park, and replay a dead letter": async (stage, user) => {
    stage.failures = 2;
    const app = await stage.startLog(user);
    await app.publish(Kept, 1);
    const dead = async () => (await app.subscriptions()).some(({ dead }) => dead === 1);
    const refused = stage.warned(/not let this node publish to .*catga_default_(?:subscriptions|log)/);
    const found = await Promise.race([stage.until("a dead letter", dead, 20_000).then(() => "ok"), refused]);
    if (found !== "ok") return found;
    for await (const letter of app.deadLetters()) await letter.replay();
    return await stage.handled(1);
  },
  "see how subscriptions stand": async (stage, user) => {
    const app = await stage.startLog(user);
    await app.publish(Kept, 1);
    await stage.handled(1);
    return await outcome(app.subscriptions().then((all) => all.map(({ name }) => name)), ["kept"]);
  },
  "rewind to a time": async (stage, user) => {
    const app = await stage.startLog(user);
    await app.publish(Kept, 1);
    await stage.handled(1);
    stage.kept.length = 0;
    const rewound = await outcome(app.rewind("kept", new Date(0)));
    return rewound === "ok" ? await stage.handled(1) : rewound;
  },
  "take over what another node has left": async (stage, user) => {
    const other = await stage.startLog("orders-2");
    await other.publish(Kept, 1);
    await stage.handled(1);
    const app = await stage.startLog(user);
    await eventually("each other", () => app.nodes().length === 2);
    await other.drain();
    await app.publish(Kept, 2);
    return await stage.handled(2);
  },
  "leave no reader of the log behind": async (stage, user) => {
    const app = await stage.startLog(user);
    await app.publish(Kept, 1);
    await stage.handled(1);
    await app.drain();
    return await stage.consumersOf("catga_default_log", "");
  },
  "leave no reader of subscriptions behind": async (stage, user) => {
    const app = await stage.startLog(user);
    await app.publish(Kept, 1);
    await stage.handled(1);
    await app.drain();
    return await stage.consumersOf("catga_default_subscriptions", "");
  },
  // a leader does so 3 minutes later
  "erase what is no longer needed of subscriptions": async (stage, user) => {
    const client = await stage.client(user);
    const purge = client.request("$JS.API.STREAM.PURGE.catga_default_subscriptions", "", PATIENT);
    return await outcome(purge.then((answer) => answer.json<{ success?: boolean }>().success), true);
  },
  "answer a plain request": async (stage, user) => {
    await stage.start(user);
    const shell = await stage.client("shell");
    const asked = outcome(shell.request("catga.default.call.Pay", "1", PATIENT).then((answer) => answer.json()), user);
    return await Promise.race([asked, stage.warned(/not let this node publish to _REPLY\.default\.shell/)]);
  },
  "be listed": async (stage, user) => {
    await stage.start(user);
    const shell = await stage.client("shell");
    return await outcome(
      shell.request("$SRV.PING", "", PATIENT).then((answer) => answer.json<{ id: string }>().id),
      user,
    );
  },
  lock: async (stage, user) => {
    const app = await stage.start(user);
    return await outcome(app.lock("a").then((lock) => lock.release()));
  },
  "wait for a lock": async (stage, user) => {
    const app = await stage.start(user);
    await (await app.lock("a")).release();
    const other = await stage.start("orders-2");
    const held = await other.lock("a");
    const waiting = outcome(app.lock("a", { timeout: 10_000 }).then((lock) => lock.release()));
    const refused = stage.warned(/not let this node publish to .*KV_catga_default_locks/);
    await eventually("a waiter, or a refusal", async () => {
      const admin = await stage.client("admin");
      const { state } = (await admin.request("$JS.API.STREAM.INFO.KV_catga_default_locks", "", PATIENT)).json<
        { state: { num_subjects: number } }
      >();
      return state.num_subjects > 1 || stage.log.length > 0;
    });
    await held.release();
    return await Promise.race([waiting, refused]);
  },
  "leave no watch of locks behind": async (stage, user) => {
    const app = await stage.start(user);
    const other = await stage.start("orders-2");
    const held = await other.lock("a");
    const waiting = app.lock("a", { timeout: 60_000 });
    // a node that ends while its watch is being made cannot remove it
    await eventually("a watch", () => stage.watches("KV_catga_default_locks"));
    await held.release();
    await (await waiting).release();
    await app.drain();
    await other.drain();
    return await stage.consumersOf("catga_default_locks");
  },
  lead: async (stage, user) => {
    const app = await stage.start(user);
    const leading = Promise.withResolvers<void>();
    await using _ = app.lead("billing", () => leading.resolve());
    return await outcome(leading.promise);
  },
  "idempotent commands": async (stage, user) => {
    const app = await stage.start(user);
    const result = await app.send(Pay, 1, { id: "once" });
    return await outcome(Promise.resolve(result.error === undefined ? "ok" : Promise.reject(result.error)));
  },
  "wait for the result of another node": async (stage, user) => {
    const app = await stage.start(user);
    const other = await stage.start("orders-2");
    const began = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    stage.pay = () => (began.resolve(), end.promise);
    const first = other.send(Pay, 1, { id: "once", node: "orders-2" });
    await began.promise;
    const second = app.send(Pay, 1, { id: "once", node: user });
    const refused = stage.warned(/not let this node publish to .*KV_catga_default_idempotency/);
    const waits = async () => await stage.watches("KV_catga_default_idempotency") || stage.log.length > 0;
    await eventually("it to wait, or a refusal", waits);
    end.resolve();
    await first;
    return await Promise.race([second.then(({ value, error }) => value === "orders-2" ? "ok" : `${error}`), refused]);
  },
  "leave no watch of claims behind": async (stage, user) => {
    const waited = await FEATURES["wait for the result of another node"](stage, user);
    assertMatch(waited, /^ok$|CONSUMER\.DELETE/);
    return await stage.consumersOf("catga_default_idempotency");
  },
  cache: async (stage, user) => {
    const app = await stage.start(user);
    await app.cache.set("k", 1);
    return await outcome(app.cache.get("k"), 1);
  },
  "delete from the cache": async (stage, user) => {
    const app = await stage.start(user);
    await app.cache.set("k", 1);
    return await outcome(app.cache.delete("k"));
  },
  "leave when the store is full": async (stage, user) => {
    const app = await stage.start(user);
    await stage.fill();
    const began = performance.now();
    await app.drain();
    return performance.now() - began < LEAVE ? await stage.emptied("nodes") : LATE;
  },
  "release a lock when the store is full": async (stage, user) => {
    const app = await stage.start(user);
    const lock = await app.lock("a");
    await stage.fill();
    await lock.release();
    return await stage.emptied("locks");
  },
  "free a claim when the store is full": async (stage, user) => {
    const app = await stage.start(user);
    stage.pay = async () => {
      await stage.fill();
      throw new CatgaError("BUSY", "not now", { retryable: true });
    };
    await app.send(Pay, 1, { id: "once", node: user, retries: 0, timeout: 60_000 });
    return await stage.emptied("idempotency");
  },
  "delete from the cache when the store is full": async (stage, user) => {
    const app = await stage.start(user);
    await app.cache.set("k", 1);
    await stage.fill();
    return await outcome(app.cache.delete("k"));
  },
  "call with its own hands": async (stage, user) => {
    await stage.start("orders-2");
    const client = await stage.client(user);
    return await outcome(
      client.request("catga.default.call.Pay", "1", PATIENT).then((answer) => answer.json()),
      "orders-2",
    );
  },
  "list services": async (stage, user) => {
    await stage.start("orders-2");
    const client = await stage.client(user);
    return await outcome(
      client.request("$SRV.PING", "", PATIENT).then((answer) => answer.json<{ id: string }>().id),
      "orders-2",
    );
  },
};

/** What fails without a permission. */
type Need = readonly [permission: string, feature: string, how: RegExp];

const bucket = (name: string, needs: Record<string, [feature: string, how?: RegExp]>): Need[] =>
  Object.entries(needs).map(([subject, [feature, how]]) => {
    const permission = subject.replace("*", `catga_default_${name}`);
    return [`publish ${permission}`, feature, how ?? new RegExp(`publish to .*catga_default_${name}`)];
  });

const NODES = bucket("nodes", {
  "$KV.*.>": ["start"],
  "$JS.API.STREAM.INFO.KV_*": ["start"],
  "$JS.API.STREAM.MSG.DELETE.KV_*": ["leave when the store is full"],
  "$JS.API.STREAM.MSG.GET.KV_*": ["take over the id of a dead process"],
  "$JS.API.CONSUMER.CREATE.KV_*.>": ["start"],
  "$JS.API.CONSUMER.DELETE.KV_*.>": ["leave nothing behind", /left behind/],
});
const FRAMES = (user: User): Need[] => [
  [`publish catga.default.node.*.*.${user}.*`, "start", /may not publish to catga\.default\.node\./],
  [`subscribe catga.default.node.${user}.>`, "start", /may not subscribe to catga\.default\.node\./],
  [`subscribe catga.default.bounce.${user}.>`, "start", /may not subscribe to catga\.default\.bounce\./],
  [`subscribe _INBOX_${user}.>`, "start", /may not subscribe to _INBOX_/],
];

const FLOW: readonly Need[] = [["publish $JS.FC.>", "join a large cluster", /publish to \$JS\.FC/]];

/** Publishing what is kept. */
const PUBLISHING: readonly Need[] = [
  ["publish catga.default.log.>", "publish a durable event", /publish to catga\.default\.log\.Kept/],
  ["publish $JS.API.STREAM.INFO.catga_default_log", "publish a durable event", /STREAM\.INFO\.catga_default_log/],
];

const LOG = "publish to .*catga_default_log";
const SUBSCRIPTIONS = "publish to .*catga_default_subscriptions";
/** Handling it, and schedules. */
const HANDLING: readonly Need[] = [
  ["publish catga.default.at.>", "schedule and unschedule", /publish to catga\.default\.at\.Kept\.later/],
  ["publish $JS.API.STREAM.MSG.GET.catga_default_log", "schedule and unschedule", new RegExp(LOG)],
  ["publish $JS.API.CONSUMER.CREATE.catga_default_log.>", "handle a durable event", new RegExp(LOG)],
  ["publish $JS.API.CONSUMER.DELETE.catga_default_log.>", "leave no reader of the log behind", /left behind/],
  ["publish catga.default.sub.>", "handle a durable event", /publish to .*catga\.default\.sub/],
  ["publish $JS.API.STREAM.INFO.catga_default_subscriptions", "handle a durable event", new RegExp(SUBSCRIPTIONS)],
  ["publish $JS.API.STREAM.MSG.GET.catga_default_subscriptions", "handle a durable event", new RegExp(SUBSCRIPTIONS)],
  [
    "publish $JS.API.STREAM.PURGE.catga_default_subscriptions",
    "erase what is no longer needed of subscriptions",
    /Permissions Violation for Publish/i,
  ],
  [
    "publish $JS.API.CONSUMER.CREATE.catga_default_subscriptions.>",
    "handle a durable event",
    new RegExp(SUBSCRIPTIONS),
  ],
  [
    "publish $JS.API.CONSUMER.DELETE.catga_default_subscriptions.>",
    "leave no reader of subscriptions behind",
    /left behind/,
  ],
];

const NEEDS: Record<User, readonly Need[]> = {
  operator: [
    ...["nodes", "locks", "idempotency", "cache", "snapshots"].flatMap((name) =>
      bucket(name, {
        "$JS.API.STREAM.INFO.KV_*": ["make the buckets"],
        "$JS.API.STREAM.CREATE.KV_*": ["make the buckets"],
      })
    ),
    ["publish $JS.API.STREAM.INFO.catga_default_log", "make the buckets", /STREAM\.INFO\.catga_default_log/],
    ["publish $JS.API.STREAM.CREATE.catga_default_log", "make the buckets", /STREAM\.CREATE\.catga_default_log/],
    ["publish $JS.API.STREAM.INFO.catga_default_entities", "make the buckets", /STREAM\.INFO\.catga_default_entities/],
    [
      "publish $JS.API.STREAM.CREATE.catga_default_entities",
      "make the buckets",
      /STREAM\.CREATE\.catga_default_entities/,
    ],
    ...["INFO", "CREATE"].map((operation): Need => [
      `publish $JS.API.STREAM.${operation}.catga_default_subscriptions`,
      "make the buckets",
      new RegExp(`STREAM\\.${operation}\\.catga_default_subscriptions`),
    ]),
    ["publish $SYS.REQ.USER.INFO", "make the buckets", /USER\.INFO/],
    ["subscribe _INBOX.>", "make the buckets", /subscribe to _INBOX/],
  ],
  "orders-1": [
    ...FRAMES("orders-1"),
    ...NODES,
    ["publish catga.default.event.>", "publish", /publish to catga\.default\.event\.Paid/],
    ["subscribe catga.default.event.>", "start", /may not subscribe to catga\.default\.event\.Paid/],
    ["subscribe catga.default.call.>", "answer a plain request", /no responders/],
    ["subscribe $SRV.>", "be listed", /no responders/],
    ["publish _REPLY.default.>", "answer a plain request", /publish to _REPLY\.default\.shell/],
    ...bucket("locks", {
      "$KV.*.>": ["lock"],
      "$JS.API.STREAM.INFO.KV_*": ["lock"],
      "$JS.API.STREAM.MSG.DELETE.KV_*": ["release a lock when the store is full"],
      "$JS.API.STREAM.MSG.GET.KV_*": ["wait for a lock"],
      "$JS.API.CONSUMER.CREATE.KV_*.>": ["wait for a lock"],
      "$JS.API.CONSUMER.DELETE.KV_*.>": ["leave no watch of locks behind", /left behind/],
    }),
    ...bucket("idempotency", {
      "$KV.*.>": ["idempotent commands"],
      "$JS.API.STREAM.INFO.KV_*": ["idempotent commands"],
      "$JS.API.STREAM.MSG.DELETE.KV_*": ["free a claim when the store is full"],
      "$JS.API.STREAM.MSG.GET.KV_*": ["wait for the result of another node"],
      "$JS.API.CONSUMER.CREATE.KV_*.>": ["wait for the result of another node"],
      "$JS.API.CONSUMER.DELETE.KV_*.>": ["leave no watch of claims behind", /left behind/],
    }),
    ...bucket("cache", {
      "$KV.*.>": ["cache"],
      "$JS.API.STREAM.INFO.KV_*": ["cache"],
      "$JS.API.STREAM.MSG.DELETE.KV_*": ["delete from the cache when the store is full"],
      "$JS.API.STREAM.MSG.GET.KV_*": ["delete from the cache"],
    }),
    ...FLOW,
    ...PUBLISHING,
    ...HANDLING,
  ],
  "gateway-1": [
    ...FRAMES("gateway-1"),
    ...NODES,
    ["publish catga.default.event.>", "publish", /publish to catga\.default\.event\.Paid/],
    ...FLOW,
    ...PUBLISHING,
  ],
  shell: [
    ["publish catga.default.call.Pay", "call with its own hands", /Permissions Violation for Publish/i],
    ["publish $SRV.>", "list services", /Permissions Violation for Publish/i],
    ["subscribe _REPLY.default.shell.>", "call with its own hands", /Permissions Violation for Subscription/i],
  ],
};

const DOES: Record<User, readonly string[]> = {
  operator: ["make the buckets"],
  "orders-1": Object.keys(FEATURES).filter((name) =>
    !["make the buckets", "call with its own hands", "list services"].includes(name)
  ),
  "gateway-1": [
    ...["start", "take over the id of a dead process", "leave nothing behind", "join a large cluster"],
    ...["leave when the store is full"],
    ...["send", "broadcast", "watchNodes", "publish", "publish a durable event"],
  ],
  shell: ["call with its own hands", "list services"],
};

describe("the permissions of docs/nats.conf", await requireNatsServer(), () => {
  it("a node without the permissions for plain clients starts, and logs one line for each kind", async () => {
    await using stage = await Stage.open("orders-1", "start", "subscribe catga.default.call.>");
    await stage.start("orders-1", {
      handlers: [...Array(20).keys()].map((n) => query<void>(`Q${n}`).handle(() => {})),
    });
    await stage.warned(/subscribe to catga\.default\.call\.>/);
    const shell = await stage.client("shell");
    assertEquals((await shell.request("$SRV.PING", "", PATIENT)).json<{ id: string }>().id, "orders-1");
    assertEquals(stage.log.filter((line) => !isOfLateStore(line)).length, 1);
  });

  const attempts = new Attempts();
  after(() => attempts[Symbol.asyncDispose]());

  for (const user of USERS) {
    it(`${user}: every permission of the page has a test`, () => {
      const given = linesOf(user).flatMap(({ permission }) => permission ?? []);
      assertEquals(given.sort(), NEEDS[user].map(([permission]) => permission).sort());
    });

    const does = DOES[user].map((feature) => [feature, attempts.add(feature, user)] as const);
    it(
      `${user}: with all permissions every feature works, and NATS refuses nothing`,
      { timeout: 600_000 },
      async () => {
        for (const [feature, asked] of does) {
          const { said, log } = await asked();
          assertEquals([feature, said], [feature, "ok"]);
          // a handler that is to fail says so, and a busy server is no refusal, which has a line of its own
          assertEquals(
            log.filter((line) => !/malformed| Kept /.test(line) && !isOfLateStore(line)),
            [],
            feature,
          );
        }
      },
    );

    for (const [permission, feature, how] of ofThisRuntime(NEEDS[user])) {
      const asked = attempts.add(feature, user, permission);
      it(`${user} without ${permission}: ${feature} fails with the reason`, { timeout: 300_000 }, async () => {
        assertMatch((await asked()).said, how);
      });
    }
  }
});
