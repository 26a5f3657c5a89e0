/** One NATS user for many nodes, and for `catga call`, as docs/security.md and docs/cli.md describe it. */
import { connect } from "@nats-io/transport-node";
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, event } from "@catga/catga";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { cli } from "../src/cli/main.ts";
import { documentedUsers } from "./support/documented_users.ts";
import { eventually } from "./support/eventually.ts";
import { isOfLateStore } from "./support/patient.ts";
import { quietTerminal } from "./support/quiet_terminal.ts";
import { runSetup } from "./support/run_setup.ts";

const Pay = command<number, string>("Pay");
const Kept = event<number>("Kept", { durable: true });

const users = await documentedUsers();
const of = (name: string) => users.find((user) => user.name === name)!.permissions;
/** A node's, for all ids. */
const shared = (inbox: string) => of("orders-1").replaceAll("_INBOX_orders-1", inbox).replaceAll("orders-1", "*");
const CONFIG = `jetstream { strict: true }\nauthorization { users: [\n${
  [["operator", of("operator")], ["orders", shared("_INBOX_orders")], ["tool", shared("_INBOX")], ["cli", of("cli")]]
    .map(([user, permissions]) => `{ user: ${user}, password: "p", permissions: {\n${permissions}\n} }`).join("\n")
}\n] }`;

/** Two nodes of one user. */
async function stage() {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startNatsServer({ config: CONFIG }));
  await runSetup(server.url, CONFIG);
  const said: string[] = [];
  const paid: number[] = [];
  const kept: number[] = [];
  const say = (text: string) => {
    if (!isOfLateStore(text)) said.push(text);
  };
  const handlers = [Pay.handle((n, ctx) => (paid.push(n), ctx.node)), Kept.on((n) => void kept.push(n))];
  const start = async (id: string) =>
    stack.use(
      await catga({
        nats: { servers: server.url, user: "orders", pass: "p", inboxPrefix: "_INBOX_orders" },
        ...{ id, service: "orders", handlers, logger: { debug() {}, info() {}, warn: say, error: say } },
      }),
    );
  const nodes = [await start("orders-1"), await start("orders-2")] as const;
  const client = async (user: string) => {
    const connection = await connect({ servers: server.url, user, pass: "p" });
    stack.defer(() => connection.close());
    return connection;
  };
  return { url: server.url, nodes, said, paid, kept, client, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const slow = { timeout: 300_000 };

describe("a NATS user of several nodes", await requireNatsServer(), () => {
  it("with `*` for the id and one inbox has all of them work, and read what is sent to the others", slow, async () => {
    await using shared = await stage();
    const [first, second] = shared.nodes;
    const heard: string[] = [];
    const other = await shared.client("tool");
    other.subscribe("catga.default.node.orders-2.>", { callback: (_, frame) => void heard.push(frame.string()) });
    await other.flush();
    assertEquals((await first.send(Pay, 4711, { node: "orders-2" })).value, "orders-2");
    assertEquals((await second.send(Pay, 1, { node: "orders-1" })).value, "orders-1");
    assertEquals((await first.publish(Kept, 7)).ok, true);
    await eventually("the event", () => shared.kept.includes(7));
    await other.flush(); // behind what the server sent to it
    assertEquals([heard.some((frame) => frame.includes("4711")), shared.said], [true, []]);
  });

  it("with `*` for the id and the inbox `_INBOX.>` is enough for `catga call`", slow, async () => {
    await using shared = await stage();
    let out = "";
    const terminal = quietTerminal({ write: (text) => void (out += text) });
    const code = await cli(
      ["call", "Pay", "3", "--node", "orders-2", "--nats", shared.url, "--user", "tool", "--password", "p"],
      terminal,
    );
    assertEquals([code, out.trim(), shared.paid], [0, '"orders-2"', [3]]);
  });

  it("that may send frames, as for `catga ping`, can send every command", slow, async () => {
    await using shared = await stage();
    const tool = await shared.client("cli");
    const frame = [1, 5_000, Date.now(), ["q", "Pay", 60_000, 666]];
    tool.publish(`catga.default.node.${shared.nodes[0].self.endpoint}.cli.abcabcabcabc`, JSON.stringify(frame));
    await eventually("the command", () => shared.paid.includes(666));
  });
});
