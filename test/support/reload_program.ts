/**
 * A program under a watcher, for `reload_process_test.ts`, which writes another generation into a copy of it:
 *
 *   … reload_program.ts [NATS URL]
 *
 * Two apps, one with an id of its own: a second of that id cannot start while the first is there.
 */
import process from "node:process";
import { catga } from "../../mod.ts";

const generation = "1";
const nats = process.argv[2];
const common = { ...(nats === undefined ? {} : { nats }), metadata: { generation }, signals: true };
await catga({ ...common, service: "reloaded", id: "fixed" });
const app = await catga({ ...common, service: "reloaded" });
app.closed.then(() => console.log(`generation ${generation} is closed`));
console.log(`generation ${generation} runs`);
setInterval(() => {}, 1_000);
