import { contractName } from "./contract_name.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("contract-name", contractName, {
  head: `import { command, event, query } from "@catga/catga";`,
  bad: {
    "a contract with another name": {
      source: `export const CreateOrder = command<{ sku: string }, string>("MakeOrder", { idempotent: true });`,
      at: [`"MakeOrder"`],
      says: /^The command of the constant CreateOrder is called "MakeOrder"$/,
    },
    "a copy that was not renamed": {
      source: `const OrderCreated = event("OrderCreated");\nconst OrderPaid = event("OrderCreated");`,
      at: [`"OrderCreated"`],
      says: /OrderPaid/,
    },
    "another last token": { source: `const Count = query("orders.Total");`, at: [`"orders.Total"`], says: /query/ },
    "a name behind `as` and `satisfies`": {
      source: `const A = command("B") as unknown;\nconst C = (command("D")) satisfies object;`,
      at: [`"B"`, `"D"`],
      says: /called/,
    },
  },
  good: {
    "equal names": `export const CreateOrder = command("CreateOrder");`,
    "other ways to write them": `const createOrder = command("create-order"), GET_PRICE = query("getPrice");`,
    "a kind at the end": `const CreateOrderCommand = command("CreateOrder"); const Price = query("PriceQuery");`,
    "dots: the last token": `const Create = command("shop.orders.Create"); const CountOrders = query("orders.Count");`,
    "names that are made":
      `const prefix = "x"; const Create = command(prefix + "Create"); const Two = query(\`\${prefix}.Two\`);`,
    "a constant that is named after nothing": `const contract = command("orders.Create");`,
    "contracts without a constant":
      `export default command("Create"); const { kind } = command("Make"); f(query("Q"));`,
    "functions of other origin": `function local() { const query = (x: string) => x; const Order = query("select"); }`,
  },
});

ruleSuite("contract-name", contractName, {
  head: `import { command as cmd } from "jsr:@catga/catga@^0.1.0";\nimport * as ns from "@catga/catga";`,
  bad: {
    "contracts by renamed imports and namespaces": {
      source: `const A = cmd("B");\nconst C = ns.query("D");`,
      at: [`"B"`, `"D"`],
      says: /called/,
    },
  },
  good: { "a name that shadows one": `function f(cmd: (x: string) => string) { const A = cmd("B"); }` },
});
