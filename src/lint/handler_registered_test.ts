import { handlerRegistered } from "./handler_registered.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("handler-registered", handlerRegistered, {
  head: `import { catga, command, entity, event, fail, stream, workflow } from "@catga/catga";
import { Pay } from "./contracts.ts";
import * as contracts from "./contracts.ts";
export const Create = command("Create");
export const Created = event("Created");
export const Trip = workflow("Trip");
export const News = stream("News");
export const Cart = entity("Cart", { initial: () => 0 });
export const Added = Cart.event("Added", (n) => n + 1);`,
  bad: {
    "those of batches and of workflows": {
      source: `Created.onBatch(() => {}, { name: "b" });\nconst trip = Trip.handle(async (flow) => {});`,
      at: [`Created.onBatch(() => {}, { name: "b" })`, "trip"],
      says: /handler/,
    },
    "those of streams, of an entity's commands and of its events (they were passed over)": {
      source: `const news = News.handle(function* () {});
const create = Cart.handle(Create, (cart) => cart.emit(Added));
Cart.handle(Pay, (cart) => cart.emit(Added));
const mail = Added.on(() => {}, { name: "mail" });`,
      at: ["news", "create", "Cart.handle(Pay, (cart) => cart.emit(Added))", "mail"],
      says: /^The handler (news|create|mail) is not exported|^This handler of Pay is dropped/,
    },
    "handlers that are neither exported nor used": {
      source:
        `const create = Create.handle(() => {});\nconst announce = Created.on(console.log);\nconst pay = Pay.handle(() => {});`,
      at: ["create", "pay"],
      says: /^The handler (create|pay) is not exported and not used, so that it never runs$/,
    },
    "a handler that is dropped": {
      source:
        `Create.handle(() => {});\nfunction start() { contracts.Refund.handle(async () => {}, { concurrency: 4 }); }`,
      at: ["Create.handle(() => {})", "contracts.Refund.handle(async () => {}, { concurrency: 4 })"],
      says: /^This handler of (Create|contracts\.Refund) is dropped/,
    },
    "a handler whose name only a member has": {
      source:
        `const create = Create.handle(() => {});\nconsole.log({ create: 1 }.create);\nfunction f(create: number) { return create; }`,
      at: ["create"],
      says: /create/,
    },
    "a function that is named": {
      source: `function made() {}\nconst create = Create.handle(made);`,
      at: ["create"],
      says: /create/,
    },
  },
  good: {
    "an export": `export const create = Create.handle(() => {}); export const pay = Cart.handle(Pay, () => {});`,
    "an export by name, renamed, and by default":
      `const a = Create.handle(() => {}); const b = Pay.handle(() => {}); const c = Created.on(() => {}); export { a, b as x }; export default c;`,
    "what is passed to catga":
      `const create = Create.handle(() => {}); const app = await catga({ handlers: [create] });`,
    "an array that is exported": `const create = Create.handle(() => {}); export const handlers = [create];`,
    "an object that is exported": `const create = Create.handle(() => {}); export const handlers = { create };`,
    "what a function returns": `export const orders = (db: Db) => ({ create: Create.handle(() => db.x()) });
export function more() { const create = Create.handle(() => {}); return { create }; }`,
    "what is used in any way": `const create = Create.handle(() => {}); register(create);`,
    "what says that it is not used": `const _create = Create.handle(() => {});`,
    "other things with such methods":
      `emitter.on("x", () => {}); const server = router.handle(() => {}); Create.handle();`,
  },
});
