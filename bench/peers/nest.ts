/** A NestJS microservice over NATS, and its `ClientProxy`, both with default settings and without a log. */
import "reflect-metadata";
import { Controller, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ClientProxyFactory, EventPattern, MessagePattern, type NatsOptions, Transport } from "@nestjs/microservices";
import { firstValueFrom } from "rxjs";
import { type Order, type Receipt, work } from "../programs/load.ts";
import { runRemote } from "../programs/remote.ts";

await runRemote({
  async node({ url, group }, heard) {
    class Orders {
      place(order: Order): Receipt {
        return work(order);
      }
      placed(): void {
        heard();
      }
    }
    class Shop {}
    // by calls, for these are the decorators of before the standard, which Deno and Bun would have to be told
    decorate(Orders, "place", MessagePattern(`${group}.order`));
    decorate(Orders, "placed", EventPattern(`${group}.placed`));
    Controller()(Orders);
    Module({ controllers: [Orders] })(Shop);

    const app = await NestFactory.createMicroservice<NatsOptions>(Shop, {
      ...nats(url),
      logger: false,
    });
    await app.listen();
  },
  async client({ url, group }) {
    const client = ClientProxyFactory.create(nats(url));
    await client.connect();
    return {
      send: (order) => firstValueFrom(client.send<Receipt, Order>(`${group}.order`, order)),
      publish: (order) => client.emit(`${group}.placed`, order),
    };
  },
});

function nats(url: string): NatsOptions {
  return { transport: Transport.NATS, options: { servers: [url] } };
}

function decorate(
  { prototype }: { prototype: object },
  method: string,
  decorator: (target: object, method: string, descriptor: never) => void,
): void {
  // each decorator has a type of descriptor of its own
  decorator(prototype, method, Object.getOwnPropertyDescriptor(prototype, method) as never);
}
