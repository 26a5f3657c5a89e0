/**
 * The permissions of docs/entities.md, beside those of docs/nats.conf, are enough for a node that handles entities, and
 * each of them is needed: one server has a user and a namespace for each line, who has all others.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals, assertMatch } from "@std/assert";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { type Catga, catga, type CatgaOptions, command, entity, unwrap } from "../mod.ts";
import { snapshotKeys } from "../src/log/format/names.ts";
import { encodeKey } from "../src/nats/bucket/key_subject.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { eventually } from "./support/eventually.ts";
import { isOfLateStore, PATIENT } from "./support/patient.ts";
import { fillStore, SMALL_STORE } from "./support/small_store.ts";

const Box = entity("Box", { initial: () => 0 });
const Put = Box.event("Put", (count) => count + 1);
const Fill = command<{ id: string; count: number }, number>("Fill", { key: ({ id }) => id });
const fill = Box.handle(Fill, (box, { count }) => {
  for (let n = 0; n < count; n++) box.emit(Put);
  return box.state;
});

const page = (name: string) => readFile(new URL(`../docs/${name}`, import.meta.url), "utf8");
const NODE = /( {4}\{\n {6}user: orders-1,[\s\S]*?\n {4}\}\n)/.exec(await page("nats.conf"))![1];
const LINES = [.../```text\n# entities:([\s\S]*?)```/.exec(await page("entities.md"))![1].matchAll(/^"(.*?)"/gm)]
  .map(([, line]) => line);

/** The namespaces, and which line their users lack; the first has all. */
const USERS: readonly { readonly name: string; readonly lacks: string | undefined }[] = [undefined, ...LINES]
  .map((lacks, n) => ({ name: `e${n}`, lacks }));

/** What a user may do, in the namespace of its name. */
function blockOf({ name, lacks }: typeof USERS[number]): string {
  const lines = LINES.filter((line) => line !== lacks).map((line) => `"${line}"`).join("\n");
  return NODE.replace("publish: { allow: [", () => `publish: { allow: [\n${lines}`)
    .replaceAll("orders-1", name)
    .replaceAll("catga.default.", `catga.${name}.`)
    .replaceAll("catga_default_", `catga_${name}_`);
}

const CONFIG = `authorization {
  users: [
${USERS.map(blockOf).join("")}    { user: admin, password: admin }
  ]
}
`;

/** A node in the namespace of a user. */
class Stage implements AsyncDisposable {
  /** What it has logged. */
  readonly log: string[] = [];
  readonly handled: string[] = [];
  /** The readers of the stream that were asked for, and those whose removal was. */
  readonly #made = new Set<string>();
  readonly #removed = new Set<string>();
  /** True if its server is its own, and small. */
  readonly small: boolean;
  readonly #name: string;
  readonly #server: NatsServer;
  readonly #open: AsyncDisposable[] = [];
  #watcher: NatsConnection | undefined;

  constructor(name: string, server: NatsServer, small: boolean) {
    this.small = small;
    this.#name = name;
    this.#server = server;
  }

  /** Without permissions of its own: has all streams made, one snapshot and an entity of two messages. */
  async setUp(): Promise<void> {
    const app = await this.start("admin");
    for (const count of [100, 1]) unwrap(await app.send(Fill, { id: "old", count }));
    await eventually("the handling", () => this.handled.length === 101);
    await this.snapshots(1);
    await app.drain();
    this.handled.length = this.log.length = 0;
    await this.#watchReaders();
  }

