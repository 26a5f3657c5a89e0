/** The users of the docs that drive and start runs: what they may do is enough. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, type CatgaOptions, unwrap, workflow } from "@catga/catga";
import { documentedUsers } from "../../test/support/documented_users.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { runSetup } from "../../test/support/run_setup.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const Order = workflow<{ order: string; waits: boolean }, string>("Order", { id: ({ order }) => order });
const Approved = Order.signal<string>("Approved");
const Parcel = workflow<string, string>("Parcel");

describe("permissions of workflows", await requireNatsServer(), () => {
  it("the docs name all that a node needs that drives runs, and a program that starts them", PATIENT, async () => {
    const users = await documentedUsers();
    const of = (name: string) => users.find((user) => user.name === name)!;
    const config = `authorization { users: [\n${
      [["operator", "operator"], ["node", "with entities"], ["starter", "with runs"]].map(([user, name]) =>
        `{ user: ${user}, password: "p", permissions: {\n${of(name).permissions}\n} }`
      ).join("\n")
    }\n] }`;
    await using server = await startNatsServer({ config });
    await runSetup(server.url, config);
    const said: string[] = [];
    const say = (text: string, { error = "" }: { error?: unknown } = {}) => void said.push(`${text} ${error}`);
    const open = async (user: string, name: string, options: CatgaOptions) =>
      await catga({
        nats: { servers: server.url, user, pass: "p", inboxPrefix: of(name).inbox },
        id: of(name).id,
        logger: { debug() {}, info() {}, warn: say, error: say },
        ...options,
      });
    const handlers = [
      Parcel.handle((flow, order) => flow.step("pack", () => `p-${order}`)),
      Order.handle(async (flow, { order, waits }) => {
        await flow.sleep("long enough for a schedule", 5_500);
        if (waits) await flow.wait(Approved);
        const parcel = await flow.send(Parcel, order);
        return parcel.ok ? parcel.value : parcel.error.code;
      }),
    ];
    await using _node = await open("node", "with entities", { handlers });
    await using starter = await open("starter", "with runs", {});
    for (const order of ["a", "b"]) unwrap(await starter.start(Order, { order, waits: true }));
    unwrap(await starter.start(Order, { order: "c", waits: false }));
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
});
