/** Tests that the permissions which the docs give to users that execute or start runs are sufficient. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, type CatgaOptions, unwrap, workflow } from "@catga/catga";
import { documentedUsers, page } from "../../test/support/documented_users.ts";
import { eventually } from "../../test/support/eventually.ts";
import { isOfLateStore, PATIENT } from "../../test/support/patient.ts";
import { runSetup } from "../../test/support/run_setup.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const Order = workflow<{ order: string; waits: boolean }, string>("Order", { id: ({ order }) => order });
const Approved = Order.signal<string>("Approved");
const Where = Order.question<void, string>("Where");
const Parcel = workflow<string, string>("Parcel");

/**
 * Starts a NATS server with a user for nodes, and a user for a program that starts runs. `permissions`: makes the
 * permissions of the program's user from the documented ones.
 */
async function stageOf(permissions: (documented: string) => string) {
  const users = await documentedUsers();
  const of = (name: string) => users.find((user) => user.name === name)!;
  const starter = permissions(of("with runs").permissions);
  const config = `authorization { users: [\n${
    [["operator", of("operator").permissions], ["node", of("with entities").permissions], ["starter", starter]]
      .map(([user, permissions]) => `{ user: ${user}, password: "p", permissions: {\n${permissions}\n} }`).join("\n")
  }\n] }`;
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startNatsServer({ config }));
  await runSetup(server.url, config);
  const said: string[] = [];
  const say = (text: string, { error = "" }: { error?: unknown } = {}) => {
    if (!isOfLateStore(text)) said.push(`${text} ${error}`);
  };
  const open = async (user: string, name: string, options: CatgaOptions) =>
    await catga({
      nats: { servers: server.url, user, pass: "p", inboxPrefix: of(name).inbox },
      ...{ id: of(name).id, logger: { debug() {}, info() {}, warn: say, error: say }, ...options },
    });
  const started = stack.move();
  return { said, open, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

const slow = { timeout: 300_000 };

describe("permissions of workflows", await requireNatsServer(), () => {
  it("the docs name all that a node needs that drives runs, and a program that starts them", slow, async () => {
    await using stage = await stageOf((starter) => starter);
    const { said, open } = stage;
    const handlers = [
      Parcel.handle((flow, order) => flow.step("pack", () => `p-${order}`)),
      Order.handle(async (flow, { order, waits }) => {
        await flow.sleep("long enough for a schedule", 5_500);
        if (waits) (await flow.wait(Where)).answer("at the start");
        if (waits) await flow.wait(Approved);
        const parcel = await flow.send(Parcel, order);
        return parcel.ok ? parcel.value : parcel.error.code;
      }),
    ];
    await using _node = await open("node", "with entities", { handlers });
    await using starter = await open("starter", "with runs", {});
    for (const order of ["a", "b"]) unwrap(await starter.start(Order, { order, waits: true }));
    unwrap(await starter.start(Order, { order: "c", waits: false }));
    assertEquals(unwrap(await starter.ask(Where, "a", undefined, { timeout: 60_000 })), "at the start");
    unwrap(await starter.tell(Approved, "a", "ada"));
    unwrap(await starter.cancel(Order, "b", "enough"));
    assertEquals(unwrap(await starter.result(Order, "a", { timeout: 30_000 })), "p-a");
    assertEquals(unwrap(await starter.result(Order, "c")), "p-c");
    assertEquals((await starter.result(Order, "b")).error?.code, "CANCELLED");
    const ids: string[] = [];
    for await (const { id } of starter.runs({ workflow: "Order" })) ids.push(id);
    assertEquals(ids.sort(), ["a", "b", "c"]);
    assertEquals(said, []);
  });

  it("the docs name what a program needs besides that starts runs later", slow, async () => {
    const [, lines] = /```text\n# later runs.*\n([\s\S]*?)```/.exec(await page("workflows.md"))!;
    await using stage = await stageOf((starter) =>
      starter.replace("publish: { allow: [", (begin) => `${begin}\n${lines}`)
    );
    const { said, open } = stage;
    await using _node = await open("node", "with entities", {
      handlers: Order.handle((_, { order }) => `began ${order}`),
    });
    await using starter = await open("starter", "with runs", {});
    const input = { order: "soon", waits: false };
    unwrap(await starter.start(Order, input, { at: new Date(Date.now() + 500) }));
    for (const cron of ["0 0 5 * * *", "0 0 6 * * *"]) unwrap(await starter.start(Order, input, { id: "daily", cron }));
    unwrap(await starter.start(Order, input, { id: "never", at: new Date(Date.now() + 3_600_000) }));
    assertEquals([await starter.unschedule(Order, "daily"), await starter.unschedule(Order, "never")], [true, true]);
    await eventually("the run to begin, and to end", async () => {
      const { value, error } = await starter.result(Order, "soon", PATIENT);
      if (error !== undefined) assertEquals(error.code, "NO_RUN");
      return value === "began soon";
    });
    assertEquals(said, []);
  });
});
