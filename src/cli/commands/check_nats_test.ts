/** Tests of `catga check --nats`: it compares a program with the nodes that run and with the stored messages. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { catga, command, entity, event, type Handler, query, type Schema, unwrap, workflow } from "../../../mod.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { checkPermissions } from "../../../test/support/documented_users.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";

const MOD = new URL("../../../mod.ts", import.meta.url).href;

/**
 * How a program's contracts differ from those of the nodes that run: members that its schemas require, and text for
 * its code.
 */
interface Variant {
  readonly input?: string;
  readonly output?: string;
  readonly event?: string;
  readonly apply?: string;
  readonly more?: string;
  /** The handler that the program leaves out. */
  readonly without?: string;
  readonly sold?: string;
  readonly subscription?: string;
}

function moduleOf(
  { input = "seat", output = "receipt", event = "seat", apply = "count + 1", more = "", ...how }: Variant,
): string {
  const { without = "", sold = "", subscription = "billing" } = how;
  const handlers = {
    sell: "export const sell = Sell.handle(() => {});",
    charge: 'export const charge = Charge.handle(() => ({ receipt: "r" }));',
    mail: "export const mail = Mail.handle(() => {});",
    sold: `export const sold = Sold.on(() => {}, { name: "${subscription}" });`,
    add: "export const add = Cart.handle(Add, () => {});",
    order: "export const order = Order.handle(async (flow) => await flow.wait(Paid));",
  };
  return `
    import { command, entity, event, query, workflow } from ${JSON.stringify(MOD)};
    const needs = (name) => ({ "~standard": {
      version: 1, vendor: "test",
      validate: (value) => typeof value?.[name] === "string" ? { value } : { issues: [{ message: "missing", path: [name] }] },
      jsonSchema: { input: () => ({ type: "object", properties: { [name]: { type: "string" } }, required: [name] }) },
    } });
    export const Sell = command("Sell", { input: needs("${input}") });
    export const Charge = command("Charge", { idempotent: true, output: needs("${output}") });
    export const Mail = command("Mail", { input: needs("${input}"), durable: true });
    export const Sold = event("Sold", { input: needs("${input}"), durable: true, ${sold} });
    const Cart = entity("Cart", { initial: () => 0 });
    const Added = Cart.event("Added", (count) => ${apply}, { input: needs("${event}") });
    const Add = command("Add", { key: ({ id }) => id });
    const Order = workflow("Order", { input: needs("${input}") });
    const Paid = Order.signal("Paid");
    ${Object.entries(handlers).map(([name, text]) => (name === without ? "" : text)).join("\n")}
    ${more}`;
}

const Sell = command<{ seat: string }>("Sell");
const Charge = command<void, { receipt: string }>("Charge", { idempotent: true });
const Mail = command<{ seat: string }>("Mail", { durable: true });
const Sold = event<{ seat: string }>("Sold", { durable: true });
const Cart = entity("Cart", { initial: () => 0 });
const Added = Cart.event<{ seat: string }>("Added", (count) => count + 1);
const Add = command<{ id: string }>("Add", { key: ({ id }) => id });
const Order = workflow<{ seat: string }>("Order");
const Paid = Order.signal("Paid");

/** Returns the handlers of the nodes that run. They handle events and queued commands when `gate` has resolved. */
function handlersOf(gate: Promise<void>) {
  return [
    Sell.handle(() => {}),
    Charge.handle(() => ({ receipt: "r" })),
    Mail.handle(() => gate),
    Sold.on(() => gate, { name: "billing" }),
    Cart.handle(Add, (cart) => cart.emit(Added, { seat: "A1" })),
    Order.handle(async (flow) => await flow.wait(Paid)),
  ];
}

const TOMORROW = () => new Date(Date.now() + 86_400_000);

const slow = { timeout: 300_000 };

