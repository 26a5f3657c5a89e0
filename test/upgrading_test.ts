/**
 * The recipes of docs/upgrading.md, played: each version of a program replaces the one before, node by node, under
 * load, is rolled back, and deployed again. Every node of every version sends all the time; nothing may fail.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga, command, entity, event, type Handlers, unwrap, workflow } from "@catga/catga";
import { MemoryNetwork } from "@catga/catga/testing";
import { z } from "zod";
import { page } from "./support/documented_users.ts";
import { eventually } from "./support/eventually.ts";
import { PATIENT } from "./support/patient.ts";

/** A version of the program: what it handles, and what each of its nodes does again and again; rejects if it fails. */
interface Version {
  readonly handlers: Handlers;
  act(app: Catga, id: string): Promise<unknown>;
}

/** A node under load. */
class Loaded {
  readonly app: Catga;
  acts = 0;
  #stops = false;
  readonly #over: Promise<void>;

  constructor(app: Catga, { act }: Version, failures: unknown[]) {
    this.app = app;
    this.#over = (async () => {
      while (!this.#stops) {
        await act(app, `${app.health().node}-${this.acts}`).catch((error) => failures.push(error));
        this.acts++;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
  }

  /** Ends the load, then the node. */
  async stop(): Promise<void> {
    this.#stops = true;
    await this.#over;
    await this.app.drain();
  }
}

/** Two nodes of a version; each deploy replaces them one by one. */
class Deployment {
  readonly failures: unknown[] = [];
  readonly #network = new MemoryNetwork();
  #nodes: Loaded[] = [];
  #started = 0;

