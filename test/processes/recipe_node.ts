/**
 * A node of one version of a recipe, in a process: `recipe_node.ts <nats> <id> <recipe> <version>`. It does what its
 * version does 20 times a second, until SIGTERM, and prints what came of it.
 */
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { catga } from "../../mod.ts";
import { RECIPES } from "./recipes.ts";

/** A line that it prints. */
export type RecipeLine =
  | { readonly event: "ready" }
  | { readonly event: "acts"; readonly count: number }
  | { readonly event: "failed" | "published" | "handled"; readonly what: string };

const [nats, id, recipe, version] = process.argv.slice(2);
const print = (line: RecipeLine) => console.log(JSON.stringify(line));
const { handlers, act } = RECIPES[recipe]({
  published: (what) => print({ event: "published", what }),
  handled: (what) => print({ event: "handled", what }),
})[Number(version)];
const logger = { debug() {}, info() {}, warn() {}, error: (what: string) => print({ event: "failed", what }) };
const app = await catga({ nats, id, service: "shop", handlers, logger });
let isOver = false;
process.once("SIGTERM", () => isOver = true);
print({ event: "ready" });
for (let count = 0; !isOver; count++) {
  await act(app, `${id}-${count}`).catch((error) => print({ event: "failed", what: `${error?.stack ?? error}` }));
  print({ event: "acts", count: count + 1 });
  await wait(50);
}
await app.drain();