describe("catga check --nats", await requireNatsServer(), () => {
  it(
    "names what a deploy would break of what runs and of what is stored, and nothing of a safe one",
    slow,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "catga-check-"));
      const gate = Promise.withResolvers<void>();
      await using server = await startNatsServer();
      const app = await catga({ nats: server.url, service: "shop", id: "shop-1", handlers: handlersOf(gate.promise) });
      try {
        unwrap(await app.send(Sell, { seat: "A1" }));
        unwrap(await app.send(Charge, undefined, { id: "pay-1" }));
        unwrap(await app.enqueue(Mail, { seat: "A1" }, { id: "mail-1" }));
        unwrap(await app.publish(Sold, { seat: "A1" }, { id: "sold-1" }));
        unwrap(await app.publish(Sold, { seat: "A2" }, { id: "later", at: TOMORROW() }));
        for (const id of ["c1", "c2"]) unwrap(await app.send(Add, { id }, { id: `add-${id}` }));
        unwrap(await app.start(Order, { seat: "A1" }, { id: "late", at: TOMORROW() }));
        await eventually(
          "billing handles the event",
          () => app.health().subscriptions.some(({ name, open }) => name === "billing" && open === 1),
        );

        const check = async (variant: Variant, ...more: string[]) => {
          const file = join(folder, `v${Math.random()}.mjs`);
          await writeFile(file, moduleOf(variant));
          const { code, out, err } = await cliHere(["check", file, "--nats", server.url, "--json", ...more]);
          assertEquals(err, "");
          const { findings } = JSON.parse(out) as {
            findings: { level: string; message: string; count?: number; example?: string }[];
          };
          return {
            code,
            found: findings.map(({ level, message, count = "", example = "" }) =>
              `${level}: ${message} ${count} ${example}`.trim()
            ),
          };
        };

        assertEquals(await check({}), { code: 0, found: [] });
        assertEquals(
          await check({ more: 'export const Wish = query("Wish"); export const wish = Wish.handle(() => 1);' }),
          {
            code: 0,
            found: [],
          },
        );

        const narrow = await check({ input: "holder" });
        assertEquals(narrow.code, 1);
        for (
          const line of [
            "break: stored messages of Mail are refused: holder: missing 1 mail-1",
            "break: stored messages of Sold are refused: holder: missing 1 sold-1",
            "break: scheduled messages of Sold are refused: holder: missing 1 later",
            "break: scheduled starts of Order are refused: holder: missing 1 late",
          ]
        ) assertEquals(narrow.found.includes(line), true, `${line}\n${narrow.found.join("\n")}`);

        assertEquals((await check({ output: "id" })).found, [
          "break: recorded results of Charge are refused: id: missing 1 pay-1",
        ]);
        assertEquals((await check({ event: "place" })).found, [
          "break: stored events cannot be applied: the schema of Cart.Added refuses its payload: place: missing 2 c1",
        ]);
        assertEquals((await check({ apply: '(() => { throw new Error("no total"); })()' })).found, [
          "break: the function that applies Cart.Added throws: no total 2 c1",
        ]);
        assertEquals((await check({ without: "sell" })).found, [
          "break: this program does not handle Sell; its running node shop-1 does",
        ]);
        assertEquals((await check({ without: "order" })).found, [
          "break: no handler of the workflow Order is left: its open and scheduled runs stand still",
        ]);
        assertEquals((await check({ subscription: "invoices" })).found, [
          "break: the subscription to Sold was billing, and is invoices, which begins anew: what billing has not handled is left 1",
        ]);
        assertEquals((await check({ sold: "durable: false", without: "sold" })).found.slice(0, 2), [
          "break: this program does not handle Sold; its running node shop-1 does",
          "break: Sold is not durable, and at shop-1 of shop it is durable: they do not reach each other",
        ]);
        const queries = 'export const Seats = query("Sell");';
        assertStringIncludes(
          (await check({ without: "sell", more: queries })).found.join("\n"),
          "this program does not handle Sell",
        );

        // once the messages are handled, their refusal is only a note: they are not handled again by themselves
        gate.resolve();
        await eventually(
          "all is handled",
          () => app.health().subscriptions.every(({ open, lag }) => open === 0 && lag === 0),
        );
        await app.drain(); // drain commits what was handled
        const after = await check({ input: "holder" }, "--service", "shop");
        assertStringIncludes(
          after.found.join("\n"),
          "note: messages of Sold that were handled would be refused if they were handled again: holder: missing 1 sold-1",
        );
      } finally {
        gate.resolve();
        await app.drain();
        await rm(folder, { recursive: true });
      }
    },
  );

  it(
    "names what programs of other services send that it refuses, and what it writes that they refuse",
    slow,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "catga-check-"));
      await using server = await startNatsServer();
      const needs = (name: string) =>
        ({
          "~standard": {
            ...{ version: 1, vendor: "test", validate: (value: unknown) => ({ value }) },
            jsonSchema: {
              input: () => ({ type: "object", properties: { [name]: { type: "string" } }, required: [name] }),
            },
          },
        }) as Schema<{ [name: string]: string }>;
      const OldSell = command("Sell", { input: needs("buyer") });
      const PayThere = command("Pay", { input: needs("buyer"), idempotent: true });
      const BillThere = command("Bill", { input: needs("buyer") });
      const SoldThere = event("Sold", { durable: true, input: needs("buyer") });
      await using shop = await catga({
        nats: server.url,
        service: "shop",
        id: "shop-1",
        handlers: [OldSell.handle(() => {}), PayThere.handle(() => {})],
      });
      await using web = await catga({
        ...{ nats: server.url, service: "web", id: "web-1" },
        handlers: [SoldThere.on(() => {}, { name: "lists" }), BillThere.handle(() => {})],
      });
      await eventually("web sees shop", () => web.nodes().length === 2 && shop.nodes().length === 2);
      unwrap(await web.send(OldSell, { buyer: "ada" }));
      unwrap(await web.send(PayThere, { buyer: "ada" }));
      const check = async (variant: Variant, ...more: string[]) => {
        const file = join(folder, `v${Math.random()}.mjs`);
        await writeFile(file, moduleOf(variant));
        const { out } = await cliHere(["check", file, "--nats", server.url, "--service", "shop", "--json", ...more]);
        return (JSON.parse(out).findings as { message: string }[]).map(({ message }) => message);
      };
      const pay = (idempotent: boolean) =>
        `export const pay = command("Pay", { input: needs("buyer"), idempotent: ${idempotent} }).handle(() => {});`;
      assertEquals(await check({ input: "buyer", more: pay(true) }), []);
      assertEquals(await check({ input: "holder", more: pay(true) }), [
        "Sold: what this program writes, at web (web-1) would be refused: buyer: required by the reader, not written",
        "Sell: what web (web-1) sends would be refused: holder: required by the reader, not written",
      ]);
      const bill = 'export const Bill = command("Bill", { input: needs("buyer"), idempotent: true });';
      assertEquals(await check({ input: "buyer", more: pay(true) + bill }), [
        "Bill is idempotent here, and not at web (web-1), which handles it: a send that comes again runs again",
      ]);
      assertEquals(await check({ input: "buyer", more: pay(false) }), [
        "Pay is idempotent at web (web-1), which sends it, and not here: a send that comes again runs again",
      ]);
      await rm(folder, { recursive: true });
    },
  );

  it("names contracts that other services do not describe: those without schema or version", slow, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-check-"));
    await using server = await startNatsServer();
    const Bare = command("Bare");
    const Given = command("Given", { version: 2 });
    await using web = await catga({
      ...{ nats: server.url, service: "web", id: "web-1", logger: QUIET },
      handlers: [Bare.handle(() => {}), Given.handle(() => {})],
    });
    assertEquals(web.nodes().length, 1);
    const file = join(folder, "program.mjs");
    // `Bare` has a version here and none at web, `Plain` has none here: whoever sends it there says nothing of it
    const more = `
      export const Bare = command("Bare", { version: 1 });
      export const Given = command("Given", { version: 2 });
      export const plain = command("Plain").handle(() => {});`;
    await writeFile(file, moduleOf({ more }));
    const args = ["check", file, "--nats", server.url, "--service", "shop"];
    assertEquals(JSON.parse((await cliHere([...args, "--json"])).out).undescribed, ["Add", "Plain", "Bare"]);
    const { code, out, err } = await cliHere(args);
    assertEquals([code, out], [0, "Nothing would break.\n"]);
    const [absent, ...rest] = err.split("\n");
    assertStringIncludes(absent, "the service shop has neither nodes nor subscriptions in the namespace default at ");
    assertEquals(
      rest.join("\n"),
      "Not compared with the programs of other services, for they describe only contracts with a schema or `version`: " +
        "Add, Plain, Bare\n",
    );
    const many = Array.from({ length: 11 }, (_, n) => `export const p${n} = command("P${n}").handle(() => {});`);
    await writeFile(join(folder, "many.mjs"), moduleOf({ more: many.join("\n") }));
    assertStringIncludes((await cliHere(["check", join(folder, "many.mjs"), ...args.slice(2)])).err, "P7 and 2 more\n");
    await rm(folder, { recursive: true });
  });

  it("names messages that were put aside and dead letters that a new schema refuses", slow, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-check-"));
    await using server = await startNatsServer();
    const once = { retry: { attempts: 1 } };
    const patient = { retry: { attempts: 9, delay: [3_600_000, 3_600_000] } } as const;
    const Sold = event<{ seat: string }>("Sold", { durable: true });
    const fails = () => {
      throw new Error("out of paper");
    };
    await using app = await catga({
      ...{ nats: server.url, service: "shop", id: "shop-1", logger: QUIET },
      handlers: [Sold.on(fails, { name: "billing", ...once }), Sold.on(fails, { name: "mails", ...patient })],
    });
    unwrap(await app.publish(Sold, { seat: "A1" }, { id: "sold-1" }));
    await eventually("one is dead, and one is put aside", () => {
      const of = (name: string) => app.health().subscriptions.find((each) => each.name === name);
      return of("billing")?.dead === 1 && of("mails")?.retrying === 1;
    });
    const file = join(folder, "program.mjs");
    const check = async (input: string) => {
      await writeFile(
        file,
        `
        import { event } from ${JSON.stringify(MOD)};
        const needs = (name) => ({ "~standard": {
          version: 1, vendor: "test",
          validate: (value) => typeof value?.[name] === "string" ? { value } : { issues: [{ message: "missing", path: [name] }] },
        } });
        const Sold = event("Sold", { input: needs("${input}"), durable: true });
        export const bills = Sold.on(() => {}, { name: "billing" });
        export const mails = Sold.on(() => {}, { name: "mails" });`,
      );
      const copy = file.replace("program", `program-${input}`);
      await rename(file, copy);
      const { out } = await cliHere(["check", copy, "--nats", server.url, "--json"]);
      const { findings } = JSON.parse(out) as { findings: { level: string; message: string; example?: string }[] };
      return findings.filter(({ level }) => level !== "unknown").map(({ level, message, example }) =>
        `${level}: ${message} (${example})`
      );
    };
    const lines = [
      "break: messages of Sold that shop/mails has put aside are refused: holder: missing (sold-1)",
      "note: dead letters of Sold in shop/billing are refused: holder: missing (sold-1)",
    ];
    // the store shows that a message was put aside (parked for a later attempt) after the next commit of its
    // subscription
    await eventually("both are found", async () => {
      const found = await check("holder");
      return lines.every((line) => found.includes(line));
    });
    assertEquals(await check("seat"), []);
    await rm(folder, { recursive: true });
  });

  it("needs no more permissions than docs/cli.md names", slow, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-check-"));
    const config = `authorization { users: [
      { user: node, password: secret }
      { user: check, password: secret, permissions: {\n${await checkPermissions()}\n} }
    ] }`;
    await using server = await startNatsServer({ config });
    const gate = Promise.withResolvers<void>();
    const nats = { servers: server.url, user: "node", pass: "secret" };
    await using app = await catga({ nats, service: "shop", id: "shop-1", handlers: handlersOf(gate.promise) });
    unwrap(await app.send(Charge, undefined, { id: "pay-1" }));
    unwrap(await app.publish(Sold, { seat: "A1" }, { id: "sold-1" }));
    unwrap(await app.publish(Sold, { seat: "A2" }, { id: "later", at: TOMORROW() }));
    unwrap(await app.send(Add, { id: "c1" }));
    unwrap(await app.start(Order, { seat: "A1" }, { id: "open" }));
    const file = join(folder, "program.mjs");
    await writeFile(file, moduleOf({ input: "holder", output: "id", event: "place" }));
    const as = ["-s", server.url, "--user", "check", "--password", "secret"];
    const { code, out, err } = await cliHere(["check", file, ...as]);
    gate.resolve();
    await rm(folder, { recursive: true });
    assertEquals([code, err], [1, ""]);
    for (
      const part of [
        "stored messages of Sold",
        "scheduled messages of Sold",
        "results of Charge",
        "stored events",
        "open runs",
      ]
    ) {
      assertStringIncludes(out, part);
    }
  });

  it(
    "knows a read model of a durable event by what its node says, as its record does not (it was a break)",
    slow,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "catga-check-"));
      await using server = await startNatsServer();
      const at = (service: string, handlers: Handler) =>
        catga({ nats: server.url, service, id: `${service}-1`, logger: QUIET, handlers });
      const model = event("Seen", { durable: true }).on(() => {}, { each: "node", from: "start" });
      await using _models = await at("models", model);
      const file = join(folder, "program.mjs");
      const more = `
      export const Seen = event("Seen", { durable: true });
      export const seen = Seen.on(() => {}, { name: "seen" });`;
      await writeFile(file, moduleOf({ more }));
      const check = () => cliHere(["check", file, "--nats", server.url, "--service", "shop"]);
      const { code, out } = await check();
      await using _plain = await at("plain", event("Seen").on(() => {}));
      const found = await check();
      await rm(folder, { recursive: true });
      assertEquals([code, out], [0, "Nothing would break.\n"]);
      assertEquals(found.code, 1);
      assertStringIncludes(
        found.out,
        "BREAK    Seen is durable, and at plain-1 of plain it is not: they do not reach each other",
      );
    },
  );

  it("names commands that are queries where they run", slow, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-check-"));
    await using server = await startNatsServer();
    await using _app = await catga({
      ...{ nats: server.url, service: "shop", id: "shop-1" },
      handlers: query<void, number>("Sell").handle(() => 1),
    });
    const file = join(folder, "program.mjs");
    await writeFile(file, moduleOf({}));
    const { code, out } = await cliHere(["check", file, "--nats", server.url]);
    await rm(folder, { recursive: true });
    assertEquals(code, 1);
    assertStringIncludes(out, "BREAK    Sell is a command, and shop-1 of shop handles a query.");
  });
});
