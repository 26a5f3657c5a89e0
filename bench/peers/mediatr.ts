/** mediatr-ts with its own resolver, which makes a handler for each message. */
import process from "node:process";
import { Mediator, RequestData, type RequestHandler } from "mediatr-ts";
import { cast, CONTRACTS, type Message, runLocal } from "../programs/local.ts";

const mediator = new Mediator();
const all = cast(process.argv[2] === "async" ? "async" : "sync").map(
  ({ handler, payload }) => {
    class Request extends RequestData<unknown> {
      constructor(readonly payload: Message) {
        super();
      }
    }

    class Handler implements RequestHandler<Request, unknown> {
      async handle({ payload }: Request): Promise<unknown> {
        return await handler(payload);
      }
    }

    mediator.registerHandler(Request, Handler);
    return { Request, payload };
  },
);
const requests = all.map(({ Request }) => Request);
const payloads = all.map(({ payload }) => payload);

runLocal(async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    await mediator.send(new requests[at](payloads[at]));
  }
});
