/**
 * The recipes of docs/upgrading.md, played: each version of a program replaces the one before, node by node, under
 * load, is rolled back, and deployed again. Every node of every version sends all the time; nothing may fail.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga } from "@catga/catga";
import { MemoryNetwork } from "@catga/catga/testing";
import { RECIPES, type Version } from "./processes/recipes.ts";
import { page } from "./support/documented_users.ts";
import { eventually } from "./support/eventually.ts";

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

const PATIENT = { timeout: 240_000 };

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

  for (const [recipe, versions] of Object.entries(RECIPES)) {
    it(`${recipe}: nothing fails, is lost or stuck, forwards and backwards`, PATIENT, async () => {
      await using deployment = new Deployment();
      const published = new Set<string>();
      const handled = new Set<string>();
      const heard = {
        published: (id: string) => void published.add(id),
        handled: (id: string) => void handled.add(id),
      };
      await deployment.play(...versions(heard));
      await eventually("all is handled", () => [...published].every((id) => handled.has(id)));
      assertEquals(deployment.failures, []);
      for await (const { id } of deployment.app.runs({ status: "stuck" })) throw new Error(`stuck: ${id}`);
      if (published.size === 0) return;
      for await (const { id } of deployment.app.deadLetters()) throw new Error(`dead: ${id}`);
    });
  }
});
