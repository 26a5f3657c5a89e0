/** The command bus of NestJS CQRS, with default settings and without a log. */
import "reflect-metadata";
import process from "node:process";
import { Module, type Type } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Command, CommandBus, CommandHandler, CqrsModule } from "@nestjs/cqrs";
import { cast, CONTRACTS, type Message, runLocal } from "../programs/local.ts";

const all = cast(process.argv[2] === "async" ? "async" : "sync").map(({ handler, payload }) => {
  class Order extends Command<unknown> {
    constructor(readonly payload: Message) {
      super();
    }
  }

  class Handler {
    async execute({ payload }: Order): Promise<unknown> {
      return await handler(payload);
    }
  }

  // by a call, as Module below: these are decorators of before the standard, which Deno and Bun would have to be told
  CommandHandler(Order)(Handler);
  return { Order, Handler: Handler as Type<unknown>, payload };
});

class Shop {}
Module({ imports: [CqrsModule.forRoot()], providers: all.map(({ Handler }) => Handler) })(Shop);

const app = await NestFactory.createApplicationContext(Shop, { logger: false });
await app.init();
const bus = app.get(CommandBus);
const orders = all.map(({ Order }) => Order);
const payloads = all.map(({ payload }) => payload);

runLocal(async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    await bus.execute(new orders[at](payloads[at]));
  }
});