  /** Notes from now on which readers of the stream are asked for, and whose removal. */
  async #watchReaders(): Promise<void> {
    const admin = this.#watcher = await this.admin();
    for (const [verb, names] of [["CREATE", this.#made], ["DELETE", this.#removed]] as const) {
      const subject = `$JS.API.CONSUMER.${verb}.catga_${this.#name}_entities.>`;
      admin.subscribe(subject, { callback: (_, { subject }) => void names.add(subject.split(".")[5]) });
    }
    await admin.flush();
  }

  async start(user = this.#name, options: CatgaOptions = {}): Promise<Catga> {
    const write = (text: string, { error = "" }: { error?: unknown } = {}) => {
      if (!isOfLateStore(text)) this.log.push(`${text} ${error}`);
    };
    const pass = user === "admin" ? user : `a secret of ${user}`;
    const app = await catga({
      nats: {
        ...{ servers: this.#server.url, user, pass },
        ...(user === "admin" ? {} : { inboxPrefix: `_INBOX_${user}` }),
      },
      ...{ id: user, service: user, namespace: this.#name, timeout: 60_000 },
      handlers: [fill, Put.on((_, ctx) => void this.handled.push(ctx.correlationId), { name: "watch", from: "start" })],
      logger: { debug() {}, info() {}, warn: write, error: write },
      ...options,
    });
    this.#open.push(app);
    return app;
  }

  async admin(): Promise<NatsConnection> {
    const client = await connect({ servers: this.#server.url, user: "admin", pass: "admin" });
    this.#open.push({ [Symbol.asyncDispose]: () => client.close() });
    return client;
  }

  /** Asks JetStream, as somebody who may everything. */
  async ask<T>(subject: string, body: unknown = {}): Promise<T> {
    const answer = await (await this.admin()).request(`$JS.API.${subject}`, JSON.stringify(body), PATIENT);
    return answer.json<T>();
  }

  /** Resolves when so many snapshots are stored, or when the node has reported why not. */
  async snapshots(count: number): Promise<void> {
    const bucket = `STREAM.INFO.KV_catga_${this.#name}_snapshots`;
    await eventually("the snapshot", async () => {
      const { state } = await this.ask<{ state?: { messages: number } }>(bucket);
      return state?.messages === count || this.log.length > 0;
    });
  }

  /** A snapshot that was left behind when its entity was forgotten, and a server without any room. */
  async leaveBehind(id: string): Promise<void> {
    const admin = await this.admin();
    const key = encodeKey(snapshotKeys("Box", id)[0]);
    await admin.request(`$KV.catga_${this.#name}_snapshots.${key}`, "left behind", PATIENT);
    await fillStore(admin);
  }

  /** Rejects if a reader of the stream was not removed; those expire after 5 s. */
  async noneLeftBehind(): Promise<void> {
    await eventually("no readers", async () => {
      return (await this.ask<{ total: number }>(`CONSUMER.NAMES.catga_${this.#name}_entities`)).total === 0;
    });
    await this.#watcher!.flush();
    const left = [...this.#made].filter((name) => !this.#removed.has(name));
    if (this.#made.size === 0 || left.length > 0) throw new Error(`${left.length} of ${this.#made.size} left behind`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#open.reverse()) await opened[Symbol.asyncDispose]();
  }
}

/** What the node does with entities, one thing at a time. Without a permission it fails, or its log has the reason. */
const FEATURES = {
  decide: async (_, app) => {
    assertEquals(unwrap(await app.send(Fill, { id: "old", count: 1 })), 102);
    assertEquals(unwrap(await app.send(Fill, { id: "old", count: 0 })), 102);
  },
  load: async (_, app) => {
    assertEquals((await app.load(Box, "old")).version, 102);
  },
  "write a snapshot": async (stage, app) => {
    unwrap(await app.send(Fill, { id: "new", count: 100 }));
    await stage.snapshots(2);
  },
  subscribe: async (stage) => {
    await eventually("the handling", () => stage.handled.length === 202 || stage.log.length > 0);
  },
  forget: async (_, app) => {
    await app.forget(Box, "new");
  },
  "leave no reader behind": async (stage, app) => {
    await app.drain();
    await stage.noneLeftBehind();
  },
  "forget when the store is full": async (stage) => {
    if (!stage.small) return;
    const app = await stage.start(undefined, { handlers: fill });
    await stage.leaveBehind("new");
    await app.forget(Box, "new");
  },
} satisfies Record<string, (stage: Stage, app: Catga) => Promise<void>>;

/** What fails without a line. */
const NEEDS: Readonly<Record<string, "start" | keyof typeof FEATURES>> = {
  "catga.default.entity.>": "decide",
  "$JS.API.STREAM.INFO.catga_default_entities": "start",
  "$JS.API.STREAM.MSG.GET.catga_default_entities": "decide",
  "$JS.API.STREAM.PURGE.catga_default_entities": "forget",
  "$JS.API.CONSUMER.CREATE.catga_default_entities.>": "subscribe",
  "$JS.API.CONSUMER.DELETE.catga_default_entities.>": "leave no reader behind",
  "$KV.catga_default_snapshots.>": "write a snapshot",
  "$JS.API.STREAM.INFO.KV_catga_default_snapshots": "decide",
  "$JS.API.STREAM.MSG.DELETE.KV_catga_default_snapshots": "forget when the store is full",
  "$JS.API.STREAM.MSG.GET.KV_catga_default_snapshots": "decide",
};

describe("the permissions of a node that handles entities", await requireNatsServer(), () => {
  let shared: NatsServer;
  before(async () => {
    shared = await startNatsServer({ config: CONFIG });
  });
  after(async () => {
    await shared.stop();
  });

  it("every line of the page has a test", () => {
    assertEquals(LINES.toSorted(), Object.keys(NEEDS).sort());
  });

  it("all are enough, and without any of them something fails with the reason", { timeout: 300_000 }, async () => {
    await inGroups(USERS, async ({ name, lacks }) => {
      const small = lacks === undefined || lacks.includes("MSG.DELETE");
      await using own = small ? await startNatsServer({ config: `${CONFIG}${SMALL_STORE}\n` }) : undefined;
      await using stage = new Stage(name, own ?? shared, small);
      await stage.setUp();
      let app: Catga;
      for (
        const [feature, run] of Object.entries({ start: async () => void (app = await stage.start()), ...FEATURES })
      ) {
        const failed = await run(stage, app!).then(() => undefined, (error) => `${error}`);
        if (lacks === undefined) {
          assertEquals([feature, failed, stage.log], [feature, undefined, []]);
        } else if (NEEDS[lacks] === feature) {
          if (lacks.includes("CONSUMER.DELETE")) return assertMatch(failed ?? "", /left behind/);
          const subject = lacks.replace(">", "").replaceAll("default", name);
          const told = () =>
            failed?.includes(subject) || stage.log.some((line) => line.includes(`publish to ${subject}`));
          return void await eventually(`a warning that names ${subject}, after ${feature}: ${failed}`, told);
        } else assertEquals([lacks, feature, failed], [lacks, feature, undefined]);
      }
    });
  });
});

/** Runs four at a time. */
async function inGroups<T>(all: readonly T[], run: (one: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < all.length; from += 4) await Promise.all(all.slice(from, from + 4).map(run));
}