  async to(version: Version): Promise<void> {
    for (let n = 0; n < 2; n++) {
      const id = `n${++this.#started}`;
      const quiet = { debug() {}, info() {}, warn() {}, error: (text: string) => void this.failures.push(text) };
      const app = await catga({
        network: this.#network,
        service: "shop",
        id,
        handlers: version.handlers,
        logger: quiet,
      });
      this.#nodes.push(new Loaded(app, version, this.failures));
      await this.#moreActs();
      if (this.#nodes.length > 2) await this.#nodes.shift()!.stop();
      await this.#moreActs();
    }
    // of the first one, which had nothing to replace
    while (this.#nodes.length > 2) await this.#nodes.shift()!.stop();
  }

  /** Forwards through all versions, with a rollback of each. */
  async play(...versions: readonly Version[]): Promise<void> {
    await this.to(versions[0]);
    for (let n = 1; n < versions.length; n++) {
      for (const version of [versions[n], versions[n - 1], versions[n]]) await this.to(version);
    }
  }

  get app(): Catga {
    return this.#nodes[0].app;
  }

  async #moreActs(): Promise<void> {
    const wanted = this.#nodes.map(({ acts }) => acts + 5);
    await eventually("each node has done more", () => this.#nodes.every(({ acts }, i) => acts >= wanted[i]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }
}

/** A version with one command, whose payload it writes so. */
function sells<T>(input: z.ZodType<T>, payload: T): Version {
  const Sell = command("Sell", { input, output: z.string() });
  return { handlers: Sell.handle(() => "sold"), act: async (app) => unwrap(await app.send(Sell, payload as never)) };
}

const seat = { seat: z.string() };

describe("recipes of docs/upgrading.md", () => {
  it("are those of the table", async () => {
    const table = /## Recipes[^]*?(\n\|[^]*?)\n\n/.exec(await page("upgrading.md"))?.[1] ?? "";
    const rows = table.split("\n").slice(3).map((row) => row.split("|")[1].trim());
    assertEquals(rows, [
      "rename a field",
      "add a required field",
      "add an enum member",
      "split a command",
      "change a durable event",
      "change an event of an entity",
      "change a workflow",
      "rename a subscription", // which is no recipe: it says so
    ]);
  });

  it(
    "One program that sends and handles: a field is renamed, and one is required, in one deploy",
    PATIENT,
    async () => {
      await using deployment = new Deployment();
      await deployment.play(
        sells(z.object({ ...seat, buyer: z.string() }), { seat: "A1", buyer: "ada" }),
        sells(z.object({ ...seat, holder: z.string() }), { seat: "A1", holder: "ada" }),
        sells(z.object({ ...seat, holder: z.string(), cents: z.int() }), { seat: "A1", holder: "ada", cents: 7 }),
      );
      assertEquals(deployment.failures, []);
    },
  );

  it("Rename a field: read both names, write the new one, then read that alone", PATIENT, async () => {
    await using deployment = new Deployment();
    const both = z.object({ ...seat, buyer: z.string().optional(), holder: z.string().optional() });
    await deployment.play(
      sells(z.object({ ...seat, buyer: z.string() }), { seat: "A1", buyer: "ada" }),
      sells(both, { seat: "A1", buyer: "ada" }),
      sells(both, { seat: "A1", holder: "ada" }),
      sells(z.object({ ...seat, holder: z.string() }), { seat: "A1", holder: "ada" }),
    );
    assertEquals(deployment.failures, []);
  });

  it("Add a required field: optional first, then written, then required", PATIENT, async () => {
    await using deployment = new Deployment();
    const optional = z.object({ ...seat, cents: z.int().optional() });
    await deployment.play(
      sells(z.object(seat), { seat: "A1" }),
      sells(optional, { seat: "A1" }),
      sells(optional, { seat: "A1", cents: 7 }),
      sells(z.object({ ...seat, cents: z.int() }), { seat: "A1", cents: 7 }),
    );
    assertEquals(deployment.failures, []);
  });

  it("Add an enum member: read it, then write it", PATIENT, async () => {
    await using deployment = new Deployment();
    const more = z.object({ channel: z.enum(["web", "app", "kiosk"]) });
    await deployment.play(
      sells(z.object({ channel: z.enum(["web", "app"]) }), { channel: "web" }),
      sells(more, { channel: "app" }),
      sells(more, { channel: "kiosk" }),
    );
    assertEquals(deployment.failures, []);
  });

  it("Split a command: handle all, send the new ones, then handle these alone", PATIENT, async () => {
    await using deployment = new Deployment();
    const Sell = command<{ seat: string }, string>("Sell");
    const Reserve = command<{ seat: string }, string>("Reserve");
    const Pay = command<{ seat: string }, string>("Pay");
    const old = {
      handlers: Sell.handle(() => "sold"),
      act: async (app: Catga) => unwrap(await app.send(Sell, { seat: "A1" })),
    };
    const parts = [Reserve.handle(() => "reserved"), Pay.handle(() => "paid")];
    const all = [old.handlers, ...parts];
    const act = async (app: Catga) => {
      unwrap(await app.send(Reserve, { seat: "A1" }));
      unwrap(await app.send(Pay, { seat: "A1" }));
    };
    await deployment.play(old, { handlers: all, act: old.act }, { handlers: all, act }, { handlers: parts, act });
    assertEquals(deployment.failures, []);
  });

  it(
    "Change a durable event: read both, write the new one; nothing is a dead letter, nothing is lost",
    PATIENT,
    async () => {
      await using deployment = new Deployment();
      const handled = new Set<string>();
      const published = new Set<string>();
      const version = <T>(input: z.ZodType<T>, payload: T): Version => {
        const Sold = event("Sold", { durable: true, input });
        return {
          handlers: Sold.on((_, { id }) => void handled.add(id), { name: "billing", from: "start" }),
          act: async (app, id) => {
            unwrap(await app.publish(Sold, payload as never, { id }));
            published.add(id);
          },
        };
      };
      const both = z.object({ buyer: z.string().optional(), holder: z.string().optional() });
      await deployment.play(
        version(z.object({ buyer: z.string() }), { buyer: "ada" }),
        version(both, { buyer: "ada" }),
        version(both, { holder: "ada" }),
      );
      await eventually("all is handled", () => [...published].every((id) => handled.has(id)));
      assertEquals(deployment.failures, []);
      for await (const letter of deployment.app.deadLetters()) throw new Error(`dead: ${letter.id}`);
    },
  );

  it("Change an event of an entity: define and read the new one, then emit it", PATIENT, async () => {
    await using deployment = new Deployment();
    const Add = command<{ cart: string }, number>("Add", { key: ({ cart }) => cart });
    const version = (reads: z.ZodType, payload: object | undefined): Version => {
      const Cart = entity("Cart", { initial: () => 0 });
      const Added = Cart.event("Added", (count) => count + 1, { input: reads } as never);
      const defined = payload === undefined ? undefined : Cart.event("Gifted", (count) => count + 1);
      return {
        handlers: Cart.handle(Add, (cart) => {
          cart.emit(Added as never, (payload ?? { sku: "tea" }) as never);
          if (defined !== undefined && "gift" in payload!) cart.emit(defined);
          return cart.state;
        }),
        act: async (app, id) => {
          unwrap(await app.send(Add, { cart: "c" }, { id }));
          unwrap(await app.send(Add, { cart: id }, { id: `${id}-own` }));
        },
      };
    };
    const both = z.object({ sku: z.string().optional(), item: z.string().optional(), gift: z.boolean().optional() });
    await deployment.play(
      version(z.object({ sku: z.string() }), undefined),
      version(both, { sku: "tea" }),
      version(both, { item: "tea", gift: true }),
    );
    assertEquals(deployment.failures, []);
  });

  it("Change a workflow: the handler goes both ways by flow.version, then the version is raised", PATIENT, async () => {
    await using deployment = new Deployment();
    const version = (of: number, isNew: boolean): Version => {
      const Order = workflow<{ seat: string }, string>("Order", { version: of });
      const Go = Order.signal("Go");
      return {
        handlers: Order.handle(async (flow) => {
          await flow.step("reserve", () => "");
          await flow.wait(Go);
          if (!isNew || flow.version === 1) return await flow.step("charge", () => "charged");
          await flow.step("check card", () => "");
          return await flow.step("charge card", () => "charged");
        }),
        // begun by this node, and gone on with by any
        act: async (app, id) => {
          const run = unwrap(await app.start(Order, { seat: "A1" }, { id }));
          unwrap(await app.tell(Go, run));
          assertEquals(unwrap(await app.result(Order, run)), "charged");
        },
      };
    };
    await deployment.play(version(1, false), version(1, true), version(2, true));
    assertEquals(deployment.failures, []);
    for await (const { id } of deployment.app.runs({ status: "stuck" })) throw new Error(`stuck: ${id}`);
  });
});
