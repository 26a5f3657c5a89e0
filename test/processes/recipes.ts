/** The recipes of docs/upgrading.md: the versions of a program, each of which replaces the one before. */
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { type Catga, command, entity, event, type Handlers, unwrap, workflow } from "../../mod.ts";

/** A version of the program: what it handles, and what each of its nodes does again and again; rejects if it fails. */
export interface Version {
  readonly handlers: Handlers;
  act(app: Catga, id: string): Promise<unknown>;
}

/** What a program tells of its durable events. */
export interface Heard {
  published(id: string): void;
  handled(id: string): void;
}

/** The signal that runs wait for, and their workflow, for those who end what is left open. */
export const Order = workflow<{ seat: string }, string>("Order");
export const Go = Order.signal("Go");

const seat = { seat: z.string() };

/** By the name in the table; the one that takes one deploy comes first. */
export const RECIPES: Readonly<Record<string, (on: Heard) => readonly Version[]>> = {
  "one program that sends and handles": () => [
    sells(z.object({ ...seat, buyer: z.string() }), { seat: "A1", buyer: "ada" }),
    sells(z.object({ ...seat, holder: z.string() }), { seat: "A1", holder: "ada" }),
    sells(z.object({ ...seat, holder: z.string(), cents: z.int() }), { seat: "A1", holder: "ada", cents: 7 }),
  ],
  "rename a field": () => {
    const both = z.object({ ...seat, buyer: z.string().optional(), holder: z.string().optional() });
    return [
      sells(z.object({ ...seat, buyer: z.string() }), { seat: "A1", buyer: "ada" }),
      sells(both, { seat: "A1", buyer: "ada" }),
      sells(both, { seat: "A1", holder: "ada" }),
      sells(z.object({ ...seat, holder: z.string() }), { seat: "A1", holder: "ada" }),
    ];
  },
  "add a required field": () => {
    const optional = z.object({ ...seat, cents: z.int().optional() });
    return [
      sells(z.object(seat), { seat: "A1" }),
      sells(optional, { seat: "A1" }),
      sells(optional, { seat: "A1", cents: 7 }),
      sells(z.object({ ...seat, cents: z.int() }), { seat: "A1", cents: 7 }),
    ];
  },
  "add an enum member": () => {
    const more = z.object({ channel: z.enum(["web", "app", "kiosk"]) });
    return [
      sells(z.object({ channel: z.enum(["web", "app"]) }), { channel: "web" }),
      sells(more, { channel: "app" }),
      sells(more, { channel: "kiosk" }),
    ];
  },
  "split a command": () => {
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
    return [old, { handlers: all, act: old.act }, { handlers: all, act }, { handlers: parts, act }];
  },
  "change a durable event": (on) => {
    const version = <T>(input: z.ZodType<T>, payload: T): Version => {
      const Sold = event("Sold", { durable: true, input });
      return {
        handlers: Sold.on((_, { id }) => on.handled(id), { name: "billing", from: "start" }),
        act: async (app, id) => {
          unwrap(await app.publish(Sold, payload as never, { id }));
          on.published(id);
        },
      };
    };
    const both = z.union([z.object({ buyer: z.string() }), z.object({ holder: z.string() })]);
    return [
      version(z.object({ buyer: z.string() }), { buyer: "ada" }),
      version(both, { buyer: "ada" }),
      version(both, { holder: "ada" }),
    ];
  },
  "change an event of an entity": () => {
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
    return [
      version(z.object({ sku: z.string() }), undefined),
      version(both, { sku: "tea" }),
      version(both, { item: "tea", gift: true }),
    ];
  },
  "change a workflow": () => {
    const version = (of: number, isNew: boolean): Version => {
      const Versioned = workflow<{ seat: string }, string>("Order", { version: of });
      const open: string[] = [];
      return {
        handlers: Versioned.handle(async (flow) => {
          await flow.step("reserve", () => "");
          await flow.wait(Go);
          if (!isNew || flow.version === 1) return await flow.step("charge", () => "charged");
          await flow.step("check card", () => "");
          return await flow.step("charge card", () => "charged");
        }),
        // some runs stay open while others take the place of the nodes that began and drove them
        act: async (app, id) => {
          open.push(unwrap(await app.start(Versioned, { seat: "A1" }, { id })));
          if (open.length <= OPEN) return;
          const run = open.shift()!;
          unwrap(await app.tell(Go, run));
          assertEquals(unwrap(await app.result(Versioned, run)), "charged");
        },
      };
    };
    return [version(1, false), version(1, true), version(2, true)];
  },
};

/** A version with one command, whose payload it writes so. */
function sells<T>(input: z.ZodType<T>, payload: T): Version {
  const Sell = command("Sell", { input, output: z.string() });
  return { handlers: Sell.handle(() => "sold"), act: async (app) => unwrap(await app.send(Sell, payload as never)) };
}

/** Runs that each node leaves open. */
const OPEN = 3;
