import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { Broker, type BrokerClient } from "./broker.ts";
import { FaultSource } from "./faults.ts";
import { ServerLink } from "./server_link.ts";
import { MemoryProcess } from "./memory_process.ts";
import { seededRandom } from "./seeded_random.ts";
import { VirtualClock } from "./virtual_clock.ts";

function setUp() {
  const clock = new VirtualClock();
  const faults = new FaultSource(seededRandom(1));
  const broker = new Broker(clock, seededRandom(2), faults);
  const delivered: string[] = [];
  const server = { id: "server", clustered: false };
  const client = (): BrokerClient => ({
    link: new ServerLink(clock, faults, new MemoryProcess(clock, faults.random)),
    server,
  });
  const subscribe = (name: string, client: BrokerClient, subject: string, queue?: string) =>
    broker.add({
      subject,
      client,
      ...(queue === undefined ? {} : { queue }),
      deliver: ({ subject, noResponders }) => delivered.push(`${name}: ${noResponders ? "bounce" : subject}`),
    });
  return { clock, broker, delivered, client, subscribe };
}

const data = new Uint8Array();

describe("Broker", () => {
  it("delivers to every subscriber without a queue, and to one of each queue, in a later turn", async () => {
    const { clock, broker, delivered, client, subscribe } = setUp();
    subscribe("plain", client(), "a.*");
    subscribe("queued", client(), "a.b", "q");
    subscribe("queued", client(), "a.>", "q");
    broker.publish(client(), { subject: "a.b", data });
    assertEquals(delivered, []);
    await clock.advance(0);
    assertEquals(delivered.toSorted(), ["plain: a.b", "queued: a.b"]);
  });

  it("bounces a message without subscribers to one subscription of its publisher, none of a queue", async () => {
    const { clock, broker, delivered, client, subscribe } = setUp();
    const publisher = client();
    subscribe("other", client(), "reply");
    subscribe("queued", publisher, "reply", "q");
    subscribe("own", publisher, "reply");
    broker.publish(publisher, { subject: "nobody", data, reply: "reply" });
    broker.publish(publisher, { subject: "nobody", data });
    await clock.advance(0);
    assertEquals(delivered, ["own: bounce"]);
  });

  it("a detached subscriber gets nothing, and messages for it bounce", async () => {
    const { clock, broker, delivered, client, subscribe } = setUp();
    const [publisher, gone] = [client(), client()];
    subscribe("gone", gone, "a");
    subscribe("own", publisher, "reply");
    gone.link.detach();
    broker.publish(publisher, { subject: "a", data, reply: "reply" });
    await clock.advance(0);
    assertEquals(delivered, ["own: bounce"]);
  });
});
