/** Catga in one process. The argument says what the contracts and the app are like. */
import process from "node:process";
import { type Behavior, catga, command, type Schema } from "../../mod.ts";
import { cast, CONTRACTS, type Message, runLocal } from "./local.ts";

const variant = process.argv[2];
const [, behaviors = 0, kind = ""] = /^(\d) (async |)behavior/.exec(variant) ?? [];
const all = cast(variant === "async" ? "async" : "sync").map(({ name, handler, payload }) => {
  const contract = command<Message, unknown>(name, {
    input: variant === "schema" ? schemaOf(payload) : undefined,
    idempotent: variant === "idempotent",
  });
  return { contract, handler: contract.handle(handler), payload };
});
const app = await catga({
  handlers: all.map(({ handler }) => handler),
  behaviors: Array.from({ length: Number(behaviors) }, kind === "" ? passing : waiting),
});
const contracts = all.map(({ contract }) => contract);
const payloads = all.map(({ payload }) => payload);

runLocal(async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    const result = await app.send(contracts[at], payloads[at]);
    if (!result.ok) throw result.error;
  }
});

/** What a behavior costs that does nothing. */
function passing(): Behavior {
  return (_message, next) => next();
}

/** A behavior that waits for the result, as one that logs or times does. */
function waiting(): Behavior {
  return async (_message, next) => await next();
}

/** A Standard Schema that looks at the one field: what validation costs beside the validator. */
function schemaOf(payload: Message): Schema<Message, Message> {
  const [field] = Object.keys(payload);
  return {
    "~standard": {
      version: 1,
      vendor: "bench",
      validate(value) {
        const message = value as Message; // looked at in the next line
        return typeof message?.[field] === "number" ? { value: message } : { issues: [{ message: "no number" }] };
      },
    },
  };
}
