/**
 * A node of a runtime without `Temporal`, such as Node 24: answers `When` and `Plain`, logs what it cannot read, prints
 * `{"event":"up"}`, and ends on SIGTERM.
 *
 *   deno run -A test/processes/no_temporal_node.ts URL
 */
import process from "node:process";
import { catga, event, query, stream } from "../../mod.ts";

Reflect.deleteProperty(globalThis, "Temporal");

/** Asks the sender, whose runtime has `Temporal`, and returns the code of what comes back. */
const Ask = query<void, string>("Ask");
const Read = query<void, string>("Read");
const Now = query<void, unknown>("Now");
const Days = stream<void, unknown>("Days");

const app = await catga({
  nats: process.argv[2],
  id: "other",
  service: "other",
  signals: true,
  logger: { debug() {}, info() {}, warn() {}, error: (text, { error }) => print("fault", `${text}: ${error}`) },
  handlers: [
    query<unknown, string>("When").handle((given) => `ran with ${typeof given}`),
    event<unknown>("Came").on((given) => print("came", typeof given)),
    Ask.handle(async (_, ctx) => (await ctx.send(Now)).error?.code ?? "no error"),
    Read.handle(async (_, ctx) => {
      let code = "no error";
      try {
        for await (const _day of ctx.stream(Days)) code = "an item";
      } catch (error) {
        code = `${(error as { code?: unknown }).code}`;
      }
      return code;
    }),
  ],
});
print("up", app.self.endpoint);

function print(event: string, text: string): void {
  console.log(JSON.stringify({ event, text }));
}
